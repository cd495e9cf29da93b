"""Find from the operations of a run where a residual branch joins its stream."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

__all__ = ["Flow", "Join"]


@dataclass
class Join:
    """A sum of two tensors of one shape, where some layer has contributed to only one of them.

    Attributes:
        name: of the layer or model that computes the sum.
        stream: the index, 0 or 1, of the tensor from which the other was computed; None: neither.
        source: the number of the stream's tensor, if it is the output of a layer.
        layers: for each of the two, the numbers of the layer outputs on the way to it that are not
            on the way to the other.
        sizes: RMS of the two and of their sum; the caller fills them in.
    """

    name: str
    stream: int | None
    source: int | None
    layers: tuple[list[int], list[int]]
    sizes: tuple[float, float, float] = (0.0, 0.0, 0.0)


class Flow:
    """The dependencies between the tensors of a run.

    Tensors are any objects with shape and dtype: arrays, or the variables of a program. Only
    floating tensors carry a signal.

    Attributes:
        joins: the residual sums so far, in order.
    """

    def __init__(self) -> None:
        self.joins: list[Join] = []
        self._count = 0
        # By identity: the tensor itself, so that its id stays in use; its bit; and the bits of the
        # tensor and of all tensors that it was computed from.
        self._tensors: dict[int, tuple[Any, int, int]] = {}
        self._numbers: dict[int, int] = {}  # by bit, the number of the layer output

    def note_operation(self, outputs: Iterable[Any], inputs: Iterable[Any]) -> None:
        """Note that an operation has computed the outputs from the inputs."""
        behind = 0
        for each in inputs:
            if id(each) not in self._tensors:
                self._note(each, 0)
            behind |= self._ancestors(each)
        for each in outputs:
            self._note(each, behind)

    def note_output(self, number: int, tensor: Any) -> None:
        """Note that a tensor is the output of a layer, with its number."""
        if id(tensor) not in self._tensors:
            self._note(tensor, 0)
        self._numbers[self._tensors[id(tensor)][1]] = number

    def join(self, name: str, a: Any, b: Any) -> Join | None:
        """Return the join at which `a` and `b` are added, without sizes; None if it is not one."""
        if not (self._ancestors(a) and self._ancestors(b)):
            return None
        shapes = [tuple(_form(each).shape) for each in (a, b)]
        if shapes[0] != shapes[1] or len(shapes[0]) < 2:
            return None
        pairs = ((a, b), (b, a))
        stream = next(
            (i for i, (x, y) in enumerate(pairs) if self._bit(x) & self._ancestors(y)), None
        )
        source = None
        if stream is None:
            one, other = (self._layers(self._ancestors(x) & ~self._ancestors(y)) for x, y in pairs)
            is_join = bool(one and other)
        else:
            x, y = pairs[stream]
            # A layer output that is older than the stream was not computed from it.
            newer = self._layers(self._ancestors(y) & -2 * self._bit(x))
            one, other = ([], newer) if stream == 0 else (newer, [])
            source, is_join = self._numbers.get(self._bit(x)), bool(newer)
        if not is_join:
            return None
        self.joins.append(Join(name, stream, source, (one, other)))
        return self.joins[-1]

    def _note(self, tensor: Any, behind: int) -> None:
        if _floating(tensor):
            self._count += 1
            own = 1 << self._count
            self._tensors[id(tensor)] = (tensor, own, behind | own)

    def _layers(self, bits: int) -> list[int]:
        return [number for bit, number in self._numbers.items() if bit & bits]

    def _bit(self, tensor: Any) -> int:
        return self._tensors.get(id(tensor), (None, 0, 0))[1]

    def _ancestors(self, tensor: Any) -> int:
        return self._tensors.get(id(tensor), (None, 0, 0))[2]


def _form(tensor: Any) -> Any:
    """Return the object with a tensor's shape and dtype: for a variable of a program, its abstract
    value."""
    return getattr(tensor, "aval", tensor)


def _floating(tensor: Any) -> bool:
    return "float" in str(getattr(_form(tensor), "dtype", ""))
