"""The types of public arguments and results; `initfast.typing` exports them."""

from __future__ import annotations

from collections.abc import Sequence
from types import EllipsisType
from typing import Any, Protocol, SupportsIndex, TypeAlias

import numpy as np
import numpy.typing as npt

from initfast.core.dtypes import DType
from initfast.core.seeds import AnySeed

__all__ = ["Array", "DTypeLike", "Index", "RowIds", "SeedLike", "Shape"]

Array: TypeAlias = npt.NDArray[Any]
"""A NumPy array of any shape and dtype."""


class _Named(Protocol):
    """A dtype of TensorFlow."""

    @property
    def name(self) -> str: ...


class _Torch(Protocol):
    """A dtype of PyTorch."""

    @property
    def is_floating_point(self) -> bool: ...


Shape: TypeAlias = SupportsIndex | Sequence[SupportsIndex]
"""One size, or a sequence of up to 8 sizes: integers >= 0 (NumPy's too) with a product up to 2**63.
"""

_Entry: TypeAlias = SupportsIndex | slice | EllipsisType | None
Index: TypeAlias = _Entry | tuple[_Entry, ...]
"""A basic index of NumPy, as `np.s_[...]` returns it."""

RowIds: TypeAlias = npt.ArrayLike
"""Integers in [0, shape[0]), in an array of any rank."""

DTypeLike: TypeAlias = str | np.dtype[Any] | type[np.generic] | DType | _Named | _Torch | None
"""A name ('float32', 'bfloat16', ...), a dtype of NumPy, ml_dtypes, PyTorch, JAX or TensorFlow, or
None for float32.
"""

SeedLike: TypeAlias = AnySeed
"""None, an integer in [0, 2**64), a `Seed`, a `SeedGenerator`, or one of these two serialized."""
