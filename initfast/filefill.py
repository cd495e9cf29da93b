"""Fill a region of an open file with an initializer's values, chunk by chunk, on several threads.

Each worker makes a chunk in a buffer of its own, measures it while it is in the cache, and writes it with `pwrite`.
Through a mapping the same takes as long, but then the resident memory grows with the file, and a full disk or a bad
sector is a SIGBUS that ends the process instead of an OSError.
"""

import math
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from initfast import buffers
from initfast.dtypes import DType
from initfast.moments import Moments, measure
from initfast.threads import get_num_threads, threads

# Large enough that Python's work per chunk (about 0.1 ms) is small beside it, small enough for a core's share of cache.
CHUNK_BYTES = 2 << 20
# Chunks that may be finished while the one before them is not: results are taken in the order of the file.
SLACK = 4


class Initializer(Protocol):
    """What is asked of an initializer here: to write a part of a logical array into memory."""

    def fill(self, out: Any, shape: Any = None, index: Any = None, *, dtype: Any = None) -> Any: ...


@dataclass(frozen=True, slots=True)
class Chunk:
    """A run of the logical array that is contiguous in C order: its index, its shape, and its first element."""

    index: tuple[int | slice, ...]
    shape: tuple[int, ...]
    start: int

    @property
    def size(self) -> int:
        return math.prod(self.shape)


def chunks(shape: tuple[int, ...], limit: int) -> Iterator[Chunk]:
    """Cut an array into runs of at most `limit` elements, in order.

    Each is a slice of one axis, at one place of the axes before it, and whole in those after it.
    """
    if 0 in shape:
        return
    axis = 0
    while axis < len(shape) - 1 and math.prod(shape[axis + 1 :]) > limit:
        axis += 1
    row = math.prod(shape[axis + 1 :])
    step = max(1, limit // row)
    start = 0
    for outer in _indices(shape[:axis]):
        for low in range(0, shape[axis], step):
            high = min(low + step, shape[axis])
            yield Chunk((*outer, slice(low, high)), (high - low, *shape[axis + 1 :]), start)
            start += (high - low) * row


def _indices(shape: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """What `np.ndindex` gives, which holds a list of every axis in memory."""
    if not shape:
        yield ()
        return
    for outer in _indices(shape[:-1]):
        for last in range(shape[-1]):
            yield (*outer, last)


def fill_region(
    descriptor: int,
    offset: int,
    initializer: Initializer,
    shape: tuple[int, ...],
    dtype: DType,
    done: Callable[[memoryview], object],
) -> Moments:
    """Write the whole logical array at byte `offset` of the open file; return its moments.

    Arguments:
        initializer: its seed must be fixed: every chunk is a call of `fill`.
        done: called with the bytes of each chunk, in file order, on the calling thread, to use during the call.

    Uses `get_num_threads()` workers, and memory for as many chunks and `SLACK` more, whatever the size of the file.
    """
    workers = get_num_threads()
    window = workers + min(workers, SLACK)
    limit = CHUNK_BYTES // dtype.itemsize
    memory: list[np.ndarray[Any, Any]] = []

    def work(chunk: Chunk, buffer: np.ndarray[Any, Any]) -> tuple[Moments, memoryview]:
        values = buffer[: chunk.size]
        # One thread a chunk: several chunks are under way, and each stays in the cache of its core.
        with threads(1):
            initializer.fill(values.reshape(chunk.shape), shape=shape, index=chunk.index)
        raw = values.view(np.uint8).data
        _write(descriptor, raw, offset + chunk.start * dtype.itemsize)
        return measure(values), raw

    total = Moments()
    pending: deque[Future[tuple[Moments, memoryview]]] = deque()

    def finish() -> None:
        nonlocal total
        moments, raw = pending.popleft().result()
        # Merged in file order, so that the last digits do not depend on the threads either.
        total = total.merged(moments)
        done(raw)

    with ThreadPoolExecutor(workers, thread_name_prefix="initfast-file") as pool:
        try:
            for number, chunk in enumerate(chunks(shape, limit)):
                if len(pending) == window:
                    finish()  # gives back the memory that this chunk is about to use
                if number < window:
                    memory.append(buffers.empty((min(limit, math.prod(shape)),), dtype))
                pending.append(pool.submit(work, chunk, memory[number % window]))
            while pending:
                finish()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return total


def _write(descriptor: int, raw: memoryview, offset: int) -> None:
    """Write all of it: the system may take less at a time."""
    while raw:
        written = os.pwrite(descriptor, raw, offset)
        raw = raw[written:]
        offset += written
