"""The parts of one logical array, for the engines that ask for them one at a time, in any order and anywhere."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from initfast import layout
from initfast.base import Initializer, RandomInitializer
from initfast.buffers import empty
from initfast.dtypes import AnyDType, to_numpy
from initfast.orthogonals import Orthogonal
from initfast.seeds import Seed
from initfast.typing import Array, DTypeLike

__all__ = ["Parts", "check", "costs_the_whole", "pinned"]


def check(initializer: Initializer, shape: layout.Dims, dtype: DTypeLike) -> None:
    """Raise what making a part would raise, without making one: a part of no elements has to pass all the checks.

    Raises:
        TypeError: also if it is no initializer of initfast. Names are none: they would draw a seed in each process.
    """
    if not isinstance(initializer, Initializer):
        raise TypeError(
            f"initializer must be an initializer of initfast, such as HeNormal(seed=42); received {initializer!r}"
        )
    if isinstance(initializer, Orthogonal) or not costs_the_whole(initializer):
        pinned(initializer, Seed(0)).block(shape, (slice(0, 0),) * len(shape), dtype)


def pinned(initializer: Initializer, seed: Seed | None = None) -> Initializer:
    """The initializer with one stream for all parts: `seed`, else that of its own, or of its SeedGenerator the next."""
    if isinstance(initializer, RandomInitializer):
        seed = initializer._whole_seed() if seed is None else seed
        initializer = copy.copy(initializer)
        initializer._given_seed = initializer._live_seed = seed
        initializer._draws = 0
    return initializer


def costs_the_whole(initializer: Initializer) -> bool:
    """Whether a part is cut out of the whole array, which is then better made once."""
    return isinstance(initializer, Orthogonal) or type(initializer)._write is Initializer._write


class Parts:
    """`parts(index)` is that part of the array as a new one, aligned to 64 bytes; each distinct part is made once.

    Args:
        initializer: from `pinned`.
        shape: the logical shape.
        dtype: of the array, from `resolve_numeric`.
    """

    def __init__(self, initializer: Initializer, shape: layout.Dims, dtype: AnyDType) -> None:
        self._initializer = initializer
        self._shape = shape
        self._dtype = dtype
        self._whole: Array | None = None
        self._made: dict[layout.Part, Array] = {}

    def __call__(self, index: Any) -> Array:
        part = layout.select(self._shape, index)
        if part not in self._made:
            self._made[part] = self._make(part, index)
        return self._made[part]

    def _make(self, part: layout.Part, index: Any) -> Array:
        if not costs_the_whole(self._initializer):
            return self._initializer.block(self._shape, index, self._dtype)
        if self._whole is None:
            self._whole = np.asarray(self._initializer(self._shape, self._dtype), to_numpy(self._dtype))
        if part == layout.whole(self._shape):
            return self._whole
        made = empty(part.shape, self._dtype)
        made[...] = self._whole[index]
        return made
