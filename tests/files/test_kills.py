"""After a kill at any moment, resuming writes the same bytes, and a file with its final name is always
complete.

This is a sample of the cases of `tests/trust/evidence.py faults`."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

KILLER = Path(__file__).parent.parent / "helpers" / "kills.py"


def kill(way, case, folder, count, seed, timeout):
    """Run `kills.py`, which must succeed, and return its report."""
    command = [sys.executable, "-W", "error", KILLER, way, case, folder, str(count), str(seed)]
    process = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    assert process.returncode == 0, process.stderr[-3000:]
    assert "Traceback" not in process.stderr, process.stderr[-3000:]
    return json.loads(process.stdout)


CASES = ["fill", "rows", "model", "tiny", "shards", "workers", "small", "commands"]


@pytest.mark.parametrize("case", ["fill", "tiny", "workers"])
def test_a_few_kills(tmp_path, case):
    assert kill("at_random", case, tmp_path, 6, 20260, timeout=60)["kills"] >= 6


@pytest.mark.long
@pytest.mark.parametrize("case", CASES)
def test_some_kills(tmp_path, case):
    assert kill("at_random", case, tmp_path, 30, 1, timeout=300)["kills"] >= 30


def test_a_crash_at_some_steps(tmp_path):
    report = kill("at_each_step", "fill", tmp_path, 4, 7, timeout=60)
    assert report["steps"] >= 12  # including the last step
    assert report["crashes"] >= 6


@pytest.mark.long
@pytest.mark.parametrize("case", CASES)
def test_a_crash_at_some_steps_of_each_case(tmp_path, case):
    report = kill("at_each_step", case, tmp_path, 3, 1, timeout=300)
    assert report["crashes"] >= 2 * (report["steps"] // 3) - 2 >= 2


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    """Return the compiled library of faults.c."""
    compiler = shutil.which("cc")
    if sys.platform != "linux" or compiler is None:
        pytest.skip("needs a C compiler and LD_PRELOAD")
    target = tmp_path_factory.mktemp("shim") / "faults.so"
    options = ["-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run(
        [compiler, *options, KILLER.parent / "faults.c", "-o", target, "-ldl"], check=True
    )
    return target


def test_some_faulty_calls(tmp_path, shim, monkeypatch):
    monkeypatch.setenv("LD_PRELOAD", str(shim))
    report = kill("fault_at_each_call", "fill", tmp_path, 23, 1, timeout=60)
    assert min(report["errors"], report["kills"]) >= 2


@pytest.mark.long
@pytest.mark.parametrize("case", CASES)
def test_a_fault_at_some_calls(tmp_path, shim, monkeypatch, case):
    """At every 29th system call for files, the call fails or the process is killed."""
    monkeypatch.setenv("LD_PRELOAD", str(shim))
    report = kill("fault_at_each_call", case, tmp_path, 29, 1, timeout=300)
    assert min(report["errors"], report["kills"]) >= 2


def test_these_tests_can_fail(tmp_path):
    """A write that leaves out some chunks must be noticed."""
    code = f"""
import sys; sys.argv[1:] = ["at_random", "fill", {str(tmp_path)!r}, "3", "1"]
from initfast.files import writer
real = writer.Partial.write
def forget(self, data, offset):
    if len(data) < 16384 or offset % 3: real(self, data, offset)
writer.Partial.write = forget
exec(compile(open({str(KILLER)!r}).read(), "kills.py", "exec"))
"""
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60
    )
    assert process.returncode == 1
    assert "a wrong file under the final name" in process.stderr
