"""The blocks of one logical array, for engines that ask for them in any order and place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from initfast.core import indexing
from initfast.core.buffers import empty
from initfast.core.dtypes import DType
from initfast.core.types import Array, DTypeLike
from initfast.initializers.base import Direct, Initializer
from initfast.initializers.random import RandomInitializer

if TYPE_CHECKING:
    from initfast._kernels import Source

__all__ = ["Blocks", "check", "check_shared_seed", "source_of"]


def check(initializer: Initializer, shape: indexing.Dims, dtype: DTypeLike) -> None:
    """Raise what making a part would raise, by making one of no elements.

    Raises:
        TypeError: also if it is not an initializer of initfast. Names are refused: each process
            would draw a seed.
    """
    if not isinstance(initializer, Initializer):
        raise TypeError(
            "initializer must be an initializer of initfast, such as HeNormal(seed=42); received "
            f"{initializer!r}"
        )
    if isinstance(initializer, Direct):
        initializer.with_seed(0).block(shape, (slice(0, 0),) * len(shape), dtype)


def source_of(initializer: Initializer, shape: indexing.Dims, dtype: DType) -> Source | None:
    """Return what the kernels draw for an initializer, or None if it is more than one draw."""
    if not isinstance(initializer, RandomInitializer):
        return None
    return initializer._source(shape, dtype)


def check_shared_seed(initializer: Initializer, what: str) -> None:
    """Refuse a seed drawn in this process, when other processes make parts of the same array.

    Raises:
        ValueError: naming `what` needs the seed.
    """
    config = initializer.get_config()
    if "seed" in config and config["seed"] is None:
        raise ValueError(
            f"{what} needs a seed, the same in every process; received {initializer!r}, drawn here"
        )


class Blocks:
    """`blocks(index)` is that block as a new array, aligned to 64 bytes; each is made once.

    Args:
        initializer: with one fixed stream, as from `Initializer.pinned`.
        shape: the logical shape.
        dtype: of the array, from `resolve_numeric`.
    """

    def __init__(self, initializer: Initializer, shape: indexing.Dims, dtype: DType) -> None:
        self._initializer = initializer
        self._shape = shape
        self._dtype = dtype
        self._whole: Array | None = None
        self._made: dict[indexing.Part, Array] = {}

    def __call__(self, index: Any) -> Array:
        part = indexing.select(self._shape, index)
        if part not in self._made:
            self._made[part] = self._make(part, index)
        return self._made[part]

    def _make(self, part: indexing.Part, index: Any) -> Array:
        if not self._initializer.whole_only:
            return self._initializer.block(self._shape, index, self._dtype)
        if self._whole is None:
            self._whole = np.asarray(self._initializer(self._shape, self._dtype), self._dtype)
        if part == indexing.whole(self._shape):
            return self._whole
        made = empty(part.shape, self._dtype)
        made[...] = self._whole[index]
        return made
