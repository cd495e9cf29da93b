"""Whether an unfinished file belongs to the same write. That of another write must not be changed.

Another write has another seed, shape, dtype, initializer or version. It is recognised before
anything is written, by comparing pieces of 64 bytes. A piece of zeros counts as not yet written.
The unfinished file belongs to another write if one of these holds:
- a piece of the header differs;
- the file is longer than the finished file would be;
- in the first chunk with written pieces, more than half of these differ. If all elements of that
  chunk are equal, as in biases, the next chunk is compared too."""

from __future__ import annotations

import contextlib
import itertools

import numpy as np

from initfast.core import buffers
from initfast.files import formats
from initfast.files.chunks import BYTE, Bytes, Maker, chunks, groups
from initfast.files.formats import File
from initfast.files.partial import Partial

__all__ = ["is_same_write", "origin"]

# Groups that are compared. Fewer groups than this can be unwritten before a written one.
_PROBED = 256
_PIECE = 64


def is_same_write(partial: Partial, file: File, maker: Maker, chunk_bytes: int) -> bool:
    """Return whether a partial belongs to this write, by the rule at the top of this module."""
    header = np.zeros(len(file.header), np.uint8)
    partial.read(header.data, 0)
    written, same = _pieces(header, np.frombuffer(file.header, np.uint8))
    if partial.existing_size > file.size or same < written:
        return False
    return not _has_other_values(partial, file, maker, chunk_bytes)


def _has_other_values(partial: Partial, file: File, maker: Maker, chunk_bytes: int) -> bool:
    all_groups = groups(chunks(file.tensors, chunk_bytes), chunk_bytes)
    for group in itertools.islice(all_groups, _PROBED):
        stored = np.zeros(group.nbytes, np.uint8)
        partial.read(stored.data, group.offset)
        for chunk, part in group.parts(stored) if stored.any() else ():
            if not part.any():
                continue
            raw = buffers.empty((chunk.nbytes,), BYTE)
            maker.make(chunk, raw, maker.prepare(chunk))
            written, same = _pieces(part, raw)
            if 2 * same < written:
                return True
            elements = raw.reshape(chunk.size, -1)
            if not (elements == elements[0]).all():
                return False
    return False


def _pieces(stored: Bytes, raw: Bytes) -> tuple[int, int]:
    """Return how many pieces have been written, and how many of these match `raw`."""
    size = -(-len(raw) // _PIECE) * _PIECE
    padded = [np.pad(each, (0, size - len(each))).reshape(-1, _PIECE) for each in (stored, raw)]
    written = padded[0].any(axis=1)
    return int(written.sum()), int((written & (padded[0] == padded[1]).all(axis=1)).sum())


def origin(partial: Partial, file: File) -> str:
    """Return a note on the write that began a partial, from its header; '' if there is none."""
    with contextlib.suppress(ValueError, OSError):
        stored = formats.read(partial.path, formats.format_of(file.path))
        for wrong in formats.locate(stored, file.tensors):
            if isinstance(wrong, ValueError):
                return f" (it must hold {wrong})"
        seed = formats.seed_of(stored.metadata)
        return "" if seed is None else f" (it was begun with seed {seed})"
    return ""
