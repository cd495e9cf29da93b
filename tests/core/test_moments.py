"""Moments equal NumPy's in float64 for every dtype and block size.

Those of a fill have the same bits for any number of threads and on every backend."""

import math
from functools import cache

import numpy as np
import pytest
from memory import bits

import initfast as ift
from initfast import backends
from initfast.core import distributions, dtypes
from initfast.core.buffers import view
from initfast.core.dtypes import FLOATING
from initfast.core.engine import fill
from initfast.core.indexing import run, select, take, whole
from initfast.core.moments import Moments, measure
from initfast.core.seeds import Seed

UNIT = 12288  # INITFAST_UNIT of moments.h
# The allowed difference from NumPy's moments, relative to the standard deviation, or to the mean if
# that is larger.
NEAR = 1e-12
SOURCES = {
    "uniform": lambda dtype: distributions.uniform(-1.0, 0.5, dtype),
    "normal": lambda dtype: distributions.normal(0.0, 0.02, dtype),
    "far": lambda dtype: distributions.normal(-100.0, 1.0, dtype),
    "truncated": lambda dtype: distributions.truncated_normal(0.5, 2.0, -2.0, 2.0, dtype),
    "free bounds": lambda dtype: distributions.truncated_normal(0.0, 1.0, 4.0, 9.0, dtype),
}
floating = pytest.mark.parametrize("dtype", FLOATING, ids=lambda dtype: dtype.name)


def filled(source, dtype, count):
    """Return a new array and the moments that its fill returns."""
    out = np.empty(count, dtype)
    return out, fill(source, Seed(3, 4), view(out, dtype), whole((count,)), measured=True)


def check(moments, values):
    """Assert that moments equal NumPy's."""
    exact = values.astype(np.float64).reshape(-1)
    assert (moments.count, moments.minimum, moments.maximum) == (
        exact.size,
        exact.min(),
        exact.max(),
    )
    near = NEAR * max(exact.std(), abs(exact.mean()))
    assert abs(moments.mean - exact.mean()) <= near
    assert abs(moments.std - exact.std()) <= near


@pytest.mark.parametrize("count", [1, 2, 3, 262143, 262144, 262145, 600_003])
@pytest.mark.parametrize(
    "dtype", ["float16", "float32", "float64", "bfloat16", "float8_e4m3fn", "int32", "bool"]
)
def test_moments_are_those_of_numpy_in_float64(count, dtype):
    values = (
        np.random.default_rng(count).normal(0.5, 2.0, count).astype(dtypes.resolve_numeric(dtype))
    )
    exact = values.astype(np.float64)
    moments = measure(values)
    assert (moments.count, moments.minimum, moments.maximum) == (count, exact.min(), exact.max())
    assert moments.mean == pytest.approx(exact.mean(), rel=1e-13, abs=1e-15)
    assert moments.std == pytest.approx(exact.std(), rel=1e-13, abs=1e-15)


def test_a_large_mean_costs_no_digits():
    values = np.random.default_rng(0).normal(0.0, 1e-3, 400_000) + 1e6
    # Without a pivot the sums of squares would be 1e12, and their difference would lose 1e-6.
    assert measure(values).std == pytest.approx(float(np.std(values - 1e6)), rel=1e-9)


def test_squares_beyond_float64_are_infinite():
    moments = measure(np.array([-1e200, 1e200]))
    assert moments == Moments(2, 0.0, math.inf, -1e200, 1e200)
    assert moments.merged(moments).std == math.inf


def test_equal_numbers_have_no_deviation():
    assert measure(np.full(40_000, 0.1, np.float32)).std == 0.0


def test_of_nothing_nothing_is_known():
    moments = measure(np.empty(0, np.float32))
    assert moments == Moments() or math.isnan(moments.mean)
    assert moments.count == 0
    assert math.isnan(moments.std)
    assert Moments().merged(Moments(3, 1.0, 2.0, 0.0, 2.0)) == Moments(3, 1.0, 2.0, 0.0, 2.0)
    assert Moments(3, 1.0, 2.0, 0.0, 2.0).merged(Moments()) == Moments(3, 1.0, 2.0, 0.0, 2.0)


@pytest.mark.parametrize("name", SOURCES)
@floating
def test_a_fill_measures_what_it_writes(name, dtype, backend):
    # Up to a lane, a step, a unit, and more.
    for count in (1, 2, 15, 17, 1040, UNIT - 1, UNIT + 1, 3 * UNIT + 1030):
        source = SOURCES[name](dtype)
        values, moments = filled(source, dtype, count)
        check(moments, values)
        plain = np.empty(count, dtype)
        assert fill(source, Seed(3, 4), view(plain, dtype), whole((count,))) is None
        assert (bits(values) == bits(plain)).all()


@cache
def first_moments(name, dtype, count):
    with ift.threads(1):
        return filled(SOURCES[name](dtype), dtype, count)[1]


@pytest.mark.parametrize("name", ["uniform", "far"])
@floating
def test_threads_and_backends_do_not_change_their_bits(name, dtype, backend):
    count = 900_007  # enough for three threads, also in float64
    for threads in (1, 2, 3):
        with ift.threads(threads):
            values, moments = filled(SOURCES[name](dtype), dtype, count)
        assert moments == first_moments(name, dtype, count)
    check(moments, values)


@pytest.mark.parametrize("dtype", [FLOATING[0], FLOATING[3]], ids=lambda dtype: dtype.name)
def test_moments_of_parts(dtype, backend):
    shape, init = (40, 1201), ift.RandomNormal(0.1, 1.0, ift.Seed(3, 4))
    for part in (
        select(shape, np.s_[3:, 5:-7]),
        select(shape, np.s_[::-1, ::3]),
        select(shape, np.s_[:, 7]),
        select(shape, np.s_[5, 6]),
        take(shape, [39, 0, 0, 7]),
        run(77, 20_000),
    ):
        for memory in (np.empty(part.shape, dtype), np.empty(part.shape[::-1], dtype).T):
            moments = fill(
                init._source(shape, dtype), Seed(3, 4), view(memory, dtype), part, measured=True
            )
            check(moments, memory)
    every_other = np.empty((300, 200), dtype)[::2, ::-2]
    moments = []
    assert init.fill(every_other, moments=moments.append) is every_other
    check(moments[0], every_other)


def test_moments_of_an_empty_part():
    moments = []
    ift.HeNormal(seed=1).fill(np.empty((0, 3), np.float32), moments=moments.append)
    assert (moments[0].count, moments[0].square) == (0, 0.0)
    assert math.isnan(moments[0].mean)


@pytest.mark.parametrize(
    "init",
    [
        ift.Zeros(),
        ift.Constant(3.0),
        ift.Constant(np.arange(60.0)),
        ift.Identity(2.0),
        ift.Orthogonal(seed=1),
        ift.RandomUniform(0.25, 0.25, seed=1),
        ift.RandomNormal(-7.0, 0.0, seed=1),
    ],
    ids=repr,
)
def test_moments_of_values_that_no_kernel_draws(init):
    moments = []
    values = init.fill(np.empty((50, 60), np.float32), moments=moments.append)
    part = init.fill(
        np.empty((40, 30), np.float32).T, (50, 60), np.s_[:30, 3:43], moments=moments.append
    )
    check(moments[0], values)
    check(moments[1], part)


def test_moments_of_equal_draws_are_exact():
    # The spread is much smaller than the step of the dtype.
    values, moments = filled(distributions.normal(0.1, 1e-9, FLOATING[3]), FLOATING[3], 50_000)
    value = float(values[0])
    assert moments == Moments(50_000, value, 0.0, value, value)


@pytest.mark.parametrize("mean", [1e6, -3e9])
def test_a_large_mean_of_a_fill_costs_no_digits(mean, backend):
    dtype = FLOATING[1]
    values, moments = filled(distributions.normal(mean, 1e-3, dtype), dtype, 100_000)
    assert moments.std == pytest.approx(float(np.std(values - mean)), rel=1e-9)


def test_squares_of_a_fill_beyond_float64_are_infinite(backend):
    dtype = FLOATING[1]
    values, moments = filled(distributions.normal(0.0, 1e200, dtype), dtype, 20_000)
    assert moments.std == math.inf
    assert (moments.minimum, moments.maximum) == (values.min(), values.max())
    assert moments.mean == pytest.approx(values.mean())


def test_zero_has_no_sign_in_moments():
    # Half of these round to 0, and half of those to -0.
    dtype = dtypes.resolve("float8_e4m3fn")
    for backend in backends.available():
        with backends.use(backend):
            _, moments = filled(distributions.uniform(-1e-4, 1e-4, dtype), dtype, 5000)
            assert moments == Moments(5000, 0.0, 0.0, 0.0, 0.0)
            assert math.copysign(1.0, moments.minimum) == math.copysign(1.0, moments.mean) == 1.0


def test_moments_of_memory_that_is_not_contiguous():
    values = np.random.default_rng(1).normal(3.0, 1.0, (700, 900))[::2, ::-3]
    assert measure(values) == measure(np.ascontiguousarray(values).reshape(-1))


@pytest.mark.parametrize(
    "init",
    [
        ift.RandomNormal(1e307, 1.5e307, seed=1),
        ift.RandomUniform(-1.7e308, 1.7e308, seed=1),
        ift.Constant(1.5e308),
        ift.Constant([1.7e308, -1.7e308]),
    ],
    ids=repr,
)
@pytest.mark.filterwarnings("ignore::initfast.ReusedSeedWarning")
def test_the_mean_of_numbers_whose_sum_is_too_large(init):
    results = []
    values = init.fill(np.empty((50_000, 2)), moments=results.append)
    init.fill(np.empty((2, 50_000)).T, moments=results.append)
    expected = (values / 2.0**64).mean() * 2.0**64
    for moments in (*results, results[0].merged(results[1])):
        assert moments.mean == pytest.approx(expected, rel=1e-12, abs=1e294)
        assert moments.maximum == values.max()


def test_merging_the_extremes_of_the_floats():
    low, high = (Moments(1, value, 0.0, value, value) for value in (-1.7e308, 1.7e308))
    assert low.merged(high).mean == 0.0
