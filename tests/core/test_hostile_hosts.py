"""Difficult host processes: forks and signals during a fill, little memory, unusual locales.

test_environment.py tests rounding modes, FTZ and DAZ, test_engine.py tests Ctrl-C, and
test_subinterpreters.py tests other interpreters."""

import os
import pkgutil
import subprocess
import sys
import threading

import numpy as np
import pytest
from places import ADAPTERS
from tiers import sample

import initfast as ift

posix = pytest.mark.skipif(os.name != "posix", reason="needs fork, signals and limits of POSIX")
NAME = "\u00e4\u00f6\u00fc\u4e2d"
LOCALES = {
    "C": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "POSIX with UTF-8 mode": {"LC_ALL": "POSIX", "PYTHONUTF8": "1"},
    "C.UTF-8": {"LC_ALL": "C.UTF-8", "PYTHONUTF8": "0"},
}


def run(program, *arguments, env=None, flags=("-W", "error")):
    """Run a program in a new process, with only the locale and Python variables that are given."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("LC_", "LANG", "PYTHON"))
    }
    environment |= {"PYTHONPATH": os.environ["PYTHONPATH"]} if "PYTHONPATH" in os.environ else {}
    return subprocess.run(
        [sys.executable, *flags, "-c", program, *arguments],
        capture_output=True,
        env=environment | (env or {}),
        timeout=300,
    )


def command(*arguments, env=None, flags=("-W", "error")):
    """Run the command line in such a process."""
    program = "import sys; from initfast import cli; sys.exit(cli.main(sys.argv[1:]))"
    return run(program, *arguments, env=env, flags=flags)


def test_threads_fill_parts_of_one_buffer_at_once():
    """Fill windows that share rows, cache lines and generator blocks, but do not overlap."""
    shape, out = (600, 1001), np.full((600, 1001), np.nan, np.float32)
    init = ift.RandomNormal(seed=3)
    windows = [np.s_[row::3, left : left + 77] for row in range(3) for left in range(0, 1001, 77)]
    start = threading.Barrier(6)

    def work(k):
        start.wait()
        with ift.threads(1 + k % 3):
            for window in windows[k::6]:
                init.fill(out[window], shape, window)

    workers = [threading.Thread(target=work, args=(k,)) for k in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    np.testing.assert_array_equal(out, init.block(shape, ...))


def test_threads_that_write_the_same_values_to_the_same_place():
    """Fill one buffer from several threads with the same seed, which gives the same values."""
    out, init = np.zeros(2**20, np.float32), ift.HeNormal(seed=3)
    workers = [threading.Thread(target=init.fill, args=(out,)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    np.testing.assert_array_equal(out, init.block((2**20,), ...))


FORK = """
import os, signal, threading
import numpy as np
import initfast as ift

ift.backends.use("portable")  # slow enough for forks in the middle
out, results = np.zeros(2**23, np.float32), []
init = ift.RandomNormal(seed=1)
small = init.block((1000,), ...).tobytes()

def work():
    with ift.threads(3):
        init.fill(out)
    results.append(True)

worker = threading.Thread(target=work)
worker.start()
while not out[0]:
    pass
codes, amid = [], 0
for _ in range(5):
    amid += not results
    child = os.fork()
    if child == 0:
        signal.alarm(200)  # ends a fill that waits for threads that the child does not have
        with ift.threads(3):
            same = init.block((1000,), ...).tobytes() == small
            same = same and len(init.block((10**6,), ...)) == 10**6
        os._exit(0 if same else 1)
    codes.append(os.waitpid(child, 0)[1])
worker.join()
with ift.threads(3):
    print(amid > 0, codes, np.array_equal(out, init.block(out.shape, ...)))
"""


@posix
def test_a_fork_in_the_middle_of_a_fill():
    # Python 3.12 warns about a fork of a process with threads, which is the purpose here.
    process = run(FORK, flags=("-W", "error", "-W", "ignore::DeprecationWarning"))
    assert (process.stdout, process.returncode) == (b"True [0, 0, 0, 0, 0] True\n", 0), (
        process.stderr
    )


ALARM = """
import signal, sys
import numpy as np
import initfast as ift

ift.backends.use("portable")
out, calls = np.zeros((2**14, 2**12), np.float64), []
init = ift.RandomNormal(seed=1)

def handler(number, frame):
    # The handler may fill too, because no lock is held while it runs.
    calls.append((float(out[-1, -1]), init.block((5,), ..., "float64").tobytes()))
    if sys.argv[1] == "raises":
        raise TimeoutError("enough")

signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.02)
try:
    with ift.threads(2):
        init.fill(out)
except TimeoutError as error:
    print(error, out[-1, -1] == 0.0)
else:
    rows = np.s_[::1000]
    print(bool((out[rows] == init.block(out.shape, rows, "float64")).all()))
print([(last, block == init.block((5,), ..., "float64").tobytes()) for last, block in calls])
"""


@posix
@pytest.mark.long
@pytest.mark.parametrize("how", ["returns", "raises"])
def test_a_handler_runs_in_the_middle_of_a_fill(how):
    process = run(ALARM, how)
    said = "True" if how == "returns" else "enough True"
    assert process.stdout.decode() == f"{said}\n[(0.0, True)]\n", process.stderr


# limit(more): the process may use `more` additional bytes of address space, with thread stacks.
LIMIT = """
import resource
def limit(more):
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    # The hard limit stays, so that a later call can raise the limit.
    resource.setrlimit(resource.RLIMIT_AS, (used + more, resource.getrlimit(resource.RLIMIT_AS)[1]))
"""

MEMORY = """
import numpy as np
import initfast as ift

ift.HeNormal(seed=1)((10, 10))
limit(2**26)
results = []
for make in (
    lambda: ift.HeNormal(seed=1)((2**15, 2**12)),
    lambda: ift.random_bits(2**28),
    lambda: ift.RandomNormal(seed=1).block((2**40, 64), np.s_[: 2**22]),
    lambda: ift.RandomNormal(seed=1).rows((2**40, 64), np.zeros(2**20, np.int64)),
    lambda: ift.Zeros()((2**15, 2**12)),
):
    try:
        make()
        results.append("no error")
    except MemoryError as error:
        results.append(type(error).__name__)
print(results)
# Threads need stacks. If there is no memory for all of them, a fill uses fewer threads.
out = np.empty(2**22, np.float32)
limit(2**20)
with ift.threads(8):
    ift.RandomNormal(seed=1).fill(out)
part = np.empty(1000, np.float32)
print(bool((out[-1000:] == ift.RandomNormal(seed=1).fill(part, out.shape, np.s_[-1000:])).all()))
"""


@posix
@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="reads its own size from Linux")
def test_a_memory_limit_is_a_memory_error_and_not_a_crash():
    process = run(LIMIT + MEMORY)
    assert (process.stdout.decode(), process.returncode) == (f"{['MemoryError'] * 5}\nTrue\n", 0), (
        process.stderr
    )


LIMITED = """
import sys
from initfast import cli
limit(2**24)
large = ["--shape", "100000x100000", "--init", "orthogonal", "--seed", "1"]
sys.exit(cli.main(["fill", sys.argv[1], *large]))
"""


@posix
@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="reads its own size from Linux")
def test_the_command_line_under_a_memory_limit(tmp_path):
    process = run(LIMIT + LIMITED, str(tmp_path / "out.npy"))
    assert (process.returncode, process.stdout, list(tmp_path.iterdir())) == (1, b"", [])
    assert process.stderr.startswith(b"initfast: error: ")
    assert b"Traceback" not in process.stderr


def test_all_modules_import_with_warnings_as_errors():
    modules = [module.name for module in pkgutil.walk_packages(ift.__path__, "initfast.")]
    modules = [name for name in modules if name.split(".")[1] not in (*ADAPTERS, "__main__")]
    assert "initfast.cli.fill" in modules
    process = run(
        f"import importlib\nfor name in {modules}:\n    importlib.import_module(name)\nprint('ok')"
    )
    assert (process.stdout, process.stderr) == (b"ok\n", b"")


@pytest.mark.parametrize("flags", sample(["", "-O", "-OO", "-I", "-X dev", "-bb"], "-OO", "-bb"))
def test_the_interpreter_s_switches_change_nothing(flags, tmp_path):
    flags = flags.split()
    if "-I" in flags and "PYTHONPATH" in os.environ:
        pytest.skip("-I ignores PYTHONPATH")
    out = tmp_path / "out.npy"
    process = command(
        "fill",
        str(out),
        "--shape",
        "30x7",
        "--init",
        "he_normal",
        "--seed",
        "5",
        flags=("-W", "error", *flags),
    )
    assert (process.returncode, process.stderr) == (0, b"")
    np.testing.assert_array_equal(np.load(out), ift.HeNormal(seed=5)((30, 7)))


@posix
@pytest.mark.parametrize("name", sample(LOCALES, "C"))
@pytest.mark.parametrize(
    "file",
    sample([NAME.encode(), b"\xff\xfe raw"], "no text at all", ids=["letters", "no text at all"]),
)
def test_file_names_in_any_locale(name, file, tmp_path):
    """Write files whose names the locale cannot decode, and print their names without an error."""
    if sys.platform == "darwin" and b"\xff" in file:
        pytest.skip("its file systems accept only text")
    out = os.path.join(os.fsencode(tmp_path), file + b".npy")
    process = command(
        "fill", out, "--shape", "3x4", "--init", "he_normal", "--seed", "5", env=LOCALES[name]
    )
    assert (process.returncode, process.stderr) == (0, b""), process.stderr
    assert process.stdout
    with open(out, "rb") as opened:
        np.testing.assert_array_equal(np.load(opened), ift.HeNormal(seed=5)((3, 4)))
    # Error messages with the name must be printed too.
    again = command(
        "fill", out, "--shape", "3x4", "--init", "he_normal", "--seed", "5", env=LOCALES[name]
    )
    assert again.returncode == 1
    assert again.stderr.startswith(b"initfast: error: ")
    assert b"Traceback" not in again.stderr


@posix
@pytest.mark.parametrize("name", sample(LOCALES, "C"))
def test_stream_names_in_any_locale(name, tmp_path):
    """Compute the stream from the UTF-8 bytes that the shell passes, in any locale."""
    out = tmp_path / "out.npy"
    arguments = ("fill", str(out), "--shape", "3x4", "--init", "he_normal", "--seed", "5", "--name")
    process = command(*arguments, NAME.encode(), env=LOCALES[name])
    assert (process.returncode, process.stderr) == (0, b"")
    np.testing.assert_array_equal(np.load(out), ift.HeNormal(seed=ift.Seed(5).named(NAME))((3, 4)))


@posix
def test_a_stream_name_that_is_no_text_is_refused(tmp_path):
    out = tmp_path / "out.npy"
    process = command(
        "fill", str(out), "--shape", "3x4", "--init", "he_normal", "--seed", "5", "--name", b"\xff"
    )
    assert (process.returncode, process.stdout, out.exists()) == (2, b"", False)
    assert b"Traceback" not in process.stderr
