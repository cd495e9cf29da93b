"""Exact rounding of a real number to the numbers of a floating dtype.

Everything is computed with `fractions.Fraction`, which is exact, so that every machine gets the
same bounds. Parameters that are computed with floats use the floating-point environment of the
stream, whatever the host has set."""

from __future__ import annotations

import functools
from collections.abc import Callable
from fractions import Fraction
from typing import NamedTuple, ParamSpec, TypeVar

from initfast import _kernels

P = ParamSpec("P")
R = TypeVar("R")


def in_fixed_environment(function: Callable[P, R]) -> Callable[P, R]:
    """Make the function run with rounding to nearest, with subnormals and without traps."""

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        return _kernels.in_environment(function, *args, **kwargs)

    return wrapped


class Grid(NamedTuple):
    """A binary format: significant bits, exponent of its smallest step, largest finite number.

    The rounding methods ignore `largest`: their results may exceed it."""

    precision: int
    smallest: int
    largest: Fraction

    @property
    def least_normal(self) -> Fraction:
        """Return the smallest positive normal number of the format."""
        return _power_of_two(self.smallest + self.precision - 1)

    def down(self, value: Fraction) -> Fraction:
        """Return the largest number of the format that is <= value."""
        step = self._step(value)
        return (value / step).__floor__() * step

    def up(self, value: Fraction) -> Fraction:
        """Return the smallest number of the format that is >= value."""
        return -self.down(-value)

    def below(self, value: Fraction) -> Fraction:
        """Return the largest number of the format that is < value."""
        low = self.down(value)
        if low < value:
            return low
        # The step below a power of two is half as wide, so subtract a quarter step and round down.
        return self.down(value - self._step(value) / 4) if value else -_power_of_two(self.smallest)

    def nearest(self, value: Fraction) -> Fraction:
        """Return the nearest number of the format, ties to even."""
        step = self._step(value)
        return round(value / step) * step

    def _step(self, value: Fraction) -> Fraction:
        """Return the distance between the numbers of the format around `value`."""
        magnitude = abs(value)
        if not magnitude:
            return _power_of_two(self.smallest)
        exponent = magnitude.numerator.bit_length() - magnitude.denominator.bit_length()
        if magnitude < _power_of_two(exponent):
            exponent -= 1
        return _power_of_two(max(exponent - self.precision + 1, self.smallest))


def _power_of_two(exponent: int) -> Fraction:
    return Fraction(1 << exponent) if exponent >= 0 else Fraction(1, 1 << -exponent)


GRIDS = {
    "float32": Grid(24, -149, (2 - Fraction(1, 2**23)) * 2**127),
    "float64": Grid(53, -1074, (2 - Fraction(1, 2**52)) * 2**1023),
    "float16": Grid(11, -24, Fraction(65504)),
    "bfloat16": Grid(8, -133, (2 - Fraction(1, 2**7)) * 2**127),
    "float8_e4m3fn": Grid(4, -9, Fraction(448)),
    "float8_e5m2": Grid(3, -16, Fraction(57344)),
}
