"""Check every dtype: no value outside its bounds, and the same rounding as in NumPy and ml_dtypes."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
from accuracy import (
    CHUNK,
    F32,
    F64,
    FREE_IN_EVERY_DTYPE,
    TRUNCATED,
    UNIFORMS,
    count_row,
    free_source,
    in_threads,
    numbers_of,
    ranges,
    run_steps,
)
from rows import Row

import initfast
import initfast.typing
from initfast._kernels import Source
from initfast.core import distributions
from initfast.core.dtypes import CODES, FLOATING, DType, bits_of
from initfast.core.rounding import GRIDS

CUT_IN_EVERY_DTYPE = [(-1.0, 3.0), (-3.0, 3.0)]


def patterns_of(dtype: DType) -> np.ndarray[Any, Any]:
    """Return every value of a dtype of 1 or 2 bytes, as float64."""
    with np.errstate(invalid="ignore"):
        return (
            np.arange(2 ** (8 * dtype.itemsize), dtype=bits_of(dtype))
            .view(dtype)
            .astype(np.float64)
        )


def out_of_bounds(
    library: ctypes.CDLL,
    source: Source,
    dtype: DType,
    allowed: Callable[[float], bool],
    total: int,
    step: int,
) -> tuple[int, int]:
    """Return the number of distinct values out of bounds for words [0, total), and how often
    float32 values step back.
    """
    numbers = numbers_of(source)
    if dtype == F64:
        ends = np.array([np.inf, -np.inf])
        library.ends_f64(
            source.distribution, numbers.ctypes, 5, 10**8 if total == 2**32 else 10**5, ends.ctypes
        )
        return sum(not allowed(float(end)) for end in ends), 0

    def one(piece: tuple[int, int]) -> tuple[Any, Any, int]:
        patterns, ends, back = (
            np.zeros(65536, np.uint8),
            np.array([np.inf, -np.inf]),
            np.zeros(1, np.uint64),
        )
        results = (patterns.ctypes, ends.ctypes, back.ctypes)
        library.seen(
            source.distribution,
            source.dtype,
            numbers.ctypes,
            *piece,
            step,
            dtype.itemsize,
            *results,
        )
        return patterns, ends, int(back[0])

    results = in_threads(one, ranges(total, overlap=CHUNK * step))
    back = sum(each for _, _, each in results)
    if dtype == F32:
        ends = [
            min(float(ends[0]) for _, ends, _ in results),
            max(float(ends[1]) for _, ends, _ in results),
        ]
        return sum(not allowed(end) for end in ends), back
    patterns = np.logical_or.reduce([each for each, _, _ in results])
    decoded = patterns_of(dtype)
    return sum(not allowed(float(decoded[pattern])) for pattern in np.flatnonzero(patterns)), 0


def bounds_rows(library: ctypes.CDLL, quick: bool) -> list[Row]:
    """Return the rows of values out of bounds in every dtype."""
    rows = []
    total = 2**24 if quick else 2**32

    def half_open(low: float, high: float) -> Callable[[float], bool]:
        return lambda x: low <= x < high

    def closed(mean: float, stddev: float, lower: float, upper: float) -> Callable[[float], bool]:
        low = Fraction(mean) + Fraction(lower) * Fraction(stddev)
        high = Fraction(mean) + Fraction(upper) * Fraction(stddev)
        return lambda x: math.isfinite(x) and low <= Fraction(x) <= high

    for dtype in FLOATING:
        outside = free_outside = back = 0
        for minval, maxval in UNIFORMS:
            source = distributions.uniform(minval, maxval, dtype)
            outside += out_of_bounds(library, source, dtype, half_open(minval, maxval), 2**32, 256)[
                0
            ]
        for mean, stddev in TRUNCATED:
            source = distributions.truncated_normal(mean, stddev, -2.0, 2.0, dtype)
            outside += out_of_bounds(
                library, source, dtype, closed(mean, stddev, -2.0, 2.0), 2**32, 256
            )[0]
        for lower, upper in FREE_IN_EVERY_DTYPE:
            source = free_source(lower, upper, dtype)
            counts = out_of_bounds(library, source, dtype, closed(0.0, 1.0, lower, upper), total, 1)
            free_outside, back = free_outside + counts[0], back + counts[1]
        words = "10^8 random words and edges" if dtype == F64 else "all 2^24 values"
        rows.append(
            count_row(
                f"out of bounds, {dtype.name}: {len(UNIFORMS)} uniforms, {len(TRUNCATED)} "
                f"truncated, {words} each",
                outside,
            )
        )
        words = (
            "10^8 random words and edges"
            if dtype == F64
            else ("2^24" if quick else "all 2^32") + " words"
        )
        rows.append(
            count_row(
                f"out of bounds, {dtype.name}: on [-1, 3], [8, 9], [-40, -38], {words} each",
                free_outside,
            )
        )
        if dtype == F32:
            rows.append(
                Row(
                    f"steps back on [-1, 3], [8, 9], [-40, -38], float32, {words}",
                    "0",
                    str(back),
                    back == 0,
                )
            )
    return rows


def cut_rows(_: ctypes.CDLL, quick: bool) -> list[Row]:
    """Return the rows of the bounds of which most elements are plain normals, drawn as users do."""
    count = 2**22 if quick else 2**30
    rows = []
    for dtype in FLOATING:
        outside = 0
        for lower, upper in CUT_IN_EVERY_DTYPE:
            initializer = initfast.TruncatedNormal(0.0, 1.0, 5, lower=lower, upper=upper)
            out = np.empty(min(count, 2**24), dtype)
            for start in range(0, count, out.size):
                index = np.s_[start : start + out.size]
                moments: list[initfast.typing.Moments] = []
                initializer.fill(out, shape=(count,), index=index, moments=moments.append)
                outside += not lower <= moments[0].minimum <= moments[0].maximum <= upper
        power = count.bit_length() - 1
        rows.append(
            count_row(
                f"out of bounds, {dtype.name}: 2^{power} elements each on [-1, 3] and [-3, 3]",
                outside,
            )
        )
    return rows


def rounding_rows(library: ctypes.CDLL, quick: bool) -> list[Row]:
    """Return the rows of the rounding of every float32 in the range of a dtype."""
    rows = []
    ways = [(dtype, False) for dtype in FLOATING[2:]] + [(FLOATING[2], True)]
    size = 2**22
    firsts = range(0, 2**32, size * (64 if quick else 1))
    for dtype, by_integers in ways:
        largest = float(GRIDS[dtype.name].largest)

        def one(
            first: int,
            dtype: DType = dtype,
            by_integers: bool = by_integers,
            largest: float = largest,
        ) -> tuple[int, int]:
            out = np.zeros(size, bits_of(dtype))
            library.narrowed(CODES[dtype], int(by_integers), first, size, out.ctypes)
            patterns = (
                np.arange(first, first + size, dtype=np.uint64).astype(np.uint32).view(np.float32)
            )
            with np.errstate(over="ignore", invalid="ignore"):
                expected = patterns.astype(dtype).view(bits_of(dtype))
            in_range = np.abs(patterns) <= np.float32(largest)
            return int((in_range & (out != expected)).sum()), int(in_range.sum())

        counts = in_threads(one, firsts)
        how = " by integers (portable)" if by_integers else ""
        wrong, total = (sum(each) for each in zip(*counts, strict=True))
        what = f"{total:,} of them in 64 pieces" if quick else f"all {total:,}"
        rows.append(
            count_row(
                f"float32 in range to {dtype.name}{how}, {what}: unlike NumPy's or "
                "ml_dtypes' rounding",
                wrong,
            )
        )
    return rows


def run(quick: bool) -> list[Row]:
    """Return all rows of the part."""
    return run_steps([bounds_rows, cut_rows, rounding_rows], quick)
