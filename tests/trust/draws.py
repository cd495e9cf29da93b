"""Compare the draws of each distribution with the exact law: 2^33 draws of each, and 2^30 for bounds
that keep less than half of the mass, which are slower.

The values come from the installed package, in slices of a logical array of 2^33 elements, and
draws.c counts them. The Kolmogorov-Smirnov and Anderson-Darling statistics use fine bins (2^-18
wide, for the uniform 2^-20). A bin of probability p can hide at most sqrt(2 p ln(1/p)) of the true
supremum, which is 0.007 in sqrt(n) D, and p / 6 of A^2 (Levy's modulus of a Brownian bridge, and
its variance within a bin). Edges are at the rounding boundaries of float32. The uniform and the
truncated normal have 2^24 values, and their expected counts are those of that grid.

Every statistic becomes a two-sided p-value. All together pass if none of the M p-values is below
0.001 / M, so that a perfect generator fails once in 1,000. The seeds are fixed, so the result is
always the same. Damaged draws go through the same statistics, and must fail."""

from __future__ import annotations

import ctypes
import math
import subprocess
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from rows import HERE, Row
from scipy import stats

import initfast as ift

SEED = 20261122
CHUNK = 2**20
LAGS = 65
FALSE_ALARM = 1e-3
Floats = npt.NDArray[np.float64]
Damage = Callable[[npt.NDArray[np.float32]], None]


class Law(NamedTuple):
    """A distribution of the package, its exact law, and its fine bins: `per_unit` bins per unit,
    from low to high.
    """

    make: Callable[[ift.Seed], ift.Initializer]
    law: Any
    low: float
    high: float
    per_unit: int
    levels: int | None  # the number of equally likely values, if small
    beyond: tuple[float, ...] = ()  # tails to count on both sides
    draws: int = 2**33


LAWS = {
    "uniform": Law(
        lambda seed: ift.RandomUniform(0.0, 1.0, seed), stats.uniform(), 0.0, 1.0, 2**20, 2**24
    ),
    "normal": Law(
        lambda seed: ift.RandomNormal(0.0, 1.0, seed),
        stats.norm(),
        -7.0,
        7.0,
        2**18,
        None,
        (3.0, 4.0, 5.0, 6.0),
    ),
    "truncated normal": Law(
        lambda seed: ift.TruncatedNormal(0.0, 1.0, seed),
        stats.truncnorm(-2, 2),
        -2.0,
        2.0,
        2**18,
        2**24,
        (1.5, 1.99),
    ),
    "bounds -3, 3": Law(
        lambda seed: ift.TruncatedNormal(0.0, 1.0, seed, -3.0, 3.0),
        stats.truncnorm(-3, 3),
        -3.0,
        3.0,
        2**18,
        None,
        (1.5, 2.5, 2.99),
    ),
    "bounds 1, 3": Law(
        lambda seed: ift.TruncatedNormal(0.0, 1.0, seed, 1.0, 3.0),
        stats.truncnorm(1, 3),
        1.0,
        3.0,
        2**18,
        None,
        draws=2**30,
    ),
}


@cache
def library() -> ctypes.CDLL:
    """Compile draws.c for this machine, and load it."""
    compiler = str(sysconfig.get_config_var("CC") or "cc").split()[0]
    target = Path(tempfile.mkdtemp(prefix="initfast-draws-")) / "draws.so"
    options = [
        "-std=c11",
        "-O3",
        "-march=native",
        "-ffast-math",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-shared",
        "-fPIC",
    ]
    subprocess.run([compiler, *options, HERE / "draws.c", "-o", target], check=True)
    loaded = ctypes.CDLL(str(target))
    target.unlink()
    target.parent.rmdir()
    return loaded


class Grid:
    """The fine bins of a law: the probability below each edge, and the cell (1 of 64) of each
    coarse bin.
    """

    def __init__(self, law: Law) -> None:
        # One more bin, because a truncated normal can equal its upper bound.
        self.bins = round((law.high - law.low) * law.per_unit) + 1
        edges = (law.low + np.arange(self.bins + 1) / law.per_unit).astype(np.float32)
        # Values that round to an edge count as above it, so the true edge is half a float below.
        true = (edges.astype(np.float64) + np.nextafter(edges, np.float32(-np.inf))) / 2
        if law.levels is None:
            self.below, self.above = law.law.cdf(true), law.law.sf(true)
        else:
            # The values on the grid are the quantiles of (k + 1/2) / levels; those of the uniform
            # are k / levels, which include the edges.
            exact = law.law.cdf(true if law.low < 0 else edges)
            self.below = np.rint(exact * law.levels) / law.levels
            self.above = 1 - self.below
        self.below[0], self.above[0] = 0.0, 1.0
        self.below[-1], self.above[-1] = 1.0, 0.0
        coarse = self.below[::64][: -(-self.bins // 64)]
        self.cell = np.minimum(coarse * 64 + 1e-9, 63).astype(np.uint8)
        starts = np.searchsorted(self.cell, np.arange(65)) * 64
        self.cells = np.diff(self.below[np.minimum(starts, self.bins)])


class Count(NamedTuple):
    """The counts of n draws."""

    n: int
    fine: npt.NDArray[np.int64]
    pairs: npt.NDArray[np.int64]
    sums: Floats


def count(law: Law, n: int, damage: Damage | None = None, threads: int = 2) -> Count:
    """Draw the first n elements of an array of `law`, and count them on several threads."""
    grid, chunks = Grid(law), n // CHUNK
    stream = ift.Seed(SEED, list(LAWS.values()).index(law))
    sums = np.zeros((chunks, 1 + LAGS))
    pointers = [
        ctypes.c_void_p,
        ctypes.c_size_t,
        ctypes.c_int32,
        *[ctypes.c_float] * 2,
        *[ctypes.c_void_p] * 4,
    ]
    measure = library().measure
    measure.argtypes, measure.restype = pointers, None
    first, centre = round(law.low * law.per_unit), float(law.law.mean())

    def work(worker: int) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
        fine, pairs = np.zeros(grid.bins, np.uint32), np.zeros((2, 64, 64), np.uint32)
        values, init = np.empty(CHUNK + LAGS - 1, np.float32), law.make(stream)
        with ift.threads(1):
            for k in range(worker, chunks, threads):
                init.fill(values, (n + LAGS,), np.s_[k * CHUNK : (k + 1) * CHUNK + LAGS - 1])
                if damage:
                    damage(values)
                where = (fine, grid.cell, pairs, sums[k])
                addresses = [array.ctypes.data for array in where]
                measure(values.ctypes.data, CHUNK, first, law.per_unit, centre, *addresses)
        return fine, pairs

    with ThreadPoolExecutor(threads) as pool:
        fine, pairs = zip(*pool.map(work, range(threads)), strict=True)
    totals = np.array([math.fsum(column) for column in sums.T])
    return Count(n, sum(map(np.int64, fine)), sum(map(np.int64, pairs)), totals)  # type: ignore[arg-type]


class Statistic(NamedTuple):
    """A statistic: its name, its value as text, and its p-value."""

    name: str
    text: str
    p: float


def two_sided(below: float, above: float) -> float:
    """Return the two-sided p-value from the probabilities of both tails, including the value."""
    return min(1.0, 2 * min(below, above))


def anderson_darling_cdf(z: float) -> float:
    """Return the limiting distribution function of A^2: `adinf` of Marsaglia and Marsaglia,
    J. Stat. Soft. 9 (2), 2004.
    """
    if z <= 0:
        return 0.0
    if z < 2:
        series = (2.00012, 0.247105, -0.0649821, 0.0347962, -0.011672, 0.00168691)
        return math.exp(-1.2337141 / z) / math.sqrt(z) * float(np.polyval(series[::-1], z))
    series = (1.0776, -2.30695, 0.43424, -0.082433, 0.008056, -0.0003146)
    return math.exp(-math.exp(float(np.polyval(series[::-1], z))))


def chi_square(name: str, counts: npt.NDArray[Any], expected: Floats) -> Statistic:
    """Return Pearson's statistic of counts with the same sum as the expected ones."""
    value, freedom = float(((counts - expected) ** 2 / expected).sum()), counts.size - 1
    p = two_sided(float(stats.chi2.cdf(value, freedom)), float(stats.chi2.sf(value, freedom)))
    return Statistic(name, f"{value:.0f} of {freedom} +- {math.sqrt(2 * freedom):.0f}", p)


def statistics(law: Law, counts: Count) -> Iterator[Statistic]:
    """Yield all statistics of the counts."""
    n, grid = counts.n, Grid(law)
    cumulated = np.concatenate([[0], np.cumsum(counts.fine)])
    off = cumulated / n - grid.below
    ks = math.sqrt(n) * float(np.abs(off).max())
    yield Statistic(
        "KS", f"{ks:.3f}", two_sided(float(stats.kstwobign.cdf(ks)), float(stats.kstwobign.sf(ks)))
    )

    inner = (grid.below > 0) & (grid.above > 0)
    weight = np.diff(np.log(grid.below[inner]) - np.log(grid.above[inner]))
    square = off[inner] ** 2
    a2 = n * float((weight * (square[1:] + square[:-1]) / 2).sum())
    yield Statistic(
        "AD", f"{a2:.3f}", two_sided(anderson_darling_cdf(a2), 1 - anderson_darling_cdf(a2))
    )

    edges = np.unique(
        np.concatenate([[0], np.searchsorted(grid.below, np.arange(1, 1024) / 1024), [grid.bins]])
    )
    yield chi_square("1024 bins", np.diff(cumulated[edges]), n * np.diff(grid.below[edges]))

    for side in law.beyond:
        for sign in (-1, 1):
            at = round((sign * side - law.low) * law.per_unit) + (sign < 0)
            tail = int(cumulated[at] if sign < 0 else n - cumulated[at])
            p = float(grid.below[at] if sign < 0 else grid.above[at])
            tails = float(stats.binom.cdf(tail, n, p)), float(stats.binom.sf(tail - 1, n, p))
            yield Statistic(
                f"beyond {sign * side:+g}", f"{tail:,} of {n * p:,.1f} expected", two_sided(*tails)
            )

    moments = [float(law.law.expect(lambda x, k=k: (x - law.law.mean()) ** k)) for k in (2, 4)]
    spread = [math.sqrt(moments[0]), math.sqrt(moments[1] - moments[0] ** 2)] + [moments[0]] * (
        LAGS - 1
    )
    centred = counts.sums - np.array([0.0, n * moments[0]] + [0.0] * (LAGS - 1))
    z = centred / (np.array(spread) * math.sqrt(n))
    for name, value in (("mean", z[0]), ("variance", z[1])):
        yield Statistic(name, f"{value:+.2f} sigma", 2 * float(stats.norm.sf(abs(value))))
    lags = z[2:]
    total = float((lags**2).sum())
    text = f"{lags[np.abs(lags).argmax()]:+.2f} sigma at lag {np.abs(lags).argmax() + 1}"
    most = 1 - (1 - 2 * float(stats.norm.sf(np.abs(lags).max()))) ** len(lags)
    yield Statistic("lags 1..64, largest", text, two_sided(1 - most, most))
    tails = float(stats.chi2.cdf(total, len(lags))), float(stats.chi2.sf(total, len(lags)))
    yield Statistic("lags 1..64, all", f"{total:.1f} of {len(lags)}", two_sided(*tails))

    for parity, name in enumerate(("pairs (2j, 2j+1)", "pairs (2j+1, 2j+2)")):
        pairs = counts.pairs[parity]
        yield chi_square(name, pairs, pairs.sum() * np.outer(grid.cells, grid.cells))


def related(name: str, seeds: list[ift.Seed], n: int) -> Statistic:
    """Return the statistic of all correlations between normals of different seeds or streams."""
    normals = np.stack([ift.RandomNormal(0.0, 1.0, seed)((n,)) for seed in seeds]).astype(
        np.float64
    )
    normals /= np.sqrt((normals**2).sum(axis=1, keepdims=True))
    r = (normals @ normals.T)[np.triu_indices(len(seeds), 1)]
    # The correlation of two normal samples of length n around their known mean has Student's t
    # distribution with n - 1 degrees of freedom, after the transformation below.
    largest = float(np.abs(r).max())
    one = 2 * float(stats.t.sf(largest * math.sqrt((n - 1) / (1 - largest**2)), n - 1))
    p = -math.expm1(len(r) * math.log1p(-one))
    total = (n * float((r**2).sum()) - len(r)) / math.sqrt(len(r) * 2 * (n - 1) / (n + 2))
    text = f"largest of {len(r):,}: {largest * math.sqrt(n):.2f} sigma; squares {total:+.2f} sigma"
    return Statistic(
        name, text, min(1.0, 2 * min(two_sided(1 - p, p), 2 * float(stats.norm.sf(abs(total)))))
    )


def distinct(n: int) -> Statistic:
    """Return the statistic of the number of distinct bfloat16 values among n normals."""
    actual = len(np.unique(ift.RandomNormal(0.0, 1.0, SEED)((n,), "bfloat16").view(np.uint16)))
    numbers = np.arange(0x7F80, dtype=np.uint32)
    edges = (numbers << 16).view(np.float32).astype(np.float64)
    middles = np.concatenate([[0.0], (edges[1:] + edges[:-1]) / 2, [np.inf]])
    p = -np.diff(stats.norm.sf(middles))
    probability = -np.expm1(n * np.log1p(-p))  # that a number occurs; twice, for the sign
    mean, deviation = (
        2 * float(probability.sum()),
        math.sqrt(2 * float((probability * (1 - probability)).sum())),
    )
    z = (actual - mean) / deviation
    return Statistic(
        "distinct bfloat16",
        f"{actual:,} of {mean:,.0f} +- {deviation:.0f}",
        2 * float(stats.norm.sf(abs(z))),
    )


def _scaled(x: npt.NDArray[np.float32]) -> None:
    x *= np.float32(1.0005)


def _cut(x: npt.NDArray[np.float32]) -> None:
    np.clip(x, -4.99, 4.99, out=x)


def _repeated(x: npt.NDArray[np.float32]) -> None:
    x[1000::1000] = x[999:-1:1000]


def _partners(x: npt.NDArray[np.float32]) -> None:
    """Make the second value of a Box-Muller pair 2% larger if the first is large, which no mean and
    no correlation shows.
    """
    pairs = x[: len(x) // 2 * 2].reshape(-1, 2)
    pairs[np.abs(pairs[:, 0]) > 1.5, 1] *= np.float32(1.02)


def _smoothed(x: npt.NDArray[np.float32]) -> None:
    x[37:] = np.float32(math.sqrt(1 - 1e-6)) * x[37:] + np.float32(1e-3) * x[:-37].copy()


DAMAGE: dict[str, Damage] = {
    "0.05% too wide": _scaled,
    "cut at 5 sigma": _cut,
    "1 in 1000 repeated": _repeated,
    "Box-Muller partners dependent by 2%": _partners,
    "correlated by 0.001 at lag 37": _smoothed,
}


def run(quick: bool) -> list[Row]:
    """Return the rows of all laws, of seeds and streams, and of damaged draws."""
    side, length = (256, 2**14) if quick else (1024, 2**16)
    sizes = {name: 2**26 if quick else law.draws for name, law in LAWS.items()}
    by_name: dict[str, list[Statistic]] = {}
    for name, law in LAWS.items():
        by_name[name] = list(statistics(law, count(law, sizes[name])))
        print(
            f"  {name}: " + "; ".join(f"{s.name} {s.text} (p {s.p:.2g})" for s in by_name[name]),
            flush=True,
        )
    by_name["seeds"] = [
        related(f"{side} seeds in a row", [ift.Seed(k) for k in range(side)], length),
        related("64 seeds of one bit", [ift.Seed(2**k) for k in range(64)], length),
        related(f"{side} streams in a row", [ift.Seed(SEED, k) for k in range(side)], length),
        related("64 streams of one bit", [ift.Seed(SEED, 2**k) for k in range(64)], length),
        distinct(2**22 if quick else 2**26),
    ]
    total = sum(map(len, by_name.values()))
    least = FALSE_ALARM / total

    def row(what: str, selected: list[Statistic]) -> Row:
        text = "; ".join(f"{s.name} {s.text} (p {s.p:.2g})".strip() for s in selected)
        return Row(what, f"every p >= {least:.1g}", text, all(s.p >= least for s in selected))

    rows = []
    for name in LAWS:
        for title, words in (
            ("distances", ("KS", "AD", "1024", "mean", "variance")),
            ("tails", ("beyond",)),
            ("dependence", ("lags", "pairs")),
        ):
            selected = [s for s in by_name[name] if s.name.startswith(words)]
            if selected:
                power = sizes[name].bit_length() - 1
                rows.append(row(f"{name}, 2^{power} draws: {title}", selected))
    rows += [row(f"normals: {s.name}", [s._replace(name="")]) for s in by_name["seeds"]]
    lowest = min(s.p for s_list in by_name.values() for s in s_list)
    chance = f"once in {1 / FALSE_ALARM:,.0f}"
    text = f"{total} p-values, the smallest {lowest:.2g}; fails by chance {chance}"
    rows.append(Row("all of these together", f"none below 0.001 / {total}", text, lowest >= least))
    for name, damage in DAMAGE.items():
        n_damaged = 2**26 if quick else 2**28
        caught = [
            s
            for s in statistics(LAWS["normal"], count(LAWS["normal"], n_damaged, damage))
            if s.p < least
        ]
        by = ", ".join(s.name for s in caught) or "nothing"
        rows.append(
            Row(
                f"normals damaged on purpose: {name}",
                "caught",
                f"2^{n_damaged.bit_length() - 1} draws: {by}",
                bool(caught),
            )
        )
    return rows
