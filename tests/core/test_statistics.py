"""Moments, Kolmogorov-Smirnov distance, tails and correlations of values with fixed seeds.

Every limit is five standard errors of the statistic under the exact distribution (for the
Kolmogorov-Smirnov distance, its asymptotic quantile at the same probability). With random seeds,
one check would fail with probability 6e-7, and any check of this file with less than 1e-3. The
seeds are fixed, so that a failure means a change of the values."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats
from tiers import sample

import initfast as ift
from initfast.core.dtypes import FLOATING

N = 2**20
SIGMAS = 5
# P(sqrt(n) D > x) ~ 2 exp(-2 x^2) at two-sided 5 sigma.
KS_BOUND = math.sqrt(-math.log(stats.norm.sf(SIGMAS)) / 2)

Made = tuple[Callable[[int], ift.Initializer], stats.rv_continuous]
LAWS: dict[str, Made] = {
    "uniform": (lambda seed: ift.RandomUniform(-0.5, 2.0, seed=seed), stats.uniform(-0.5, 2.5)),
    "normal": (lambda seed: ift.RandomNormal(0.5, 2.0, seed=seed), stats.norm(0.5, 2.0)),
    "truncated": (
        lambda seed: ift.TruncatedNormal(0.5, 2.0, seed=seed),
        stats.truncnorm(-2, 2, 0.5, 2.0),
    ),
    "truncated to [-1, 3]": (
        lambda seed: ift.TruncatedNormal(0.5, 2.0, seed=seed, lower=-1.0, upper=3.0),
        stats.truncnorm(-1, 3, 0.5, 2.0),
    ),
    "truncated to [4.5, 7]": (
        lambda seed: ift.TruncatedNormal(0.0, 1.0, seed=seed, lower=4.5, upper=7.0),
        stats.truncnorm(4.5, 7),
    ),
    "truncated to [-100, 100]": (
        lambda seed: ift.TruncatedNormal(0.5, 2.0, seed=seed, lower=-100.0, upper=100.0),
        stats.norm(0.5, 2.0),
    ),
}


@pytest.mark.parametrize("dtype", sample(["float32", "float64"], "float32"))
@pytest.mark.parametrize("name", sample(LAWS, "uniform", "normal"))
def test_moments_and_distance(name: str, dtype: str) -> None:
    make, law = LAWS[name]
    values = make(11)((N,), dtype).astype(np.float64)
    z = (values - law.mean()) / law.std()
    central = [
        float(law.expect(lambda x, k=k: ((x - law.mean()) / law.std()) ** k)) for k in range(1, 9)
    ]
    for k in range(1, 5):
        error = math.sqrt((central[2 * k - 1] - central[k - 1] ** 2) / N)
        assert abs((z**k).mean() - central[k - 1]) < SIGMAS * error, f"moment {k}"
    distance = stats.kstest(values, law.cdf).statistic
    assert distance * math.sqrt(N) < KS_BOUND


@pytest.mark.parametrize("dtype", [dtype.name for dtype in FLOATING])
def test_equal_counts(dtype: str) -> None:
    """Test 1024 equally likely bins (fewer if the dtype is coarse) with chi-square."""
    values = ift.RandomNormal(0.0, 1.0, seed=5)((N,), dtype).astype(np.float64)
    bins = {"float32": 1024, "float64": 1024, "float16": 256, "bfloat16": 32}.get(dtype, 4)
    edges = stats.norm.ppf(np.arange(1, bins) / bins)
    # The edge of a bin must be midway between two numbers of the dtype, where it rounds.
    if bins < 1024:
        near = np.unique(values)
        halves = (near[1:] + near[:-1]) / 2
        edges = np.unique(halves[np.clip(np.searchsorted(halves, edges), 0, len(halves) - 1)])
    expected = np.diff(np.concatenate([[0.0], stats.norm.cdf(edges), [1.0]])) * N
    counts = np.bincount(np.searchsorted(edges, values), minlength=len(expected))
    chi2 = float(((counts - expected) ** 2 / expected).sum())
    freedom = len(expected) - 1
    assert stats.chi2.sf(chi2, freedom) > stats.norm.sf(SIGMAS)
    assert stats.chi2.cdf(chi2, freedom) > stats.norm.sf(SIGMAS)


def test_tails() -> None:
    """Compare counts beyond 3, 4 and 5 standard deviations on each side with the binomial."""
    n = 2**24
    values = ift.RandomNormal(0.0, 1.0, seed=3)((n,))
    for side in (values, -values):
        for sigma in (3, 4, 5):
            p = float(stats.norm.sf(sigma))
            count = int((side > sigma).sum())
            assert stats.binom.sf(count - 1, n, p) > stats.norm.sf(SIGMAS)
            assert stats.binom.cdf(count, n, p) > stats.norm.sf(SIGMAS)


@pytest.mark.parametrize("name", ["uniform", "normal", "truncated"])
def test_no_correlation_along_the_array(name: str) -> None:
    make, law = LAWS[name]
    z = (make(8)((N,)).astype(np.float64) - law.mean()) / law.std()
    for lag in range(1, 65):
        assert abs((z[:-lag] * z[lag:]).mean()) < SIGMAS / math.sqrt(N - lag), f"lag {lag}"


def test_box_muller_partners_are_independent() -> None:
    """Count 64 x 64 equally likely cells of (x_2j, x_2j+1), and of (x_2j+1, x_2j+2)."""
    cells = np.floor(
        stats.norm.cdf(ift.RandomNormal(0.0, 1.0, seed=2)((N,)).astype(np.float64)) * 64
    ).astype(np.int64)
    for first in (0, 1):
        pairs = cells[first : first + N - 2].reshape(-1, 2)
        counts = np.bincount(pairs[:, 0] * 64 + pairs[:, 1], minlength=4096)
        expected = len(pairs) / 4096
        chi2 = float(((counts - expected) ** 2 / expected).sum())
        assert stats.norm.sf(SIGMAS) < stats.chi2.sf(chi2, 4095) < 1 - stats.norm.sf(SIGMAS)


def test_adjacent_seeds_and_streams_are_uncorrelated() -> None:
    n = 2**12
    by_seed = np.stack([ift.RandomNormal(0.0, 1.0, seed=seed)((n,)) for seed in range(200)]).astype(
        np.float64
    )
    by_stream = np.stack(
        [ift.RandomNormal(0.0, 1.0, seed=ift.Seed(1, stream))((n,)) for stream in range(200)]
    ).astype(np.float64)
    for values in (by_seed, by_stream):
        correlation = values @ values.T / n
        np.fill_diagonal(correlation, 0.0)
        # The largest of 19,900 correlations exceeds 7 standard errors with probability 5e-8.
        assert np.abs(correlation).max() < 7 / math.sqrt(n)


def test_bfloat16_normals_take_many_values() -> None:
    """Count distinct values: 8 random bits would give 128, a rounded float32 normal thousands."""
    assert (
        len(np.unique(ift.RandomNormal(0.0, 1.0, seed=1)((N,), "bfloat16").view(np.uint16))) > 3000
    )
