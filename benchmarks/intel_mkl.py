"""Intel MKL's generators for float32 and float64, by ctypes on the library of `pip install mkl`.

Constants and signatures: oneMKL C reference, "Vector Statistics", and mkl_vsl_defines.h.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.metadata
import math
from typing import Any

from initfast.cli._race import NORMAL, TRUNCATED, UNIFORM, Array, Task

GENERATORS = {"SFMT19937": 13 << 20, "ARS5": 15 << 20, "PHILOX4X32X10": 16 << 20}
METHODS = {"ICDF": 2, "BoxMuller2": 1}
_UNIFORM_STD = 0
_SEQUENTIAL = 1  # MKL_Set_Threading_Layer: Intel's OpenMP next to another can abort the process
_BLOCK = 2**15  # two passes over a block that stays in the second-level cache
_WITHIN_2 = 0.9544997361036416  # erf(sqrt 2), the mass of a normal within 2 standard deviations
_LOW_ACCURACY = 1  # VML_LA: errors of 1 to 4 units in the last place, twice as fast as VML_HA


def files() -> list[importlib.metadata.PackagePath]:
    """Return the files of the mkl package, none if it is not installed."""
    try:
        return importlib.metadata.files("mkl") or []
    except importlib.metadata.PackageNotFoundError:
        return []


@functools.cache
def library() -> ctypes.CDLL:
    """Return MKL's single dynamic library. Raises ImportError if it is missing or broken."""
    paths = [file.locate() for file in files() if file.name.startswith(("libmkl_rt.so", "mkl_rt."))]
    if not paths:
        raise ImportError("no libmkl_rt: pip install mkl")
    try:
        opened = ctypes.CDLL(str(paths[0]))
    except OSError as error:
        raise ImportError(f"libmkl_rt does not load: {error}") from None
    opened.MKL_Set_Threading_Layer(_SEQUENTIAL)
    return opened


class Stream:
    """A generator, `skip` numbers after its start."""

    def __init__(self, generator: str, method: str, seed: int, skip: int = 0) -> None:
        self._mkl, self._method, self._stream = library(), METHODS[method], ctypes.c_void_p()
        _succeed(self._mkl.vslNewStream(ctypes.byref(self._stream), GENERATORS[generator], seed))
        if skip:
            _succeed(self._mkl.vslSkipAheadStream(self._stream, ctypes.c_longlong(skip)))

    def __del__(self) -> None:
        if self._stream:
            self._mkl.vslDeleteStream(ctypes.byref(self._stream))

    def fill(self, task: Task, memory: Array) -> None:
        """Fill contiguous float32 or float64 memory.

        MKL has no truncated normal. The fastest combination of its functions is sqrt(2) erfinv(u)
        with u uniform in (-erf(sqrt 2), erf(sqrt 2)); CdfNormInv takes 11 times as long as ErfInv.
        """
        letter, real = ("s", ctypes.c_float) if memory.itemsize == 4 else ("d", ctypes.c_double)
        uniform = getattr(self._mkl, f"v{letter}RngUniform")
        normal = getattr(self._mkl, f"v{letter}RngGaussian")
        inverse = getattr(self._mkl, f"vm{letter}ErfInv")
        scale = getattr(self._mkl, f"cblas_{letter}scal")
        at, remaining = memory.ctypes.data, memory.size
        block = _BLOCK if task is TRUNCATED else 2**30
        while remaining:
            count, address = min(remaining, block), ctypes.c_void_p(at)
            out = self._stream, count, address
            if task is UNIFORM:
                _succeed(uniform(_UNIFORM_STD, *out, real(0), real(1)))
            elif task is NORMAL:
                _succeed(normal(self._method, *out, real(0), real(1)))
            else:
                _succeed(uniform(_UNIFORM_STD, *out, real(-_WITHIN_2), real(_WITHIN_2)))
                inverse(count, address, address, ctypes.c_int64(_LOW_ACCURACY))
                scale(count, real(math.sqrt(2)), address, 1)
            at, remaining = at + count * memory.itemsize, remaining - count


def _succeed(status: Any) -> None:
    if status:
        raise RuntimeError(f"MKL's generator returned {status}")
