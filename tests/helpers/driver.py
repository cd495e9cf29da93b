"""Build and run kernel_driver.c: the kernels from another compiler or for another architecture."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from places import SOURCES, TESTS

from initfast._kernels import Source

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


def build(target: Path, compiler: str, *options: str, only: str | None = None) -> Path:
    """Compile all backends, or only one, which then also replaces the portable one."""
    files = [*sorted(SOURCES.glob("*.c")), TESTS / "helpers" / "kernel_driver.c"]
    if only is not None:
        files.remove(SOURCES / "backend_portable.c")
        options += (f"-Wl,--defsym,initfast_backend_portable=initfast_backend_{only}",)
    command = [compiler, *FLAGS, *options, f"-I{SOURCES}", *files, "-o", target, "-lm"]
    subprocess.run(command, check=True)
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
    """Run a driver, and return the bytes of `count` elements."""
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
