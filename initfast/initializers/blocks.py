"""The blocks of one logical array, for libraries that request them in any order."""

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
    """Raise the error that computing a part would raise, by computing an empty part.

    Raises:
        TypeError: also if `initializer` is not an initializer of initfast. Names are refused,
            because each process would draw another seed.
    """
    if not isinstance(initializer, Initializer):
        raise TypeError(
            "initializer must be an initializer of initfast, such as HeNormal(seed=42); received "
            f"{initializer!r}"
        )
    if isinstance(initializer, Direct):
        initializer.with_seed(0).block(shape, (slice(0, 0),) * len(shape), dtype)


def source_of(initializer: Initializer, shape: indexing.Dims, dtype: DType) -> Source | None:
    """Return the Source of an initializer, or None if it is not one random draw."""
    if not isinstance(initializer, RandomInitializer) or initializer.whole_only:
        return None
    return initializer._source(shape, dtype)


def check_shared_seed(initializer: Initializer, subject: str) -> None:
    """Raise ValueError if the seed was drawn at random, in this process only.

    Args:
        initializer: an initializer of an array whose parts are made by several processes.
        subject: the subject of the message, such as "a part".
    """
    config = initializer.get_config()
    if "seed" in config and config["seed"] is None:
        raise ValueError(
            f"{subject} needs a seed that is the same in every process: pass seed= to the "
            f"initializer; received {initializer!r}, whose seed was drawn in this process"
        )


class Blocks:
    """The blocks of one logical array, each computed once: `blocks(index)` returns the block as an
    array aligned to 64 bytes.

    Args:
        initializer: an initializer with one fixed stream, as from `Initializer.pinned`.
        shape: the logical shape.
        dtype: the dtype of the array, from `resolve_numeric`.
    """

    def __init__(self, initializer: Initializer, shape: indexing.Dims, dtype: DType) -> None:
        self._initializer = initializer
        self._shape = shape
        self._dtype = dtype
        self._whole: Array | None = None
        self._blocks: dict[indexing.Part, Array] = {}

    def __call__(self, index: Any) -> Array:
        part = indexing.select(self._shape, index)
        if part not in self._blocks:
            self._blocks[part] = self._make(part, index)
        return self._blocks[part]

    def _make(self, part: indexing.Part, index: Any) -> Array:
        if not self._initializer.whole_only:
            return self._initializer.block(self._shape, index, self._dtype)
        if self._whole is None:
            self._whole = np.asarray(self._initializer(self._shape, self._dtype), self._dtype)
        if part == indexing.whole(self._shape):
            return self._whole
        block = empty(part.shape, self._dtype)
        block[...] = self._whole[index]
        return block
