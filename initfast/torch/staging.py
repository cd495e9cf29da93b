"""Write a tensor of an accelerator from CPU memory: two pinned buffers in turn, so that a chunk is
drawn while the one before is copied, and no tensor lies in CPU memory as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from initfast.core.seeds import Seed
from initfast.torch.fills import Fill, Target, narrow

__all__ = ["write"]

CHUNK = 32 << 20  # bytes of one of the two buffers
_PINNED = ("cuda", "xpu")  # devices whose copies from pinned memory run in parallel to the CPU


def write(target: Target, fill: Fill, seed: Seed) -> None:
    """Draw the target chunk by chunk, and copy each to its device.

    What costs as much for a part as for the whole, such as one orthogonal matrix, is one chunk. On
    a device with pinned memory the last copies may still run on the device's current stream when
    this returns.
    """
    memory = _Memory(target.local)
    parts = list(_chunks(target, max(1, CHUNK // target.local.element_size()), fill.unsplit))
    size = max(part.local.numel() for part in parts)
    turns = [memory.buffer(size) for _ in parts[:2]]
    copied: list[Any] = [None] * len(turns)
    for number, part in enumerate(parts):
        turn = number % len(turns)
        if copied[turn] is not None:
            copied[turn].synchronize()
        staged = turns[turn][: part.local.numel()].view(part.local.shape)
        fill.run(part._replace(local=staged), seed)
        copied[turn] = memory.copy(part.local, staged)


def _chunks(target: Target, limit: int, unsplit: int | None) -> Iterator[Target]:
    """Return the parts of a target, in C order, of at most `limit` elements each as far as dims
    before `unsplit` allow it.
    """
    shape = target.local.shape
    dim = next((dim for dim, size in enumerate(shape[:unsplit]) if size > 1), None)
    if target.local.numel() <= limit or dim is None:
        yield target
        return
    row = target.local.numel() // shape[dim]
    step = max(1, limit // row)
    for low in range(0, shape[dim], step):
        yield from _chunks(narrow(target, dim, low, min(low + step, shape[dim])), limit, unsplit)


class _Memory:
    """Buffers on the CPU for copies to the device of a tensor."""

    def __init__(self, like: torch.Tensor) -> None:
        self._like = like
        self._pinned = like.device.type in _PINNED

    def buffer(self, size: int) -> torch.Tensor:
        """Return a flat buffer of the tensor's dtype."""
        return torch.empty(size, dtype=self._like.dtype, device="cpu", pin_memory=self._pinned)

    def copy(self, part: torch.Tensor, staged: torch.Tensor) -> Any:
        """Copy, and return the event after which `staged` may be written again; None: at once."""
        part.copy_(staged, non_blocking=self._pinned)
        if not self._pinned:
            return None
        return torch.accelerator.current_stream(part.device).record_event()
