"""Check that every backend, compiler, level of optimization and number of threads gives the same
bits.

The stored digests (tests/vectors/sha256-stream-1.txt) and known answers (tests/vectors/philox.txt)
were computed without any backend. This builds src/ with GCC and Clang at -O0, -O2 and -O3, for
x86-64 and for AArch64 (run by qemu), with the driver of the tests. Slow builds (-O0, the scalar
backend, the emulator) are compared on the first 2^20 elements, the others on 2^24. It needs gcc,
clang, gcc-aarch64-linux-gnu (also for Clang's libraries) and qemu-user-static, and takes an hour
or two."""

from __future__ import annotations

import hashlib
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rows import HERE, ROOT, Row

from initfast import _kernels, backends

sys.path[:0] = [str(ROOT / "tests" / "helpers"), str(ROOT / "src")]

from driver import FLAGS, SOURCES, draw  # noqa: E402
from sha256 import LONG, SEED, SHORT, STREAM, Pinned, pinned  # noqa: E402

JOBS = 2
LEVELS = ("-O0", "-O2", "-O3")
KNOWN = (ROOT / "tests" / "vectors" / "philox.txt").read_text()
# 6 vectors in each of the 96 blocks of a tile, and one of C++26.
ANSWERS = 6 * _kernels.TILE_BLOCKS + 1
# kernel_driver.c's exit status for a backend that the CPU cannot run.
REFUSED = 3


class Target(NamedTuple):
    """A compiler for a kind of machine, with its command, emulator and backends."""

    name: str
    compiler: tuple[str, ...]
    link: tuple[str, ...]
    runner: tuple[str, ...]
    backends: tuple[str, ...]


X86 = ("portable", "avx2", "avx512", "avx512_bf16")
EMULATOR = ("qemu-aarch64-static",)
TARGETS = [
    Target("GCC", ("gcc",), (), (), X86),
    Target("Clang", ("clang",), (), (), X86),
    Target("GCC, AArch64", ("aarch64-linux-gnu-gcc",), ("-static",), EMULATOR, ("neon",)),
    Target(
        "Clang, AArch64", ("clang", "--target=aarch64-linux-gnu"), ("-static",), EMULATOR, ("neon",)
    ),
]
# Builds compared on 2^24 elements, in addition to AVX2 and AVX-512 at -O2 and -O3.
WHOLE = {("GCC", "-O3", "portable"), ("Clang", "-O2", "portable"), ("GCC, AArch64", "-O2", "neon")}


class Build(NamedTuple):
    """The programs of one compiler at one level of optimization."""

    target: Target
    level: str
    driver: Path
    answers: Path


def build(folder: Path, target: Target, level: str) -> Build:
    """Compile src/, and link it with the driver and with known_answers.c."""
    place = folder / f"{target.name}{level}".replace(" ", "").replace(",", "-")
    place.mkdir()
    compile_one = [*target.compiler, *FLAGS, level, f"-I{SOURCES}"]
    objects = []
    for source in sorted(SOURCES.glob("*.c")):
        objects.append(str(place / f"{source.stem}.o"))
        subprocess.run([*compile_one, "-c", str(source), "-o", objects[-1]], check=True)
    programs = [place / "driver", place / "answers"]
    for program, main in zip(
        programs,
        (ROOT / "tests" / "helpers" / "kernel_driver.c", HERE / "known_answers.c"),
        strict=True,
    ):
        subprocess.run(
            [*compile_one, *target.link, str(main), *objects, "-o", str(program), "-lm"], check=True
        )
    return Build(target, level, *programs)


def runs_here(target: Target, backend: str) -> bool:
    """Return whether a backend can run here, perhaps in an emulator."""
    return bool(target.runner) or backend in backends.available()


def count_of(build: Build, backend: str, quick: bool) -> int:
    """Return the number of elements of each case to compare."""
    if quick:
        return SHORT
    wide = backend.startswith("avx") and build.level != "-O0"
    return LONG if wide or (build.target.name, build.level, backend) in WHOLE else SHORT


def is_right(build: Build, backend: str, line: Pinned, count: int, threads: int) -> bool:
    """Return whether a build gives the stored digest of a case."""
    command = [*build.target.runner, str(build.driver)]
    data = draw(command, backend, line.source, SEED, STREAM, line.first, count, threads)
    return hashlib.sha256(data).hexdigest() == line.digest(count)


def known_answers(builds: Iterable[Build]) -> list[Row]:
    """Return a row per backend: every known answer in every lane, in all builds."""
    problems: dict[str, list[str]] = {}
    for each in builds:
        for backend in each.target.backends:
            if runs_here(each.target, backend):
                command = [*each.target.runner, str(each.answers), backend]
                result = subprocess.run(command, input=KNOWN, capture_output=True, text=True)
                good = (result.returncode, result.stdout) == (0, f"{backend} {ANSWERS}\n")
                problems.setdefault(backend, []).append(
                    ""
                    if good
                    else f"{each.target.name} {each.level}: {result.stdout or result.returncode}"
                )
    return [
        Row(
            "Random123's known answers (7 and 10 rounds) in every lane, and C++26's "
            f"10000th value, {backend}",
            f"all {ANSWERS}",
            f"all, in {len(wrong)} builds" if not any(wrong) else "; ".join(filter(None, wrong)),
            not any(wrong),
        )
        for backend, wrong in problems.items()
    ]


def digests(builds: Sequence[Build], lines: Sequence[Pinned], quick: bool) -> list[Row]:
    """Return a row per backend and compiler, for all levels; the cases run on 1 to 8 threads."""
    rows = []
    for target in dict.fromkeys(each.target for each in builds):
        for backend in target.backends:
            if not runs_here(target, backend):
                continue
            counts, met = [], True
            for each in (each for each in builds if each.target == target):
                count = count_of(each, backend, quick)
                jobs = [(each, backend, line, count, k % 8 + 1) for k, line in enumerate(lines)]
                with ThreadPoolExecutor(JOBS) as pool:
                    matches = list(pool.map(lambda job: is_right(*job), jobs))
                good = sum(matches)
                counts.append(f"{each.level} {good} of {len(lines)} (2^{count.bit_length() - 1})")
                met &= good == len(lines)
                print(target.name, backend, counts[-1], flush=True)
            rows.append(
                Row(
                    f"SHA-256 of every distribution x dtype, {backend}, {target.name}",
                    f"all {len(lines)}",
                    ", ".join(counts),
                    met,
                )
            )
    return rows


def extension_rows(lines: Sequence[Pinned], quick: bool) -> list[Row]:
    """Return the rows of the installed extension: each backend, on 1 to 8 threads."""
    rows = []
    for backend in backends.available():
        count = SHORT if quick or backend == backends.compiled()[0] else LONG
        wrong = 0
        with backends.use(backend):
            assert backends.active() == backend
            for threads in range(1, 9):
                for line in lines:
                    memory = np.full(count * line.source.itemsize, 0xA5, np.uint8)
                    _kernels.fill_flat(
                        line.source, SEED, STREAM, memory.ctypes.data, line.first, count, threads
                    )
                    wrong += hashlib.sha256(memory).hexdigest() != line.digest(count)
        rows.append(
            Row(
                f"SHA-256 on 1, 2, ..., 8 threads, {backend}, installed extension, "
                f"2^{count.bit_length() - 1} elements",
                f"all {8 * len(lines)}",
                f"{8 * len(lines) - wrong}",
                wrong == 0,
            )
        )
        print(rows[-1], flush=True)
    return rows


def instruction_sets(build: Build, folder: Path, lines: Sequence[Pinned]) -> list[Row]:
    """Return the row that shows that each backend uses its instruction set.

    On an emulated CPU without these instructions, a backend dies if it is forced. For that, the
    driver is built again without the check of the CPU."""
    emulator = "qemu-x86_64-static"
    if not shutil.which(emulator) or "avx512" not in build.target.backends:
        return []
    forced = folder / "forced.c"
    forced.write_text(
        '#include "initfast.h"\nint forced(const initfast_backend *b) { return b != NULL; }\n'
    )
    program = folder / "forced"
    objects = sorted(str(each) for each in build.driver.parent.glob("*.o"))
    main = str(ROOT / "tests" / "helpers" / "kernel_driver.c")
    once = folder / "forced_main.o"
    subprocess.run(
        ["gcc", *FLAGS, "-Dinitfast_usable=forced", f"-I{SOURCES}", "-c", main, "-o", str(once)],
        check=True,
    )
    subprocess.run(
        [
            "gcc",
            *FLAGS,
            f"-I{SOURCES}",
            str(once),
            str(forced),
            *objects,
            "-o",
            str(program),
            "-lm",
        ],
        check=True,
    )
    lines = [
        line
        for line in lines
        if line.name in ("normal(0,1) float32", "truncated_normal(0,1,-1,3) float16", "bits uint32")
    ]
    expected = {  # (CPU, backend): the outcome with and without the check of the CPU
        ("Nehalem", "portable"): ("right", "right"),
        ("Nehalem", "avx2"): ("refused", "illegal instruction"),
        ("Haswell", "avx2"): ("right", "right"),
        ("Haswell", "avx512"): ("refused", "illegal instruction"),
        ("Haswell", "avx512_bf16"): ("refused", "illegal instruction"),
    }
    ends = {
        REFUSED: "refused",
        -signal.SIGILL: "illegal instruction",
        128 + signal.SIGILL: "illegal instruction",
    }

    def outcome(command: list[str], backend: str, line: Pinned) -> str:
        try:
            data = draw(command, backend, line.source, SEED, STREAM, line.first, SHORT)
        except subprocess.CalledProcessError as error:
            return ends.get(error.returncode, f"status {error.returncode}")
        return "right" if hashlib.sha256(data).hexdigest() == line.short else "wrong"

    actual = {}
    for cpu, backend in expected:
        commands = [[emulator, "-cpu", cpu, str(each)] for each in (build.driver, program)]
        actual[cpu, backend] = tuple(
            ", ".join(sorted({outcome(command, backend, line) for line in lines}))
            for command in commands
        )
    return [
        Row(
            "emulated CPUs: Nehalem runs portable alone, Haswell AVX2 too; any other, "
            "forced, dies (SIGILL)",
            "as said",
            "as said" if actual == expected else f"{actual}",
            actual == expected,
        )
    ]


def run(quick: bool) -> list[Row]:
    """Return all rows of the part."""
    lines = pinned()
    targets = [
        target for target in TARGETS if all(map(shutil.which, (target.compiler[0], *target.runner)))
    ]
    levels = LEVELS[1:2] if quick else LEVELS
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with ThreadPoolExecutor(JOBS) as pool:
            builds = list(
                pool.map(
                    lambda job: build(folder, *job),
                    [(t, level) for t in targets for level in levels],
                )
            )
        if quick:
            lines = [line for line in lines if line.source.dtype in (0, 3, 6)]
        rows = known_answers(builds)
        for row in rows:
            print(row, flush=True)
        rows += instruction_sets(
            next(each for each in builds if each.level == "-O2"), folder, lines
        )
        rows += extension_rows(lines, quick) + digests(builds, lines, quick)
    missing = [target.name for target in TARGETS if target not in targets]
    if missing:
        rows.append(Row("compilers and emulators", "all", f"not here: {', '.join(missing)}", False))
    return rows
