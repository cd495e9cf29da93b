"""Compare the activations and their slopes with derivations, SciPy and numerical differences."""

import math

import numpy as np
import pytest
from scipy import integrate, special, stats

from initfast.signal import activations
from initfast.signal.activations import ACTIVATIONS, SATURATED_SHARE

NAMES = [
    "linear",
    "sigmoid",
    "tanh",
    "relu",
    "leaky_relu",
    "elu",
    "selu",
    "gelu",
    "silu",
    "softplus",
    "relu6",
    "hard_silu",
    "mish",
    "hard_tanh",
    "hard_sigmoid",
    "softsign",
    "log_sigmoid",
]
# Independent definitions, most of them from SciPy.
VALUES = {
    "linear": lambda z: z,
    "sigmoid": special.expit,
    "tanh": lambda z: 1.0 - 2.0 / (np.exp(2.0 * z) + 1.0),
    "relu": lambda z: np.where(z > 0, z, 0.0),
    "leaky_relu": lambda z: np.where(z > 0, z, 0.2 * z),
    "elu": lambda z: np.where(z > 0, z, np.exp(np.minimum(z, 0.0)) - 1.0),
    "selu": lambda z: (
        1.0507009873554805
        * np.where(z > 0, z, 1.6732632423543772 * (np.exp(np.minimum(z, 0.0)) - 1.0))
    ),
    "gelu": lambda z: z * stats.norm.cdf(z),
    "silu": lambda z: z * special.expit(z),
    "softplus": lambda z: np.logaddexp(0.0, z),
    "relu6": lambda z: np.minimum(np.where(z > 0, z, 0.0), 6.0),
    "hard_silu": lambda z: z * np.minimum(np.where(z > -3, z + 3.0, 0.0), 6.0) / 6.0,
    "mish": lambda z: z * np.tanh(np.logaddexp(0.0, z)),
    "hard_tanh": lambda z: np.where(np.abs(z) < 1.0, z, np.sign(z)),
    "hard_sigmoid": lambda z: np.minimum(np.where(z > -3, z + 3.0, 0.0), 6.0) / 6.0,
    "softsign": lambda z: np.sign(z) - np.sign(z) / (1.0 + np.abs(z)),
    "log_sigmoid": special.log_expit,
}


def test_all_are_there():
    assert list(ACTIVATIONS) == NAMES == list(VALUES)


@pytest.mark.parametrize("name", NAMES)
def test_values(name):
    z = np.concatenate([np.linspace(-30.0, 30.0, 6001), [-0.0, 1e-300]])
    np.testing.assert_allclose(ACTIVATIONS[name].value(z), VALUES[name](z), rtol=1e-12, atol=2e-14)


@pytest.mark.parametrize("name", NAMES)
def test_slopes_are_the_derivatives(name):
    z = np.linspace(-6.5, 6.5, 1000)  # without the corners 0, 1, 3, 6
    h = 1e-5
    numerical = (VALUES[name](z + h) - VALUES[name](z - h)) / (2 * h)
    # The error of the difference is h^2 / 6 times the third derivative, plus 1e-15 / h by rounding.
    np.testing.assert_allclose(ACTIVATIONS[name].slope(z), numerical, atol=2e-9)


@pytest.mark.parametrize("name", NAMES)
def test_what_the_table_says_of_zero(name):
    row, zero = ACTIVATIONS[name], np.zeros(1)
    assert row.value(zero)[0] == pytest.approx(row.at_zero, abs=1e-16)
    assert row.slope(zero)[0] == pytest.approx(row.slope_at_zero, rel=1e-15)


@pytest.mark.parametrize("name", NAMES)
def test_far_out_nothing_overflows_and_float32_stays(name):
    with np.errstate(all="raise", under="ignore"):
        for dtype in (np.float32, np.float64):
            z = np.array([-1e30, -800.0, -90.0, 0.0, 90.0, 800.0, 1e30], dtype)
            for result in (ACTIVATIONS[name].value(z), ACTIVATIONS[name].slope(z)):
                assert result.dtype == dtype and np.isfinite(result).all()


@pytest.mark.parametrize("name", ["sigmoid", "tanh"])
def test_small_slopes_keep_their_digits(name):
    scale = 2.0 if name == "tanh" else 1.0
    slopes = ACTIVATIONS[name].slope(np.array([-300.0, 300.0]))
    np.testing.assert_allclose(
        slopes, (4.0 if name == "tanh" else 1.0) * np.exp(-300.0 * scale), rtol=1e-12
    )


def test_erf():
    x = np.concatenate(
        [np.linspace(-7.0, 7.0, 100_001), np.random.default_rng(0).standard_normal(100_000)]
    )
    exact = np.array([math.erf(value) for value in x])
    assert np.abs(activations.erf(x) - exact).max() < 2e-14
    single = x.astype(np.float32)
    exact = np.array([math.erf(value) for value in single.tolist()])
    assert activations.erf(single).dtype == np.float32
    assert np.abs(activations.erf(single) - exact).max() < 2e-7
    special_values = activations.erf(np.array([np.inf, -np.inf, np.nan]))
    assert special_values[0] == 1.0 and special_values[1] == -1.0 and np.isnan(special_values[2])


@pytest.mark.parametrize("name", ["sigmoid", "tanh"])
def test_the_edge_of_saturation_follows_from_the_slope(name):
    row = ACTIVATIONS[name]
    greatest = row.slope(np.zeros(1))[0]
    assert (row.slope(np.linspace(-9.0, 9.0, 1801)) <= greatest).all()
    for side in (-row.edge, row.edge):
        assert row.slope(np.array([side]))[0] == pytest.approx(
            SATURATED_SHARE * greatest, rel=1e-14
        )
    inside, outside = row.slope(np.array([row.edge - 1e-6, row.edge + 1e-6]))
    assert inside > SATURATED_SHARE * greatest > outside


def test_others_have_no_edge():
    assert {name for name, row in ACTIVATIONS.items() if row.edge is not None} == {
        "sigmoid",
        "tanh",
        "hard_tanh",
        "hard_sigmoid",
        "softsign",
    }
    assert {name for name, row in ACTIVATIONS.items() if row.family == "saturating"} == {
        "sigmoid",
        "tanh",
        "hard_tanh",
        "hard_sigmoid",
        "softsign",
    }


def test_selus_constants_keep_mean_0_and_variance_1():
    for power, expected in ((1, 0.0), (2, 1.0)):
        moment, _ = integrate.quad(
            lambda z, n=power: float(ACTIVATIONS["selu"].value(np.array([z]))[0]) ** n * stats.norm.pdf(z), -12, 12,
            points=[0.0], limit=200,
        )  # fmt: skip
        assert moment == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", ["foo", "", None, 3])
def test_an_unknown_one(name):
    with pytest.raises(
        ValueError, match=r"activation must be one of 'linear', .*'log_sigmoid'; received"
    ):
        activations.get(name)
