"""Measure float32 on all 2^32 words: uniform, truncated normal, radius, sine, cosine, normal."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np
from accuracy import (
    BUCKETS,
    CHUNK,
    F32,
    UNIFORMS,
    Worst,
    count_row,
    in_threads,
    numbers_of,
    ranges,
    run_steps,
    ulp_row,
    worst_of,
    worst_over,
)
from accuracy_exact import references
from rows import Row

from initfast._kernels import Source
from initfast.core import distributions


def float32_normal(library: ctypes.CDLL, quick: bool) -> list[Row]:
    """Return the rows of radius, sine, cosine and normal."""
    total = 2**24 if quick else 2**32
    radius = worst_over(
        lambda low, high, w: library.radius_f32_all(low, high, w), total, overlap=CHUNK
    )
    one = library.word_of_radius_1()
    sines: list[Worst] = []

    def angle(low: int, high: int, cosine: Worst) -> None:
        sine = Worst()
        library.angle_f32_all(low, high, one, sine, cosine)
        sines.append(sine)

    cosine = worst_over(angle, total)
    sine = worst_of(sines)
    normal = worst_over(
        lambda low, high, w: library.normal_f32_all(low, high, 0x9E3779B1, w),
        total,
    )
    proved = pair_bound(radius, [sine, cosine])
    words = "2^24" if quick else "all 2^32"
    return [
        ulp_row(f"radius, float32, {words} words", radius, 2),
        Row(
            "radius, float32: steps against the order of the words",
            "-",
            f"{radius.back} of {total:.3g}, by {radius.back_ulp:.1f} ulp at most",
            None,
        ),
        ulp_row(f"sine, float32, {words} words as angle", sine, 2),
        ulp_row(f"cosine, float32, {words} words as angle", cosine, 2),
        ulp_row(
            f"normal, float32, {words} words as radius, each with an angle of its own, so "
            "all words as angle",
            normal,
            4,
        ),
        Row(
            "normal, float32, all 2^64 pairs: bound from the errors above",
            "<= 4 ulp",
            f"< {proved:.3f} ulp",
            proved <= 4,
        ),
    ]


def pair_bound(radius: Worst, turns: Sequence[Worst]) -> float:
    """Return an upper bound for the error of every normal, in ulp.

    A normal is r(1 + a) c(1 + b), rounded once, with the largest a and b of each mantissa. Bucket k
    has mantissas in [1 + k/256, 1 + (k+1)/256). Relative errors add up. An ulp is 2^-23 of the exact
    value's power of two, so the mantissa of the product at the buckets' upper ends converts them to
    ulp."""
    worst = 0.0
    upper = 1 + (np.arange(BUCKETS) + 1) / BUCKETS
    lower = 1 + np.arange(BUCKETS) / BUCKETS
    for turn in turns:
        a = np.array(radius.relative_by_mantissa)[:, None]
        b = np.array(turn.relative_by_mantissa)[None, :]
        used = (a > 0) & (b > 0)
        high = upper[:, None] * upper[None, :]
        # A product of 2 or more has the next power of two, with twice the ulp. If both are possible,
        # take the larger error.
        mantissa = np.where(lower[:, None] * lower[None, :] >= 2, high / 2, np.minimum(high, 2))
        errors = np.where(used, (a + b + a * b) * mantissa * 2.0**23 + 0.5, 0)
        # Near a power of two the kernel's value may have the larger ulp, so its rounding counts
        # twice.
        near = np.where(used & (mantissa > 2 - 4 * 2.0**-8), errors + 0.5, errors)
        worst = max(worst, float(near.max()))
    return worst


def float32_tables(library: ctypes.CDLL, quick: bool) -> list[Row]:
    """Return the rows of uniform and truncated normal: all 2^24 values, for all 2^32 words."""
    total = 2**28 if quick else 2**32
    wrong = stray = back = 0
    for minval, maxval in UNIFORMS:
        source = distributions.uniform(minval, maxval, F32)
        table, different = value_table(library, source, total)
        stray += different
        numbers = numbers_of(source)
        wrong += library.uniform_f32_table(numbers.ctypes, table.ctypes, 0, 2**24)
        back += int((np.diff(table) < 0).sum())
    source = distributions.truncated_normal(0.0, 1.0, -2.0, 2.0, F32)
    table, different = value_table(library, source, total)
    truncated = worst_over(
        lambda low, high, w: library.truncated_f32_table(table.ctypes, low, high, w),
        2**20 if quick else 2**24,
    )
    truncated.at <<= 8
    row = ulp_row(
        f"truncated normal on [-2, 2], float32, {'2^28' if quick else 'all 2^32'} words",
        truncated,
        4,
    )
    return [
        count_row(
            f"uniform, float32, all 2^24 values on {len(UNIFORMS)} intervals: not the "
            "exact sum rounded once",
            wrong,
        ),
        count_row("uniform, float32: steps back", back),
        count_row(
            "uniform and truncated, float32: words of all 2^32 that do not give the value "
            "of their upper 24 bits",
            stray + different,
        ),
        row._replace(goal="<= 4 ulp (stretch: 2)"),
        Row(
            "truncated normal, float32: steps back",
            "-",
            f"{truncated.back} of 2^24, by {truncated.back_ulp:.1f} ulp at most",
            None,
        ),
        Row(
            "truncated normal, float32: x(-t) = -x(t)",
            "0",
            str(int((table != -table[::-1]).sum())),
            bool((table == -table[::-1]).all()),
        ),
    ]


def value_table(
    library: ctypes.CDLL, source: Source, total: int
) -> tuple[np.ndarray[Any, Any], int]:
    """Return the value of each upper 24 bits, and the number of words below `total` that give
    another.
    """
    table, numbers = np.zeros(2**24, np.float32), numbers_of(source)

    def call(low: int, high: int, compare: int) -> int:
        return int(
            library.table_f32(source.distribution, numbers.ctypes, low, high, table.ctypes, compare)
        )

    in_threads(lambda piece: call(*piece, 0), ranges(2**32))
    return table, sum(in_threads(lambda piece: call(*piece, 1), ranges(total)))


def run(quick: bool) -> list[Row]:
    """Return all rows of the part."""
    return run_steps([references, float32_tables, float32_normal], quick)
