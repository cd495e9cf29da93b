"""Logarithmic axes that also show 0, inf and nan, and short numbers for their ticks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

__all__ = ["LogScale", "short"]

DECADES = 7  # about the number of ticks of an axis


class LogScale:
    """A logarithmic axis with 0 at its lower edge, and inf and nan at its upper edge.

    Args:
        series: the values to draw.
        top: values above it are drawn at the upper edge, too.
    """

    def __init__(self, series: Sequence[Sequence[float]], top: float = math.inf) -> None:
        self.top = top
        values = [float(value) for row in series for value in row]
        usable = [value for value in values if 0.0 < value <= top and math.isfinite(value)] or [1.0]
        self.low, self.high = math.log10(min(usable)), math.log10(max(usable))
        # Show at least one decade, so that a constant size looks constant.
        spare = max(0.0, 1.0 - (self.high - self.low)) / 2.0
        self.low, self.high = self.low - spare, self.high + spare
        self.room = max(0.12 * (self.high - self.low), 0.25)
        self.zeros = any(value == 0.0 for value in values)
        self.beyond = any(not value <= top or value == math.inf for value in values)

    def place(self, values: Sequence[float]) -> list[float]:
        """Return the values at which to draw the given values."""
        floor, ceiling = 10.0 ** (self.low - self.room), 10.0 ** (self.high + self.room)
        return [
            floor if value == 0.0 else value if value <= self.top and value != math.inf else ceiling
            for value in map(float, values)
        ]

    def apply(self, axes: Any) -> None:
        """Set the scale, limits and ticks of the axis."""
        axes.set_yscale("log")
        axes.minorticks_off()
        margin = 0.35 * self.room
        lowest = self.low - self.room * self.zeros - margin
        highest = self.high + self.room * self.beyond + margin
        axes.set_ylim(10.0**lowest, 10.0**highest)
        # The ticks of the edges replace the ticks near them.
        inner = (self.low - 0.3 * self.room * self.zeros, self.high + 0.3 * self.room * self.beyond)
        reach = (lowest if not self.zeros else inner[0], highest if not self.beyond else inner[1])
        ticks = [(tick, short(10.0**tick)) for tick in _ticks(*reach)]
        ticks += [(self.low - self.room, "0")] * self.zeros
        ticks += [
            (self.high + self.room, "inf" if self.top == math.inf else "above,\nnan")
        ] * self.beyond
        axes.set_yticks([10.0**tick for tick, _ in ticks], [text for _, text in ticks])


def _ticks(low: float, high: float) -> list[float]:
    """Return the decimal logarithms of round numbers from 10**low to 10**high: every n-th decade,
    or 1, 2 and 5 in each decade."""
    first, last = math.ceil(low), math.floor(high)
    if high - low > 2.5:
        step = next(
            step for step in (1, 2, 3, 5, 10, 20, 50, 100) if (last - first) // step <= DECADES
        )
        return [float(tick) for tick in range(first, last + 1) if tick % step == 0]
    leads = (0.0, math.log10(2.0), math.log10(5.0))
    return [
        tick
        for decade in range(first - 1, last + 1)
        for lead in leads
        if low <= (tick := decade + lead) <= high
    ]


def short(value: float) -> str:
    """Return a number as text of at most three digits for a tick or a title; numbers far from 1 are
    powers of ten in matplotlib's mathtext.

    >>> short(0.12345), short(1000.0), short(1e-9)
    ('0.123', '1000', '$10^{-9}$')
    """
    if not math.isfinite(value) or value == 0.0 or 0.9e-3 < value < 9999.0:
        return f"{value:.0f}" if value > 999.0 else f"{value:.3g}"
    mantissa, exponent = f"{value:.1e}".split("e")
    power = f"10^{{{int(exponent)}}}"
    return f"${power}$" if mantissa == "1.0" else f"${mantissa} \\cdot {power}$"
