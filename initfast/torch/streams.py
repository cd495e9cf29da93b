"""Which stream a tensor is drawn from: the one that `seed` and `name` say, or one that torch's
generator picks.
"""

from __future__ import annotations

from typing import Any

import torch

from initfast.core.seeds import AnySeed, Seed, SeedGenerator, given_seed


def choose(seed: AnySeed, name: str | None, generator: Any, sharded: bool) -> Seed:
    """The stream of one tensor.

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
        raise ValueError("seed and generator exclude each other; received both")
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
    """A seed below 2**63 from a torch.Generator, so that `torch.manual_seed` governs it; moves it
    on by one draw.
    """
    # The device is said, because `with torch.device("meta")` would change it.
    device = "cpu" if generator is None else generator.device
    drawn = torch.empty((), dtype=torch.int64, device=device).random_(generator=generator)
    return Seed(int(drawn.item()))
