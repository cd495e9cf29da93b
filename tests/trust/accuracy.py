"""Measure the errors of all functions of the kernels: on all 2^32 words in float32, on samples and
edges in float64.

accuracy.c runs the kernels of the best backend here (all backends give the same bits: part `bits`)
on chosen words. It compares them with accuracy_reference.h, which accuracy_exact.py checks with
mpmath. Errors are in units in the last place (ulp) of the exact value for the exact word, so they
include the conversion of the word to a float. This takes about half an hour on two threads at low
priority. It needs GCC with libquadmath (x86-64), mpmath, scipy and ml_dtypes."""

from __future__ import annotations

import ctypes
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from rows import HERE, ROOT, Row

from initfast import _kernels, backends
from initfast._kernels import Source
from initfast.core import distributions, truncation
from initfast.core.dtypes import CODES, FLOATING, DType
from initfast.core.rounding import GRIDS

THREADS = 2
PIECES = 64
CHUNK = 4096
BUCKETS = 256
VERBS = {
    "avx512": (
        "simd_avx512.h",
        ["-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mavx2", "-mfma", "-mf16c"],
    ),
    "avx2": ("simd_avx2.h", ["-mavx2", "-mfma", "-mf16c"]),
}
FLAGS = [
    "-O2",
    "-std=gnu11",
    "-ffp-contract=off",
    "-fno-fast-math",
    "-fno-math-errno",
    "-shared",
    "-fPIC",
]
FLAGS += ["-Wall", "-Wextra", "-Werror", "-Wno-unused-function"]

F32, F64 = FLOATING[0], FLOATING[1]
# Uniforms and truncated normals of which all values are checked in every dtype.
UNIFORMS = [(0.0, 1.0), (-0.05, 0.05), (3.0, 3.5), (-100.0, 0.1)]
TRUNCATED = [(0.0, 1.0), (0.0, 0.05), (0.3, 0.7), (50.0, 20.0)]
FREE_IN_EVERY_DTYPE = [(-1.0, 3.0), (8.0, 9.0), (-40.0, -38.0)]
# Bounds in standard deviations: around the middle, one-sided, far, narrow, and on both sides of
# each change of the algorithm.
BOUNDS = [
    (-1.0, 1.0), (-1.0, 3.0), (-3.0, 3.0), (-2.0, 2.0), (-0.5, 0.5), (-5.0, 4.0), (-6.76, 6.76),
    (-9.4, 9.6),
    (0.0, 1.0), (1.0, 2.0), (0.1, 0.2), (-3.0, -1.0), (3.0, 5.0), (-38.0, 5.0), (-1.44, 1.44),
    (-1.5, 1.43),
    (0.0, 1e6), (2.0, 1e3), (-1e300, -3.0), (-1e300, 0.0), (-1e3, 1.0), (5.0, 1e300),
    (30.0, 1e6), (-4.0, 100.0),
    (3.9, 4.1), (3.999, 40.0), (4.0, 5.0), (4.0, 4.0000001), (4.5, 7.0), (8.0, 9.0),
    (-9.0, -8.0), (20.0, 20.001),
    (-40.0, -38.0), (38.0, 40.0), (37.0, 38.5), (1.0, 1.000001), (1.0, 1.0 + 2.0**-46),
    (-1e-3, 1e-3),
    (-1e-8, 3e-8), (0.0, 1e-12), (-38.0, -37.999), (0.5, 0.5000000001),
]  # fmt: skip


class Worst(ctypes.Structure):
    """The struct `worst` of accuracy.c."""

    _fields_ = [
        ("ulp", ctypes.c_double),
        ("relative", ctypes.c_double),
        ("at", ctypes.c_uint64),
        ("count", ctypes.c_uint64),
        ("zeros", ctypes.c_uint64),
        ("back", ctypes.c_uint64),
        ("back_ulp", ctypes.c_double),
        ("relative_by_mantissa", ctypes.c_double * BUCKETS),
    ]


TYPES = {
    "void": None,
    "int": ctypes.c_int,
    "size": ctypes.c_size_t,
    "u32": ctypes.c_uint32,
    "u64": ctypes.c_uint64,
    "double": ctypes.c_double,
    "array": ctypes.c_void_p,
    "worst": ctypes.POINTER(Worst),
}
# The functions of accuracy.c: types of the result and the arguments.
SIGNATURES = {
    name: text.split()
    for name, text in {
        "make": "void int int array array size array",
        "radius_f32_all": "void u64 u64 worst",
        "word_of_radius_1": "u32",
        "angle_f32_all": "void u64 u64 u32 worst worst",
        "normal_f32_all": "void u64 u64 u32 worst",
        "table_f32": "u64 int array u64 u64 array int",
        "uniform_f32_table": "u64 array array u32 u32",
        "truncated_f32_table": "void array u32 u32 worst",
        "f64_words": "void int array array u64 u64 worst",
        "f64_sorted": "void int array array u64 worst",
        "free_words": "void int array double double array u64 worst",
        "seen": "void int int array u64 u64 u64 int array array array",
        "ends_f64": "void int array u64 u64 array",
        "narrowed": "void int int u32 size array",
        "check_32": "void u32 array",
        "check_normal_64": "void u64 u64 array",
        "check_truncated": "void double double array",
        "check_free": "void double double u64 double array",
        "lanes": "int",
        "size_of_worst": "size",
    }.items()
}


def build(folder: Path) -> ctypes.CDLL:
    """Compile accuracy.c with the header of the best backend of this CPU, and load it."""
    name = next((name for name in reversed(backends.available()) if name in VERBS), None)
    if name is None:
        raise SystemExit("accuracy needs an x86-64 CPU with AVX2 or AVX-512")
    header, flags = VERBS[name]
    target = folder / "accuracy.so"
    command = [
        "gcc",
        *FLAGS,
        *flags,
        f'-DVERBS="{header}"',
        f"-I{ROOT / 'src'}",
        str(HERE / "accuracy.c"),
    ]
    subprocess.run([*command, "-o", str(target), "-lquadmath", "-lm"], check=True)
    library = ctypes.CDLL(str(target))
    for name, (result, *arguments) in SIGNATURES.items():
        function = getattr(library, name)
        function.restype = TYPES[result]
        function.argtypes = [TYPES[each] for each in arguments]
    assert library.size_of_worst() == ctypes.sizeof(Worst)
    return library


def numbers_of(source: Source) -> np.ndarray[Any, Any]:
    """Return scale, shift, low, high and the free parameters as an array for accuracy.c."""
    return np.array([*source.numbers[0], *source.numbers[1]], np.float64)


def ranges(total: int, pieces: int = PIECES, overlap: int = 0) -> list[tuple[int, int]]:
    """Return equal pieces of [0, total), each starting `overlap` early to include neighbours across
    borders.
    """
    step = max(CHUNK * 256, total // pieces)
    return [(max(0, low - overlap), min(total, low + step)) for low in range(0, total, step)]


def in_threads(work: Callable[[Any], Any], jobs: Iterable[Any]) -> list[Any]:
    """Run each job on one of THREADS threads; the C code releases the GIL."""
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(work, jobs))


def worst_of(parts: Sequence[Worst]) -> Worst:
    """Return the worst of all pieces."""
    total = Worst()
    for part in parts:
        if not part.ulp <= total.ulp:
            total.ulp, total.at = part.ulp, part.at
        total.relative = max(total.relative, part.relative)
        total.back_ulp = max(total.back_ulp, part.back_ulp)
        total.count += part.count
        total.zeros += part.zeros
        total.back += part.back
        for k in range(BUCKETS):
            total.relative_by_mantissa[k] = max(
                total.relative_by_mantissa[k], part.relative_by_mantissa[k]
            )
    return total


def worst_over(call: Callable[[int, int, Worst], object], total: int, overlap: int = 0) -> Worst:
    """Call a function for pieces of [0, total) on the threads, and return the worst of all."""

    def one(piece: tuple[int, int]) -> Worst:
        worst = Worst()
        call(*piece, worst)
        return worst

    return worst_of(in_threads(one, ranges(total, overlap=overlap)))


def ulp_row(what: str, worst: Worst, goal: float, note: str = "") -> Row:
    """Return the row of a largest error.

    Zeros count values that are 0 or NaN, or from which the reference does not converge."""
    measured = f"{worst.ulp:.3f} ulp at word {worst.at:#x}{note}"
    if worst.zeros:
        measured += f"; {worst.zeros} zeros or strays"
    return Row(what, f"<= {goal:g} ulp", measured, worst.ulp <= goal and not worst.zeros)


def count_row(what: str, count: int, note: str = "") -> Row:
    """Return the row of a count that should be 0."""
    return Row(what, "0", f"{count}{note}", count == 0)


def values(
    library: ctypes.CDLL, source: Source, words: np.ndarray[Any, Any]
) -> np.ndarray[Any, Any]:
    """Return the kernel's values for these words, in the source's dtype.

    The number of words must be a multiple of the lanes."""
    dtype = next(each for each in FLOATING if CODES[each] == source.dtype)
    out = np.zeros(words.size, dtype)
    numbers = numbers_of(source)
    blocks = words.nbytes // 16
    assert blocks % library.lanes() == 0
    library.make(
        source.distribution, source.dtype, numbers.ctypes, words.ctypes, blocks, out.ctypes
    )
    return out


def free_source(lower: float, upper: float, dtype: DType) -> Source:
    """Return the source of the algorithm for free bounds, also for bounds that `distributions`
    computes in another way, such as [-2, 2].
    """
    try:
        source = distributions.truncated_normal(0.0, 1.0, lower, upper, dtype)
    except ValueError:  # a bound beyond the dtype's largest number
        source = distributions.truncated_normal(
            0.0, 1.0, max(lower, -1e30), min(upper, 1e30), dtype
        )
    if source.distribution == _kernels.TRUNCATED_FREE:
        return source
    low, high = (
        float(GRIDS[dtype.name].up(Fraction(lower))),
        float(GRIDS[dtype.name].down(Fraction(upper))),
    )
    parameters = truncation.free_parameters(lower, upper)
    # Bounds that keep half of the mass use the inverse only for values outside. Here it is tried
    # for every word.
    return Source(
        _kernels.TRUNCATED_FREE, CODES[dtype], dtype.itemsize, 1.0, 0.0, low, high, parameters, 0
    )


def run_steps(steps: Sequence[Callable[[ctypes.CDLL, bool], list[Row]]], quick: bool) -> list[Row]:
    """Run all steps at low priority, print their rows, and return them."""
    os.nice(15)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        library = build(Path(folder))
        for step in steps:
            start = time.perf_counter()
            new_rows = step(library, quick)
            for row in new_rows:
                met = {True: "met", False: "MISSED", None: "-"}[row.met]
                print(f"{row.what}: {row.measured} ({met})", flush=True)
            print(f"  {step.__name__}: {time.perf_counter() - start:.0f} s", flush=True)
            rows += new_rows
    return rows
