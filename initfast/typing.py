"""The types of public arguments and results, for your own annotations."""

from initfast.core.moments import Moments
from initfast.core.types import Array, DTypeLike, Index, RowIds, SeedLike, Shape

__all__ = ["Array", "DTypeLike", "Index", "Moments", "RowIds", "SeedLike", "Shape"]
