"""The pieces of work: a chunk is consecutive elements of one tensor, a group is consecutive chunks
of a file.
"""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import CancelledError
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from initfast.core import buffers, engine
from initfast.core.moments import Moments, measure
from initfast.files.formats import Tensor
from initfast.initializers import blocks

# Large enough to hide Python's work per chunk (0.1 ms, compared with 1 ms for uniform values), and
# small enough for one core's share of the last-level cache.
CHUNK_BYTES = 4 << 20
# Elements computed between two checks whether the walk has been stopped.
_SLICE = 1 << 18
# The maximum bytes, and the maximum number, of small chunks in a group.
_SMALL, MOST = 1 << 18, 1024

Bytes = npt.NDArray[np.uint8]
BYTE = np.dtype("u1")


class Chunk(NamedTuple):
    """Consecutive elements of one tensor, in C order, that begin at element `start`."""

    tensor: Tensor
    start: int
    size: int
    offset: int
    """Byte of the file at which the chunk begins."""
    nbytes: int


class Group(NamedTuple):
    """Consecutive chunks of a file, which are read or written with one system call."""

    chunks: list[Chunk]
    offset: int
    nbytes: int

    def parts(self, raw: Bytes) -> Iterator[tuple[Chunk, Bytes]]:
        """Yield each chunk and its part of the group's bytes."""
        low = 0
        for chunk in self.chunks:
            high = low + chunk.nbytes
            yield chunk, raw[low:high]
            low = high


def chunks(
    tensors: Iterable[Tensor], chunk_bytes: int = CHUNK_BYTES, rows: tuple[int, int] | None = None
) -> Iterator[Chunk]:
    """Cut tensors into chunks of at most `chunk_bytes`, in order.

    Args:
        tensors: the tensors; with `rows`, one tensor.
        chunk_bytes: at least the size of an element.
        rows: (first, last) of the first dimension, as in a slice. Default: all rows.
    """
    for tensor in tensors:
        first, last = 0, math.prod(tensor.shape)
        if rows is not None:
            row = last // tensor.shape[0] if tensor.shape and tensor.shape[0] else 0
            first, last = rows[0] * row, rows[1] * row
        item = tensor.dtype.itemsize
        step = max(1, chunk_bytes // item)
        for start in range(first, last, step):
            size = min(step, last - start)
            yield Chunk(tensor, start, size, tensor.offset + start * item, size * item)


def groups(todo: Iterable[Chunk], chunk_bytes: int = CHUNK_BYTES) -> Iterator[Group]:
    """Combine small chunks into groups of at most `chunk_bytes`. A large chunk is a group alone.

    In memory where the group is aligned, each chunk is aligned to its elements."""
    limit = min(chunk_bytes, _SMALL)
    group: list[Chunk] = []
    begin = end = 0
    for chunk in todo:
        tensor, _, _, offset, size = chunk
        if group and (
            offset != end
            or offset + size - begin > limit
            or len(group) == MOST
            or (offset - begin) % tensor.dtype.itemsize
        ):
            yield Group(group, begin, end - begin)
            group = []
        if not group:
            begin = offset
        group.append(chunk)
        end = offset + size
    if group:
        yield Group(group, begin, end - begin)


class Maker:
    """A source of the bytes of chunks. It keeps one tensor that can only be computed whole."""

    def __init__(self) -> None:
        self._tensor: Tensor | None = None
        self._whole: Bytes | None = None

    def prepare(self, chunk: Chunk) -> Bytes | None:
        """Return the bytes of the whole tensor if it can only be computed as a whole, else None."""
        if chunk.tensor is not self._tensor:
            self._tensor, self._whole = chunk.tensor, None
            if chunk.tensor.initializer.whole_only:
                array = buffers.empty(chunk.tensor.shape, chunk.tensor.dtype)
                chunk.tensor.seeded_initializer.fill(array, array.shape, ...)
                self._whole = array.reshape(-1).view(BYTE)
        return self._whole

    def make_group(
        self,
        group: Group,
        out: Bytes,
        wholes: Iterable[Bytes | None],
        with_moments: bool = False,
        stop: threading.Event | None = None,
    ) -> Moments | None:
        """Write the values of a group to `out`. Return their moments if `with_moments`."""
        total = Moments()
        address = out.ctypes.data - group.offset
        for chunk, whole in zip(group.chunks, wholes, strict=True):
            tensor, start, size, offset, nbytes = chunk
            if (  # Fast path for small tensors, which are the most frequent.
                tensor.seed is not None
                and not with_moments
                and size <= _SLICE
                and (source := blocks.source_of(tensor.initializer, tensor.shape, tensor.dtype))
            ):
                engine.fill_run(source, tensor.seed, address + offset, start, size)
                continue
            low = offset - group.offset
            part = self.make(chunk, out[low : low + nbytes], whole, with_moments, stop)
            total = total if part is None else total.merged(part)
        return total if with_moments else None

    @staticmethod
    def make(
        chunk: Chunk,
        out: Bytes,
        whole: Bytes | None,
        with_moments: bool = False,
        stop: threading.Event | None = None,
    ) -> Moments | None:
        """Write the values of a chunk to `out`. Return their moments if `with_moments`.

        `whole` is from `prepare`. Raises CancelledError soon after `stop` is set."""
        tensor, array = chunk.tensor, values(chunk, out)
        if whole is not None:
            low = chunk.start * tensor.dtype.itemsize
            out[...] = whole[low : low + chunk.nbytes]
            return measure(array) if with_moments else None
        initializer, moments = tensor.seeded_initializer, list[Moments]()
        for low in range(0, chunk.size, _SLICE):
            if stop is not None and stop.is_set():
                raise CancelledError
            initializer.fill_run(
                array[low : low + _SLICE],
                tensor.shape,
                chunk.start + low,
                moments=moments.append if with_moments else None,
            )
        return functools.reduce(Moments.merged, moments, Moments()) if with_moments else None


def values(chunk: Chunk, raw: Bytes) -> npt.NDArray[Any]:
    """Return the bytes of a chunk as an array of its dtype."""
    return raw.view(chunk.tensor.dtype)


def equal(one: Bytes, other: Bytes) -> bool:
    """Return whether two arrays hold the same bytes, compared eight at a time for speed."""
    wide = len(one) // 8 * 8
    return len(one) == len(other) and bool(
        np.array_equal(one[:wide].view("u8"), other[:wide].view("u8"))
        and np.array_equal(one[wide:], other[wide:])
    )
