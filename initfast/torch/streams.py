"""Which stream a tensor is drawn from: the one that `seed` and `name` say, or one that torch's
generator picks.
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
        seed: an integer in [0, 2**64) or `Seed`; a `SeedGenerator` gives its next stream; None
            draws a seed.
        name: chooses the stream within the seed.
        generator: a torch.Generator to draw a seed from; None means the default one of the CPU.
        sharded: the tensor is a DTensor.

    Raises:
        ValueError: if both seed and generator are given, if a name meets a SeedGenerator, or if a
            DTensor has neither seed nor generator.
    """
    if seed is not None and generator is not None:
        raise ValueError("seed cannot be combined with generator")
    if seed is None:
        if sharded and generator is None:
            raise ValueError(
                "a DTensor needs seed=, the same on all ranks, so that its shards are parts of "
                "one tensor; received "
                "none (a generator= that is in the same state on all ranks is good too)"
            )
        found = draw_seed(generator)
    else:
        given = given_seed(seed)
        if isinstance(given, SeedGenerator):
            if name is not None:
                raise ValueError(
                    "name needs an integer seed or a Seed, not a SeedGenerator; received "
                    f"name={name!r}"
                )
            return given.next()
        assert given is not None
        found = given if isinstance(given, Seed) else Seed(given)
    return found if name is None else found.named(name)


def draw_seed(generator: Any = None) -> Seed:
    """Return a seed below 2**63 from a torch.Generator, so that `torch.manual_seed` governs it;
    moves it on by one draw.
    """
    # The device is said, because `with torch.device("meta")` would change it.
    device = "cpu" if generator is None else generator.device
    drawn = torch.empty((), dtype=torch.int64, device=device).random_(generator=generator)
    return Seed(int(drawn.item()))


_MOST = 4096
_drawn: dict[Seed, tuple[StorageWeakRef, int] | None] = {}
"""The tensor last drawn from each stream that no name chose; None once that was warned of."""


def note(stream: Seed, tensor: torch.Tensor, way_out: str) -> None:
    """Warn, once for each stream, if another tensor that still exists was drawn from it.

    A tensor that is drawn again is no fault, and neither is one whose predecessor is gone: a cell
    of a notebook that runs twice, a loop over trials.
    """
    if len(_drawn) > _MOST:
        _drawn.clear()
    place = tensor.data_ptr()
    before = _drawn.get(stream, ())
    if before is None:
        return
    if before and before[1] != place and not before[0].expired():  # type: ignore[no-untyped-call]
        _drawn[stream] = None
        warn(
            f"two tensors are drawn from {stream}, and hold the same values: {way_out}",
            ReusedSeedWarning,
        )
        return
    storage = StorageWeakRef(tensor.untyped_storage())  # type: ignore[no-untyped-call]
    _drawn[stream] = storage, place
