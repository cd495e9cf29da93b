"""Moments: those of NumPy in float64, whatever the dtype and the blocks."""

import math

import numpy as np
import pytest

from initfast.core import dtypes
from initfast.core.moments import Moments, measure


@pytest.mark.parametrize("count", [1, 2, 3, 262143, 262144, 262145, 600_003])
@pytest.mark.parametrize(
    "dtype", ["float16", "float32", "float64", "bfloat16", "float8_e4m3fn", "int32", "bool"]
)
def test_moments_are_those_of_numpy_in_float64(count, dtype):
    values = (
        np.random.default_rng(count).normal(0.5, 2.0, count).astype(dtypes.resolve_numeric(dtype))
    )
    exact = values.astype(np.float64)
    found = measure(values)
    assert (found.count, found.minimum, found.maximum) == (count, exact.min(), exact.max())
    assert found.mean == pytest.approx(exact.mean(), rel=1e-13, abs=1e-15)
    assert found.std == pytest.approx(exact.std(), rel=1e-13, abs=1e-15)


def test_a_large_mean_costs_no_digits():
    values = np.random.default_rng(0).normal(0.0, 1e-3, 400_000) + 1e6
    # By hand the squares would be 1e12, and their difference without a digit of 1e-6.
    assert measure(values).std == pytest.approx(float(np.std(values - 1e6)), rel=1e-9)


def test_squares_beyond_float64_are_infinite():
    found = measure(np.array([-1e200, 1e200]))
    assert found == Moments(2, 0.0, math.inf, -1e200, 1e200)
    assert found.merged(found).std == math.inf


def test_equal_numbers_have_no_deviation():
    assert measure(np.full(40_000, 0.1, np.float32)).std == 0.0


def test_of_nothing_nothing_is_known():
    found = measure(np.empty(0, np.float32))
    assert found == Moments() or math.isnan(found.mean)
    assert found.count == 0
    assert math.isnan(found.std)
    assert Moments().merged(Moments(3, 1.0, 2.0, 0.0, 2.0)) == Moments(3, 1.0, 2.0, 0.0, 2.0)
    assert Moments(3, 1.0, 2.0, 0.0, 2.0).merged(Moments()) == Moments(3, 1.0, 2.0, 0.0, 2.0)
