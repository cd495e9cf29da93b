"""Fans: how many inputs and outputs one unit of a weight array has, from its logical shape alone."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["compute_fans"]


def compute_fans(
    shape: Sequence[int],
    input_axes: Sequence[int] | None = None,
    output_axes: Sequence[int] | None = None,
) -> tuple[int, int]:
    """The pair (fan_in, fan_out) of a weight array, as Keras computes it; the fans of a part are
    those of the whole.

    Args:
        shape: the logical shape. Rank 0 gives (1, 1), rank 1 (n, n), rank 2 its two lengths; above
            that the last two lengths, each times the receptive field, which is the product of all
            lengths before them.
        input_axes: axes whose lengths multiply to fan_in; negative ones count from the end, none at
            all gives 1.
        output_axes: likewise for fan_out. Axes count only if both are given, as in Keras.

    Raises:
        ValueError: an axis lies outside the shape or is given twice.

    >>> compute_fans((3, 3, 8, 16))
    (72, 144)
    >>> compute_fans((512, 8, 64), input_axes=[0], output_axes=[1, 2])
    (512, 512)
    """
    if input_axes is not None and output_axes is not None:
        return _product(shape, "input_axes", input_axes), _product(
            shape, "output_axes", output_axes
        )
    rank = len(shape)
    if rank == 2:
        return shape[0], shape[1]
    if rank == 0:
        return 1, 1
    if rank == 1:
        return shape[0], shape[0]
    field = math.prod(shape[:-2])
    return shape[-2] * field, shape[-1] * field


def _product(shape: Sequence[int], name: str, axes: Sequence[int]) -> int:
    rank = len(shape)
    places = set()
    for axis in axes:
        if not -rank <= axis < rank:
            raise ValueError(
                f"{name} must lie within a shape of rank {rank}; received {list(axes)} for {tuple(shape)}"
            )
        places.add(axis % rank)
    if len(places) != len(axes):
        raise ValueError(
            f"{name} must not name an axis twice; received {list(axes)} for {tuple(shape)}"
        )
    return math.prod(shape[place] for place in places)


def check_axes(name: str, axes: object) -> tuple[int, ...] | None:
    """The argument `name` of an initializer, input_axes or output_axes, as a tuple of plain
    integers.

    Raises:
        TypeError: it is neither None nor a sequence of integers.
    """
    if axes is None:
        return None
    listed = isinstance(axes, (Sequence, np.ndarray)) and not isinstance(axes, (str, bytes))
    items: list[Any] = list(axes) if listed else [None]  # type: ignore[call-overload]
    if any(isinstance(axis, (bool, np.bool_)) or not hasattr(axis, "__index__") for axis in items):
        raise TypeError(f"{name} must be None or a sequence of integers; received {axes!r}")
    return tuple(operator.index(axis) for axis in items)
