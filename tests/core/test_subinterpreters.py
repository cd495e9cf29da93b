"""One interpreter a process: another is refused with an ImportError, as NumPy refuses it, and the
first goes on.
"""

import subprocess
import sys

import pytest

import initfast as ift

PROGRAM = """
import sys, warnings
warnings.simplefilter("ignore")  # CPython 3.14 and NumPy have something to say of their own
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters

IMPORT = '''
try:
    import initfast._kernels
    print("imported")
except ImportError as error:
    print("refused", "interpreter" in str(error))
'''

def create():
    try:
        return [interpreters.create("isolated"), interpreters.create("legacy")]
    except TypeError:
        return [interpreters.create(isolated=True), interpreters.create(isolated=False)]

if sys.argv[1] == "main first":
    import initfast as ift
made = create()
for number in made:
    interpreters.run_string(number, IMPORT)
for number in made:
    interpreters.destroy(number)
sys.stdout.flush()
if sys.argv[1] == "main first":
    print(ift.random_bits(4, 9).tolist())
"""


def run(order):
    pytest.importorskip("_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters")
    return subprocess.run([sys.executable, "-c", PROGRAM, order], capture_output=True, text=True)


def test_another_interpreter_is_refused_and_the_first_goes_on():
    done = run("main first")
    wanted = f"refused True\nrefused True\n{ift.random_bits(4, 9).tolist()}\n"
    assert (done.stdout, done.returncode) == (wanted, 0), done.stderr


def test_the_first_to_import_it_has_it():
    """Which kind may be first is CPython's business; there is only ever one, and nothing ends the
    process.
    """
    done = run("others first")
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == ["imported", "refused True"]
