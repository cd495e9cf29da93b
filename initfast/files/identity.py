"""Whether a partial is of the same write: what must not be mended is the partial of another one.

Another write has another seed, shape, dtype, initializer or version. It is recognised, before
anything is written, in pieces of 64 bytes; a piece of zeros counts as never written:
- a piece of the header differs;
- or the file is longer than it would become;
- or, of the first chunk that has been written, more than half of the pieces differ. If that chunk
  holds one value throughout, as zeros and biases do, the next chunk is looked at too."""

from __future__ import annotations

import contextlib
import itertools

import numpy as np

from initfast.core import buffers
from initfast.files import formats
from initfast.files.chunks import BYTE, Bytes, Maker, chunks, groups
from initfast.files.formats import File
from initfast.files.partial import Partial

__all__ = ["begun_with", "is_same_write"]

# Groups that are looked at: more than can be unwritten in front of others.
_PROBED = 256
_PIECE = 64


def is_same_write(partial: Partial, file: File, maker: Maker, chunk_bytes: int) -> bool:
    """Return whether a partial is of this write, by the rule in the docstring of this module."""
    header = np.zeros(len(file.header), np.uint8)
    partial.read(header.data, 0)
    written, same = _pieces(header, np.frombuffer(file.header, np.uint8))
    if partial.found > file.size or same < written:
        return False
    return not _has_other_values(partial, file, maker, chunk_bytes)


def _has_other_values(partial: Partial, file: File, maker: Maker, chunk_bytes: int) -> bool:
    all_groups = groups(chunks(file.tensors, chunk_bytes), chunk_bytes)
    for group in itertools.islice(all_groups, _PROBED):
        held = np.zeros(group.nbytes, np.uint8)
        partial.read(held.data, group.offset)
        for chunk, there in group.parts(held) if held.any() else ():
            if not there.any():
                continue
            raw = buffers.empty((chunk.nbytes,), BYTE)
            maker.make(chunk, raw, maker.prepare(chunk))
            written, same = _pieces(there, raw)
            if 2 * same < written:
                return True
            elements = raw.reshape(chunk.size, -1)
            if not (elements == elements[0]).all():
                return False
    return False


def _pieces(there: Bytes, raw: Bytes) -> tuple[int, int]:
    """Return how many pieces have been written, and how many of these are as they should be."""
    size = -(-len(raw) // _PIECE) * _PIECE
    padded = [np.pad(each, (0, size - len(each))).reshape(-1, _PIECE) for each in (there, raw)]
    written = padded[0].any(axis=1)
    return int(written.sum()), int((written & (padded[0] == padded[1]).all(axis=1)).sum())


def begun_with(partial: Partial, file: File) -> str:
    """Return what the header of a partial says of it, as far as it can be read."""
    with contextlib.suppress(ValueError, OSError):
        stored = formats.read(partial.path, formats.format_of(file.path))
        for wrong in formats.locate(stored, file.tensors):
            if isinstance(wrong, ValueError):
                return f" (must hold {wrong})"
        seed = formats.seed_of(stored.metadata)
        return "" if seed is None else f" (it was begun with seed {seed})"
    return ""
