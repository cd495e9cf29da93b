"""Where a branch joins the stream that it was computed from, from the operations of a run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

__all__ = ["Flow", "Join"]


@dataclass
class Join:
    """A sum of two tensors of one shape, to one of which a layer has contributed that has not
    contributed to the other.

    Attributes:
        name: of the layer or model in which it is computed.
        stream: which of the two, 0 or 1, the other was computed from; None: neither.
        source: the number of the tensor that the stream is, if a layer gave this very one.
        layers: for each of the two, the numbers of the tensors that layers gave on the way to it,
            and not on the way to the other.
        sizes: RMS of the two and of their sum; filled in by whoever has their values.
    """

    name: str
    stream: int | None
    source: int | None
    layers: tuple[list[int], list[int]]
    sizes: tuple[float, float, float] = (0.0, 0.0, 0.0)


class Flow:
    """What each tensor of a run was computed from. Tensors are any objects with shape and dtype:
    arrays, or the variables of a program. What is not floating carries no signal.

    Attributes: joins: the sums found, in order.
    """

    def __init__(self) -> None:
        self.joins: list[Join] = []
        self._count = 0
        # By identity: the tensor itself, so that no other gets its place; its own bit; and those
        # of all that it was computed from, with its own.
        self._known: dict[int, tuple[Any, int, int]] = {}
        self._numbers: dict[int, int] = {}  # by bit, the number of what a layer gave

    def computed(self, outputs: Iterable[Any], inputs: Iterable[Any]) -> None:
        """An operation has computed the outputs from the inputs."""
        behind = 0
        for each in inputs:
            if id(each) not in self._known:
                self._note(each, 0)
            behind |= self._behind(each)
        for each in outputs:
            self._note(each, behind)

    def gave(self, number: int, tensor: Any) -> None:
        """A layer has given a tensor, which gets a number."""
        if id(tensor) not in self._known:
            self._note(tensor, 0)
        self._numbers[self._known[id(tensor)][1]] = number

    def join(self, name: str, a: Any, b: Any) -> Join | None:
        """`a` and `b` are added up. Returns the join that this is, without sizes, or None."""
        if not (self._behind(a) and self._behind(b)):
            return None
        shapes = [tuple(_form(each).shape) for each in (a, b)]
        if shapes[0] != shapes[1] or len(shapes[0]) < 2:
            return None
        pairs = ((a, b), (b, a))
        stream = next((i for i, (x, y) in enumerate(pairs) if self._own(x) & self._behind(y)), None)
        source = None
        if stream is None:
            one, other = (self._layers(self._behind(x) & ~self._behind(y)) for x, y in pairs)
            found = bool(one and other)
        else:
            x, y = pairs[stream]
            # What is older than the stream cannot have come from it.
            newer = self._layers(self._behind(y) & -2 * self._own(x))
            one, other = ([], newer) if stream == 0 else (newer, [])
            source, found = self._numbers.get(self._own(x)), bool(newer)
        if not found:
            return None
        self.joins.append(Join(name, stream, source, (one, other)))
        return self.joins[-1]

    def _note(self, tensor: Any, behind: int) -> None:
        if _floating(tensor):
            self._count += 1
            own = 1 << self._count
            self._known[id(tensor)] = (tensor, own, behind | own)

    def _layers(self, bits: int) -> list[int]:
        return [number for bit, number in self._numbers.items() if bit & bits]

    def _own(self, tensor: Any) -> int:
        return self._known.get(id(tensor), (None, 0, 0))[1]

    def _behind(self, tensor: Any) -> int:
        return self._known.get(id(tensor), (None, 0, 0))[2]


def _form(tensor: Any) -> Any:
    """Return what has a tensor's shape and dtype: of a program's variable, its abstract value."""
    return getattr(tensor, "aval", tensor)


def _floating(tensor: Any) -> bool:
    return "float" in str(getattr(_form(tensor), "dtype", ""))
