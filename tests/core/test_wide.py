"""Bounds that keep at least half of the mass: the normal if it is inside, else a second word."""

import math

import numpy as np
import pytest
from cases import inverse_of

import reference
from initfast import _kernels
from initfast._kernels import Source
from initfast.core import distributions
from initfast.core.buffers import empty
from initfast.core.dtypes import FLOAT32, FLOAT64, FLOATING, DType

BOUNDS = [(-3.0, 3.0), (-2.5, 2.5), (-1.0, 1.0), (0.0, 10.0), (-0.7, 4.0)]
COUNT = 2**18
SINGLE_DOUBLE = pytest.mark.parametrize("dtype", [FLOAT32, FLOAT64], ids=lambda dtype: dtype.name)


def filled(source: Source, dtype: DType, count: int = COUNT, start: int = 0) -> np.ndarray:
    values = empty((count,), dtype)
    _kernels.fill_flat(source, 42, 7, values.ctypes.data, start, count, 2)
    return values


def second_words(source: Source, dtype: DType) -> np.ndarray:
    """Return the inverse of every element's second word."""
    per_tile = _kernels.TILE_BLOCKS * (16 // max(4, dtype.itemsize))
    tiles = -(-COUNT // per_tile)
    values = empty((tiles * per_tile,), dtype)
    _kernels.tiles(inverse_of(source), 42, 7, 2**63, tiles, values.ctypes.data)
    return values[:COUNT]


@SINGLE_DOUBLE
@pytest.mark.parametrize("bounds", BOUNDS, ids=str)
def test_the_normal_within_and_the_second_word_outside(
    backend: str, bounds: tuple[float, float], dtype: DType
) -> None:
    source = distributions.truncated_normal(0.5, 2.0, *bounds, dtype)
    assert source.distribution == _kernels.TRUNCATED_WIDE
    plain = filled(distributions.normal(0.5, 2.0, dtype), dtype)
    least, most = source.numbers[1][8:]
    within = (plain >= least) & (plain <= most)
    expected = np.where(within, plain, second_words(source, dtype))
    np.testing.assert_array_equal(filled(source, dtype), expected)
    low, high = (math.erf(bound / math.sqrt(2)) / 2 for bound in bounds)
    share = high - low
    error = math.sqrt(share * (1 - share) / COUNT)
    assert abs(within.mean() - share) < 4.5 * error


@SINGLE_DOUBLE
@pytest.mark.parametrize("bounds", BOUNDS, ids=str)
def test_the_law_is_the_truncated_one(bounds: tuple[float, float], dtype: DType) -> None:
    """Test the distance from the exact distribution (Kolmogorov) and the counts at both ends.

    The counts are those of one hundredth of the mass at each end, which depend most on the share of
    second words."""
    values = np.sort(filled(distributions.truncated_normal(0.0, 1.0, *bounds, dtype), dtype))
    low, high = (math.erf(bound / math.sqrt(2)) / 2 for bound in bounds)
    exact = np.array([math.erf(x / math.sqrt(2)) / 2 - low for x in values.astype(float)])
    exact /= high - low
    ranks = np.arange(COUNT) / COUNT
    distance = max(np.max(exact - ranks), np.max(ranks + 1 / COUNT - exact))
    assert distance * math.sqrt(COUNT) < 2.2  # probability 1 in 8,000
    error = math.sqrt(0.01 * 0.99 * COUNT)
    assert abs(np.count_nonzero(exact < 0.01) - 0.01 * COUNT) < 4.5 * error
    assert abs(np.count_nonzero(exact > 0.99) - 0.01 * COUNT) < 4.5 * error


@pytest.mark.parametrize("dtype", FLOATING, ids=lambda dtype: dtype.name)
def test_a_bound_that_is_drawn_is_within(backend: str, dtype: DType) -> None:
    """Test a normal far from 0, where many values equal a bound because floats are coarse."""
    mean = 1000.0 if dtype is FLOAT32 or dtype is FLOAT64 else 4.0
    stddev = 2.0**-12 if dtype is FLOAT32 else 2.0**-41 if dtype is FLOAT64 else 2.0**-3
    source = distributions.truncated_normal(mean, stddev, -1.0, 1.5, dtype)
    values = filled(source, dtype, 4000, start=5)
    assert values.tobytes() == reference.values(source, 42, 7, 5, 4000).tobytes()
    low, high = source.numbers[0][2:]
    assert values.astype(float).min() == low
    assert values.astype(float).max() == high
