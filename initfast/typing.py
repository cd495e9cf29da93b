"""The types of the public functions' arguments and results, for annotations of your own, as
`numpy.typing` has them.
"""

from initfast.core.types import Array, DTypeLike, Index, RowIds, SeedLike, Shape

__all__ = ["Array", "DTypeLike", "Index", "RowIds", "SeedLike", "Shape"]
