"""`window`: the index of a DTensor's local part in the whole tensor.

The protocol of torch.distributed.checkpoint, `__create_chunk_list__`, gives an offset for each dim.
It is used only if it agrees with the placements, which are computed here, and with the shape of the
local tensor."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from initfast.core.indexing import Dims

Run = tuple[int, int]  # the first index and the number of consecutive indices


def window(tensor: Any, local: Any) -> tuple[slice, ...]:
    """Return the index of a DTensor's local part in the whole tensor.

    Raises:
        ValueError: the part is not a single block of the whole, or the checkpoint protocol, the
            placements and the local shape disagree.
    """
    chunks = tensor.__create_chunk_list__()  # raises for Partial placements, which hold summands
    chunk_blocks = [
        (tuple(map(int, chunk.offsets)), tuple(map(int, chunk.sizes))) for chunk in chunks
    ]
    if len(chunk_blocks) != 1:
        raise ValueError(f"a DTensor must have one local part; received {len(chunk_blocks)} parts")
    offsets, sizes = chunk_blocks[0]
    local_shape = tuple(local.shape)
    expected = _block(tensor)
    if sizes != local_shape or (0 not in local_shape and (offsets, sizes) != expected):
        raise ValueError(
            "the placements of a DTensor must agree with its local tensor; received "
            f"{tuple(tensor.placements)} on a mesh of shape {tuple(tensor.device_mesh.shape)}: "
            f"the shape {sizes} at {offsets} by the checkpoint protocol, {expected[1]} at "
            f"{expected[0]} by the placements, and a local tensor of shape {local_shape}"
        )
    return tuple(slice(first, first + size) for first, size in zip(offsets, sizes, strict=True))


def _block(tensor: Any) -> tuple[Dims, Dims]:
    """Return (offsets, sizes) of the local part, computed from the placements alone."""
    mesh = tensor.device_mesh
    coordinates = mesh.get_coordinate()
    runs: list[list[Run]] = [[(0, int(size))] for size in tensor.shape]
    for axis, placement in enumerate(tensor.placements):
        placement_name = type(placement).__name__
        if placement_name == "Replicate":
            continue
        if placement_name not in ("Shard", "_StridedShard"):
            raise ValueError(
                f"a DTensor must be placed by Shard or Replicate; received {placement}"
            )
        before = runs[placement.dim]
        strided = int(placement.split_factor) if placement_name == "_StridedShard" else 1
        pieces = [_chunk(before, strided, piece) for piece in range(strided)]
        chunks = [_chunk(piece, mesh.size(axis), coordinates[axis]) for piece in pieces]
        runs[placement.dim] = [run for piece in chunks for run in piece]
    blocks = [_merged(dim) for dim in runs]
    for dim, block in enumerate(blocks):
        if len(block) > 1:
            raise ValueError(
                "a DTensor's local part must be one block of the whole; received "
                f"{tuple(tensor.placements)}, which give {len(block)} pieces along dim {dim}"
            )
    ends = [block[0] if block else (0, 0) for block in blocks]
    return tuple(first for first, _ in ends), tuple(size for _, size in ends)


def _chunk(runs: list[Run], parts: int, number: int) -> list[Run]:
    """Return part `number` of `parts` of the indices in `runs`, as `torch.chunk` divides them."""
    total = sum(size for _, size in runs)
    share = -(-total // parts)
    low, high = number * share, (number + 1) * share
    part, before = [], 0
    for first, size in runs:
        start, stop = max(low - before, 0), min(high - before, size)
        if start < stop:
            part.append((first + start, stop - start))
        before += size
    return part


def _merged(runs: Iterable[Run]) -> list[Run]:
    """Return the same indices with adjacent runs joined and empty ones left out."""
    merged: list[Run] = []
    for first, size in runs:
        if size and merged and sum(merged[-1]) == first:
            first, size = merged[-1][0], merged.pop()[1] + size
        if size:
            merged.append((first, size))
    return merged
