"""Build and run kernel_driver.c: the kernels under another compiler or for another architecture."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from initfast._kernels import Source

HERE = Path(__file__).parent
SOURCES = HERE.parent.parent / "src"
FLAGS = [
    "-std=c11",
    "-ffp-contract=off",
    "-fno-fast-math",
    "-fno-math-errno",
    "-pthread",
    "-Wall",
    "-Wextra",
    "-Werror",
]


def build(target: Path, compiler: str, *options: str) -> Path:
    files = [*sorted(map(str, SOURCES.glob("*.c"))), str(HERE / "kernel_driver.c")]
    subprocess.run(
        [compiler, *FLAGS, *options, f"-I{SOURCES}", *files, "-o", str(target), "-lm"], check=True
    )
    return target


def draw(
    command: Sequence[str],
    backend: str,
    source: Source,
    seed: int,
    stream: int,
    start: int,
    count: int,
    threads: int = 1,
) -> bytes:
    numbers, free = source.numbers
    words = [
        source.distribution,
        source.dtype,
        source.itemsize,
        seed,
        stream,
        start,
        count,
        threads,
    ]
    arguments = [*command, backend, *map(str, words), *(value.hex() for value in (*numbers, *free))]
    return subprocess.run(arguments, check=True, capture_output=True).stdout
