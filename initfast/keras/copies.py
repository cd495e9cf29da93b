"""Separate streams for the copies of an initializer.

Keras copies an initializer through its config. With an integer seed, all copies would give the same
values. MultiHeadAttention makes its query, key, value and output kernels from four such copies."""

from __future__ import annotations

from contextvars import ContextVar

from initfast.core.seeds import Seed


class Kin:
    """The copies of an initializer with one fixed seed, numbered in the order in which they
    draw.
    """

    def __init__(self) -> None:
        self._count = 0

    def place(self) -> int:
        """Return the number of the next copy that draws: 0, 1, ..."""
        place = self._count
        self._count = place + 1
        return place


class Scope:
    """The state of a block of `default(seed)`: the next stream, and the copies that share a
    seed."""

    def __init__(self, seed: Seed) -> None:
        self._seed = seed
        self._next = 0
        self._kin: dict[Seed, Kin] = {}

    def next(self) -> Seed:
        """Return the next stream of the block: the one named '0', '1', ..."""
        number = self._next
        self._next = number + 1
        return self._seed.named(str(number))

    def kin(self, seed: Seed) -> Kin:
        """Return the copies with `seed` in this block, including those loaded from JSON."""
        return self._kin.setdefault(seed, Kin())


ACTIVE: ContextVar[Scope | None] = ContextVar("initfast.keras.default", default=None)
"""The innermost block of `default` that this thread is in."""


def stream_of_copy(seed: Seed, place: int) -> Seed:
    """Return the stream of the copy with number `place`; that of copy 0 is the seed's own."""
    if place == 0:
        return seed
    if seed.name is None and seed.stream:
        return Seed(seed.seed).named(f"stream {seed.stream}/copy {place}")
    return seed.named(f"copy {place}")
