"""Faults: kills, system calls that fail, strangers' files, damaged input, hostile command lines.

Each row says how many tries there were and how many were survived. Surviving is: the right bytes
after the same command again, and never anything else under a final name; or a refusal in words."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from rows import ROOT, Row
from suite import in_words, outcomes, total

HELPERS = ROOT / "tests" / "helpers"
CASES = {
    "fill": "one array",
    "rows": "rows of an existing file by three processes",
    "model": "a model in one file",
    "tiny": "a model of 1,500 small tensors in one file",
    "shards": "a model in shards",
    "workers": "a model in shards by three processes, two of the same number",
    "small": "small files that replace others (pictures, JSON)",
    "commands": "the command lines `fill` and `model`",
}
# The way of kills.py, the key of its count, what it is, and how often (or each how manieth): in
# full, and quickly. tests/files/test_kills.py has a sample of the same.
WAYS = (
    ("at_random", "kills", "SIGKILL at a random moment, resumed and killed again", 120, 5),
    ("at_each_step", "crashes", "the end at each step of a write, and a second one later", 1, 7),
    ("fault_at_each_call", "faults", "each system call on files fails (5 errors) or kills", 1, 19),
)


class Tried(NamedTuple):
    """Tests, whose cases are tries: a file, what it tries, pytest's -k, and whether each test has a
    row of its own.
    """

    file: str
    what: str
    only: str = ""
    each: bool = False


TESTS = (
    Tried("cli/test_hostile_input.py", "untrusted command line", each=True),
    Tried("files/test_damaged.py", "untrusted file", "not words", each=True),
    Tried("files/test_specs.py", "untrusted spec", "refused or wrong or no_specs", each=True),
    Tried("torch/test_huggingface.py", "untrusted config", "untrusted", each=True),
    Tried("files/test_strangers.py", "another user in a sticky folder", each=True),
    Tried("files/test_partial.py", "partials that are links, FIFOs, devices, others', changed"),
    Tried("cli/test_streams.py", "closed, full and foreign streams; Ctrl-C"),
    Tried(
        "files/test_writer.py",
        "full disks, read-only folders, limits, files changed meanwhile",
        "disk or folder or limit or meanwhile",
    ),
    Tried("core/test_threads.py", "threads with stacks of 32 and 44 KiB", "small_stack"),
    Tried("core/test_environment.py", "rounding directions, flushed subnormals"),
)


def run(quick: bool) -> list[Row]:
    """The rows of the table of tries."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shim = folder / "faults.so"
        build(shim)
        kills = [
            (folder, shim, way, case, few if quick else count, key, what)
            for way, key, what, count, few in WAYS
            for case in (("fill", "commands") if quick else CASES)
        ]
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:  # each has its processes
            rows = list(pool.map(lambda each: kill(*each), kills))
        count = 100 if quick else 1000
        rows += [damage(folder, name, count) for name in ("npy", "npz", "safetensors", "json")]
    return rows + [row for tried in TESTS for row in tests(tried, quick)]


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
    """What kills.py did with one case."""
    target = folder / f"{way} {case}"
    target.mkdir()
    done = subprocess.run(
        [sys.executable, HELPERS / "kills.py", way, case, target, str(count), "1"],
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


def tests(tried: Tried, quick: bool) -> list[Row]:
    """A row for the tests of a file, or for each of them."""
    found = outcomes([tried.file], tried.only, quick=quick)
    rows = {tried.what: total(found)}
    if tried.each and found:
        rows = {f"{tried.what}: {in_words(name)}": outcome for name, outcome in found.items()}
    return [outcome.row(what, "all survived", "survived") for what, outcome in rows.items()]
