"""`walk` computes groups of chunks on several threads.

Writing, resuming and verifying use the same loop over the groups. The caller passes the function
that is called with the bytes of each."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from initfast.core import buffers
from initfast.core.moments import Moments
from initfast.core.threads import get_num_threads, threads
from initfast.files.chunks import BYTE, Bytes, Group, Maker

# Groups that may be finished before an earlier one, because results are yielded in order.
SLACK = 4
# Average bytes of a chunk below which a group is computed on the calling thread. Python's overhead
# dominates then, and threads would only add the cost of passing its lock.
_TINY = 1 << 13

Result = TypeVar("Result")
Step = tuple[Group, Bytes, Result, Moments | None]


def walk(
    todo: Iterable[Group],
    work: Callable[[Group, Bytes], Result],
    maker: Maker | None = None,
    with_moments: bool = False,
) -> Generator[Step[Result], None, None]:
    """Yield (group, bytes, `work(group, bytes)`, moments) of each group, in order.

    Args:
        todo: groups, with the chunks of a tensor one after the other. The iterator runs on the
            calling thread, and only as far ahead as there is memory for groups.
        work: called with the computed bytes, on a worker thread unless the chunks are tiny.
        maker: a maker that may already hold the first tensor.
        with_moments: whether to measure the moments of each group; otherwise they are None.

    The bytes are valid until the next step. Uses `get_num_threads()` threads, and memory for one
    group per thread and `SLACK` more."""
    maker = maker or Maker()
    workers = get_num_threads()
    window = workers + min(workers, SLACK)
    memory: list[Bytes] = []
    pending: deque[Future[Step[Result]]] = deque()
    stop = threading.Event()

    def task(group: Group, raw: Bytes, wholes: list[Bytes | None]) -> Step[Result]:
        # One thread per group, because several groups are computed in parallel.
        with threads(1):
            moments = maker.make_group(group, raw, wholes, with_moments, stop)
        return group, raw, work(group, raw), moments

    with ThreadPoolExecutor(workers, thread_name_prefix="initfast-file") as pool:
        try:
            for number, group in enumerate(todo):
                wholes = [maker.prepare(chunk) for chunk in group.chunks]
                if len(pending) == window:
                    # The memory of the earliest group is then used for this one.
                    yield pending.popleft().result()
                place = number % window
                if number < window:
                    memory.append(buffers.empty((group.nbytes,), BYTE))
                elif len(memory[place]) < group.nbytes:
                    memory[place] = buffers.empty((group.nbytes,), BYTE)
                arguments = (group, memory[place][: group.nbytes], wholes)
                if group.nbytes < _TINY * len(group.chunks):
                    future: Future[Step[Result]] = Future()
                    future.set_result(task(*arguments))
                    pending.append(future)
                else:
                    pending.append(_submit(pool, task, arguments))
            while pending:
                yield pending.popleft().result()
        except BaseException:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _submit(
    pool: ThreadPoolExecutor, task: Callable[..., Result], arguments: tuple[object, ...]
) -> Future[Result]:
    """Run a task on the pool, or on this thread if no thread can be started, as at exit."""
    future: Future[Result] = Future()
    claim = threading.Lock()

    def run() -> None:
        if claim.acquire(blocking=False):
            try:
                future.set_result(task(*arguments))
            except BaseException as error:
                future.set_exception(error)

    try:
        pool.submit(run)
    except RuntimeError:  # a running thread may still execute it
        run()
    return future


class Scratch(threading.local):
    """Memory per thread, into which the bytes of a group are read from a file."""

    def __init__(self) -> None:
        self._memory = np.empty(0, BYTE)

    def of(self, size: int) -> Bytes:
        """Return `size` bytes with undefined values."""
        if len(self._memory) < size:
            self._memory = buffers.empty((size,), BYTE)
        return self._memory[:size]
