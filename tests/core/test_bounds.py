"""Uniforms stay in [minval, maxval) and truncated normals in [lower, upper], in every dtype."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiers import cases

import initfast as ift
import reference
from initfast import _kernels
from initfast.core import distributions
from initfast.core.dtypes import FLOATING, DType
from initfast.core.rounding import GRIDS

EVERY_DTYPE = pytest.mark.parametrize("dtype", FLOATING, ids=lambda dtype: dtype.name)


def extremes(source: _kernels.Source) -> list[float]:
    """Return the elements that the reference computes from the smallest and the largest words."""
    words = np.array([[0, 0, 2**32 - 1, 2**32 - 1]], np.uint32)
    wide = source.distribution == _kernels.TRUNCATED_WIDE
    elements = reference.of_words(source, words, words if wide else None)
    return [float(x) for x in reference._rounded(elements, source).astype(np.float64)]


@EVERY_DTYPE
@cases(200)
@given(minval=st.floats(-300, 300), width=st.floats(1e-3, 300))
def test_uniform_is_half_open(dtype: DType, minval: float, width: float) -> None:
    maxval = minval + width
    try:
        source = distributions.uniform(minval, maxval, dtype)
    except ValueError:
        # The dtype has no number in [minval, maxval), or maxval is too large for it.
        grid = GRIDS[dtype.name]
        assert grid.up(Fraction(minval)) >= Fraction(maxval) or Fraction(maxval) > grid.largest
        return
    for value in extremes(source):
        assert minval <= value < maxval


@EVERY_DTYPE
@cases(200)
@given(
    mean=st.floats(-100, 100),
    stddev=st.floats(1e-2, 30),
    bounds=st.tuples(st.floats(-5, 5), st.floats(-5, 5)),
    other_bounds=st.booleans(),
)
def test_truncated_normal_stays_within(
    dtype: DType, mean: float, stddev: float, bounds: tuple[float, float], other_bounds: bool
) -> None:
    lower, upper = (min(bounds), max(bounds)) if other_bounds else (-2.0, 2.0)
    low, high = (Fraction(mean) + Fraction(bound) * Fraction(stddev) for bound in (lower, upper))
    try:
        source = distributions.truncated_normal(mean, stddev, lower, upper, dtype)
    except ValueError:
        assert (
            lower == upper
            or GRIDS[dtype.name].up(low) > high
            or max(-low, high) > GRIDS[dtype.name].largest
        )
        return
    for value in extremes(source):
        assert low <= Fraction(value) <= high


@EVERY_DTYPE
def test_many_draws_stay_within(backend: str, dtype: DType) -> None:
    n = 2**18 if backend != "portable" else 2**13
    uniform = ift.RandomUniform(-0.05, 0.05, seed=1)((n,), dtype.name).astype(np.float64)
    assert uniform.min() >= -0.05
    assert uniform.max() < 0.05
    truncated = ift.TruncatedNormal(0.3, 0.7, seed=1)((n,), dtype.name).astype(np.float64)
    assert truncated.min() >= 0.3 - 1.4
    assert truncated.max() <= 0.3 + 1.4
    free = ift.TruncatedNormal(0.3, 0.7, seed=1, lower=-0.5, upper=2.5)((n,), dtype.name).astype(
        np.float64
    )
    assert free.min() >= 0.3 - 0.35
    assert free.max() <= 0.3 + 1.75


def test_normals_reach_beyond_the_tails_of_other_libraries() -> None:
    """Test the extreme words: 6.76 standard deviations in float32, 9.49 in float64, never 0."""
    for dtype, words, reach in ((FLOATING[0], np.uint32, 6.76), (FLOATING[1], np.uint64, 9.49)):
        source = distributions.normal(0.0, 1.0, dtype)
        bits = np.dtype(words).itemsize * 8
        # Radius word 0 gives the largest normal, all ones the smallest. With angle word 0 the
        # cosine is almost 1.
        edge_words = np.array([[0, 0], [2**bits - 1, 0]], words).reshape(
            1 if words is np.uint32 else 2, -1
        )
        first, second, third, fourth = (
            reference._float32 if words is np.uint32 else reference._float64
        )(source, edge_words).ravel()
        assert reach < first < reach + 0.01
        assert 0 < third < 2.0 ** (1 - bits / 2)
        assert second > 0
        assert fourth > 0


def test_no_normal_is_zero() -> None:
    values = ift.RandomNormal(0.0, 1.0, seed=4)((2**24,))
    assert (values != 0).all()
    assert np.isfinite(values).all()
