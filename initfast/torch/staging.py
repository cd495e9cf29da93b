"""Write a tensor on an accelerator through two buffers in CPU memory: one chunk is drawn while the
previous one is copied, so that no tensor needs to fit in CPU memory as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from initfast.core.seeds import Seed
from initfast.torch.fills import Fill, Target, narrow

__all__ = ["write"]

CHUNK = 32 << 20  # bytes per buffer
_PINNED = ("cuda", "xpu")  # devices whose copies from pinned memory run in parallel to the CPU


def write(target: Target, fill: Fill, seed: Seed) -> None:
    """Draw the target chunk by chunk, and copy each chunk to the device.

    If a part costs as much as the whole, as for an orthogonal matrix, there is one chunk. With
    pinned memory, the last copies may still be running on the device's current stream on return.
    """
    memory = _Memory(target.local)
    parts = list(_chunks(target, max(1, CHUNK // target.local.element_size()), fill.unsplit))
    size = max(part.local.numel() for part in parts)
    buffers = [memory.buffer(size) for _ in parts[:2]]
    events: list[Any] = [None] * len(buffers)
    for count, part in enumerate(parts):
        index = count % len(buffers)
        if events[index] is not None:
            events[index].synchronize()
        buffer = buffers[index][: part.local.numel()].view(part.local.shape)
        fill.run(part._replace(local=buffer), seed)
        events[index] = memory.copy(part.local, buffer)


def _chunks(target: Target, limit: int, unsplit: int | None) -> Iterator[Target]:
    """Return the chunks of a target, in C order, of at most `limit` elements each if splitting the
    dims before `unsplit` is enough for that.
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
    """The way to allocate CPU buffers for a tensor and to copy from them to its device."""

    def __init__(self, like: torch.Tensor) -> None:
        self._like = like
        self._pinned = like.device.type in _PINNED

    def buffer(self, size: int) -> torch.Tensor:
        """Return a flat buffer of the tensor's dtype."""
        return torch.empty(size, dtype=self._like.dtype, device="cpu", pin_memory=self._pinned)

    def copy(self, part: torch.Tensor, buffer: torch.Tensor) -> Any:
        """Copy, and return the event after which `buffer` may be overwritten, or None if now."""
        part.copy_(buffer, non_blocking=self._pinned)
        if not self._pinned:
            return None
        return torch.accelerator.current_stream(part.device).record_event()
