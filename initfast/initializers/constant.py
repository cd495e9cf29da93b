"""Constants and the identity: the same value everywhere, an array of values, or a diagonal."""

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
    """0 everywhere, in any numeric dtype."""

    @in_fixed_environment
    def _write(self, target: Buffer, shape: indexing.Dims, part: indexing.Part) -> None:
        write_one(target, part, np.array(0))


class Ones(FromIndex):
    """1 everywhere, in any numeric dtype."""

    @in_fixed_environment
    def _write(self, target: Buffer, shape: indexing.Dims, part: indexing.Part) -> None:
        write_one(target, part, np.array(1))


class Constant(FromIndex):
    """One value, or an array of values broadcast to the logical shape, in any numeric dtype.

    Args:
        value: a finite number or boolean, or an array of them.

    The value is cast to the dtype as NumPy does it; a value that the dtype cannot hold raises
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
        # Not `numpy.broadcast_shapes`, which stops at 2**63 - 1 elements.
        pairs = zip(values.shape[::-1], shape[::-1], strict=False)
        if values.ndim > len(shape) or any(held not in (1, n) for held, n in pairs):
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
                places: list[npt.NDArray[np.uint64]] = []
                for length, held in zip(axes[::-1], values.shape[::-1], strict=True):
                    ids, place = np.divmod(ids, length)
                    places.append(place if held > 1 else np.zeros_like(place))
                found: Array = values[tuple(places[::-1])]
                return found

            write_elements(target.array, part, look_up)


class Identity(FromIndex):
    """`gain` on the main diagonal of a matrix, which need not be square, and 0 elsewhere.

    Args:
        gain: finite number.

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
        found = _diagonal(part, shape[1])
        if found is None:
            cols = shape[1]
            zero = np.zeros_like(gain)
            write_elements(out, part, lambda ids: np.where(ids // cols == ids % cols, gain, zero))
        else:
            write_one(target, part, np.array(0))
            out[found] = gain


def _diagonal(part: indexing.Part, cols: int) -> tuple[npt.NDArray[np.intp], ...] | None:
    """Return the indices of the diagonal within a part, if it is made of rows or a window."""
    if part.starts is not None:
        rows = part.starts // np.uint64(cols)
        hit = np.flatnonzero(rows < cols)
        return (*np.unravel_index(hit, part.shape[:-1]), rows[hit].astype(np.intp))
    if len(part.shape) != 2:
        return None
    first, left = divmod(part.start, cols)
    # The step of a single entry is never taken, and may be larger than any integer of NumPy.
    down, across = (step if n > 1 else 0 for n, step in zip(part.shape, part.steps, strict=True))
    if down % cols or not 0 <= left + (part.shape[1] - 1) * across < cols:
        return None
    rows_of_window = first + np.arange(part.shape[0]) * (down // cols)
    places, rest = np.divmod(rows_of_window - left, across or 1)
    hit = np.flatnonzero((rest == 0) & (places >= 0) & (places < part.shape[1]))
    return hit, places[hit].astype(np.intp)
