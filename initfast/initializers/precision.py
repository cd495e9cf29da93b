"""Warn of parameters with which a dtype holds next to nothing of a distribution, or which hardly
anyone means.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

from initfast.core.dtypes import DType
from initfast.core.indexing import Dims
from initfast.core.rounding import GRIDS
from initfast.core.warn import warn

__all__ = ["check_normal", "check_table", "check_uniform"]

_NEARLY_ALL = 0.9
_ROWS = 100_000  # from here on the first of two dims is more likely a vocabulary than inputs


def check_uniform(minval: float, maxval: float, dtype: DType) -> None:
    """Warn if nearly all values in [minval, maxval) are one number of the dtype."""

    def below(edge: Fraction) -> float:
        place = (edge - Fraction(minval)) / (Fraction(maxval) - Fraction(minval))
        return float(min(max(place, Fraction(0)), Fraction(1)))

    if minval < maxval:
        _check((minval + maxval) / 2, maxval - minval, below, dtype)


def check_normal(
    mean: float, stddev: float, dtype: DType, lower: float = -math.inf, upper: float = math.inf
) -> None:
    """Warn if nearly all normal values within the bounds, in deviations, are one number of the
    dtype.
    """

    def probability(z: float) -> float:
        """Of a standard normal below z; by the upper tail if the bounds lie there."""
        return math.erfc(z / math.sqrt(2) if lower > 0 else -z / math.sqrt(2)) / 2

    def below(edge: Fraction) -> float:
        try:
            z = float((edge - Fraction(mean)) / Fraction(stddev))
        except OverflowError:
            z = math.copysign(math.inf, edge - Fraction(mean))
        first, last = probability(lower), probability(upper)
        if first == last:
            return 0.0
        return (probability(min(max(z, lower), upper)) - first) / (last - first)

    if stddev:
        centre = mean + stddev * min(max(0.0, lower), upper)
        _check(centre, stddev * min(upper - lower, 1.0), below, dtype)


def _check(centre: float, spread: float, below: Callable[[Fraction], float], dtype: DType) -> None:
    grid = GRIDS[dtype.name]
    # The usual case, without exact arithmetic.
    if spread > max(abs(centre) * 2.0 ** (1 - grid.precision), 2.0**grid.smallest):
        return
    value = grid.nearest(Fraction(centre))
    least, most = grid.below(value), -grid.below(-value)
    share = below((value + most) / 2) - below((least + value) / 2)
    if share >= _NEARLY_ALL:
        warn(
            f"{share:.0%} of the values are {float(value):g}, because numbers of {dtype.name} "
            f"there are {float(most - value):.3g} apart: draw in a wider dtype, such as float32, "
            "or with a larger deviation",
            RuntimeWarning,
        )


def check_table(shape: Dims, stddev: float) -> None:
    """Warn of a fan_in that is the number of rows of what looks like an embedding."""
    if len(shape) == 2 and shape[0] > max(_ROWS, shape[1]):
        warn(
            f"the fan_in of shape {shape} is its {shape[0]} rows, so that the standard deviation "
            f"is {stddev:.2g}: embeddings usually take random_normal(stddev=0.02); if the rows are "
            "the inputs of a layer, pass input_axes=[0], output_axes=[1]",
            RuntimeWarning,
        )
