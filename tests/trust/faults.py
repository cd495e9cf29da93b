"""Test faults: kills, failing system calls, other users' files, damaged input, hostile command lines.

Each row has the number of tries and how many were survived. A try is survived if the same command,
run again, gives the right bytes, and if no other bytes ever had a final name; or if the command
refuses with a message."""

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
# The function of kills.py, the key of its count, the text of the row, and the number of repetitions
# (or every n-th step) in full and with `quick`. tests/files/test_kills.py runs a sample.
WAYS = (
    ("at_random", "kills", "SIGKILL at a random moment, resumed and killed again", 120, 5),
    ("at_each_step", "crashes", "the end at each step of a write, and a second one later", 1, 7),
    ("fault_at_each_call", "faults", "each system call on files fails (5 errors) or kills", 1, 19),
)


class Selection(NamedTuple):
    """Tests whose cases are tries: a file, the text of the row, pytest's -k, and whether each test
    has a separate row.
    """

    file: str
    what: str
    only: str = ""
    each: bool = False


TESTS = (
    Selection("cli/test_hostile_input.py", "untrusted command line", each=True),
    Selection("files/test_damaged.py", "untrusted file", "not words", each=True),
    Selection("files/test_specs.py", "untrusted spec", "refused or wrong or no_specs", each=True),
    Selection("torch/test_huggingface.py", "untrusted config", "untrusted", each=True),
    Selection("files/test_strangers.py", "another user in a sticky folder", each=True),
    Selection("files/test_partial.py", "partials that are links, FIFOs, devices, others', changed"),
    Selection("cli/test_streams.py", "closed, full and foreign streams; Ctrl-C"),
    Selection(
        "files/test_writer.py",
        "full disks, read-only folders, limits, files changed meanwhile",
        "disk or folder or limit or meanwhile",
    ),
    Selection("core/test_threads.py", "threads with stacks of 32 and 44 KiB", "small_stack"),
    Selection("core/test_environment.py", "rounding directions, flushed subnormals"),
)


def run(quick: bool) -> list[Row]:
    """Return the rows of all tries."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shim = folder / "faults.so"
        build(shim)
        kills = [
            (folder, shim, way, case, few if quick else count, key, what)
            for way, key, what, count, few in WAYS
            for case in (("fill", "commands") if quick else CASES)
        ]
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:  # each one starts processes
            rows = list(pool.map(lambda each: kill(*each), kills))
        count = 100 if quick else 1000
        rows += [damage(folder, name, count) for name in ("npy", "npz", "safetensors", "json")]
    return rows + [row for selection in TESTS for row in tests(selection, quick)]


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
    """Run kills.py for one case, and return its row."""
    target = folder / f"{way} {case}"
    target.mkdir()
    process = subprocess.run(
        [sys.executable, HELPERS / "kills.py", way, case, target, str(count), "1"],
        env={"LD_PRELOAD": str(shim), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    shutil.rmtree(target)
    survived = process.returncode == 0 and "Traceback" not in process.stderr
    text = (
        f"{json.loads(process.stdout)[key]:,} tries, all survived"
        if survived
        else process.stderr[-99:]
    )
    return Row(f"{what}: {CASES[case]}", "all survived", text, survived)


def damage(folder: Path, name: str, count: int) -> Row:
    """Read damaged files of one kind, and return the row."""
    code = (
        f"import sys; sys.path[:0] = [{str(HELPERS)!r}, {str(ROOT / 'tests' / 'files')!r}]\n"
        "import pathlib, test_damaged\n"
        f"print(test_damaged.tries(pathlib.Path({str(folder)!r}), 'w.{name}', {count}, 3))"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    survived = process.returncode == 0
    text = f"{count:,} tries, {int(process.stdout):,} refused" if survived else process.stderr[-99:]
    return Row(f"damaged .{name} files", "read, or refused in words", text, survived)


def tests(selection: Selection, quick: bool) -> list[Row]:
    """Return a row for the tests of a file, or a row for each of them."""
    outcomes_by_name = outcomes([selection.file], selection.only, quick=quick)
    rows = {selection.what: total(outcomes_by_name)}
    if selection.each and outcomes_by_name:
        rows = {
            f"{selection.what}: {in_words(name)}": outcome
            for name, outcome in outcomes_by_name.items()
        }
    return [outcome.row(what, "all survived", "survived") for what, outcome in rows.items()]
