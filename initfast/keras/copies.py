"""Streams for copies: Keras copies an initializer through its config, and an integer seed would
give all of them the same values. MultiHeadAttention makes its query, key, value and output kernels
from four such copies."""

from __future__ import annotations

from contextvars import ContextVar

from initfast.core.seeds import Seed


class Kin:
    """The initializers that were copied from one another with one fixed seed, in the order in which
    they draw.
    """

    def __init__(self) -> None:
        self._drawn = 0

    def place(self) -> int:
        """0 for the first that draws, 1 for the next, ..."""
        place = self._drawn
        self._drawn = place + 1
        return place


class Scope:
    """A block of `default(seed)`: the streams of its names, and the copies that share a seed."""

    def __init__(self, seed: Seed) -> None:
        self._seed = seed
        self._named = 0
        self._kin: dict[Seed, Kin] = {}

    def next(self) -> Seed:
        """Return the stream of the next name: '0', '1', ..."""
        number = self._named
        self._named = number + 1
        return self._seed.named(str(number))

    def kin(self, seed: Seed) -> Kin:
        """Return the copies made with `seed` in this block, also of configs that have been JSON."""
        return self._kin.setdefault(seed, Kin())


ACTIVE: ContextVar[Scope | None] = ContextVar("initfast.keras.default", default=None)
"""The innermost block of `default` that this thread is in."""


def stream_of_copy(seed: Seed, place: int) -> Seed:
    """Return the stream of the initializer that draws at `place`; the first has the seed's own."""
    if place == 0:
        return seed
    if seed.name is None and seed.stream:
        return Seed(seed.seed).named(f"stream {seed.stream}/copy {place}")
    return seed.named(f"copy {place}")
