"""What is written into: the part of a logical tensor that this process holds; and how."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch

from initfast.core.indexing import Dims
from initfast.core.seeds import Seed
from initfast.initializers.base import Initializer
from initfast.initializers.fixed_rows import FixedRows, Rows

__all__ = ["Fill", "Target", "block", "narrow", "starts"]


class Target(NamedTuple):
    """Memory of this process, and the part of the logical tensor of `shape` that it holds (None:
    all of it).
    """

    local: torch.Tensor
    shape: Dims
    where: tuple[slice, ...] | None


class Fill(NamedTuple):
    """How to write a target. One that draws writes CPU memory and needs a seed; others write on any
    device.

    `says` makes the initializer of initfast that writes the same with the same seed, but for
    `fixed_rows`; None if there is none. `unsplit`: the first of the dims whose parts cost as much
    as the whole, so that no chunk cuts them; None if all parts are cheap."""

    run: Callable[[Target, Seed], None]
    draws: bool = True
    says: Callable[[], Initializer] | None = None
    fixed_rows: tuple[Rows, ...] = ()
    unsplit: int | None = None

    def initializer(self, seed: Seed) -> Initializer | None:
        """Return the initializer that writes the same with this seed; None if there is none."""
        if self.says is None:
            return None
        made = self.says().with_seed(seed)
        return FixedRows(made, self.fixed_rows) if self.fixed_rows else made


def starts(target: Target) -> Dims:
    """Return the logical place of a target's first element, dim by dim."""
    return (
        (0,) * len(target.shape)
        if target.where is None
        else tuple(part.start for part in target.where)
    )


def narrow(target: Target, dim: int, low: int, high: int) -> Target:
    """Return the part of a target from `low` to `high` of one dim of its memory."""
    where = [
        slice(first, first + size)
        for first, size in zip(starts(target), target.local.shape, strict=True)
    ]
    where[dim] = slice(where[dim].start + low, where[dim].start + high)
    return Target(target.local.narrow(dim, low, high - low), target.shape, tuple(where))


def block(target: Target, dim: int, start: int, stop: int) -> Target | None:
    """Return the part of a target in `start` to `stop` of one logical dim, as a target in the
    tensor of these alone; None if there is none.
    """
    first = starts(target)[dim]
    low, high = max(start - first, 0), min(stop - first, target.local.shape[dim])
    if low >= high:
        return None
    part = narrow(target, dim, low, high)
    assert part.where is not None
    where, shape = list(part.where), list(part.shape)
    where[dim] = slice(where[dim].start - start, where[dim].stop - start)
    shape[dim] = stop - start
    return Target(part.local, tuple(shape), tuple(where))
