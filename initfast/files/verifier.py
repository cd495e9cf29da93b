"""Compare a file with its tensors: the values of every chunk are computed again."""

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
    """The first difference of a tensor in a file.

    Args:
        tensor: the name of the tensor; None if the format has no names.
        index: the element, one integer per dimension; None if dtype or shape differ.
        offset: the first byte of that element in the file; None if dtype or shape differ.
        expected, found: the expected and the stored value, or dtype and shape, as text.
    """

    tensor: str | None
    index: tuple[int, ...] | None
    offset: int | None
    expected: str
    found: str

    def __str__(self) -> str:
        subject = "the array" if self.tensor is None else f"tensor {self.tensor!r}"
        if self.index is not None:
            element = f"element {self.index} at byte {self.offset}"
            subject = element if self.tensor is None else f"{subject}: {element}"
        return f"{subject} should be {self.expected}; found {self.found}"


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
        file: from `formats.read`. Its tensors may be in any order.
        tensors: all tensors that it should hold; their offsets are ignored.
        rows: (first, last) of the first dimension to compare, for one tensor. Default: all rows.
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
            stored = scratch.of(group.nbytes)
            if read_at(descriptor, stored.data, group.offset) < group.nbytes:
                raise OSError(
                    f"{os.fspath(file.path)!r} was truncated while it was read, after byte"
                    f" {group.offset}: run the command again"
                )
            if equal(raw, stored):
                return []
            pairs = zip(group.parts(raw), group.parts(stored), strict=True)
            return [
                (chunk.tensor, _first(chunk, expected, actual))
                for (chunk, expected), (_, actual) in pairs
                if not equal(expected, actual)
            ]

        def todo() -> Iterator[Chunk]:
            # Skip the rest of a tensor that is known to differ.
            for chunk in chunks(located, chunk_bytes, rows):
                if chunk.tensor.offset not in wrong:
                    yield chunk

        with contextlib.closing(walk(groups(todo(), chunk_bytes), work)) as steps:
            for group, _, group_differences, _ in steps:
                for tensor, difference in group_differences:
                    if tensor.offset not in wrong:
                        wrong.add(tensor.offset)
                        differences.append(difference)
                if advance is not None:
                    advance(group.nbytes)
    return differences


def _compare_headers(
    file: StoredFile, tensors: Sequence[Tensor]
) -> tuple[list[Difference], list[Tensor]]:
    """Return the differences of names, dtypes and shapes, and the tensors whose values can be
    compared.
    """
    describe = file.format.describe
    differences, located = [], []
    stored = {tensor.name: tensor for tensor in file.tensors}
    for tensor, result in zip(tensors, formats.locate(file, tensors), strict=True):
        if isinstance(result, Tensor):
            located.append(result)
            continue
        other = stored.get(tensor.name if file.format.named else None)
        text = "no such tensor" if other is None else describe(other)
        differences.append(Difference(tensor.name, None, None, describe(tensor), text))
    if file.format.named:
        expected = {tensor.name for tensor in tensors}
        for extra in file.tensors:
            if extra.name not in expected:
                differences.append(Difference(extra.name, None, None, "absent", describe(extra)))
    return differences, located


def _first(chunk: Chunk, expected: Bytes, actual: Bytes) -> Difference:
    """Return the first element whose bytes differ."""
    size = chunk.tensor.dtype.itemsize
    place = int(np.argmax(expected != actual)) // size
    index: tuple[int, ...] = ()
    rest = chunk.start + place
    for n in reversed(chunk.tensor.shape):
        rest, last = divmod(rest, n)
        index = (last, *index)
    pair = [raw[place * size : (place + 1) * size] for raw in (expected, actual)]
    texts = [_text(chunk, raw) for raw in pair]
    if texts[0] == texts[1]:  # different bits with the same text, such as two NaN
        texts = [raw.tobytes().hex(" ") for raw in pair]
    return Difference(chunk.tensor.name, index, chunk.offset + place * size, *texts)


def _text(chunk: Chunk, raw: Bytes) -> str:
    return str(values(chunk, raw)[0])
