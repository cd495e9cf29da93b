"""`walk` makes groups of chunks on several threads.

Writing, resuming and verifying are one loop over the groups; what is done with the bytes of each is
a function that the caller passes."""

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

# Groups that may be finished while an earlier one is not: results are taken in order.
SLACK = 4
# Bytes in a chunk, on average, below which a group is made on the calling thread: Python takes the
# time then, and to hand its lock around between threads takes more.
_TINY = 1 << 13

Result = TypeVar("Result")
Done = tuple[Group, Bytes, Result, Moments | None]


def walk(
    todo: Iterable[Group],
    work: Callable[[Group, Bytes], Result],
    maker: Maker | None = None,
    measured: bool = False,
) -> Generator[Done[Result], None, None]:
    """Yield (group, its bytes, `work(group, its bytes)`, its moments if `measured`) in order.

    Args:
        todo: groups, with the chunks of a tensor one after the other; taken on the calling thread,
            each when there is room for it.
        work: called once the bytes are made, on a worker thread unless the chunks are tiny.
        maker: one that may already keep the first tensor.
        measured: whether to take the moments of each group while it is made.

    The bytes are valid until the next step. Uses `get_num_threads()` threads, and memory for as
    many groups and `SLACK` more."""
    maker = maker or Maker()
    workers = get_num_threads()
    window = workers + min(workers, SLACK)
    memory: list[Bytes] = []
    pending: deque[Future[Done[Result]]] = deque()
    stop = threading.Event()

    def task(group: Group, raw: Bytes, wholes: list[Bytes | None]) -> Done[Result]:
        # One thread per group: several are under way, and each stays in the cache of its core.
        with threads(1):
            moments = maker.make_group(group, raw, wholes, measured, stop)
        return group, raw, work(group, raw), moments

    with ThreadPoolExecutor(workers, thread_name_prefix="initfast-file") as pool:
        try:
            for number, group in enumerate(todo):
                wholes = [maker.prepare(chunk) for chunk in group.chunks]
                if len(pending) == window:
                    # Gives back the memory that this group is about to use.
                    yield pending.popleft().result()
                place = number % window
                if number < window:
                    memory.append(buffers.empty((group.nbytes,), BYTE))
                elif len(memory[place]) < group.nbytes:
                    memory[place] = buffers.empty((group.nbytes,), BYTE)
                arguments = (group, memory[place][: group.nbytes], wholes)
                if group.nbytes < _TINY * len(group.chunks):
                    done: Future[Done[Result]] = Future()
                    done.set_result(task(*arguments))
                    pending.append(done)
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
    """Run a task on the pool, or here if no thread can be started, as when Python is ending."""
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
    except RuntimeError:  # a thread that runs already may still take it
        run()
    return future


class Scratch(threading.local):
    """Memory of each thread, to read what a file holds in the place of a group."""

    def __init__(self) -> None:
        self._memory = np.empty(0, BYTE)

    def of(self, size: int) -> Bytes:
        """Return that many bytes, whose values are undefined."""
        if len(self._memory) < size:
            self._memory = buffers.empty((size,), BYTE)
        return self._memory[:size]
