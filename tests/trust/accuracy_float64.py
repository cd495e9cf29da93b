"""Measure float64 on 10^8 random words and on all edges, and other bounds in both dtypes."""

from __future__ import annotations

import ctypes
import warnings
from typing import Any

import mpmath as mp
import numpy as np
from accuracy import (
    BOUNDS,
    F32,
    F64,
    UNIFORMS,
    Worst,
    count_row,
    free_source,
    in_threads,
    numbers_of,
    run_steps,
    ulp_row,
    values,
    worst_over,
)
from accuracy_exact import edge_words
from rows import Row

from initfast import _kernels
from initfast.core import distributions
from initfast.core.dtypes import CODES, DType


def float64_rows(library: ctypes.CDLL, quick: bool) -> list[Row]:
    """Return the rows of normal, truncated normal and uniform in float64."""
    count = 2**18 if quick else 100_000_000
    rows = []
    edges = edge_words(64)
    neighbours = sorted(
        {(w + (d << s)) % 2**64 for w in edges for s in (0, 11, 12) for d in range(-8, 9)}
    )
    rng = np.random.default_rng(2)
    shuffled = rng.permutation(np.array(neighbours, np.uint64))
    # Each edge as radius and as angle, paired with another edge.
    edge_list = np.concatenate(
        [
            np.stack([np.array(neighbours, np.uint64), shuffled], 1).ravel(),
            np.array(neighbours, np.uint64),
        ]
    )
    edge_list = edge_list[: edge_list.size // 2 * 2].copy()
    for name, source, goal in (
        ("normal", distributions.normal(0.0, 1.0, F64), 4),
        (
            "truncated normal on [-2, 2]",
            distributions.truncated_normal(0.0, 1.0, -2.0, 2.0, F64),
            4,
        ),
    ):
        numbers = numbers_of(source)
        code = source.distribution
        # A normal needs two words.
        words = count * (2 if code == _kernels.NORMAL else 1)
        random = worst_over(
            lambda low, high, w, c=code, n=numbers: library.f64_words(
                c, n.ctypes, None, low, high - low, w
            ),
            words,
        )
        rows.append(
            ulp_row(f"{name}, float64, {'2^18' if quick else '10^8'} random words", random, goal)
        )
        at_edges = Worst()
        library.f64_words(code, numbers.ctypes, edge_list.ctypes, 0, edge_list.size, at_edges)
        rows.append(
            ulp_row(
                f"{name}, float64, {edge_list.size:,} words around every power of two, "
                "quarter turn and end",
                at_edges,
                goal,
            )
        )
    wrong = 0
    for minval, maxval in UNIFORMS:
        source = distributions.uniform(minval, maxval, F64)
        numbers = numbers_of(source)
        random = worst_over(
            lambda low, high, w, n=numbers: library.f64_words(
                _kernels.UNIFORM, n.ctypes, None, low, high - low, w
            ),
            count // 4,
        )
        at_edges = Worst()
        library.f64_words(
            _kernels.UNIFORM, numbers.ctypes, edge_list.ctypes, 0, edge_list.size, at_edges
        )
        wrong += random.back + at_edges.back
    rows.append(
        count_row(
            f"uniform, float64, {'2^18' if quick else '10^8'} random words and edges: not "
            "the exact sum rounded once",
            wrong,
        )
    )
    # Neighbours on the grid of the truncated normal: runs of 4096 steps from many starts.
    starts = rng.integers(0, 2**53 - 4096, 16 if quick else 2500, np.uint64)
    sorted_words = (
        ((np.sort(starts)[:, None] + np.arange(4096, dtype=np.uint64)) << np.uint64(11))
        .ravel()
        .copy()
    )
    source = distributions.truncated_normal(0.0, 1.0, -2.0, 2.0, F64)
    back, numbers = Worst(), numbers_of(source)
    library.f64_sorted(
        source.distribution, numbers.ctypes, sorted_words.ctypes, sorted_words.size, back
    )
    rows.append(
        Row(
            "truncated normal, float64: steps back between neighbours",
            "-",
            f"{back.back:,} of {back.count:,}, by {back.back_ulp:.1f} ulp at most",
            None,
        )
    )
    return rows


def free_rows(library: ctypes.CDLL, quick: bool) -> list[Row]:
    """Return the rows of other bounds, against the references and against scipy."""
    from scipy import stats

    mp.mp.dps = 60
    count = 2**12 if quick else 2**17
    rng = np.random.default_rng(3)
    worst_by_dtype: dict[str, list[tuple[float, int, tuple[float, float], int]]] = {
        "float64": [],
        "float32": [],
    }
    without_0, with_0 = [], []

    def one(
        job: tuple[DType, tuple[float, float], np.ndarray[Any, Any]],
    ) -> tuple[DType, tuple[float, float], Worst]:
        dtype, (lower, upper), words = job
        worst, numbers = Worst(), numbers_of(free_source(lower, upper, dtype))
        library.free_words(
            CODES[dtype], numbers.ctypes, lower, upper, words.ctypes, words.size, worst
        )  # fmt: skip
        return dtype, (lower, upper), worst

    jobs = []
    for bounds in BOUNDS:
        words = rng.integers(0, 2**64, count, np.uint64)
        # Both ends, at doubling distances; the words of float32 are the lower 32 bits.
        ends = [1 << k for k in range(64)] + [2**64 - (1 << k) for k in range(64)] + [0, 2**64 - 1]
        words[: len(ends)] = ends
        words = np.concatenate([words, crossings(*bounds, rng)])
        jobs += [(F64, bounds, words), (F32, bounds, words[: len(words) // 2])]
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            # Random words, because scipy has few digits at the ends of wide bounds.
            some = words[len(ends) : len(ends) + 2000]
            u = ((some >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52
            ours = values(library, free_source(*bounds, F64), np.resize(some, 2048))[:2000]
            theirs = np.asarray(stats.truncnorm.ppf(u, *bounds))
            apart = np.abs(ours - theirs)
            errors = with_0 if bounds[0] <= 0 <= bounds[1] else without_0
            errors.append(
                (float(np.max(apart / np.spacing(np.abs(ours)))), float(np.max(apart)), bounds)
            )
    for dtype, bounds, worst in in_threads(one, jobs):
        worst_by_dtype[dtype.name].append((worst.ulp, int(worst.zeros), bounds, int(worst.at)))
    rows = []
    for name, goal in (("float64", 4), ("float32", 1)):
        ulp, _, bounds, at = max(worst_by_dtype[name])
        strays = sum(zeros for _, zeros, _, _ in worst_by_dtype[name])
        rows.append(
            Row(
                f"other bounds, {name}: {count:,} words on each of {len(BOUNDS)} pairs "
                "(accuracy.py lists them: "
                "[8, 9], [-40, -38], narrow, one-sided)",
                f"<= {goal} ulp",
                f"{ulp:.3f} ulp on {list(bounds)} at word {at:#x}"
                + (f"; {strays} strays" if strays else ""),
                ulp <= goal and not strays,
            )
        )
    ulp, _, _ = max(without_0)
    near_0, _, (lower, upper) = max(with_0)
    absolute = max(apart for _, apart, _ in with_0)
    rows.append(
        Row(
            "other bounds, float64, against scipy.stats.truncnorm.ppf: 2,000 random words on each",
            "<= 32 ulp",
            f"{ulp:.1f} ulp where the bounds exclude 0; where they do not, within {absolute:.1g}, "
            f"but scipy's digits near 0 are few ({near_0:.1g} ulp on [{lower:g}, "
            f"{upper:g}]) where mpmath's are ours",
            ulp <= 32 and absolute < 1e-14,
        )
    )
    return rows


def crossings(lower: float, upper: float, rng: np.random.Generator) -> np.ndarray[Any, Any]:
    """Return words around x = 0 and around the changes from the middle to the tails, if these are
    within the bounds.
    """
    phi = [mp.ncdf(max(-1000, min(1000, bound))) for bound in (lower, upper)]
    words = []
    for place in (mp.mpf("0.5"), mp.mpf("0.075"), mp.mpf("0.925")):
        if phi[0] < place < phi[1]:
            u = (place - phi[0]) / (phi[1] - phi[0])
            middle = int(u * 2**52) << 12
            words += [(middle + (d << 12)) % 2**64 for d in range(-200, 201)]
            words += [(middle + int(d)) % 2**64 for d in rng.integers(-(2**40), 2**40, 200)]
    return np.array(words, np.uint64)


def run(quick: bool) -> list[Row]:
    """Return all rows of the part."""
    return run_steps([float64_rows, free_rows], quick)
