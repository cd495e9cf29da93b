"""Initializers computed from the index, without random numbers."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from initfast.core import distributions, engine, indexing
from initfast.core.buffers import Buffer
from initfast.core.dtypes import DType, resolve_numeric
from initfast.core.seeds import Seed
from initfast.core.types import Array, DTypeLike
from initfast.initializers.base import Direct

_LARGE = 1 << 20  # bytes; a smaller constant is not worth starting threads
_PIECE = 1 << 16  # elements computed at a time, which limits the extra memory


class FromIndex(Direct):
    """Base class of initializers whose values depend only on the index, in any numeric dtype."""

    def _dtype(self, dtype: DTypeLike) -> DType:
        try:
            return resolve_numeric(dtype)
        except ValueError as error:
            raise ValueError(f"Invalid dtype: {dtype}. {error}") from None


def write_one(target: Buffer, part: indexing.Part, value: Array) -> None:
    """Write one value everywhere, with the kernels if the part is large and they support it."""
    native = target.dtype
    large = math.prod(part.shape) * native.itemsize >= _LARGE
    if large and native.itemsize in (1, 2, 4, 8) and native.alignment == native.itemsize:
        engine.fill(distributions.constant(value.astype(native).tobytes()), Seed(0), target, part)
    else:
        target.array[...] = value


def write_elements(
    out: Array, part: indexing.Part, values: Callable[[npt.NDArray[np.uint64]], Array]
) -> None:
    """Write `values(ids)` for the logical elements of a part, `_PIECE` elements at a time."""
    row = math.prod(part.shape) // max(1, len(part.starts)) if part.starts is not None else 0
    for low in range(0, out.size, _PIECE):
        places = np.arange(low, min(low + _PIECE, out.size), dtype=np.uint64)
        if part.starts is not None:
            ids = part.starts[places // row] + places % row
        else:
            ids = np.full(places.shape, part.start, np.uint64)
            rest = places
            for length, step in zip(part.shape[::-1], part.steps[::-1], strict=True):
                rest, place = np.divmod(rest, length)
                if length > 1:
                    ids += place * np.uint64(step % 2**64)  # a negative step wraps around
        out.flat[low : low + len(places)] = values(ids).astype(out.dtype)
