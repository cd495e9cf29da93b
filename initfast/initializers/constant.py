"""Constants and the identity matrix."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from initfast.core import indexing
from initfast.core.buffers import Buffer
from initfast.core.rounding import in_fixed_environment
from initfast.core.types import Array
from initfast.initializers.from_index import FromIndex, write_elements, write_one
from initfast.initializers.validation import cast, number, numbers, scalar

__all__ = ["Constant", "Identity", "Ones", "Zeros"]


class Zeros(FromIndex):
    """Zeros, in any numeric dtype."""

    @in_fixed_environment
    def _write(self, target: Buffer, shape: indexing.Dims, part: indexing.Part) -> None:
        write_one(target, part, np.array(0))


class Ones(FromIndex):
    """Ones, in any numeric dtype."""

    @in_fixed_environment
    def _write(self, target: Buffer, shape: indexing.Dims, part: indexing.Part) -> None:
        write_one(target, part, np.array(1))


class Constant(FromIndex):
    """One value, or an array of values broadcast to the logical shape, in any numeric dtype.

    Args:
        value: a finite number or boolean, or an array of them.

    The value is cast to the dtype as in NumPy. A value that the dtype cannot hold raises
    ValueError.

    >>> Constant([1, 2])((2, 2), dtype="int8").tolist()
    [[1, 2], [1, 2]]
    """

    _config_keys = ("value",)

    def __init__(self, value: Any = 0.0) -> None:
        values = numbers("value", value)
        self.value: Any = values if values.ndim else scalar(values)

    @in_fixed_environment
    def _write(self, target: Buffer, shape: indexing.Dims, part: indexing.Part) -> None:
        values = cast("value", np.asarray(self.value), target.dtype)
        # `numpy.broadcast_shapes` does not accept 2**63 elements.
        pairs = zip(values.shape[::-1], shape[::-1], strict=False)
        if values.ndim > len(shape) or any(size not in (1, n) for size, n in pairs):
            raise ValueError(
                f"value must broadcast to the logical shape, {shape}; received shape {values.shape}"
            )
        if values.ndim == 0:
            write_one(target, part, values)
        elif part.starts is None and part == indexing.whole(shape):
            target.array[...] = values
        else:
            axes = shape[len(shape) - values.ndim :]

            def look_up(ids: npt.NDArray[np.uint64]) -> Array:
                coordinates: list[npt.NDArray[np.uint64]] = []
                for length, size in zip(axes[::-1], values.shape[::-1], strict=True):
                    ids, coordinate = np.divmod(ids, length)
                    coordinates.append(coordinate if size > 1 else np.zeros_like(coordinate))
                result: Array = values[tuple(coordinates[::-1])]
                return result

            write_elements(target.array, part, look_up)


class Identity(FromIndex):
    """An identity matrix times `gain`, square or not: `gain` on the main diagonal, 0 elsewhere.

    Args:
        gain: a finite number.

    >>> Identity(gain=2)((2, 3)).tolist()
    [[2.0, 0.0, 0.0], [0.0, 2.0, 0.0]]
    """

    _config_keys = ("gain",)

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = number("gain", gain)

    @in_fixed_environment
    def _write(self, target: Buffer, shape: indexing.Dims, part: indexing.Part) -> None:
        if len(shape) != 2:
            raise ValueError(
                "Identity matrix initializer can only be used for 2D matrices. "
                f"Received: shape={shape} of rank {len(shape)}."
            )
        out = target.array
        gain = cast("gain", np.asarray(self.gain), out.dtype)
        if out.size == 0:
            return
        diagonal = _diagonal(part, shape[1])
        if diagonal is None:
            cols = shape[1]
            zero = np.zeros_like(gain)
            write_elements(out, part, lambda ids: np.where(ids // cols == ids % cols, gain, zero))
        else:
            write_one(target, part, np.array(0))
            out[diagonal] = gain


def _diagonal(part: indexing.Part, cols: int) -> tuple[npt.NDArray[np.intp], ...] | None:
    """Return the indices of the diagonal in a part, or None if the part is not a 2-D window."""
    if part.starts is not None:
        rows = part.starts // np.uint64(cols)
        hits = np.flatnonzero(rows < cols)
        return (*np.unravel_index(hits, part.shape[:-1]), rows[hits].astype(np.intp))
    if len(part.shape) != 2:
        return None
    first_row, first_column = divmod(part.start, cols)
    # A dim of length 1 does not use its step, which may be too large for a NumPy integer.
    down, across = (step if n > 1 else 0 for n, step in zip(part.shape, part.steps, strict=True))
    if down % cols or not 0 <= first_column + (part.shape[1] - 1) * across < cols:
        return None
    rows_of_window = first_row + np.arange(part.shape[0]) * (down // cols)
    columns, remainders = np.divmod(rows_of_window - first_column, across or 1)
    hits = np.flatnonzero((remainders == 0) & (columns >= 0) & (columns < part.shape[1]))
    return hits, columns[hits].astype(np.intp)
