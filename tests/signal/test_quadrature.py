"""Compare the scales that keep signal and gradient with the literature; use any function."""

import math

import numpy as np
import pytest
from scipy import integrate, stats

import initfast as ift
from initfast.signal import ACTIVATIONS, diagnose, recommend
from initfast.signal.functions import identified, resolve
from initfast.signal.quadrature import expected, from_function, gains

# Brock et al. 2021 (NFNets), `nonlinearities`: 1 / standard deviation of f(z), by sampling.
NFNET = {
    "elu": 1.2716004848480225, "gelu": 1.7015043497085571, "log_sigmoid": 1.9193484783172607,
    "relu": 1.7139588594436646, "relu6": 1.7131484746932983, "selu": 1.0008515119552612,
    "sigmoid": 4.803835391998291, "silu": 1.7881293296813965, "softsign": 2.338853120803833,
    "softplus": 1.9203323125839233, "tanh": 1.5939117670059204,
}  # fmt: skip


@pytest.mark.parametrize("name", NFNET)
def test_nfnets_gains(name):
    assert gains(ACTIVATIONS[name]).variance == pytest.approx(NFNET[name] ** 2, rel=3e-3)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_integrals(name):
    """Compare with adaptive quadrature between the corners."""
    row, result = ACTIVATIONS[name], gains(ACTIVATIONS[name])
    for function, inverse in ((row.value, result.signal), (row.slope, result.gradient)):
        parts = [
            integrate.quad(
                lambda z, f=function: float(f(np.array([z]))[0]) ** 2 * stats.norm.pdf(z), a, b
            )[0]
            for a, b in [(-12, -3), (-3, -1), (-1, 0), (0, 1), (1, 3), (3, 6), (6, 12)]
        ]
        assert 1 / inverse == pytest.approx(sum(parts), rel=1e-6)


def test_he_keeps_both_under_relu():
    """He et al. 2015: variance 2 / fan_in, forward and back, at every size of the signal."""
    result = gains(ACTIVATIONS["relu"])
    assert result.signal == pytest.approx(2.0) and result.gradient == pytest.approx(2.0)
    assert result.meet == (1.0, pytest.approx(2.0))
    leaky = gains(ACTIVATIONS["leaky_relu"])
    assert leaky.signal == pytest.approx(2 / (1 + 0.2**2)) == leaky.gradient


def test_selu_and_tanh_and_torchs_gain():
    assert gains(ACTIVATIONS["selu"]).signal == pytest.approx(1.0, abs=1e-9), "Klambauer et al."
    tanh = gains(ACTIVATIONS["tanh"])
    assert tanh.small == 1.0 and tanh.meet == (0.0, 1.0), "Glorot and Bengio: Xavier"
    # torch's gain of 5/3 keeps net inputs of standard deviation 1.1.
    scale = 25 / 9
    low, high = 0.5, 3.0
    for _ in range(50):
        middle = (low + high) / 2
        grows = scale * expected(lambda z: np.tanh(z) ** 2, middle) > middle
        low, high = (middle, high) if grows else (low, middle)
    assert math.sqrt(low) == pytest.approx(1.1, abs=0.03)
    assert gains(ACTIVATIONS["tanh"]).signal < scale < math.sqrt(2) * tanh.signal


def test_gelu_and_silu():
    """Roberts, Yaida and Hanin 2022, sections 5.3 and 5.4: both are critical, chi = 1, only near
    C_W = 2 at finite size, with C_W = 4 for small signals."""
    for name in ("gelu", "silu"):
        result = gains(ACTIVATIONS[name])
        assert result.small == pytest.approx(4.0) and result.meet == (0.0, pytest.approx(4.0))
        assert 2.0 < result.gradient < result.signal < 3.0
    assert gains(ACTIVATIONS["gelu"]).signal == pytest.approx(2.3517, abs=1e-4)
    assert gains(ACTIVATIONS["silu"]).signal == pytest.approx(2.8108, abs=1e-4)


def test_where_signal_and_gradient_meet():
    variance, scale = gains(ACTIVATIONS["sigmoid"]).meet
    slope = expected(lambda z: ACTIVATIONS["sigmoid"].slope(z) ** 2, variance)
    second = expected(lambda z: ACTIVATIONS["sigmoid"].value(z) ** 2, variance)
    assert scale * slope == pytest.approx(1.0) and scale * second == pytest.approx(variance)
    assert gains(from_function("square", np.square)).meet is None


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_a_row_follows_from_its_values(name):
    row, computed = ACTIVATIONS[name], from_function(name, ACTIVATIONS[name].value)
    assert computed.family == row.family or name == "log_sigmoid"
    assert computed.at_zero == pytest.approx(row.at_zero, abs=1e-6)
    assert computed.slope_at_zero == pytest.approx(row.slope_at_zero, abs=1e-3)
    assert (computed.edge is None) == (row.edge is None)
    assert computed.edge is None or computed.edge == pytest.approx(row.edge, abs=0.011)
    assert gains(computed).gradient == pytest.approx(gains(row).gradient, rel=1e-4)
    assert identified("other", row.value) is row


@pytest.mark.parametrize(
    ("name", "function", "family"),
    [
        ("arctan", np.arctan, "saturating"),
        ("sine", np.sin, "other"),
        ("square", np.square, "other"),
        ("relu squared", lambda z: np.maximum(z, 0) ** 2, "rectifier"),
        ("step", lambda z: (z > 0) * 1.0, "rectifier"),
        ("constant", lambda z: 0 * z + 3, "constant"),
        ("double", lambda z: 2 * z, "linear"),
    ],
)
def test_families(name, function, family):
    assert from_function(name, function).family == family


@pytest.mark.parametrize(
    ("spelling", "name"),
    [("ReLU", "relu"), ("swish", "silu"), ("Hard-Swish", "hard_silu"), ("Hardtanh", "hard_tanh"),
     ("leaky ReLU", "leaky_relu"), ("LogSigmoid", "log_sigmoid"), (None, "linear")],
)  # fmt: skip
def test_spellings(spelling, name):
    assert resolve(spelling) is ACTIVATIONS[name]


def leaky_relu(z):
    return np.where(z > 0, z, 0.01 * z)


def test_a_function_is_known_by_its_values():
    assert resolve(lambda z: np.maximum(z, 0.0)) is ACTIVATIONS["relu"]
    recommendation = recommend(leaky_relu)
    assert recommendation.activation == "leaky_relu" and recommendation.initializer == "he_normal"
    assert "1 / E[f^2] = 2 " in recommendation.reason, "not the 1.92 of slope 0.2"


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda z: z / z.sum(), "mixes elements"),
        (lambda z: z + np.random.default_rng().normal(size=z.shape), "mixes elements or is random"),
        (lambda z: z[..., ::2], "changes the shape"),
        (lambda z: z.nothing, "takes neither NumPy arrays nor torch tensors"),
        (np.sign, "its slope is 0"),
    ],
)  # fmt: skip
def test_what_is_not_judged(function, message):
    with pytest.raises(ValueError, match=message):
        recommend(function)


def test_torch_says_the_same():
    torch = pytest.importorskip("torch")
    from torch import nn
    from torch.nn import functional as F

    for function, name in [
        (nn.ReLU6, "relu6"), (nn.GELU(approximate="tanh"), "gelu"), (F.silu, "silu"),
        (torch.tanh, "tanh"), (nn.Hardswish(), "hard_silu"), (nn.CELU, "elu"), (F.softplus, "softplus"),
        (lambda z: torch.relu(z), "relu"),
    ]:  # fmt: skip
        assert resolve(function) is ACTIVATIONS[name]
    assert recommend(nn.PReLU()).initializer == "he_normal"
    assert resolve(nn.LeakyReLU(0.01)).name == "leaky_relu(negative_slope=0.01)"
    for function in (nn.Softmax(-1), nn.GLU()):
        with pytest.raises(ValueError, match="measured but not judged"):
            recommend(function)


@pytest.mark.parametrize(
    "function", [np.arctan, np.sin, leaky_relu, lambda z: np.maximum(z, 0.3 * z)]
)
def test_what_is_computed_is_accepted_and_passes(function):
    recommendation = recommend(function)
    assert isinstance(ift.get(recommendation.initializer), ift.VarianceScaling)
    report = diagnose([128] * 9, recommendation.initializer, function, seed=2, batch=128)
    assert report.summary.level == "GOOD", str(report)
