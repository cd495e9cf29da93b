"""One interpreter per process: another gets an ImportError (as with NumPy), the first continues."""

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
created = create()
for number in created:
    interpreters.run_string(number, IMPORT)
for number in created:
    interpreters.destroy(number)
sys.stdout.flush()
if sys.argv[1] == "main first":
    print(ift.random_bits(4, 9).tolist())
"""


def run(order):
    pytest.importorskip("_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters")
    return subprocess.run([sys.executable, "-c", PROGRAM, order], capture_output=True, text=True)


def test_another_interpreter_is_refused_and_the_first_goes_on():
    process = run("main first")
    expected = f"refused True\nrefused True\n{ift.random_bits(4, 9).tolist()}\n"
    assert (process.stdout, process.returncode) == (expected, 0), process.stderr


def test_the_first_to_import_it_has_it():
    """Import in other interpreters first: exactly one succeeds, and the process does not crash.

    The kind that may be first depends on the version of CPython."""
    process = run("others first")
    assert process.returncode == 0, process.stderr
    assert sorted(process.stdout.splitlines()) == ["imported", "refused True"]
