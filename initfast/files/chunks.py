"""The piece of work: a chunk of one tensor. `walk` makes chunks again on several threads.

Writing, resuming and verifying are one loop over the chunks; what is done with the bytes of each is
a function that the caller passes."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from initfast.core import buffers
from initfast.core.moments import Moments, measure
from initfast.core.threads import get_num_threads, threads
from initfast.files.formats import Tensor

# Large enough to outweigh Python's work per chunk (about 0.1 ms, where a uniform takes 1 ms), small
# enough for a core's share of the last cache.
CHUNK_BYTES = 4 << 20
# Chunks that may be finished while an earlier one is not: results are taken in order.
SLACK = 4

Bytes = npt.NDArray[np.uint8]
Result = TypeVar("Result")
_BYTE = np.dtype("u1")


class Chunk(NamedTuple):
    """Consecutive elements of one tensor, in C order, from element `start` on."""

    tensor: Tensor
    start: int
    size: int

    @property
    def offset(self) -> int:
        """Byte of the file at which the chunk begins."""
        return self.tensor.offset + self.start * self.tensor.dtype.itemsize

    @property
    def nbytes(self) -> int:
        return self.size * self.tensor.dtype.itemsize


def chunks(
    tensors: Iterable[Tensor], chunk_bytes: int = CHUNK_BYTES, rows: tuple[int, int] | None = None
) -> Iterator[Chunk]:
    """Cut tensors into chunks of at most `chunk_bytes`, in order.

    Args:
        tensors: the tensors; with `rows`, one tensor.
        chunk_bytes: at least the size of an element.
        rows: entries (first, last) of the first dim, as in a slice. Default: everything.
    """
    for tensor in tensors:
        item = tensor.dtype.itemsize
        first, last = 0, tensor.nbytes // item
        if rows is not None:
            row = last // tensor.shape[0] if tensor.shape and tensor.shape[0] else 0
            first, last = rows[0] * row, rows[1] * row
        step = max(1, chunk_bytes // item)
        for start in range(first, last, step):
            yield Chunk(tensor, start, min(step, last - start))


class Maker:
    """Makes the bytes of chunks. It keeps one tensor that can only be made whole."""

    def __init__(self) -> None:
        self._tensor: Tensor | None = None
        self._whole: Bytes | None = None

    def prepare(self, chunk: Chunk) -> Bytes | None:
        """Return the bytes of the whole tensor if its chunks are cut from them, else None."""
        if chunk.tensor is not self._tensor:
            self._tensor, self._whole = chunk.tensor, None
            if chunk.tensor.initializer.whole_only:
                array = buffers.empty(chunk.tensor.shape, chunk.tensor.dtype)
                chunk.tensor.initializer.fill(array, array.shape, ...)
                self._whole = array.reshape(-1).view(_BYTE)
        return self._whole

    @staticmethod
    def make(
        chunk: Chunk, out: Bytes, whole: Bytes | None, measured: bool = False
    ) -> Moments | None:
        """Write a chunk into memory of its size; return its moments if `measured`.

        `whole` is from `prepare`."""
        tensor = chunk.tensor
        if whole is None:
            found: list[Moments] = []
            tensor.initializer.fill_run(
                values(chunk, out),
                tensor.shape,
                chunk.start,
                moments=found.append if measured else None,
            )
            return found[0] if measured else None
        low = chunk.start * tensor.dtype.itemsize
        out[...] = whole[low : low + chunk.nbytes]
        return measure(values(chunk, out)) if measured else None


def walk(
    todo: Iterable[Chunk],
    work: Callable[[Chunk, Bytes], Result],
    maker: Maker | None = None,
    measured: bool = False,
) -> Generator[tuple[Chunk, Bytes, Result, Moments | None], None, None]:
    """Yield (chunk, its bytes, `work(chunk, its bytes)`, its moments if `measured`) in order.

    Args:
        todo: chunks, those of a tensor one after the other; taken on the calling thread, each when
            there is room for it.
        work: called on a worker thread once the bytes are made.
        maker: one that may already keep the first tensor.
        measured: whether to take the moments of each chunk while it is made.

    The bytes are valid until the next step. Uses `get_num_threads()` threads, and memory for as
    many chunks and `SLACK` more."""
    maker = maker or Maker()
    workers = get_num_threads()
    window = workers + min(workers, SLACK)
    memory: list[Bytes] = []
    pending: deque[tuple[Chunk, Bytes, Future[tuple[Result, Moments | None]]]] = deque()

    def task(chunk: Chunk, out: Bytes, whole: Bytes | None) -> tuple[Result, Moments | None]:
        # One thread per chunk: several are under way, and each stays in the cache of its core.
        with threads(1):
            moments = maker.make(chunk, out, whole, measured)
        return work(chunk, out), moments

    with ThreadPoolExecutor(workers, thread_name_prefix="initfast-file") as pool:
        try:
            for number, chunk in enumerate(todo):
                whole = maker.prepare(chunk)
                if len(pending) == window:
                    # Gives back the memory that this chunk is about to use.
                    before, out, future = pending.popleft()
                    yield before, out, *future.result()
                place = number % window
                if number < window:
                    memory.append(buffers.empty((chunk.nbytes,), _BYTE))
                elif len(memory[place]) < chunk.nbytes:
                    memory[place] = buffers.empty((chunk.nbytes,), _BYTE)
                out = memory[place][: chunk.nbytes]
                pending.append((chunk, out, pool.submit(task, chunk, out, whole)))
            while pending:
                before, out, future = pending.popleft()
                yield before, out, *future.result()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def values(chunk: Chunk, raw: Bytes) -> npt.NDArray[Any]:
    """Return a chunk's bytes as an array of its dtype."""
    return raw.view(chunk.tensor.dtype)


def equal(one: Bytes, other: Bytes) -> bool:
    """Return whether two pieces of memory hold the same bytes; eight at a time, for speed."""
    wide = len(one) // 8 * 8
    return len(one) == len(other) and bool(
        np.array_equal(one[:wide].view("u8"), other[:wide].view("u8"))
        and np.array_equal(one[wide:], other[wide:])
    )


class Scratch(threading.local):
    """Memory of each worker thread, to read what a file holds in the place of a chunk."""

    def __init__(self) -> None:
        self._memory = np.empty(0, _BYTE)

    def of(self, size: int) -> Bytes:
        """Return that many bytes, whose values are undefined."""
        if len(self._memory) < size:
            self._memory = buffers.empty((size,), _BYTE)
        return self._memory[:size]
