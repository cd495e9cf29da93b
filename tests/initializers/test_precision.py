"""Warnings about values that a dtype rounds to one number, and about fans of a vocabulary."""

import warnings

import numpy as np
import pytest

import initfast as ift
from initfast.initializers import sources, variance_scaling

HUGE = (10**9, 128)


@pytest.fixture(autouse=True)
def fresh():
    """Clear the caches, because parameters are checked only once."""
    for cached in (
        sources.normal,
        sources.truncated_normal,
        sources.uniform,
        variance_scaling._scaled,
    ):
        cached.cache_clear()


def most_common(values):
    _, counts = np.unique(values.astype(np.float64), return_counts=True)
    return counts.max() / values.size


AXES = {"input_axes": [0], "output_axes": [1]}
# Spreads on either side of the limit of 90 %, in units of the spacing of the dtype's numbers.
CASES = [
    (lambda s: ift.RandomNormal(0.0, s), "float16", 2.0**-24, 0.29, 0.32),
    (lambda s: ift.RandomNormal(0.0, s), "float8_e4m3fn", 2.0**-9, 0.29, 0.32),
    (lambda s: ift.RandomNormal(1.5, s), "bfloat16", 2.0**-7, 0.29, 0.32),
    (lambda s: ift.RandomNormal(-1.5, s), "float32", 2.0**-23, 0.29, 0.32),
    (lambda s: ift.RandomUniform(-s, s), "float8_e5m2", 2.0**-16, 0.9, 1.2),
    (lambda s: ift.RandomUniform(1.5 - s, 1.5 + s), "float16", 2.0**-10, 0.9, 1.2),
    (lambda s: ift.TruncatedNormal(0.0, s), "float16", 2.0**-24, 0.49, 0.6),
    (lambda s: ift.TruncatedNormal(0.0, s, lower=-50.0, upper=50.0), "float16", 2.0**-24, 0.29, 0.32),
    (lambda s: ift.TruncatedNormal(1.5 - 20 * s, s, lower=20.0, upper=90.0), "bfloat16", 2.0**-7, 3.0, 40.0),
]  # fmt: skip


@pytest.mark.parametrize(("make", "dtype", "step", "narrow", "wide"), CASES)
def test_the_limit(make, dtype, step, narrow, wide):
    with pytest.warns(
        RuntimeWarning, match=rf"of the values are [-\d.]+, because .*{dtype}"
    ) as caught:
        values = make(narrow * step).with_seed(1)((100_000,), dtype)
    assert most_common(values) > 0.9
    assert len(caught) == 1 and caught[0].filename == __file__
    assert most_common(make(wide * step).with_seed(1)((100_000,), dtype)) < 0.9


@pytest.mark.parametrize(
    "call",
    [
        lambda init: init((1000,), "float8_e4m3fn"),
        lambda init: init.rows(HUGE, [5], "float8_e4m3fn"),
        lambda init: init.block(HUGE, np.s_[5, 5], "float8_e4m3fn"),
        lambda init: init.fill(np.zeros(8, "u1"), dtype="float8_e4m3fn"),
    ],
)
def test_every_way_to_values_warns_once(call):
    init = ift.RandomNormal(stddev=1e-5, seed=ift.SeedGenerator(1))
    with pytest.warns(RuntimeWarning, match="100% of the values are 0,") as caught:
        for _ in range(3):
            call(init)
    assert len(caught) == 1 and caught[0].filename == __file__


def test_nothing_is_written_if_the_warning_is_an_error():
    out = np.full(4, 7, "float16")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RuntimeWarning):
            ift.RandomNormal(stddev=1e-10, seed=1).fill(out)
    assert (out == 7).all()


@pytest.mark.parametrize("constant", [ift.RandomNormal(1.0, 0.0), ift.RandomUniform(2.0, 2.0)])
def test_a_constant_does_not_warn(constant):
    assert most_common(constant((9,), "float16")) == 1.0


def test_fans_of_a_vocabulary():
    table = "for an embedding, use random_normal"
    for kind in (ift.HeNormal, ift.HeUniform, ift.LecunNormal, ift.GlorotUniform):
        with pytest.warns(RuntimeWarning, match=table) as caught:
            kind(seed=1).rows((100_001, 64), [3])
        assert caught[0].filename == __file__
    with pytest.warns(RuntimeWarning, match=r"\(1000000, 4\) .* deviation is 0.0014: "):
        ift.HeNormal(seed=1).block((10**6, 4), np.s_[:1])
    with pytest.warns(RuntimeWarning) as caught:
        ift.HeNormal(seed=1).rows(HUGE, [0], "float8_e4m3fn")
    assert len(caught) == 2  # one about rounding to zero, and one about its cause
    for initializer, shape in (
        (ift.HeNormal(seed=1), (100_000, 64)),
        (ift.HeNormal(seed=1, **AXES), (10**6, 64)),
        (ift.HeNormal(seed=1), (64, 10**6)),
        (ift.HeNormal(seed=1), (10**6,)),
        (ift.HeNormal(seed=1), (10**6, 3, 3)),
        (ift.VarianceScaling(mode="fan_out", seed=1), (10**6, 64)),
        (ift.RandomNormal(seed=1), (10**6, 64)),
    ):
        initializer.block(shape, (0,) * len(shape))
