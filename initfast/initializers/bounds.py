"""Bounds of a truncated normal given as values, as torch gives them."""

from __future__ import annotations

import math
from fractions import Fraction

from initfast.core.distributions import REACH_FLOAT64
from initfast.core.rounding import in_fixed_environment

__all__ = ["in_stddevs"]

_ENOUGH = REACH_FLOAT64 + 0.5  # in standard deviations: nothing is ever drawn beyond


@in_fixed_environment
def in_stddevs(mean: float, std: float, a: float, b: float) -> tuple[float, float]:
    """Return the bounds a and b, values that may be infinite, in standard deviations from the mean.

    They are rounded inwards, and finite: cut where nothing is ever drawn. Without any width between
    them the first is not below the second.
    """
    low, high = _rounded(a, mean, std, 1), _rounded(b, mean, std, -1)
    lower = max(low, min(-_ENOUGH, high - _ENOUGH))
    return lower, min(high, max(_ENOUGH, low + _ENOUGH))


def _rounded(bound: float, mean: float, std: float, inwards: int) -> float:
    """Return (bound - mean) / std rounded up (1) or down (-1), infinite beyond the floats."""
    if math.isinf(bound):
        return bound
    exact = (Fraction(bound) - Fraction(mean)) / Fraction(std)
    try:
        nearest = float(exact)
    except OverflowError:
        return math.inf if exact > 0 else -math.inf
    outside = (Fraction(nearest) - exact) * inwards < 0
    return math.nextafter(nearest, inwards * math.inf) if outside else nearest
