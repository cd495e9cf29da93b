"""Parts of a logical array: the elements that an index selects.

A logical array has up to 8 dims and up to 2**63 elements, numbered in C order. It is never
materialised: everything here is arithmetic in Python integers, which do not overflow."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from functools import lru_cache
from itertools import accumulate
from types import EllipsisType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from initfast import _kernels
from initfast.core.text import short

MAX_DIMS = _kernels.MAX_DIMS
MAX_ELEMENTS = 2**63

Dims = tuple[int, ...]


class Part(NamedTuple):
    """A part of a logical array, with the dims of the part.

    Element (i0, i1, ...) of the part is logical element ``start + i0*steps[0] + i1*steps[1] +
    ...``. With `starts` (rows by id), the leading dims of `shape` that hold ``len(starts)`` entries
    are taken from it in C order instead: `start` and the steps of those dims are 0."""

    shape: Dims
    start: int
    steps: Dims
    starts: npt.NDArray[np.uint64] | None = None


_INT_ONLY = frozenset({int})


def normalize_shape(shape: object) -> Dims:
    """Return `shape` as a tuple of Python integers.

    Args:
        shape: one size, or a sequence of up to 8 sizes; any integers >= 0 (NumPy's too), with a
            product up to 2**63.

    Raises:
        ValueError: if `shape` is anything else: a negative size, None, a float, a bool, too many
            dims or elements.
    """
    if (
        type(shape) is tuple
        and _INT_ONLY.issuperset(map(type, shape))
        and min(shape, default=0) >= 0
    ):
        return _checked(shape, shape)  # the common case: the code below would slow small calls down
    if type(shape) is tuple:
        sizes: Any = shape
    elif hasattr(shape, "__index__") and getattr(shape, "ndim", 0) == 0:
        sizes = (shape,)
    elif (
        hasattr(shape, "__len__")
        and hasattr(shape, "__getitem__")
        and not isinstance(shape, str | bytes | Mapping)
    ):
        sizes = shape
    else:
        raise ValueError(
            f"shape must be an integer or a sequence of integers; received {short(shape)}"
        )
    try:
        dims = tuple(_size(n) for n in sizes)
    except (TypeError, ValueError):
        raise ValueError(
            f"every size in a shape must be an integer >= 0; received {short(shape)}"
        ) from None
    return _checked(dims, shape)


def _checked(dims: Dims, shape: object) -> Dims:
    if len(dims) > MAX_DIMS:
        raise ValueError(
            f"a shape may have at most {MAX_DIMS} dims; received {len(dims)} in {short(shape)}"
        )
    # Sizes of 0 are left out, so that every single size is limited too.
    if math.prod(dims if 0 not in dims else filter(None, dims)) > MAX_ELEMENTS:
        raise ValueError(f"a shape may hold at most 2**63 elements; received {short(shape)}")
    return dims


def shape_hint(value: object) -> str:
    """Return the hint for a constructor's argument that looks like a shape, else ""."""
    if not isinstance(value, tuple | list) or not all(type(size) is int for size in value):
        return ""
    return (
        ". Create the initializer first, then call it with the shape, as in "
        f"HeNormal(seed=42)({tuple(value)})"
    )


def whole(shape: Dims) -> Part:
    """Return all of a logical array of `shape`."""
    return Part(shape, 0, c_steps(shape))


def select(shape: Dims, index: object) -> Part:
    """Return the part of a logical array of `shape` that NumPy would give for ``array[index]``.

    Args:
        shape: sizes of the logical array, from `normalize_shape`.
        index: a basic index: integers, slices with any step (clipped to the array, as NumPy does),
            Ellipsis, np.newaxis, or a tuple of these.

    Raises:
        IndexError: if an integer is out of range, or there are more indices than dims.
        TypeError: if an entry is not a basic index. `take` accepts arrays of row ids.
    """
    items = index if isinstance(index, tuple) else (index,)
    used = sum(item is not None and item is not Ellipsis for item in items)
    if used > len(shape):
        raise IndexError(
            f"an index may have at most one entry per dim, {len(shape)} here; received {index!r}"
        )
    ellipses = sum(item is Ellipsis for item in items)
    if ellipses > 1:
        raise IndexError(
            f"an index may have at most one Ellipsis; received {ellipses} in {index!r}"
        )
    if not ellipses:
        items = (*items, Ellipsis)

    strides = c_steps(shape)
    dims: list[int] = []
    steps: list[int] = []
    start = axis = 0
    for item in items:
        if item is None:
            dims.append(1)
            steps.append(0)
        elif isinstance(item, EllipsisType):
            for _ in range(len(shape) - used):
                dims.append(shape[axis])
                steps.append(strides[axis])
                axis += 1
        elif isinstance(item, slice):
            first, stop, step = item.indices(shape[axis])
            # len(range(...)) would overflow beyond 2**63 - 1.
            dims.append(max(0, (stop - first + step - (1 if step > 0 else -1)) // step))
            steps.append(step * strides[axis])
            start += first * strides[axis]
            axis += 1
        else:
            start += _position(item, shape[axis], axis, index) * strides[axis]
            axis += 1
    return Part(tuple(dims), 0 if 0 in dims else start, tuple(steps))


def run(start: int, count: int) -> Part:
    """Return `count` elements that follow logical element `start` in C order, as one dim.

    Both must lie within the logical array. This is not checked: the callers have divided the array
    into such runs."""
    return Part((count,), start if count else 0, (1,))


def take(shape: Dims, ids: object) -> Part:
    """Return the rows `ids` of a logical array, in the shape ``ids.shape + shape[1:]``.

    Args:
        shape: sizes of the logical array, at least one dim.
        ids: integers in [0, shape[0]) in an array of any rank, in any order, with or without
            repeats.

    Raises:
        TypeError: if `ids` are not integers.
        IndexError: if an id is negative or not below ``shape[0]``, or the array has no rows.
    """
    if not shape:
        raise IndexError("rows need a logical array of at least one dim; received shape ()")
    row_ids = np.asarray(ids)
    if row_ids.size == 0 and not isinstance(ids, np.ndarray):
        row_ids = row_ids.astype(np.uint64)  # np.asarray([]) is float64
    if row_ids.dtype.kind not in "iu":
        raise TypeError(f"row ids must be integers; received an array of {row_ids.dtype}")
    if row_ids.size:
        low, high = int(row_ids.min()), int(row_ids.max())
        if low < 0 or high >= shape[0]:
            invalid = low if low < 0 else high
            raise IndexError(f"row ids must lie in [0, {shape[0]}); received {invalid}")
    row = math.prod(shape[1:])
    starts = row_ids.astype(np.uint64).reshape(-1)
    starts *= np.uint64(row)  # below 2**63 for every id in range
    dims, steps = row_ids.shape + shape[1:], (0,) * row_ids.ndim + c_steps(shape)[1:]
    if row_ids.ndim == 0:
        return Part(dims, int(starts[0]), steps)
    return Part(dims, 0, steps, starts)


def cut(values: npt.NDArray[Any], part: Part) -> npt.NDArray[Any]:
    """Return the elements of a whole array that `part` describes."""
    flat = np.ascontiguousarray(values).reshape(-1)
    if 0 in part.shape:
        return np.empty(part.shape, values.dtype)
    if part.starts is not None:
        row = math.prod(values.shape[1:])
        rows: npt.NDArray[Any] = flat.reshape(-1, row)[part.starts // np.uint64(row)].reshape(
            part.shape
        )
        return rows
    # The step of a dim of size 1 is not used, and may be larger than any stride.
    strides = [
        step * flat.itemsize if n > 1 else 0 for n, step in zip(part.shape, part.steps, strict=True)
    ]
    return np.lib.stride_tricks.as_strided(flat[part.start :], part.shape, strides, writeable=False)


def in_order(part: Part) -> bool:
    """Return whether the elements of `part` follow each other in C order; False may be wrong."""
    return part.starts is None and part.steps == c_steps(part.shape)


@lru_cache(1024)  # a small fill needs them several times
def c_steps(shape: Dims) -> Dims:
    """Return the strides of a C-order array in elements: the step of one index in each dim."""
    return tuple(accumulate(shape[:0:-1], operator.mul, initial=1))[::-1] if shape else ()


def _size(n: object) -> int:
    size = operator.index(n)  # type: ignore[arg-type]
    if isinstance(n, bool) or size < 0:
        raise ValueError
    return size


def _position(item: object, n: int, axis: int, index: object) -> int:
    """Return the position in [0, n) that an integer index means in a dim of size `n`."""
    try:
        position = operator.index(item)  # type: ignore[arg-type]
    except TypeError:
        position = None
    if position is None or isinstance(item, bool | np.bool_):
        raise TypeError(
            "an index must hold only integers, slices, Ellipsis and np.newaxis (`rows` accepts "
            f"arrays of ids); received {item!r}"
        )
    if not -n <= position < n:
        raise IndexError(
            f"index {position} is out of bounds for axis {axis} with size {n}; received {index!r}"
        )
    return position + n if position < 0 else position
