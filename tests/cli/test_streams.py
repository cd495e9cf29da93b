"""Streams that are closed, full or of another encoding, and Ctrl-C at any moment."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from tiers import sample

FILL = ["--shape", "40x3", "--init", "he_normal", "--seed", "1"]


def shell(redirection, *arguments, env=None):
    """Run the command in a shell with a redirection, and return (exit code, stdout, stderr)."""
    command = ["sh", "-c", f'"$@" {redirection}', "sh", sys.executable, "-m", "initfast"]
    process = subprocess.run(
        [*command, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        env={
            **{key: os.environ[key] for key in os.environ if key != "PYTHONUNBUFFERED"},
            **(env or {}),
        },
    )
    return process.returncode, process.stdout, process.stderr


def test_a_closed_stderr_changes_nothing(tmp_path):
    code, out, _ = shell("2>&-", "fill", tmp_path / "w.npy", *FILL)
    assert (code, out[-7:]) == (0, "seed 1\n")
    np.load(tmp_path / "w.npy")
    assert shell("2>&-", "verify", tmp_path / "w.npy", *FILL[2:])[0] == 0
    assert shell("2>&-", "fill", tmp_path / "w.npy", *FILL)[:2] == (1, "")
    assert shell("<&-", "verify", tmp_path / "w.npy", *FILL[2:])[0] == 0


def test_a_closed_stdout_is_refused_before_anything_is_written(tmp_path):
    result = shell(">&-", "fill", tmp_path / "w.npy", *FILL)
    assert result == (1, "", "initfast: error: stdout is closed: redirect it to a file or a pipe\n")
    assert not os.listdir(tmp_path)
    assert shell(">&- 2>&-", "fill", tmp_path / "w.npy", *FILL)[0] == 1


@pytest.mark.parametrize("buffered", [{}, {"PYTHONUNBUFFERED": "1"}])
@pytest.mark.parametrize("arguments", sample([["info"], ["--help"], ["--version"]], "0", ids="012"))
def test_a_full_stdout_is_an_error(arguments, buffered):
    code, _, err = shell(">/dev/full", *arguments, env=buffered)
    assert code == 1
    assert err.startswith("initfast: error: ")
    assert err.endswith("No space left on device\n")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", sample([["info"], ["info", "--json"], ["--help"]], "0", ids="012")
)
def test_a_reader_that_has_enough(arguments):
    code, out, err = shell("| true", *arguments)
    assert (code, out, err) == (0, "", "")  # those of `true`
    with subprocess.Popen(
        [sys.executable, "-m", "initfast", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        process.stdout.close()
        assert (process.stderr.read(), process.wait(60)) == (b"", 141)


@pytest.mark.parametrize(
    "encoding", sample(["utf-8:strict", "ascii:strict", "latin-1"], "utf-8:strict")
)
def test_names_that_stdout_cannot_show(tmp_path, encoding):
    path = os.fsencode(tmp_path) + b"/\xff\n\x1b[31m.npy"
    for arguments in (["fill", path, *FILL], ["verify", path, *FILL[2:]]):
        process = subprocess.run(
            [sys.executable, "-m", "initfast", *arguments],
            capture_output=True,
            env={**os.environ, "PYTHONIOENCODING": encoding},
            timeout=60,
        )
        assert (process.returncode, process.stderr) == (0, b"")
        assert process.stdout.count(b"\n") == 1
        assert b"\x1b" not in process.stdout
    np.load(os.fsdecode(path))


@pytest.mark.parametrize(
    "arguments", sample([["info"], ["diagnose", "--widths", "4x4x4"]], "0", ids="01")
)
def test_a_locale_without_letters(arguments):
    env = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "INITFAST_X": "é"}
    code, out, err = shell("", *arguments, env={**env, "PYTHONIOENCODING": "ascii:strict"})
    assert (code, err) == (0, "")
    assert out.isascii()


def interrupted(delay, *arguments, **variables):
    """Press Ctrl-C after `delay(process)`, and return (exit code, stderr, seconds until the end)."""
    # A background job of a shell would inherit that SIGINT is ignored.
    listening = (
        "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); "
        "os.execv(sys.executable, [sys.executable, '-m', 'initfast', *sys.argv[1:]])"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", listening, *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **variables},
    )
    delay(process)
    process.send_signal(signal.SIGINT)
    begun = time.perf_counter()
    err = process.communicate(timeout=60)[1]
    return process.returncode, err, time.perf_counter() - begun


def test_ctrl_c_during_imports(tmp_path):
    """Ctrl-C works from the beginning of the import."""
    slow = tmp_path / "numpy.py"  # takes the place of NumPy
    slow.write_text(
        f"open({str(tmp_path / 'begun')!r}, 'w').close()\nimport time\ntime.sleep(30)\n"
    )

    def delay(process):
        while not (tmp_path / "begun").exists():
            assert process.poll() is None
            time.sleep(0.01)

    code, err, _ = interrupted(delay, "info", PYTHONPATH=str(tmp_path))
    assert (code, err) == (130, "initfast: error: interrupted; nothing was kept\n")


def test_ctrl_c_is_not_taken_from_a_program_that_imports_initfast():
    code = (
        "import signal; before = signal.getsignal(2); import initfast; "
        "print(signal.getsignal(2) is before)"
    )
    for name in ("-c", "initfast"):
        script = f"import sys; sys.argv[0] = {name!r}; {code}"
        process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        assert process.stdout == "True\n"


# Python imports this file before it runs the program.
HOOK = """
import atexit, os, signal, sys
# A background job of a shell would inherit that SIGINT is ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
def press():
    os.kill(os.getpid(), signal.SIGINT)
class Finder:
    def find_spec(self, name, *_):
        if name == os.environ.get("PRESS_AT"):
            press()
sys.meta_path.insert(0, Finder())
if os.environ.get("PRESS_AT") == "the end":
    atexit.register(press)
"""
SCRIPT = "import sys\nfrom initfast.__main__ import main\nsys.exit(main())\n"


@pytest.mark.parametrize("way", ["module", "script"])
@pytest.mark.parametrize(
    ("moment", "end"),
    [
        ("initfast.core.engine", (130, "initfast: error: interrupted; nothing was kept\n")),
        ("initfast.__main__", (130, "initfast: error: interrupted; nothing was kept\n")),
        ("initfast.cli.program", (130, "initfast: error: interrupted; nothing was kept\n")),
        ("importlib.metadata", (130, "initfast: error: interrupted; nothing was kept\n")),
        ("the end", (0, "")),
    ],
)
def test_ctrl_c_between_two_steps(tmp_path, way, moment, end):
    (tmp_path / "sitecustomize.py").write_text(HOOK)
    (tmp_path / "initfast").write_text(SCRIPT)
    start = ["-m", "initfast"] if way == "module" else [tmp_path / "initfast"]
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    process = subprocess.run(
        [sys.executable, *start, "info"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path, "PRESS_AT": moment},
        timeout=60,
    )
    assert (process.returncode, process.stderr) == end


def test_ctrl_c_again_and_again(tmp_path):
    """As from a terminal and from a parent process that forwards it."""
    arguments = ["fill", tmp_path / "w.bin", "--shape", "64x4194304", "--threads", "4"]
    arguments += ["--init", "he_normal", "--seed", "1"]

    def delay(process):
        while not (tmp_path / "w.bin.partial").exists():
            assert process.poll() is None
            time.sleep(0.001)
        for _ in range(300):
            process.send_signal(signal.SIGINT)
            time.sleep(0.0003)

    code, err, _ = interrupted(delay, *arguments)
    assert code == 130
    assert err.startswith("initfast: error: interrupted; ")
    assert err.count("\n") == 1


@pytest.mark.long
def test_ctrl_c_in_a_file_on_the_slowest_backend(tmp_path):
    """The command ends within half a second on an idle machine."""
    out = tmp_path / "w.bin"
    init = '{"class_name": "TruncatedNormal", "config": {"lower": 1.0, "upper": 3.0, "seed": 1}}'
    options = ["--init", init, "--dtype", "float8_e5m2", "--shape", "64x4194304", "--threads", "16"]

    def delay(process):
        while not (out.with_name("w.bin.partial").exists()):
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(0.2)

    delays = []
    while not delays or (delays[-1] > 0.5 and len(delays) < 3):
        code, err, late = interrupted(delay, "fill", out, *options, INITFAST_BACKEND="portable")
        assert code == 130
        assert err.startswith("initfast: error: interrupted; ")
        assert err.count("\n") == 1
        delays.append(late)
        out.with_name("w.bin.partial").unlink(missing_ok=True)
    assert min(delays) < 1.5
