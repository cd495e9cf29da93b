"""Where in the whole the local part of a DTensor lies.

torch.distributed.checkpoint's own protocol, `__create_chunk_list__`, says so, but gives only the
first place of each dim. It is believed once the placements, worked out here, and the local tensor
agree with it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from initfast.core.indexing import Dims

Run = tuple[int, int]  # first place, how many


def window(tensor: Any, local: Any) -> tuple[slice, ...]:
    """Return the index of a DTensor's local part into the whole.

    Raises:
        ValueError: if the part is no single block of the whole, or torch's accounts of it differ.
    """
    chunks = (
        tensor.__create_chunk_list__()
    )  # raises for partial placements, which hold no whole elements
    found = [(tuple(map(int, chunk.offsets)), tuple(map(int, chunk.sizes))) for chunk in chunks]
    if len(found) != 1:
        raise ValueError(f"a DTensor must have one local part; received {len(found)} of them")
    offsets, sizes = found[0]
    held = tuple(local.shape)
    expected = _block(tensor)
    if sizes != held or (0 not in held and (offsets, sizes) != expected):
        raise ValueError(
            "the placements of a DTensor must say which part of the whole its local tensor is; "
            "received "
            f"{tuple(tensor.placements)} on a mesh of shape {tuple(tensor.device_mesh.shape)}, "
            f"which put {sizes} at "
            f"{offsets} (checkpoint protocol) or {expected[1]} at {expected[0]} (placements), and "
            f"a local {held}"
        )
    return tuple(slice(first, first + size) for first, size in zip(offsets, sizes, strict=True))


def _block(tensor: Any) -> tuple[Dims, Dims]:
    """(offsets, sizes) of the local part, from the placements alone, dim by dim."""
    mesh = tensor.device_mesh
    coordinate = mesh.get_coordinate()
    runs: list[list[Run]] = [[(0, int(size))] for size in tensor.shape]
    for axis, placement in enumerate(tensor.placements):
        kind = type(placement).__name__
        if kind == "Replicate":
            continue
        if kind not in ("Shard", "_StridedShard"):
            raise ValueError(
                f"a DTensor must be placed by Shard or Replicate; received {placement}"
            )
        before = runs[placement.dim]
        strided = int(placement.split_factor) if kind == "_StridedShard" else 1
        pieces = [_chunk(before, strided, piece) for piece in range(strided)]
        chosen = [_chunk(piece, mesh.size(axis), coordinate[axis]) for piece in pieces]
        runs[placement.dim] = [run for piece in chosen for run in piece]
    blocks = [_merged(dim) for dim in runs]
    for dim, block in enumerate(blocks):
        if len(block) > 1:
            raise ValueError(
                "a DTensor's local part must be one block of the whole; received "
                f"{tuple(tensor.placements)}, which "
                f"leave {len(block)} pieces of dim {dim}"
            )
    ends = [block[0] if block else (0, 0) for block in blocks]
    return tuple(first for first, _ in ends), tuple(size for _, size in ends)


def _chunk(runs: list[Run], parts: int, which: int) -> list[Run]:
    """Return the part that `torch.chunk` would make of the places in `runs`, as runs."""
    total = sum(size for _, size in runs)
    share = -(-total // parts)
    low, high = which * share, (which + 1) * share
    found, seen = [], 0
    for first, size in runs:
        start, stop = max(low - seen, 0), min(high - seen, size)
        if start < stop:
            found.append((first + start, stop - start))
        seen += size
    return found


def _merged(runs: Iterable[Run]) -> list[Run]:
    merged: list[Run] = []
    for first, size in runs:
        if size and merged and sum(merged[-1]) == first:
            first, size = merged[-1][0], merged.pop()[1] + size
        if size:
            merged.append((first, size))
    return merged
