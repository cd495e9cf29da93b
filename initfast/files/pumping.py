"""Make runs of tensors on several threads, in buffers that stay in the cache, and hand them on in
order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from initfast.core import buffers
from initfast.core.threads import get_num_threads, threads
from initfast.files import runs
from initfast.files.containers import Tensor
from initfast.files.runs import Run

# Runs that may be finished while the one before them is not: results are taken in order.
SLACK = 4

Bytes = npt.NDArray[np.uint8]
Result = TypeVar("Result")
_BYTE = np.dtype("u1")


def in_order(
    work: Callable[[Run, Bytes], Result], todo: Iterable[Run]
) -> Generator[tuple[Run, Bytes, Result], None, None]:
    """Yield (run, its bytes, `work(run, its bytes)`) for each run, in order; the bytes are good
    until the next.

    Args:
        work: called on a worker thread once the bytes are made.
        todo: runs, those of a tensor one after the other; taken on the calling thread, one when
            there is room for it.

    Uses `get_num_threads()` workers, and memory for as many runs and `SLACK` more. A tensor that
    can only be made whole (an orthogonal one) is made on the calling thread when its first run is
    due, and let go with the first of another."""
    workers = get_num_threads()
    window = workers + min(workers, SLACK)
    memory: list[Bytes] = []
    pending: deque[tuple[Run, Bytes, Future[Result]]] = deque()
    made: tuple[Tensor | None, Bytes | None] = (None, None)

    def task(run: Run, out: Bytes, whole: Bytes | None) -> Result:
        # One thread a run: several runs are under way, and each stays in the cache of its core.
        with threads(1):
            make(run, out, whole)
        return work(run, out)

    with ThreadPoolExecutor(workers, thread_name_prefix="initfast-file") as pool:
        try:
            for number, run in enumerate(todo):
                if run.tensor is not made[0]:
                    made = (
                        run.tensor,
                        whole(run.tensor) if run.tensor.initializer.whole_only else None,
                    )
                if len(pending) == window:
                    # Gives back the memory that this run is about to use.
                    before, out, future = pending.popleft()
                    yield before, out, future.result()
                if number < window:
                    memory.append(buffers.empty((runs.CHUNK_BYTES,), _BYTE))
                out = memory[number % window][: run.nbytes]
                pending.append((run, out, pool.submit(task, run, out, made[1])))
            while pending:
                before, out, future = pending.popleft()
                yield before, out, future.result()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def whole(tensor: Tensor) -> Bytes:
    """The bytes of a whole tensor."""
    array = buffers.empty(tensor.shape, tensor.dtype)
    tensor.initializer.fill(array, tensor.shape, dtype=tensor.dtype)
    return array.reshape(-1).view(_BYTE)


def make(run: Run, out: Bytes, whole: Bytes | None = None) -> None:
    """Write a run's elements into memory of as many bytes, from those of the whole where they are
    there.
    """
    tensor = run.tensor
    if whole is None:
        # As untyped bytes, which can be read as any dtype, also as those that NumPy lacks.
        tensor.initializer.fill_run(out.data, tensor.shape, run.start, dtype=tensor.dtype)
    else:
        low = run.start * tensor.dtype.itemsize
        out[...] = whole[low : low + run.nbytes]


def values(run: Run, raw: Bytes) -> npt.NDArray[Any]:
    """A run's bytes as an array of its dtype."""
    return buffers.view(raw.data, run.tensor.dtype).array
