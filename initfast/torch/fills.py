"""`Target`: the memory of this process, and its place in the logical tensor. `Fill`: how to write
a target.
"""

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
    """The memory `local` of this process, and the index `where` of the logical tensor of `shape`
    that it holds (None: the whole tensor).
    """

    local: torch.Tensor
    shape: Dims
    where: tuple[slice, ...] | None


class Fill(NamedTuple):
    """A way to write a target. A fill that draws needs a seed and writes CPU memory; other fills
    write on any device.

    Attributes:
        run: writes a target, with a seed.
        draws: whether `run` draws random values.
        equivalent: returns the initializer of initfast that writes the same values with the same
            seed, except in `fixed_rows`. None: there is no such initializer.
        fixed_rows: rows that hold a constant instead.
        unsplit: the first dim that chunks must not divide, because a part costs as much as the
            whole. None: every part is cheap.
    """

    run: Callable[[Target, Seed], None]
    draws: bool = True
    equivalent: Callable[[], Initializer] | None = None
    fixed_rows: tuple[Rows, ...] = ()
    unsplit: int | None = None

    def initializer(self, seed: Seed) -> Initializer | None:
        """Return the initializer that writes the same with this seed; None if there is none."""
        if self.equivalent is None:
            return None
        initializer = self.equivalent().with_seed(seed)
        return FixedRows(initializer, self.fixed_rows) if self.fixed_rows else initializer


def starts(target: Target) -> Dims:
    """Return the logical index of a target's first element."""
    return (
        (0,) * len(target.shape)
        if target.where is None
        else tuple(part.start for part in target.where)
    )


def narrow(target: Target, dim: int, low: int, high: int) -> Target:
    """Return the part of a target from `low` to `high` along one dim of its memory."""
    where = [
        slice(first, first + size)
        for first, size in zip(starts(target), target.local.shape, strict=True)
    ]
    where[dim] = slice(where[dim].start + low, where[dim].start + high)
    return Target(target.local.narrow(dim, low, high - low), target.shape, tuple(where))


def block(target: Target, dim: int, start: int, stop: int) -> Target | None:
    """Return the part of a target that lies in `start:stop` of one logical dim, as a target whose
    logical tensor is this block alone. Return None if this process holds nothing of the block.
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
