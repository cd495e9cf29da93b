"""The known activations: their values, their slopes, and the facts that the criteria need."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["ACTIVATIONS", "SATURATED_SHARE", "Activation", "get"]

Floats = npt.NDArray[np.floating[Any]]

SATURATED_SHARE = 0.1
"""A unit is saturated if its slope is below this share of the maximum slope of its activation."""

# tanh'(z) = sech(z)^2 is at most 1, and below the share if cosh(z) > 1 / sqrt(share). The sigmoid
# is (1 + tanh(z / 2)) / 2, with the slope sech(z / 2)^2 / 4 of at most 1/4, so its edge is at twice
# the z.
_TANH_EDGE = math.acosh(1.0 / math.sqrt(SATURATED_SHARE))  # 1.818
_SIGMOID_EDGE = 2.0 * _TANH_EDGE  # 3.637

# Klambauer et al. 2017, eq. 14: mean 0 and variance 1 are a fixed point of a layer with LeCun's
# weights.
SELU_ALPHA = 1.6732632423543772
SELU_SCALE = 1.0507009873554805
LEAKY_SLOPE = 0.2  # the default of keras.activations.leaky_relu


@dataclass(frozen=True)
class Activation:
    """An elementwise activation f.

    Attributes:
        name: the name in Keras.
        value, slope: f(z) and its derivative f'(z), for float arrays of any shape.
        family: 'linear', 'saturating' (bounded on both sides), 'rectifier' (ReLU and its smooth and
            leaky variants), 'constant' or 'other'.
        at_zero, slope_at_zero: f(0) and f'(0).
        edge: |z| above which a unit is saturated, see SATURATED_SHARE; None if f does not saturate.
    """

    name: str
    value: Callable[[Floats], Floats]
    slope: Callable[[Floats], Floats]
    family: str
    at_zero: float = 0.0
    slope_at_zero: float = 1.0
    edge: float | None = None


def _sigmoid(z: Floats) -> Floats:
    # Neither exponential overflows, and small values keep their digits.
    value: Floats = np.exp(np.minimum(z, 0.0)) / (1.0 + np.exp(-np.abs(z)))
    return value


def _sigmoid_slope(z: Floats) -> Floats:
    small = np.exp(-np.abs(z))
    slope: Floats = small / np.square(1.0 + small)
    return slope


def _tanh_slope(z: Floats) -> Floats:
    return 4.0 * _sigmoid_slope(2.0 * z)  # 1 - tanh^2 would cancel


def _leaky_relu(z: Floats) -> Floats:
    value: Floats = np.maximum(z, LEAKY_SLOPE * z)
    return value


def _leaky_relu_slope(z: Floats) -> Floats:
    slope: Floats = LEAKY_SLOPE + (1.0 - LEAKY_SLOPE) * _positive(z)
    return slope


def _elu(z: Floats) -> Floats:
    return np.maximum(z, 0.0) + np.expm1(np.minimum(z, 0.0))


def _elu_slope(z: Floats) -> Floats:
    return np.exp(np.minimum(z, 0.0))


def _selu(z: Floats) -> Floats:
    return SELU_SCALE * (np.maximum(z, 0.0) + SELU_ALPHA * np.expm1(np.minimum(z, 0.0)))


def _selu_slope(z: Floats) -> Floats:
    return SELU_SCALE * (
        SELU_ALPHA * np.exp(np.minimum(z, 0.0)) - (SELU_ALPHA - 1.0) * _positive(z)
    )


def _positive(z: Floats) -> Floats:
    """Return 1 above 0, else 0: at 0, the slope is that on the left, as in Keras and PyTorch."""
    return (z > 0.0).astype(z.dtype)


def _silu_slope(z: Floats) -> Floats:
    gate = _sigmoid(z)
    return gate * (1.0 + z * (1.0 - gate))


def _softplus(z: Floats) -> Floats:
    return np.maximum(z, 0.0) + np.log1p(np.exp(-np.abs(z)))


def _mish(z: Floats) -> Floats:
    value: Floats = z * np.tanh(_softplus(z))
    return value


def _mish_slope(z: Floats) -> Floats:
    gate = np.tanh(_softplus(z))
    # Beyond 40, 1 - gate^2 is 0 on one side and the sigmoid is 0 on the other.
    return gate + np.clip(z, -40.0, 40.0) * (1.0 - np.square(gate)) * _sigmoid(z)


def _inside(z: Floats, low: float, high: float) -> Floats:
    """Return 1 between the corners, else 0."""
    return ((z > low) & (z <= high)).astype(z.dtype)


def _hard_sigmoid(z: Floats) -> Floats:
    value: Floats = np.clip(z / 6.0 + 0.5, 0.0, 1.0)
    return value


def _hard_silu_slope(z: Floats) -> Floats:
    return (z / 3.0 + 0.5) * _inside(z, -3.0, 3.0) + (z > 3.0)


def _softsign(z: Floats) -> Floats:
    return z / (1.0 + np.abs(z))


_STEPS = 1024  # table points per unit of x
_TERMS = 4
_REACH = 6  # erf(6) is 1 in float64


def _erf_table() -> Floats:
    """Return the Taylor coefficients of erf at each point of the table, one row per power.

    The (n + 1)-th derivative of erf is (-1)^n H_n(x) 2 / sqrt(pi) exp(-x^2), with Hermite's
    polynomials H_n."""
    x = np.arange(-_REACH * _STEPS, _REACH * _STEPS + 1) / _STEPS
    rows = [np.array([math.erf(point) for point in x])]
    before, hermite = np.zeros_like(x), np.ones_like(x)
    factor = 2.0 / math.sqrt(math.pi) * np.exp(-x * x)
    for n in range(_TERMS - 1):
        factor = factor / (n + 1)
        rows.append((-1.0) ** n * hermite * factor)
        before, hermite = hermite, 2.0 * x * hermite - 2.0 * n * before
    return np.array(rows)


@lru_cache
def _erf_rows(dtype: np.dtype[Any]) -> Floats:
    return _erf_table().astype(dtype)


def erf(x: Floats) -> Floats:
    """Return the error function: within 2e-14 of `math.erf` in float64, 2e-7 in float32.

    This is Taylor's series to the third power about the nearest multiple of 1/1024. Its error is at
    most 4.4 / 24 * (1/2048)^4 = 1.1e-14, since the fourth derivative of erf is at most 4.4."""
    rows = _erf_rows(x.dtype)
    point = np.clip(x, -_REACH, _REACH)
    distance = point.copy()
    point *= _STEPS
    np.rint(point, out=point)
    index = (np.nan_to_num(point) + _REACH * _STEPS).astype(np.intp)
    point /= _STEPS
    distance -= point
    value: Floats = rows[-1].take(index)
    for row in rows[-2::-1]:
        value *= distance
        value += row.take(index)
    return value


def _normal_cdf(z: Floats) -> Floats:
    return 0.5 + 0.5 * erf(z * math.sqrt(0.5))


def _gelu_slope(z: Floats) -> Floats:
    near = np.clip(z, -40.0, 40.0)  # beyond 40, the density is 0 in float64
    return _normal_cdf(z) + near * np.exp(-0.5 * np.square(near)) / math.sqrt(2.0 * math.pi)


ACTIVATIONS: dict[str, Activation] = {
    activation.name: activation
    for activation in (
        Activation("linear", lambda z: z, np.ones_like, "linear"),
        Activation("sigmoid", _sigmoid, _sigmoid_slope, "saturating", 0.5, 0.25, _SIGMOID_EDGE),
        Activation("tanh", np.tanh, _tanh_slope, "saturating", edge=_TANH_EDGE),
        Activation("relu", lambda z: np.maximum(z, 0.0), _positive, "rectifier", 0.0, 0.0),
        Activation("leaky_relu", _leaky_relu, _leaky_relu_slope, "rectifier", 0.0, LEAKY_SLOPE),
        Activation("elu", _elu, _elu_slope, "rectifier"),
        Activation("selu", _selu, _selu_slope, "rectifier", 0.0, SELU_SCALE * SELU_ALPHA),
        # Hendrycks and Gimpel 2016, exact: z times the distribution function of N(0, 1).
        Activation("gelu", lambda z: z * _normal_cdf(z), _gelu_slope, "rectifier", 0.0, 0.5),
        Activation("silu", lambda z: z * _sigmoid(z), _silu_slope, "rectifier", 0.0, 0.5),
        Activation("softplus", _softplus, _sigmoid, "rectifier", math.log(2.0), 0.5),
        Activation("relu6", lambda z: np.clip(z, 0.0, 6.0), lambda z: _inside(z, 0.0, 6.0),
                   "rectifier", 0.0, 0.0),
        Activation("hard_silu", lambda z: z * _hard_sigmoid(z), _hard_silu_slope,
                   "rectifier", 0.0, 0.5),
        Activation("mish", _mish, _mish_slope, "rectifier", 0.0, 0.6),
        Activation("hard_tanh", lambda z: np.clip(z, -1.0, 1.0), lambda z: _inside(z, -1.0, 1.0),
                   "saturating", edge=1.0),
        Activation("hard_sigmoid", _hard_sigmoid, lambda z: _inside(z, -3.0, 3.0) / 6.0,
                   "saturating", 0.5, 1.0 / 6.0, 3.0),
        # (1 + |z|)^-2 is below the share from 1 / sqrt(share) - 1 on.
        Activation("softsign", _softsign, lambda z: np.square(1.0 / (1.0 + np.abs(z))),
                   "saturating", edge=1.0 / math.sqrt(SATURATED_SHARE) - 1.0),
        Activation("log_sigmoid", lambda z: -_softplus(-z), lambda z: _sigmoid(-z),
                   "rectifier", -math.log(2.0), 0.5),
    )
}  # fmt: skip
"""The activations with a name; `initfast.signal.recommend` also takes any function."""

# Other names, in lower case without '_', '-' and blanks.
_ALIASES = {
    "identity": "linear", "none": "linear", "swish": "silu", "hardswish": "hard_silu",
    "logistic": "sigmoid", "expit": "sigmoid", "celu": "elu", "geluexact": "gelu",
    "gelutanh": "gelu", "gelunew": "gelu", "gelufast": "gelu", "gelupytorchtanh": "gelu",
    "quickgelu": "silu", "clippedrelu": "relu6",
}  # fmt: skip


def get(name: str) -> Activation:
    """Return the activation with this name, in any usual spelling: 'relu', 'ReLU', 'swish',
    'Hardtanh'.

    Raises:
        ValueError: the name is unknown.

    >>> round(get("Tanh").edge, 3)
    1.818
    """
    activation = _BY_SPELLING.get(spelling(name)) if isinstance(name, str) else None
    if activation is None:
        raise ValueError(
            f"activation must be one of {', '.join(map(repr, ACTIVATIONS))}; received {name!r}"
        )
    return activation


def spelling(name: str) -> str:
    """Return a name in lower case without blanks, '_' and '-', so that its spellings agree."""
    return re.sub(r"[\s_-]", "", name).lower()


_BY_SPELLING = {spelling(name): each for name, each in ACTIVATIONS.items()} | {
    other: ACTIVATIONS[name] for other, name in _ALIASES.items()
}
