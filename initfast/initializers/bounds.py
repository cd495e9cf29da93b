"""Convert the bounds of a truncated normal from values, as in torch, to standard deviations."""

from __future__ import annotations

import math
from fractions import Fraction

from initfast.core.distributions import REACH_FLOAT64
from initfast.core.rounding import in_fixed_environment

__all__ = ["in_stddevs"]

_REACH = REACH_FLOAT64 + 0.5  # in standard deviations; no value is drawn beyond it


@in_fixed_environment
def in_stddevs(mean: float, std: float, a: float, b: float) -> tuple[float, float]:
    """Return the bounds of a truncated normal in standard deviations from the mean.

    The results are rounded inwards, and finite: a distant bound is replaced by one beyond which no
    value is drawn. If no value lies between the bounds, the first result is not less than the
    second.

    Args:
        mean, std: the parameters of the normal before truncation, std > 0.
        a, b: the bounds as values, which may be infinite.
    """
    low, high = _rounded(a, mean, std, 1), _rounded(b, mean, std, -1)
    lower = max(low, min(-_REACH, high - _REACH))
    return lower, min(high, max(_REACH, low + _REACH))


def _rounded(bound: float, mean: float, std: float, inwards: int) -> float:
    """Return (bound - mean) / std rounded up (1) or down (-1), or infinity if it overflows."""
    if math.isinf(bound):
        return bound
    exact = (Fraction(bound) - Fraction(mean)) / Fraction(std)
    try:
        nearest = float(exact)
    except OverflowError:
        return math.inf if exact > 0 else -math.inf
    outside = (Fraction(nearest) - exact) * inwards < 0
    return math.nextafter(nearest, inwards * math.inf) if outside else nearest
