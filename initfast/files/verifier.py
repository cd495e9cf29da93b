"""Compare a file with what its tensors should be: every chunk is made again."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from initfast.core.regular import open_regular
from initfast.files import formats
from initfast.files.chunks import CHUNK_BYTES, Bytes, Chunk, Group, chunks, equal, groups, values
from initfast.files.formats import StoredFile, Tensor
from initfast.files.partial import read_at
from initfast.files.walker import Scratch, walk


@dataclass(frozen=True, slots=True)
class Difference:
    """The first thing in which a tensor is not what it should be.

    Args:
        tensor: its name; None if the format has no names.
        index: the element, an entry per dim; None if the header differs.
        offset: byte of the file at which that element lies; None if the header differs.
        expected, found: both as text.
    """

    tensor: str | None
    index: tuple[int, ...] | None
    offset: int | None
    expected: str
    found: str

    def __str__(self) -> str:
        place = (
            "the header" if self.index is None else f"element {self.index} at byte {self.offset}"
        )
        name = "" if self.tensor is None else f"tensor {self.tensor!r}: "
        return f"{name}{place} should be {self.expected}; found {self.found}"


def compare(
    file: StoredFile,
    tensors: Sequence[Tensor],
    *,
    rows: tuple[int, int] | None = None,
    advance: Callable[[int], object] | None = None,
    chunk_bytes: int = CHUNK_BYTES,
) -> list[Difference]:
    """Return the first difference of each tensor that differs, in order of the file.

    Args:
        file: from `formats.read`; tensors lie where its header says, in any order.
        tensors: all that it should hold; their offsets are not looked at.
        rows: entries (first, last) of the first dim to compare, for one tensor. Default: all.
        advance: called with counts of bytes of data, on the calling thread.

    Uses `get_num_threads()` threads, and memory that does not grow with the file.
    """
    differences, located = _compare_headers(file, tensors)
    located.sort(key=lambda tensor: tensor.offset)
    wrong: set[int] = set()
    scratch = Scratch()
    with open_regular(file.path) as opened:
        descriptor = opened.fileno()

        def work(group: Group, raw: Bytes) -> list[tuple[Tensor, Difference]]:
            there = scratch.of(group.nbytes)
            if read_at(descriptor, there.data, group.offset) < group.nbytes:
                raise OSError(
                    f"{os.fspath(file.path)}: the file must keep its size while it is read;"
                    f" received its end after byte {group.offset}"
                )
            if equal(raw, there):
                return []
            pairs = zip(group.parts(raw), group.parts(there), strict=True)
            return [
                (chunk.tensor, _first(chunk, expected, found))
                for (chunk, expected), (_, found) in pairs
                if not equal(expected, found)
            ]

        def todo() -> Iterator[Chunk]:
            # The rest of a tensor that is known to differ is not looked at.
            for chunk in chunks(located, chunk_bytes, rows):
                if chunk.tensor.offset not in wrong:
                    yield chunk

        with contextlib.closing(walk(groups(todo(), chunk_bytes), work)) as steps:
            for group, _, found, _ in steps:
                for tensor, difference in found:
                    if tensor.offset not in wrong:
                        wrong.add(tensor.offset)
                        differences.append(difference)
                if advance is not None:
                    advance(group.nbytes)
    return differences


def _compare_headers(
    file: StoredFile, tensors: Sequence[Tensor]
) -> tuple[list[Difference], list[Tensor]]:
    """Return tensors that are missing, different or too many, and those whose values can be
    compared.
    """
    describe = file.format.describe
    differences, located = [], []
    stored = {tensor.name: tensor for tensor in file.tensors}
    for tensor, found in zip(tensors, formats.locate(file, tensors), strict=True):
        if isinstance(found, Tensor):
            located.append(found)
            continue
        other = stored.get(tensor.name if file.format.named else None)
        text = "no such tensor" if other is None else describe(other)
        differences.append(Difference(tensor.name, None, None, describe(tensor), text))
    if file.format.named:
        expected = {tensor.name for tensor in tensors}
        for extra in file.tensors:
            if extra.name not in expected:
                differences.append(
                    Difference(extra.name, None, None, "without it", describe(extra))
                )
    return differences, located


def _first(chunk: Chunk, expected: Bytes, found: Bytes) -> Difference:
    """Return the first element whose bytes differ."""
    size = chunk.tensor.dtype.itemsize
    place = int(np.argmax(expected != found)) // size
    index: tuple[int, ...] = ()
    rest = chunk.start + place
    for n in reversed(chunk.tensor.shape):
        rest, last = divmod(rest, n)
        index = (last, *index)
    pair = [raw[place * size : (place + 1) * size] for raw in (expected, found)]
    texts = [_text(chunk, raw) for raw in pair]
    if texts[0] == texts[1]:  # such as two kinds of NaN
        texts = [raw.tobytes().hex(" ") for raw in pair]
    return Difference(chunk.tensor.name, index, chunk.offset + place * size, *texts)


def _text(chunk: Chunk, raw: Bytes) -> str:
    return str(values(chunk, raw)[0])
