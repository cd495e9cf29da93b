"""The piece of work: a chunk of one tensor. `walk` makes chunks again on several threads.

Writing, resuming and verifying are one loop over the chunks; what is done with the bytes of each is
a function that the caller passes."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from itertools import accumulate
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
# Elements made between two looks at whether the walk has been stopped.
_SLICE = 1 << 18
# Bytes of small chunks that are made in one task, and how many they are at most.
_SMALL, _MOST = 1 << 18, 256

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
        chunk: Chunk,
        out: Bytes,
        whole: Bytes | None,
        measured: bool = False,
        stop: threading.Event | None = None,
    ) -> Moments | None:
        """Write a chunk into memory of its size; return its moments if `measured`.

        `whole` is from `prepare`. Raises CancelledError soon after `stop` is set."""
        tensor = chunk.tensor
        if whole is None:
            total, array = Moments(), values(chunk, out)
            for low in range(0, chunk.size, _SLICE):
                if stop is not None and stop.is_set():
                    raise CancelledError
                found: list[Moments] = []
                tensor.initializer.fill_run(
                    array[low : low + _SLICE],
                    tensor.shape,
                    chunk.start + low,
                    moments=found.append if measured else None,
                )
                total = total.merged(found[0]) if measured else total
            return total if measured else None
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
    pending: deque[Future[list[tuple[Chunk, Bytes, Result, Moments | None]]]] = deque()
    stop = threading.Event()

    def task(
        group: list[tuple[Chunk, Bytes, Bytes | None]],
    ) -> list[tuple[Chunk, Bytes, Result, Moments | None]]:
        results = []
        for chunk, out, whole in group:
            # One thread per chunk: several are under way, and each stays in the cache of its core.
            with threads(1):
                moments = maker.make(chunk, out, whole, measured, stop)
            results.append((chunk, out, work(chunk, out), moments))
        return results

    with ThreadPoolExecutor(workers, thread_name_prefix="initfast-file") as pool:
        try:
            for number, group in enumerate(_groups(todo)):
                wholes = [maker.prepare(chunk) for chunk in group]
                if len(pending) == window:
                    # Gives back the memory that this group is about to use.
                    yield from pending.popleft().result()
                place, size = number % window, sum(map(_padded, group))
                if number < window:
                    memory.append(buffers.empty((size,), _BYTE))
                elif len(memory[place]) < size:
                    memory[place] = buffers.empty((size,), _BYTE)
                begins = accumulate(map(_padded, group), initial=0)
                outs = [
                    memory[place][b : b + c.nbytes] for b, c in zip(begins, group, strict=False)
                ]
                pending.append(_submit(pool, task, list(zip(group, outs, wholes, strict=True))))
            while pending:
                yield from pending.popleft().result()
        except BaseException:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _groups(todo: Iterable[Chunk]) -> Iterator[list[Chunk]]:
    """Yield chunks that are made in one task: a large one alone, small ones together."""
    group: list[Chunk] = []
    size = 0
    for chunk in todo:
        if group and size + _padded(chunk) > _SMALL:
            yield group
            group, size = [], 0
        group.append(chunk)
        size += _padded(chunk)
        if size >= _SMALL or len(group) == _MOST:
            yield group
            group, size = [], 0
    if group:
        yield group


def _padded(chunk: Chunk) -> int:
    """Return the bytes of a chunk in the memory of its group, so that each is aligned."""
    return -(-chunk.nbytes // buffers.ALIGNMENT) * buffers.ALIGNMENT


def _submit(
    pool: ThreadPoolExecutor, task: Callable[[Any], Result], argument: Any
) -> Future[Result]:
    """Run a task on the pool, or here if no thread can be started, as when Python is ending."""
    future: Future[Result] = Future()
    claim = threading.Lock()

    def run() -> None:
        if claim.acquire(blocking=False):
            try:
                future.set_result(task(argument))
            except BaseException as error:
                future.set_exception(error)

    try:
        pool.submit(run)
    except RuntimeError:  # a thread that runs already may still take it
        run()
    return future


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
