"""Make small mistakes in a copy of the code: the test that is named for a mistake must fail.

A mutant that survives shows a missing test. The copy is built at -O1, and only the files of a
mistake are compiled again, for the best backend here. `python tests/trust/mutants.py TEXT` tries
the mutants whose description contains TEXT. It needs gcc, Cython and the `test` extra, and some 20
minutes."""

from __future__ import annotations

import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mutants_table import MUTANTS, Mutant
from rows import ROOT, Row

from initfast import backends

JOBS = 2
LIMIT = 300  # seconds; a mutant that never ends is killed too
FLAGS = [
    "-std=c11",
    "-O1",
    "-ffp-contract=off",
    "-fno-fast-math",
    "-fno-math-errno",
    "-fPIC",
    "-pthread",
    "-g0",
    "-w",
]
COPIED = ("initfast", "src", "tests", "pyproject.toml")
PASSED, FAILED = 0, 1  # pytest's exit status


class Copy:
    """A copy of the tree with a separate build."""

    def __init__(self, root: Path, backend: str, built: Copy | None = None) -> None:
        self.root, self.backend = root, backend
        if built is not None:
            shutil.copytree(built.root, root)
            self.objects = {
                name: str(root / Path(path).name) for name, path in built.objects.items()
            }
            return
        root.mkdir()
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(
                    source,
                    root / name,
                    ignore=shutil.ignore_patterns("__pycache__", "*.so", "trust"),
                )
            else:
                shutil.copy(source, root / name)
        binding = root / "initfast" / "_kernels.c"
        subprocess.run(
            [
                sys.executable,
                "-m",
                "cython",
                "-3",
                str(root / "initfast/_kernels.pyx"),
                "-o",
                str(binding),
            ],
            check=True,
        )
        self.objects = {
            path.stem: self.compile(path, path.stem) for path in sorted((root / "src").glob("*.c"))
        }
        self.objects["binding"] = self.compile(binding, "binding")
        self.link(self.objects)

    def compile(self, source: Path, name: str) -> str:
        """Compile a C file, and return the path of its object."""
        target = self.root / f"{name}.o"
        include = [f"-I{self.root / 'src'}", f"-I{sysconfig.get_path('include')}"]
        command = [
            "gcc",
            *FLAGS,
            "-DPy_LIMITED_API=0x030B0000",
            *include,
            "-c",
            str(source),
            "-o",
            str(target),
        ]
        subprocess.run(command, check=True)
        return str(target)

    def link(self, objects: dict[str, str]) -> None:
        """Link the objects as the extension."""
        target = self.root / "initfast" / "_kernels.abi3.so"
        target.unlink(missing_ok=True)
        subprocess.run(
            ["gcc", "-shared", "-pthread", *objects.values(), "-o", str(target), "-lm"], check=True
        )

    def test(self, selection: str, limit: float | None = LIMIT) -> tuple[int, str]:
        """Run tests, and return pytest's exit status and the first failure."""
        others = [
            f"not {name}- and not {name}]" for name in backends.available() if name != self.backend
        ]
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-x",
            "-p",
            "no:cacheprovider",
            "-n",
            "0",
            "-m",
            "",  # both tiers
            "-k",
            " and ".join(others),
        ]
        command += [f"tests/{each}" for each in selection.split()]
        environment = {**os.environ, "PYTHONPATH": str(self.root), "PYTHONDONTWRITEBYTECODE": "1"}
        try:
            process = subprocess.run(
                command,
                cwd=self.root,
                env=environment,
                capture_output=True,
                text=True,
                timeout=limit,
            )
        except subprocess.TimeoutExpired:
            return FAILED, "no end"
        failed = re.search(
            r"^(?:FAILED|ERROR) tests/(.*?)(?: - .*)?$", process.stdout, re.MULTILINE
        )
        if process.returncode < 0 or "Fatal Python error" in process.stderr:
            return FAILED, "a crash"
        return process.returncode, failed.group(1) if failed else process.stdout[-300:]

    def edit(self, mutant: Mutant) -> dict[Path, str]:
        """Make the edits of a mutant, and return the texts before, by file."""
        before: dict[Path, str] = {}
        for file, old, new in [
            (mutant.file, mutant.old, mutant.new),
            *([mutant.also] if mutant.also else []),
        ]:
            path = self.root / file
            text = path.read_text()
            if text.count(old) != 1:
                raise ValueError(
                    f"{mutant.what}: the text to change must occur once in {file}; it "
                    f"occurs {text.count(old)} times"
                )
            before[path] = text
            path.write_text(text.replace(old, new))
        return before

    def units(self, unit: str) -> list[str]:
        """Return the C files of a mutant's unit; avx512_bf16 also needs those of avx512."""
        if unit != "backend":
            return [unit]
        return [
            stem
            for stem in self.objects
            if stem.startswith("backend_")
            and self.backend.startswith(stem.removeprefix("backend_"))
        ]

    def try_mutant(self, mutant: Mutant) -> tuple[int, str]:
        """Make a mutant, run its test, restore the copy, and return the result of the test."""
        before = self.edit(mutant)
        try:
            if mutant.unit:
                changed = {
                    stem: self.compile(self.root / "src" / f"{stem}.c", f"mutant_{stem}")
                    for stem in self.units(mutant.unit)
                }
                self.link({**self.objects, **changed})
            return self.test(mutant.killer)
        finally:
            for path, text in before.items():
                path.write_text(text)
            if mutant.unit:
                self.link(self.objects)


def row_of(mutant: Mutant, status: int, failed: str) -> Row:
    """Return the row of a mutant."""
    failed = failed if len(failed) < 100 else f"{failed[:90]}..."  # an id may contain digests
    text = {PASSED: "LIVES", FAILED: f"killed: {failed}"}.get(
        status, f"pytest's status {status}: {failed}"
    )
    return Row(
        f"{mutant.what} ({mutant.file})", f"killed by {mutant.killer}", text, status == FAILED
    )


def skipped(mutant: Mutant) -> Row:
    """Return the row of a mutant of code that this CPU cannot run."""
    goal = f"killed by {mutant.killer}"
    return Row(f"{mutant.what} ({mutant.file})", goal, f"not tried: needs {mutant.needs}", None)


def try_all(mutants: Sequence[Mutant], report: bool = True) -> list[Row]:
    """Try every mutant, after a check that the tests pass without one; return the rows."""
    backend = next(name for name in reversed(backends.available()) if name != "portable")
    # In a shell's background job SIGINT is ignored, and child processes would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with tempfile.TemporaryDirectory() as folder:
        copies: queue.Queue[Copy] = queue.Queue()
        first = Copy(Path(folder) / "0", backend)
        for k in range(JOBS):
            copies.put(Copy(Path(folder) / str(k), backend, first) if k else first)
        killers = sorted({each for mutant in mutants for each in mutant.killer.split()})
        copy = copies.get()
        status, failed = copy.test(" ".join(killers), None)
        copies.put(copy)
        if status != PASSED:
            raise SystemExit(f"the tests fail without a mutant: {failed}")

        def one(mutant: Mutant) -> Row:
            if not backend.startswith(mutant.needs):
                return skipped(mutant)
            copy = copies.get()
            try:
                result = row_of(mutant, *copy.try_mutant(mutant))
            finally:
                copies.put(copy)
            print(f"{result.what}: {result.measured}", flush=True)
            return result

        with ThreadPoolExecutor(JOBS) as pool:
            rows = list(pool.map(one, mutants))
    killed, tried = sum(row.met is True for row in rows), sum(row.met is not None for row in rows)
    total = Row(f"mutants, on {backend}", "all killed", f"{killed} of {tried}", killed == tried)
    return [total, *rows]


def select(text: str, mutants: Iterable[Mutant] = MUTANTS) -> list[Mutant]:
    """Return the mutants whose description contains a text."""
    return [mutant for mutant in mutants if text in mutant.what]


def run(quick: bool) -> list[Row]:
    """Return all rows of the part."""
    return try_all(MUTANTS[::12] if quick else MUTANTS)


if __name__ == "__main__":
    for row in try_all(select(sys.argv[1] if len(sys.argv) > 1 else ""))[:1]:
        print(row.measured)
