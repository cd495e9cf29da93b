"""The effect of an elementwise function on a normal signal, by quadrature: the variance of the
weights that keeps the signal, and the one that keeps the gradient.

With weights of variance `scale / fan_in` and inputs of second moment q' = E[f(z)^2], the next net
inputs have the variance `scale * q'`; a gradient is multiplied by `scale * E[f'(z)^2]` on its way
back (fan_out = fan_in). So `1 / E[f^2]` keeps the signal and `1 / E[f'^2]` the gradient, at z
standard normal."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from initfast.signal.activations import SATURATED_SHARE, Activation

__all__ = ["Facts", "Gains", "expected", "facts", "from_function", "gains", "slope_of"]

Floats = npt.NDArray[np.floating[Any]]

REACH = 12  # standard deviations; beyond, the normal density is below 1e-31
PANELS = 16  # Gauss-Legendre panels per standard deviation; corners at 0, 1, 3 or 6 are their ends
ORDER = 8
STEP = 2.0**-12  # step of the difference that approximates a slope
FAR = 30.0  # |z| at which a function shows whether it is bounded
VARIANCES = 10.0 ** np.linspace(-4.0, 4.0, 65)


class Gains(NamedTuple):
    """The results of the quadrature for an activation f, all for z standard normal.

    Attributes:
        signal: the `scale` of a VarianceScaling that keeps E[f(z)^2]: 1 / E[f^2].
        gradient: the `scale` that keeps the gradient: 1 / E[f'^2].
        small: the `scale` that keeps a signal so small that f is a line: 1 / f'(0)^2. Each of the
            three is inf if its denominator is 0.
        variance: the `scale` that keeps the signal without its mean: 1 / Var[f].
        meet: (variance of z, scale) at which both the signal and the gradient are kept, with
            variance 0 for the limit of small signals; None if there is no such point.
    """

    signal: float
    gradient: float
    small: float
    variance: float
    meet: tuple[float, float] | None


class Facts(NamedTuple):
    """The facts about an activation that a report needs, as numbers; see `Activation`."""

    family: str
    at_zero: float
    slope_at_zero: float
    edge: float | None
    gains: Gains


@lru_cache
def facts(activation: Activation) -> Facts:
    """Return the facts about an activation."""
    return Facts(
        activation.family,
        activation.at_zero,
        activation.slope_at_zero,
        activation.edge,
        gains(activation),
    )


@lru_cache
def _nodes() -> tuple[Floats, Floats]:
    x, weights = np.polynomial.legendre.leggauss(ORDER)
    left = np.arange(-REACH, REACH, 1.0 / PANELS)
    n = (left[:, None] + (x + 1.0) / (2 * PANELS)).reshape(-1)
    density = np.exp(-0.5 * n * n) / math.sqrt(2.0 * math.pi)
    return n, np.tile(weights / (2 * PANELS), len(left)) * density


def expected(function: Callable[[Floats], Floats], variance: float = 1.0) -> float:
    """Return E[function(z)] for z normal with mean 0 and this variance.

    >>> round(expected(lambda z: np.maximum(z, 0.0) ** 2), 12)
    0.5
    """
    n, weights = _nodes()
    with np.errstate(all="ignore"):
        return float(weights @ np.asarray(function(math.sqrt(variance) * n), np.float64))


def slope_of(value: Callable[[Floats], Floats]) -> Callable[[Floats], Floats]:
    """Return the derivative of a function as a central difference. As in automatic differentiation,
    a jump does not count, unless it lies within STEP of z."""

    def slope(z: Floats) -> Floats:
        difference: Floats = (value(z + STEP) - value(z - STEP)) / (2.0 * STEP)
        return difference

    return slope


def gains(activation: Activation) -> Gains:
    """Return the scales that keep the signal and the gradient of an activation."""

    def moments(variance: float) -> tuple[float, float]:
        return (
            expected(lambda z: np.square(activation.value(z)), variance),
            expected(lambda z: np.square(activation.slope(z)), variance),
        )

    second, slopes = moments(1.0)
    mean = expected(activation.value)
    small = _inverse(activation.slope_at_zero**2)
    variance = second - mean * mean
    varies = variance > 1e-12 * second
    return Gains(
        _inverse(second),
        _inverse(slopes),
        small,
        _inverse(variance) if varies else math.inf,
        _meeting(moments, small) if slopes else None,
    )


def _meeting(
    moments: Callable[[float], tuple[float, float]], small: float
) -> tuple[float, float] | None:
    """Return (variance, scale) with variance / E[f^2] = 1 / E[f'^2] = scale: there both a net input
    of this variance and the gradient are kept. Return None if there is no such point."""

    def gap(variance: float) -> float:
        second, slopes = moments(variance)
        if not (0.0 < second < math.inf and 0.0 < slopes < math.inf):
            return math.nan
        return math.log(variance * slopes / second)

    gaps = [gap(variance) for variance in VARIANCES]
    if all(abs(each) < 1e-2 for each in gaps):
        return 1.0, _inverse(moments(1.0)[1])
    for low, high, before, after in zip(VARIANCES, VARIANCES[1:], gaps, gaps[1:], strict=False):
        if before * after < 0.0 and max(abs(before), abs(after)) > 1e-2:
            for _ in range(40):
                middle = math.sqrt(low * high)
                low, high = (middle, high) if gap(middle) * before > 0.0 else (low, middle)
            return float(low), _inverse(moments(float(low))[1])
    return (0.0, small) if abs(gaps[0]) < 1e-2 and math.isfinite(small) else None


def from_function(name: str, value: Callable[[Floats], Floats]) -> Activation:
    """Return an elementwise function on float64 arrays as an `Activation`.

    Its family, its value and slope at 0 and the edge of saturation are computed from its values."""
    slope = slope_of(value)
    with np.errstate(all="ignore"):
        z = np.linspace(-FAR, FAR, 6001)  # every 0.01; 0 is one of them
        y, dy = np.asarray(value(z), np.float64), np.asarray(slope(z + STEP / 3.0), np.float64)
        at_zero, on_left = (float(value(np.array([at]))[0]) for at in (0.0, -STEP))
        on_right = float(value(np.array([STEP]))[0])
    at_zero = 0.0 if abs(at_zero) < 1e-7 else at_zero
    # At a corner, use the slope on the left, as Keras and PyTorch do.
    greatest = float(np.abs(dy).max())
    left, right = (at_zero - on_left) / STEP, (on_right - at_zero) / STEP
    at = left if abs(left - right) > 0.01 else (left + right) / 2.0
    at = at if abs(at) > 1e-3 * greatest else 0.0
    flat = np.abs(dy) < SATURATED_SHARE * greatest
    steep = np.flatnonzero(~flat)
    family, edge = "rectifier", None
    if not greatest or np.abs(y - y[0]).max() < 1e-12:
        family = "constant"
    elif np.abs(dy - dy[0]).max() < 1e-6 * greatest and not at_zero:
        family = "linear"
    elif (
        flat[0]
        and flat[-1]
        and abs(at) >= 0.5 * greatest
        and z[steep[0]] < -0.5 < 0.5 < z[steep[-1]]
    ):
        family, edge = "saturating", float(min(-z[steep[0]], z[steep[-1]]))
    elif not (y.min() >= -0.5 * max(1.0, y.max()) and abs(y[-1]) > 2.0 * abs(y[0])):
        family = "other"
    return Activation(name, value, slope, family, at_zero, float(at), edge)


def _inverse(value: float) -> float:
    return 1.0 / value if value > 0.0 else math.inf
