"""Warn if a dtype rounds nearly all values to one number, or if the fan_in is a vocabulary."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

from initfast.core.dtypes import DType
from initfast.core.indexing import Dims
from initfast.core.rounding import GRIDS
from initfast.core.warn import warn

__all__ = ["check_normal", "check_table", "check_uniform"]

Below = Callable[[Fraction], float]
"""A function that returns the share of the values below an edge."""

_NEARLY_ALL = 0.9
_ROOT_2 = math.sqrt(2.0)
_ROWS = 100_000  # a larger first dim of two is more likely a vocabulary than inputs


def check_uniform(minval: float, maxval: float, dtype: DType) -> None:
    """Warn if nearly all values in [minval, maxval) are rounded to one number of the dtype."""
    if minval == maxval or not _narrow((minval + maxval) / 2, maxval - minval, dtype):
        return
    grid, low, high = GRIDS[dtype.name], Fraction(minval), Fraction(maxval)

    def below(edge: Fraction) -> float:
        return float(min(max((edge - low) / (high - low), Fraction(0)), Fraction(1)))

    _check(grid.nearest((low + high) / 2), grid.up(low), grid.below(high), below, dtype)


def check_normal(
    mean: float, stddev: float, dtype: DType, lower: float = -math.inf, upper: float = math.inf
) -> None:
    """Warn if nearly all values of a truncated normal are rounded to one number of the dtype.

    The bounds `lower` and `upper` are in standard deviations.
    """
    centre = min(max(0.0, lower), upper)
    if not stddev or not _narrow(mean + stddev * centre, stddev * min(upper - lower, 1.0), dtype):
        return
    grid, exact_mean, exact_stddev = GRIDS[dtype.name], Fraction(mean), Fraction(stddev)
    first, last = -grid.largest, grid.largest
    if math.isfinite(lower) and math.isfinite(upper):
        first = grid.up(exact_mean + Fraction(lower) * exact_stddev)
        last = grid.down(exact_mean + Fraction(upper) * exact_stddev)

    def probability(z: float) -> float:
        """Return P(Z < z) for a standard normal Z, or -P(Z > z) if the bounds are above 0."""
        z = min(max(z, lower), upper)
        return -math.erfc(z / _ROOT_2) / 2 if lower > 0 else math.erfc(-z / _ROOT_2) / 2

    def below(edge: Fraction) -> float:
        mass = probability(upper) - probability(lower)
        z = (edge - exact_mean) / exact_stddev
        as_float = float(z) if abs(z) < 2**64 else math.copysign(math.inf, z)
        return (probability(as_float) - probability(lower)) / mass if mass else 0.0

    nearest = grid.nearest(exact_mean + Fraction(centre) * exact_stddev)
    _check(nearest, first, last, below, dtype)


def _narrow(centre: float, spread: float, dtype: DType) -> bool:
    """Return whether a spread is at most two steps between numbers of the dtype.

    Usually it is larger, and the exact arithmetic is not needed.
    """
    grid = GRIDS[dtype.name]
    step = max(abs(centre) * 2.0 ** (1 - grid.precision), 2.0**grid.smallest)
    return spread <= 2.0 * step


def _check(value: Fraction, first: Fraction, last: Fraction, below: Below, dtype: DType) -> None:
    """Warn if nearly all values are rounded to `value`, or to `first` or `last` if it lies outside
    of them.
    """
    grid, value = GRIDS[dtype.name], min(max(value, first), last)
    least, most = grid.below(value), -grid.below(-value)
    share = (1.0 if most > last else below((value + most) / 2)) - (
        0.0 if least < first else below((least + value) / 2)
    )
    if share >= _NEARLY_ALL:
        warn(
            f"{share:.0%} of the values are {float(value):g}, because adjacent {dtype.name} "
            f"numbers there are {float(most - value):.3g} apart: use a wider dtype, or a wider "
            "distribution",
            RuntimeWarning,
        )


def check_table(shape: Dims, stddev: float) -> None:
    """Warn if the fan_in is the number of rows of a shape that looks like an embedding."""
    if len(shape) == 2 and shape[0] > max(_ROWS, shape[1]):
        warn(
            f"the fan_in of shape {shape} is its number of rows, so the standard deviation is "
            f"{stddev:.2g}: for an embedding, use random_normal(stddev=0.02); if the rows are the "
            "inputs of a layer, pass input_axes=[0], output_axes=[1]",
            RuntimeWarning,
        )
