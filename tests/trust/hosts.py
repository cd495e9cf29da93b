"""Hosts that make it hard, each by the tests of tests/core that show it (faults.py has those of
files and commands); and which other Pythons here take the same extension.
"""

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

# What a host does, and the tests of it (pytest's -k within a file).
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


def tested(what: str, files: str, words: str) -> Row:
    """How the tests of one row went."""
    paths = [f"core/test_{name}.py" for name in files.split(" or ")]
    host = what if what.startswith(("Ctrl", "a ")) else f"a host that {what}"
    return total(outcomes(paths, words, processes=0)).row(host, "all pass", "passed")


def other_python(version: str) -> Row | None:
    """Whether the extension built here (abi3) draws the same values under another Python that is
    installed.
    """
    installed = sorted(
        map(str, Path.home().glob(f".pyenv/versions/{version}*/bin/python{version}"))
    )
    # A name on the path may be a shim for a version that is not switched on.
    found = [
        each
        for each in (shutil.which(f"python{version}"), *installed)
        if each and first_line(each, "--version")
    ]
    if not found:
        return None
    program = found[0]
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
        done = subprocess.run([python, "-c", DRAW], capture_output=True, text=True, env=environment)
    wanted = subprocess.run(
        [sys.executable, "-c", DRAW], capture_output=True, text=True, check=True
    ).stdout
    text = "the same bytes" if done.stdout == wanted else done.stderr.strip().splitlines()[-1]
    return Row(
        f"the extension of Python {sys.version_info[0]}.{sys.version_info[1]} under Python "
        f"{version}",
        "the same bytes",
        text,
        done.stdout == wanted,
    )


def run(quick: bool) -> list[Row]:
    """A row a host, then the other Pythons."""
    rows = [tested(*host) for host in (HOSTS[:3] if quick else HOSTS)]
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
