"""Faults: kills, system calls that fail, strangers' files, damaged input, hostile command lines.

Each row says how many tries there were and how many were survived. Surviving is: the right bytes
after the same command again, and never anything else under a final name; or a refusal in words."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rows import ROOT, Row

HELPERS = ROOT / "tests" / "helpers"
CASES = {
    "fill": "one array",
    "model": "a model in one file",
    "shards": "a model in shards",
    "workers": "a model in shards by three processes, two of the same number",
}
# The way of killing.py, the key of its count, what it is, and how often (or each how manieth).
WAYS = (
    ("at_random", "kills", "SIGKILL at a random moment, resumed and killed again", 60, 5),
    ("at_each_step", "crashes", "the end at each step of a write, and a second one later", 3, 7),
    ("fault_at_each_call", "faults", "a system call that fails (5 errors) or kills", 7, 19),
)
# Files of tests, which are tries of their own, and what they try.
TESTS = (
    ("cli/test_hostile_input.py", "", "hostile command lines, variables, specs; FIFOs and devices"),
    ("cli/test_streams.py", "", "closed, full and foreign streams; Ctrl-C"),
    (
        "files/test_partial.py",
        "",
        "partials that are links, FIFOs, devices, others' files, changed",
    ),
    ("files/test_strangers.py", "", "files planted by another user in a sticky folder"),
    ("files/test_writer.py", "disk or folder or limit", "full disks, read-only folders, limits"),
    ("core/test_threads.py", "small_stack", "threads with stacks of 32 and 44 KiB"),
    ("core/test_environment.py", "", "rounding directions, flushed subnormals"),
)


def run(quick: bool) -> list[Row]:
    """The rows of the table of tries."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shim = folder / "faults.so"
        build(shim)
        rows = [
            kill(folder, shim, way, case, few if quick else count, key, what)
            for way, key, what, count, few in WAYS
            for case in (("fill",) if quick else CASES)
        ]
        count = 100 if quick else 1000
        rows += [damage(folder, name, count) for name in ("npy", "npz", "safetensors", "json")]
    return rows + [tests(*row, quick=quick) for row in TESTS]


def build(shim: Path) -> None:
    """Compile faults.c."""
    command = [
        "cc",
        "-std=c11",
        "-O1",
        "-shared",
        "-fPIC",
        HELPERS / "faults.c",
        "-o",
        shim,
        "-ldl",
    ]
    subprocess.run(command, check=True)


def kill(folder: Path, shim: Path, way: str, case: str, count: int, key: str, what: str) -> Row:
    """What killing.py did with one case."""
    target = folder / f"{way} {case}"
    target.mkdir()
    done = subprocess.run(
        [sys.executable, HELPERS / "killing.py", way, case, target, str(count), "1"],
        env={"LD_PRELOAD": str(shim), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    shutil.rmtree(target)
    survived = done.returncode == 0 and "Traceback" not in done.stderr
    found = (
        f"{json.loads(done.stdout)[key]:,} tries, all survived" if survived else done.stderr[-99:]
    )
    return Row(f"{what}: {CASES[case]}", "all survived", found, survived)


def damage(folder: Path, name: str, count: int) -> Row:
    """Damaged files of a kind."""
    code = (
        f"import sys; sys.path[:0] = [{str(HELPERS)!r}, {str(ROOT / 'tests' / 'files')!r}]\n"
        "import pathlib, test_damaged\n"
        f"print(test_damaged.tries(pathlib.Path({str(folder)!r}), 'w.{name}', {count}, 3))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    survived = done.returncode == 0
    found = f"{count:,} tries, {int(done.stdout):,} refused" if survived else done.stderr[-99:]
    return Row(f"damaged .{name} files", "read, or refused in words", found, survived)


def tests(file: str, only: str, what: str, *, quick: bool) -> Row:
    """The tests of one file."""
    tier = ["-m", "not long" if quick else ""]
    command = [sys.executable, "-m", "pytest", "-q", "-n2", "-p", "no:cacheprovider", *tier]
    done = subprocess.run(
        [*command, *(["-k", only] if only else []), ROOT / "tests" / file],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    last = done.stdout.strip().splitlines()[-1]
    match = re.match(r"(\d+) passed", last)
    survived = done.returncode == 0 and match is not None
    found = f"{int(match[1]):,} tries, all survived" if survived and match else last
    return Row(what, "all survived", found, survived)
