"""Timing in turns: each runs once in every round, so that a machine that slows down slows all of
them.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

Fill = Callable[[], Any]
Seconds = dict[str, list[float]]


def interleaved(
    fills: Mapping[str, Fill], rounds: int, limit: float = float("inf"), least: float = 0.0
) -> Seconds:
    """The seconds of one run of each fill in each round, after one round that does not count.

    Args:
        fills: what to time, by name.
        rounds: how many rounds count, at least 1.
        limit: seconds; a fill that has taken as many sits out the rounds that are left. One that
            takes as many in its first run is not run again: that run counts.
        least: seconds; shorter fills are repeated within a round until they take about this long,
            and divided.
    """
    seconds: Seconds = {name: [] for name in fills}
    spent = dict.fromkeys(fills, 0.0)
    repeats = dict.fromkeys(fills, 1)
    for number in range(rounds + 1):
        for name, fill in fills.items():
            if spent[name] > limit and seconds[name]:
                continue
            taken = _run(fill, repeats[name])
            spent[name] += taken
            if number or taken > limit:
                seconds[name].append(taken / repeats[name])
            elif taken < least:  # the first run of all may be slow for reasons that end with it
                once = _run(fill, 3) / 3
                repeats[name] = max(1, round(least / max(once, 1e-7)))
    return seconds


def _run(fill: Fill, repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats - 1):
        fill()
    result = fill()
    taken = time.perf_counter() - start
    del result  # to give memory back is nobody's task
    return taken


def median(seconds: Seconds, name: str) -> float:
    """The typical seconds of one run."""
    return statistics.median(seconds[name])


def ratio(seconds: Seconds, slow: str, fast: str) -> float:
    """How many times faster `fast` was than `slow`: the median over the rounds that both were in."""
    return statistics.median(s / f for s, f in zip(seconds[slow], seconds[fast], strict=False))
