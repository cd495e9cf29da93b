"""What a tape says about a tensor: one function of `torch.nn.init`, values, or steps to repeat."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Container, Sequence
from heapq import heappop, heappush
from typing import Any

import torch
from torch.utils._pytree import tree_leaves, tree_map

from initfast.core import indexing
from initfast.core.buffers import Buffer
from initfast.core.dtypes import DType, resolve_numeric
from initfast.core.rounding import in_fixed_environment
from initfast.core.seeds import AnySeed, Seed
from initfast.core.types import DTypeLike
from initfast.initializers.base import Initializer
from initfast.initializers.constant import Constant
from initfast.initializers.random import RandomInitializer
from initfast.torch import draws, folding
from initfast.torch.defaults import Spec
from initfast.torch.recipes import RECIPES
from initfast.torch.tape import Event, Ref

# These write without reading what was there.
_OVERWRITE = {"fill_", "zero_", "copy_", "held", "initial", *draws.IN_PLACE, *RECIPES}


class Unknown(ValueError):
    """A tensor depends on what its memory held before anybody initialised it."""


class History:
    """The events of a tape, by the tensors that they write."""

    def __init__(self, events: Sequence[Event]) -> None:
        self._events = events
        self._places: dict[int, list[int]] = defaultdict(list)
        for place, event in enumerate(events):
            for key in {each.key for each in (*event.writes, *event.outs) if each is not None}:
                self._places[key].append(place)

    def what(self, ref: Ref, zeros: Container[int] = ()) -> tuple[Spec | Initializer, bool]:
        """Return what a tensor is drawn from, and whether more says so than its layer's default.

        Args:
            zeros: its rows that are 0 in any case.

        Raises:
            Unknown: see there.
            ValueError: an operation draws what initfast has no counterpart of.
        """
        steps, complete = self._relevant(ref)
        own = any(step.name != "initial" for step in steps)
        spec = folding.fold(steps, ref, zeros)
        if spec is not None:
            return spec, own
        for step in steps:
            if step.draws:
                draws.check(step)
        program = Recorded(steps, ref)
        if not complete and _unset(program.values(Seed(0))):
            raise Unknown("nothing initialises it")
        if any(step.draws or step.name == "initial" for step in steps):
            return program, own
        return constant(program.values(Seed(0))) or program, own

    def _relevant(self, ref: Ref) -> tuple[list[Event], bool]:
        """Return the events that a tensor's values depend on, in their order, and whether these
        begin with known values.
        """
        needed: set[int] = set()
        queue: list[tuple[int, int]] = []
        found: list[int] = []
        complete = True

        def need(key: int, before: int) -> None:
            """Ask for the last event before a place that wrote a storage."""
            nonlocal complete
            places = self._places.get(key, [])
            place = bisect_left(places, before) - 1
            needed.add(key)
            if place < 0:
                complete = False
            else:
                heappush(queue, (-places[place], key))

        need(ref.key, len(self._events))
        while queue:
            place, key = heappop(queue)
            event = self._events[-place]
            overwrites = event.name in _OVERWRITE
            if key in needed:
                needed.discard(key)
                kept = [each for each in event.writes if each.key == key]
                if kept and not (overwrites and kept[0].whole):
                    need(key, -place)
            if found and found[-1] == -place:
                continue
            found.append(-place)
            read = tree_leaves((event.args[1:] if overwrites else event.args, event.kwargs))
            for each in read:
                if isinstance(each, Ref) and each.key not in needed:
                    need(each.key, -place)
        return [self._events[place] for place in reversed(found)], complete


class Recorded(RandomInitializer):
    """The values that a model's own code computes from draws, each draw made by initfast.

    The first draw is the stream of the seed, others have separate streams within it. A part
    costs as much as the whole, from which it is cut.

    Args:
        steps: the events that the values depend on.
        ref: the tensor of the tape.
        seed: as for all initializers.
    """

    whole_only = True

    def __init__(self, steps: list[Event], ref: Ref, seed: AnySeed = None) -> None:
        self.steps, self.ref = steps, ref
        super().__init__(seed)

    @in_fixed_environment
    def values(self, seed: Seed) -> torch.Tensor:
        """Return the whole tensor, on the CPU."""
        storages: dict[int, Any] = {}

        def tensor(value: Any) -> Any:
            if not isinstance(value, Ref):
                return value
            if value.key not in storages:
                memory = torch.full((value.nbytes,), 255, dtype=torch.uint8)
                storages[value.key] = memory.untyped_storage()
            held = torch.empty(0, dtype=value.dtype)
            return held.set_(storages[value.key], value.offset, value.size, value.stride)

        count = 0
        with torch.no_grad(), torch.device("cpu"):
            for step in self.steps:
                args, kwargs = tree_map(tensor, step.args), tree_map(tensor, step.kwargs)
                result: Any = ()
                if step.name == "held":
                    tensor(step.writes[0]).copy_(args[0])
                elif step.draws or step.name == "initial":
                    stream = seed.named(f"draw {count}") if count else seed
                    count += 1
                    if step.name == "initial":
                        draws.specified(tensor(step.writes[0]), args[0], stream)
                    else:
                        result = draws.play(step, args, kwargs, stream)
                else:
                    result = step.function(*args, **kwargs)
                results = result if isinstance(result, tuple | list) else (result,)
                for out, made in zip(step.outs, results, strict=False):
                    if out is not None:
                        storages[out.key] = made.untyped_storage()
            result = tensor(self.ref).clone()
        assert isinstance(result, torch.Tensor)
        return result

    @in_fixed_environment
    def _write(self, target: Buffer, shape: indexing.Dims, part: indexing.Part) -> None:
        if shape != self.ref.size:
            raise ValueError(f"the shape was {self.ref.size} when recorded; received {shape}")
        if 0 in part.shape:
            return
        values = self.values(self._next_seed())
        if values.is_floating_point():
            values = values.double()
        target.array[...] = indexing.cut(values.numpy(), part)

    def _dtype(self, dtype: DTypeLike) -> DType:
        return resolve_numeric(dtype)

    # No kernel draws these values.
    _write_measured = Initializer._write_measured

    def __repr__(self) -> str:
        return f"Recorded({' -> '.join(step.name for step in self.steps)})"


def constant(values: torch.Tensor) -> Spec | Initializer | None:
    """Values as what a spec can hold; None if it cannot."""
    if values.numel() and (values == values.flatten()[0]).all():
        first = values.flatten()[0].item()
        if first == first and abs(first) != float("inf") and not isinstance(first, complex):
            return folding.constant(first)
    try:
        return Constant(
            (values.double() if values.is_floating_point() else values).contiguous().numpy()
        )
    except (TypeError, ValueError):
        return None


def held(values: torch.Tensor) -> Spec | Initializer:
    """Return what writes the values of a tensor with memory."""
    values = values.detach().cpu().contiguous()
    ref = Ref(0, values.nbytes, values.dtype, tuple(values.shape), values.stride(), 0)
    return constant(values) or Recorded([Event("held", (values,), {}, (ref,))], ref)


def _unset(values: torch.Tensor) -> bool:
    """Return whether memory is left that nothing wrote: all its bits are set, which floats read as
    NaN.
    """
    return bool(values.isnan().any() if values.dtype.is_floating_point else (values == -1).any())
