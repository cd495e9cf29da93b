"""Count the instructions that the kernels execute per element: exact, also on a busy machine.

The counts come from single steps through the installed extension (`step.c`). Each is the difference
between a longer and a shorter call, so that costs per call cancel. Code outside the extension, such
as memcpy, is not counted.
"""

from __future__ import annotations

import ctypes
import gc
import re
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from compiled import library

import initfast as ift
from initfast import _kernels
from initfast.core.dtypes import resolve

Call = Callable[[], object]
SOURCES = {
    "uniform": ift.RandomUniform(-1.0, 1.0),
    "normal": ift.RandomNormal(0.0, 1.0),
    "truncated_normal": ift.TruncatedNormal(0.0, 1.0),
    "truncated_normal(-1,3)": ift.TruncatedNormal(0.0, 1.0, lower=-1.0, upper=3.0),
}
DTYPES = {"float32": 4, "float64": 8, "float16": 2, "bfloat16": 2}
# A step takes some 20 microseconds on a virtual machine, so a slow backend has only one case.
SLOW = {"portable"}
MEMORY = ift.Zeros()((2**18,), "float64")
SEED = STREAM = 1


def source(name: str, dtype: str) -> _kernels.Source:
    """Return the parameters of a distribution for the kernels."""
    return SOURCES[name]._source((1,), resolve(dtype))


def tiles(name: str, dtype: str, count: int) -> tuple[Call, int]:
    """Return a call of the kernel for whole tiles, and its elements."""
    call = partial(_kernels.tiles, source(name, dtype), SEED, STREAM, 0, count, MEMORY.ctypes.data)
    return call, count * _kernels.TILE_BLOCKS * 16 // max(4, DTYPES[dtype])


def part(
    shape: tuple[int, ...],
    steps: tuple[int, ...],
    strides: tuple[int, ...],
    first: int = 0,
    ids: Any = None,
) -> Call:
    """Return the call of the kernel for a part of an array of float32 normals."""
    normal = source("normal", "float32")
    return partial(
        _kernels.fill,
        normal,
        SEED,
        STREAM,
        MEMORY.ctypes.data,
        first,
        shape,
        steps,
        strides,
        ids,
        1,
    )


def columns(count: int) -> tuple[Call, int]:
    """Return the case of a column shard: 512 of 4096 columns, in separate memory."""
    return part((count, 512), (4096, 1), (2048, 4), 1024), count * 512


def rows(count: int) -> tuple[Call, int]:
    """Return the case of rows of 128 by id."""
    return part(
        (4 * count, 128), (0, 1), (512, 4), ids=np.arange(4 * count, dtype=np.uint64) * 12800
    ), count * 512


def strided(count: int) -> tuple[Call, int]:
    """Return the case of every other element of memory."""
    return part((count * 512,), (1,), (8,)), count * 512


def off_block(count: int) -> tuple[Call, int]:
    """Return the case of contiguous memory that starts within a block, for direct stores."""
    return part(
        ((count + 4) * 4 * _kernels.TILE_BLOCKS,), (1,), (4,), 1
    ), count * 4 * _kernels.TILE_BLOCKS


PARTS = {"columns": columns, "rows": rows, "strided": strided, "off a block": off_block}


def cases(backend: str) -> Iterator[tuple[str, Callable[[int], tuple[Call, int]]]]:
    """Yield (name, size -> a call and its elements) of each case of a backend."""
    if backend in SLOW:
        yield "uniform float32", partial(tiles, "uniform", "float32")
        return
    for name in SOURCES:
        for dtype in DTYPES:
            # Other dtypes differ from float32 only in the store.
            if "(" not in name or dtype in ("float32", "float64"):
                yield f"{name} {dtype}", partial(tiles, name, dtype)
    yield from PARTS.items()


class Counter:
    """A counter of the instructions that a call executes in the extension; OSError if it cannot
    count.
    """

    def __init__(self) -> None:
        if not sys.platform.startswith("linux"):
            raise OSError("instructions are counted only on Linux, x86-64")
        self._low, self._high = _code()
        self._count = library("step", holds_lock=True).count_instructions
        self._count.restype = ctypes.c_uint64
        self._count.argtypes = [ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p, ctypes.c_void_p]
        self._call = ctypes.cast(ctypes.pythonapi.PyObject_CallNoArgs, ctypes.c_void_p)

    def __call__(self, call: Call) -> int:
        call()
        return int(self._count(self._call, call, self._low, self._high))


def _code() -> tuple[int, int]:
    """Return the range of memory with the extension's instructions."""
    file = str(Path(_kernels.__file__).resolve())
    spans = [
        tuple(int(edge, 16) for edge in line.split()[0].split("-"))
        for line in Path("/proc/self/maps").read_text().splitlines()
        if line.endswith(file) and "x" in line.split()[1]
    ]
    if not spans:
        raise OSError(f"no code of {file} in memory")
    return min(low for low, _ in spans), max(high for _, high in spans)


def counts() -> dict[str, float]:
    """Return the instructions per element of every case on every available backend."""
    counter = Counter()
    figures: dict[str, float] = {}
    gc.disable()
    try:
        for backend in ift.backends.available():
            with ift.backends.use(backend):
                for name, make in cases(backend):
                    (short, fewer), (long, more) = make(1), make(2)
                    figures[f"{backend} {name}"] = round(
                        (counter(long) - counter(short)) / (more - fewer), 3
                    )
    finally:
        gc.enable()
    return figures


def compiler() -> str:
    """Return the extension's compiler by its signature: 'gcc 12', 'clang 19' or 'unknown'."""
    text = Path(_kernels.__file__).read_bytes()
    if clang := re.search(rb"clang version (\d+)", text):
        return f"clang {clang[1].decode()}"
    gcc = re.search(rb"GCC: \([^)]*\) (\d+)", text)
    return f"gcc {gcc[1].decode()}" if gcc else "unknown"


def report() -> dict[str, Any]:
    """Return the compiler and the counts."""
    return {"compiler": compiler(), "counts": counts()}


if __name__ == "__main__":
    import json

    print(json.dumps(report()))
