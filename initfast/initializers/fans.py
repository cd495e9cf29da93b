"""Compute fans, the numbers of inputs and outputs of one unit, from the shape of a weight array.

`AXES` is the only table of the roles of axes, by engine and kind of weight."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from initfast.core.indexing import Dims

__all__ = ["AXES", "Axes", "check_axes", "compute_fans", "einsum_axes", "jax_fans", "torch_fans"]


class Axes(NamedTuple):
    """The roles of a weight's axes: inputs, outputs, and independent copies in one array (batch).

    All other axes are the receptive field, whose product multiplies both fans.
    """

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    batch: tuple[int, ...] = ()
    grouped: str = "outputs"
    """The role, "inputs" or "outputs", that counts the channels of all groups; the other one counts
    the channels of one group.
    """

    def fans(self, shape: Dims, groups: int = 1) -> tuple[int, int]:
        """Return (fan_in, fan_out) of one unit of one group."""
        field = math.prod(shape[axis] for axis in self._field(len(shape)))
        fan_in, fan_out = (
            math.prod(shape[axis] for axis in axes) * field for axes in (self.inputs, self.outputs)
        )
        if self.grouped == "inputs":
            return fan_in // groups, fan_out
        return fan_in, fan_out // groups

    def arguments(self, rank: int) -> dict[str, list[int]]:
        """Return the `input_axes` and `output_axes` of a VarianceScaling with these fans."""
        field = self._field(rank)
        return {"input_axes": [*self.inputs, *field], "output_axes": [*self.outputs, *field]}

    def _field(self, rank: int) -> list[int]:
        """Return the axes of the receptive field, which have no role."""
        axes_with_roles = {axis % rank for axis in (*self.inputs, *self.outputs, *self.batch)}
        return [axis for axis in range(rank) if axis not in axes_with_roles]


AXES = {
    "keras": Axes((-2,), (-1,)),  # dense (in, out); convolution (*field, in / groups, out)
    "keras transposed": Axes((-1,), (-2,)),  # (*field, out, in)
    "keras depthwise": Axes((), (-1,), batch=(-2,)),  # (*field, in, outputs for each input)
    "keras experts": Axes((-2,), (-1,), batch=(0,)),  # (expert, in, out)
    "torch": Axes((1,), (0,)),  # linear (out, in); convolution (out, in / groups, *field)
    "torch transposed": Axes((0,), (1,), grouped="inputs"),  # (in, out / groups, *field)
    "torch experts": Axes((-1,), (-2,), batch=(0,)),  # (expert, out, in)
}
"""The roles by engine and kind of weight, for rank 2 or more. JAX's functions take axes as
arguments (`jax_fans`), and an einsum has them in its equation (`einsum_axes`)."""


def compute_fans(
    shape: Sequence[int],
    input_axes: Sequence[int] | None = None,
    output_axes: Sequence[int] | None = None,
) -> tuple[int, int]:
    """Return (fan_in, fan_out) of a weight array, as in Keras.

    Args:
        shape: the logical shape, also for a part of the array. Rank 0 gives (1, 1), rank 1 gives
            (n, n), rank 2 its two lengths. Higher ranks give the last two lengths, each times the
            receptive field, which is the product of all lengths before them.
        input_axes: the axes whose lengths multiply to fan_in; negative axes count from the end, an
            empty sequence gives 1.
        output_axes: the same for fan_out. As in Keras, both are ignored if one is None.

    Raises:
        ValueError: an axis lies outside the shape or occurs twice.

    >>> compute_fans((3, 3, 8, 16))
    (72, 144)
    >>> compute_fans((512, 8, 64), input_axes=[0], output_axes=[1, 2])
    (512, 512)
    """
    if input_axes is not None and output_axes is not None:
        fan_in = _product(shape, "input_axes", input_axes)
        return fan_in, _product(shape, "output_axes", output_axes)
    if len(shape) < 2:
        size = math.prod(shape)
        return size, size
    return AXES["keras"].fans(tuple(shape))


def torch_fans(shape: Dims, groups: int = 1) -> tuple[int, int]:
    """Return (fan_in, fan_out) as in `torch.nn.init`, which always assumes one group.

    Raises:
        ValueError: the shape has fewer than two dims.
    """
    if len(shape) < 2:
        raise ValueError(
            "Fan in and fan out can not be computed for tensor with fewer than 2 dimensions"
        )
    return AXES["torch"].fans(shape, groups)


def jax_fans(
    shape: Dims,
    in_axis: int | Sequence[int],
    out_axis: int | Sequence[int],
    batch_axis: int | Sequence[int],
) -> tuple[float, float]:
    """Return (fan_in, fan_out) as in `jax.nn.initializers`. An axis may have two roles.

    Raises:
        ValueError: the shape has fewer than two dims, and `in_axis` is the default.
    """
    if len(shape) <= 1 and in_axis == -2:
        raise ValueError(
            f"Can't compute input and output sizes of a {len(shape)}-dimensional weights tensor"
            " with default in_axis. Must be at least 2D or specify in_axis explicitly."
        )
    inputs, outputs, batch = (
        math.prod(shape[axis] for axis in ((axes,) if isinstance(axes, int) else axes))
        for axes in (in_axis, out_axis, batch_axis)
    )
    field = math.prod(shape) / inputs / outputs / batch
    return inputs * field, outputs * field


def einsum_axes(equation: str) -> Axes:
    """Return the axes of the kernel, the second operand of an einsum, as in Keras' EinsumDense: the
    outputs are the letters that occur in the result.

    >>> einsum_axes("abc,cde->abde")
    Axes(inputs=(0,), outputs=(1, 2), batch=(), grouped='outputs')
    """
    operands, result = equation.replace(" ", "").split("->")
    letters = operands.split(",")[1]
    outputs = tuple(axis for axis, letter in enumerate(letters) if letter in result)
    return Axes(tuple(axis for axis in range(len(letters)) if axis not in outputs), outputs)


def _product(shape: Sequence[int], name: str, axes: Sequence[int]) -> int:
    """Return the product of the lengths of some axes, the argument `name` of `compute_fans`."""
    rank = len(shape)
    if not all(-rank <= axis < rank for axis in axes):
        raise ValueError(
            f"{name} must lie within a shape of rank {rank};"
            f" received {list(axes)} for {tuple(shape)}"
        )
    positions = {axis % rank for axis in axes}
    if len(positions) != len(axes):
        raise ValueError(
            f"{name} must not name an axis twice; received {list(axes)} for {tuple(shape)}"
        )
    return math.prod(shape[position] for position in positions)


def check_axes(name: str, axes: object) -> tuple[int, ...] | None:
    """Return the argument `name`, input_axes or output_axes, as a tuple of integers or None.

    Raises:
        TypeError: `axes` is neither None nor a sequence of integers.
    """
    if axes is None:
        return None
    listed = isinstance(axes, (Sequence, np.ndarray)) and not isinstance(axes, (str, bytes))
    items: list[Any] = list(axes) if listed else [None]  # type: ignore[call-overload]
    if any(isinstance(axis, (bool, np.bool_)) or not hasattr(axis, "__index__") for axis in items):
        raise TypeError(f"{name} must be None or a sequence of integers; received {axes!r}")
    return tuple(operator.index(axis) for axis in items)
