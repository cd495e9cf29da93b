"""From a tape to what a tensor is drawn from (`History.initializer_of`): one function of
`torch.nn.init`, constant values, or the recorded steps, which are repeated (`Recorded`).
"""

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

# Operations that write a tensor without reading its previous content.
_OVERWRITING = {"fill_", "zero_", "copy_", "content", "initial", *draws.IN_PLACE, *RECIPES}


class Uninitialised(ValueError):
    """The error for a tensor that depends on uninitialised memory."""


class History:
    """The events of a tape, indexed by the storages that they write."""

    def __init__(self, events: Sequence[Event]) -> None:
        self._events = events
        self._writers: dict[int, list[int]] = defaultdict(list)
        for index, event in enumerate(events):
            for key in {each.key for each in (*event.writes, *event.outs) if each is not None}:
                self._writers[key].append(index)

    def initializer_of(
        self, ref: Ref, zeros: Container[int] = ()
    ) -> tuple[Spec | Initializer, bool]:
        """Return what a tensor is drawn from, and whether the model's code decides it, not only
        the default of the tensor's layer.

        Args:
            ref: the tensor.
            zeros: the rows that are always 0.

        Raises:
            Uninitialised: the tensor depends on uninitialised memory.
            ValueError: initfast cannot replay a random operation.
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
        if not complete and _has_unset_bits(program.values(Seed(0))):
            raise Uninitialised("nothing initialises it")
        if any(step.draws or step.name == "initial" for step in steps):
            return program, own
        return constant(program.values(Seed(0))) or program, own

    def _relevant(self, ref: Ref) -> tuple[list[Event], bool]:
        """Return the events that a tensor's values depend on, in their order, and whether they
        define every storage that they read.
        """
        needed_keys: set[int] = set()
        queue: list[tuple[int, int]] = []
        indices: list[int] = []
        complete = True

        def need(key: int, before: int) -> None:
            """Queue the last event before index `before` that writes the storage `key`."""
            nonlocal complete
            writers = self._writers.get(key, [])
            index = bisect_left(writers, before) - 1
            needed_keys.add(key)
            if index < 0:
                complete = False
            else:
                heappush(queue, (-writers[index], key))

        need(ref.key, len(self._events))
        while queue:
            index, key = heappop(queue)
            event = self._events[-index]
            overwrites = event.name in _OVERWRITING
            if key in needed_keys:
                needed_keys.discard(key)
                writes = [each for each in event.writes if each.key == key]
                if writes and not (overwrites and writes[0].whole):
                    need(key, -index)
            if indices and indices[-1] == -index:
                continue
            indices.append(-index)
            reads = tree_leaves((event.args[1:] if overwrites else event.args, event.kwargs))
            for each in reads:
                if isinstance(each, Ref) and each.key not in needed_keys:
                    need(each.key, -index)
        return [self._events[index] for index in reversed(indices)], complete


class Recorded(RandomInitializer):
    """An initializer that repeats the steps of a model's own code, with random values of initfast.

    The first draw uses the stream of the seed; the others have separate streams within it. A part
    is cut from the whole tensor and costs as much.

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
            view = torch.empty(0, dtype=value.dtype)
            return view.set_(storages[value.key], value.offset, value.size, value.stride)

        count = 0
        with torch.no_grad(), torch.device("cpu"):
            for step in self.steps:
                args, kwargs = tree_map(tensor, step.args), tree_map(tensor, step.kwargs)
                result: Any = ()
                if step.name == "content":
                    tensor(step.writes[0]).copy_(args[0])
                elif step.draws or step.name == "initial":
                    stream = seed.named(f"draw {count}") if count else seed
                    count += 1
                    if step.name == "initial":
                        draws.write_spec(tensor(step.writes[0]), args[0], stream)
                    else:
                        result = draws.replay(step, args, kwargs, stream)
                else:
                    result = step.function(*args, **kwargs)
                results = result if isinstance(result, tuple | list) else (result,)
                for out, each in zip(step.outs, results, strict=False):
                    if out is not None:
                        storages[out.key] = each.untyped_storage()
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

    # No kernel draws these values, so the base class measures them afterwards.
    _write_measured = Initializer._write_measured

    def __repr__(self) -> str:
        return f"Recorded({' -> '.join(step.name for step in self.steps)})"


def constant(values: torch.Tensor) -> Spec | Initializer | None:
    """Return the initializer of constant values, or None if no initializer can hold them."""
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


def of_values(values: torch.Tensor) -> Spec | Initializer:
    """Return an initializer that writes the values of a tensor with memory."""
    values = values.detach().cpu().contiguous()
    ref = Ref(0, values.nbytes, values.dtype, tuple(values.shape), values.stride(), 0)
    return constant(values) or Recorded([Event("content", (values,), {}, (ref,))], ref)


def _has_unset_bits(values: torch.Tensor) -> bool:
    """Return whether some memory was never written. `Recorded.values` begins with all bits set,
    which is NaN for floats and -1 for integers.
    """
    return bool(values.isnan().any() if values.dtype.is_floating_point else (values == -1).any())
