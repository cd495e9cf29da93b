"""From the arguments `seed`, `name` and `generator` to the stream of one tensor (`choose`), and the
warning if two tensors are drawn from one stream.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.multiprocessing.reductions import StorageWeakRef

from initfast.core.seeds import AnySeed, ReusedSeedWarning, Seed, SeedGenerator, given_seed
from initfast.core.warn import warn


def choose(seed: AnySeed, name: str | None, generator: Any, sharded: bool) -> Seed:
    """Return the stream of one tensor.

    Args:
        seed: an integer in [0, 2**64), a `Seed`, or a `SeedGenerator`, whose next stream is used.
            None: draw a seed from `generator`.
        name: the name of the stream within the seed.
        generator: a torch.Generator. None: torch's default generator of the CPU.
        sharded: whether the tensor is a DTensor.

    Raises:
        ValueError: seed and generator are both given, or a name and a SeedGenerator; or a DTensor
            has neither seed nor generator.
    """
    if seed is not None and generator is not None:
        raise ValueError("seed cannot be combined with generator")
    if seed is None:
        if sharded and generator is None:
            raise ValueError(
                "a DTensor needs seed=, the same on all ranks, so that its shards are parts of "
                "one tensor (or a generator= that is in the same state on all ranks)"
            )
        stream = draw_seed(generator)
    else:
        value = given_seed(seed)
        if isinstance(value, SeedGenerator):
            if name is not None:
                raise ValueError(
                    f"name={name!r} cannot be combined with a SeedGenerator: pass an integer or a "
                    "Seed as seed"
                )
            return value.next()
        assert value is not None
        stream = value if isinstance(value, Seed) else Seed(value)
    return stream if name is None else stream.named(name)


def draw_seed(generator: Any = None) -> Seed:
    """Draw a seed below 2**63 from a torch.Generator, so that `torch.manual_seed` determines it."""
    # The device is explicit because `with torch.device("meta")` changes the default.
    device = "cpu" if generator is None else generator.device
    value = torch.empty((), dtype=torch.int64, device=device).random_(generator=generator)
    return Seed(int(value.item()))


_MOST_STREAMS = 4096
_last_tensors: dict[Seed, tuple[StorageWeakRef, int] | None] = {}
"""The last tensor drawn from each stream without a name; None after a warning for the stream."""


def check_reuse(stream: Seed, tensor: torch.Tensor, way_out: str) -> None:
    """Warn, once per stream, if another tensor that still exists was drawn from it.

    Drawing the same tensor again does not warn, nor does drawing a new one after the old one was
    deleted: a notebook cell may run twice, and a loop may try several models.

    Args:
        stream: the stream that `tensor` is drawn from.
        tensor: the tensor.
        way_out: how to get separate streams, for the end of the message.
    """
    if len(_last_tensors) > _MOST_STREAMS:
        _last_tensors.clear()
    address = tensor.data_ptr()
    previous = _last_tensors.get(stream, ())
    if previous is None:
        return
    if previous and previous[1] != address and not previous[0].expired():  # type: ignore[no-untyped-call]
        _last_tensors[stream] = None
        warn(
            f"two tensors are drawn from {stream}, so they get the same values: {way_out}",
            ReusedSeedWarning,
        )
        return
    storage = StorageWeakRef(tensor.untyped_storage())  # type: ignore[no-untyped-call]
    _last_tensors[stream] = storage, address
