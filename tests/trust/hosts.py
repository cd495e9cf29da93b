"""Check initfast in hostile hosts, with tests of tests/core, and in other installed Pythons.

faults.py has the tests of files and commands."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from rows import ROOT, Row, first_line
from suite import outcomes, total

# What a host does, the test files, and pytest's -k.
HOSTS = [
    (
        "rounds up, down or to zero; sets FTZ and DAZ: unaffected, and its registers put back",
        "environment",
        "",
    ),
    ("forks in the middle of a fill; the child fills too", "hostile_hosts", "fork"),
    ("forks after fills on threads", "engine", "after_fork"),
    (
        "fills from many threads, one buffer or many",
        "hostile_hosts or engine",
        "threads_fill or many_threads or same_place",
    ),
    (
        "starts its processes by fork, spawn or forkserver, over shared memory or a file",
        "processes",
        "",
    ),
    (
        "sends SIGALRM in a long fill: its handler runs, may fill, may raise",
        "hostile_hosts",
        "handler",
    ),
    ("Ctrl-C in a long fill", "engine", "ctrl_c"),
    (
        "limits the memory (RLIMIT_AS): MemoryError, fewer threads, no crash",
        "hostile_hosts",
        "memory_limit",
    ),
    ("makes warnings errors; -O, -OO, -I, -bb, -X dev", "hostile_hosts", "warnings or switches"),
    ("has no UTF-8 locale: file and stream names", "hostile_hosts", "locale or no_text"),
    (
        "has several interpreters: one has the package, others get an ImportError, as from NumPy",
        "subinterpreters",
        "",
    ),
    ("lets nobody touch the bytes and pages about a buffer", "guard_bytes", ""),
]
OTHERS = ("3.12", "3.13", "3.14", "3.13t", "3.14t")
DRAW = "import sys, initfast as ift; print(ift.HeNormal(seed=42)((1000, 7)).tobytes().hex())"


def host_row(what: str, files: str, words: str) -> Row:
    """Run the tests of a host, and return its row."""
    paths = [f"core/test_{name}.py" for name in files.split(" or ")]
    host = what if what.startswith(("Ctrl", "a ")) else f"a host that {what}"
    return total(outcomes(paths, words, processes=0)).row(host, "all pass", "passed")


def other_python(version: str) -> Row | None:
    """Return the row of another Python: whether the extension (abi3) draws the same values there.

    Returns None if this Python is not installed."""
    installed = sorted(
        map(str, Path.home().glob(f".pyenv/versions/{version}*/bin/python{version}"))
    )
    # A name on the path may be a shim for a version that is not active.
    programs = [
        each
        for each in (shutil.which(f"python{version}"), *installed)
        if each and first_line(each, "--version")
    ]
    if not programs:
        return None
    program = programs[0]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([program, "-m", "venv", folder], check=True)
        python = os.path.join(folder, "bin", "python")
        pip = [
            python,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "numpy",
            "ml_dtypes",
            "tqdm",
        ]
        if subprocess.run(pip, capture_output=True).returncode:
            return None
        shutil.copytree(ROOT / "initfast", os.path.join(folder, "copy", "initfast"))
        environment = {**os.environ, "PYTHONPATH": os.path.join(folder, "copy")}
        process = subprocess.run(
            [python, "-c", DRAW], capture_output=True, text=True, env=environment
        )
    expected = subprocess.run(
        [sys.executable, "-c", DRAW], capture_output=True, text=True, check=True
    ).stdout
    text = (
        "the same bytes" if process.stdout == expected else process.stderr.strip().splitlines()[-1]
    )
    return Row(
        f"the extension of Python {sys.version_info[0]}.{sys.version_info[1]} under Python "
        f"{version}",
        "the same bytes",
        text,
        process.stdout == expected,
    )


def run(quick: bool) -> list[Row]:
    """Return a row per host, then the rows of other Pythons."""
    rows = [host_row(*host) for host in (HOSTS[:3] if quick else HOSTS)]
    others = [] if quick else [row for row in map(other_python, OTHERS) if row is not None]
    free = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
    if not free and not any("t" in row.what.rsplit(" ", 1)[-1] for row in others):
        rows.append(
            Row(
                "free-threaded CPython",
                "the suite passes",
                "not tried: none is installed here",
                None,
            )
        )
    return rows + others
