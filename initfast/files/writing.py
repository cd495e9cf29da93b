"""Write files of initialised tensors so that a kill at any moment costs little and leaves no wrong
file.

The bytes go to `FILE.partial`, which takes its final name in one step once all is on the disk.
Until then a sidecar (journal.py) says what has been written, so that the next run goes on from
there. Several workers, on one host or many, each with a sidecar of its own, may write one job; the
last of them to finish puts the files in place."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any, NoReturn, Protocol

from initfast.core.moments import Moments
from initfast.core.moments import measure as measured
from initfast.files import finishing, journal, pumping, resuming, runs, targets
from initfast.files.claims import Claims
from initfast.files.containers import File, Tensor
from initfast.files.journal import DamagedError, Journal, State
from initfast.files.plans import Job, Plan, plan
from initfast.files.runs import Run

__all__ = ["Job", "Result", "span_bytes", "write", "write_rows"]

_log = logging.getLogger(__name__)
_HINT = "what is written stays: rerun with --resume"
_READ_BYTES = 1 << 20


class Digest(Protocol):
    """What `hashlib` makes."""

    def update(self, data: Any, /) -> object: ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a writer is asked for beside the bytes; see `write`."""

    advance: Callable[[int], object]
    measure: bool
    digest: Digest | None


@dataclass(frozen=True, slots=True)
class Result:
    """What a call of `write` has done.

    Args:
        moments: of all elements of this worker's span, if they were asked for.
        written: bytes of data that this call wrote.
        resumed: bytes of data that earlier calls had written.
        complete: whether all files are in place; False while other workers have not finished.
    """

    moments: Moments | None
    written: int
    resumed: int
    complete: bool


def span_bytes(job: Job, worker: tuple[int, int] = (1, 1)) -> int:
    """How many bytes of data a worker writes: what `advance` adds up to."""
    cut = runs.cuts(job.files, worker[1])
    return cut[worker[0]] - cut[worker[0] - 1]


def write(
    job: Job,
    *,
    worker: tuple[int, int] = (1, 1),
    resume: bool = False,
    force: bool = False,
    advance: Callable[[int], object] | None = None,
    measure: bool = False,
    digest: Digest | None = None,
    blank: bool = False,
) -> Result:
    """Write a worker's span of a job, and put the files in place if it is the last to finish.

    Args:
        job: what to write; its initializers must have passed their checks, such as `parts.check`.
        worker: (K, N), K from 1: this call writes the K-th of N spans of nearly equal length.
        resume: continue an unfinished write; if there is none, begin.
        force: replace existing files at the end; without `resume`, start an unfinished write of
            this worker again.
        advance: called with a count of bytes of data as they are written, on the calling thread, in
            order.
        measure: whether to take the moments of all elements.
        digest: updated with all bytes of the file; for one file and one worker.
        blank: write the headers, and zeros for the data.

    Raises:
        FileExistsError: a file or an unfinished write is there.
        BlockingIOError: another process is writing this span.
        OSError: the sidecar is damaged or of another write, or the system refuses something.
        KeyboardInterrupt: its text says if something stays to be continued, as that of an OSError
            does.

    Uses `get_num_threads()` threads, and memory that does not grow with the files.
    """
    todo = plan(job, worker)
    wanted = Wanted(advance or (lambda count: None), measure, digest)
    if resuming.check_others(todo):
        # Killed while the sidecars were deleted: all files are in place, and ours may be among
        # those that are gone.
        finishing.finish(todo, force=force)
        if resume:
            return Result(None, 0, todo.length, True)
    sidecar = journal.name(todo.base, worker)
    if not force and not os.path.lexists(sidecar):
        resuming.refuse_what_is_there(todo, sidecar)
    with _lock(sidecar) as held:
        before = resuming.take_up(todo, held, resume=resume, force=force)
        _log.info(
            "%s: worker %d of %d begins at byte %d of its %d",
            todo.base,
            *worker,
            before.done,
            todo.length,
        )
        if before.finishing:
            wanted.advance(todo.length)
            after = before
        else:
            after = _write_or_clean_up(todo, held, before, wanted, blank=blank)
    with _keeping():
        complete = finishing.finish(todo, force=force)
        if digest is not None and before.finishing:
            _read_back(todo.files[0].path, todo.files[0].size, digest)
    _log.info(
        "%s: worker %d of %d has finished; %s",
        todo.base,
        *worker,
        "all is in place" if complete else "others have not",
    )
    moments = _moments(after)
    resumed = todo.length if before.finishing else before.done
    return Result(moments if measure else None, todo.length - resumed, resumed, complete)


def _lock(sidecar: Path) -> Journal:
    """The sidecar of this worker, locked; if another one is putting the files in place, after that."""
    while True:
        try:
            return journal.lock(sidecar)
        except BlockingIOError:
            with contextlib.suppress(FileNotFoundError):
                state = journal.read(sidecar)
                if state is None or not state.finishing:
                    raise
            time.sleep(finishing.RETRY_SECONDS)


def write_rows(
    path: str | os.PathLike[str],
    tensor: Tensor,
    first: int,
    last: int,
    *,
    advance: Callable[[int], object] | None = None,
    measure: bool = False,
) -> Moments | None:
    """Write rows `first` to `last` of a tensor into a file that is there, in place, and return
    their moments.

    Args:
        path: the file.
        tensor: from `containers.locate`, which has seen that the file holds it.
        first, last: entries of its first dim, as in a slice.
        advance, measure: as in `write`.

    Other rows are not touched: several processes may write different ones at once. A kill leaves
    some rows written; the same call again completes them."""
    row = tensor.nbytes // tensor.shape[0] if tensor.shape and tensor.shape[0] else 0
    alone = File(Path(path), b"", (tensor,))
    total = Moments()
    descriptor = os.open(path, os.O_RDWR)
    try:

        def work(run: Run, raw: pumping.Bytes) -> Moments | None:
            targets.write_all(descriptor, raw.data, run.offset)
            return measured(pumping.values(run, raw)) if measure else None

        with contextlib.closing(
            pumping.in_order(work, runs.runs([alone], first * row, last * row))
        ) as made:
            for run, _, moments in made:
                total = total.merged(moments) if moments else total
                if advance is not None:
                    advance(run.nbytes)
        targets.sync_data(descriptor)
    finally:
        os.close(descriptor)
    return total if measure else None


def _write_or_clean_up(
    plan: Plan, held: Journal, state: State, wanted: Wanted, *, blank: bool
) -> State:
    """Write the span. After an error, what is written stays if the sidecar tells of it, and is
    deleted otherwise.
    """
    try:
        # What several workers share stays: another one may be writing it.
        with _keeping(lambda: held.recorded or not plan.alone):
            _prepare(plan, state.done, blank=blank)
            if not blank:
                state = _write_span(plan, held, state, wanted)
            held.finishing()
    except BaseException:
        if plan.alone and not held.recorded:
            for file in plan.files:
                targets.partial(file.path).unlink(missing_ok=True)
            held.remove()
        raise
    return state


def _prepare(plan: Plan, done: int, *, blank: bool) -> None:
    """Create the files of the span with the size they will have, reserve its space, and write the
    headers it has.
    """
    if plan.alone and not done:
        for file in plan.files:
            targets.partial(file.path).unlink(missing_ok=True)
    shares = list(plan.shares())
    need = sum(share.last - share.first + len(share.file.header) * share.header for share in shares)
    missing = (
        share.file.size - targets.allocated(targets.partial(share.file.path)) for share in shares
    )
    if shares:
        targets.check_space(
            shares[0].file.path.parent, min(need, sum(max(0, count) for count in missing))
        )
    for file, first, last, ours in shares:
        descriptor = targets.open_partial(file.path)
        try:
            begin = len(file.header)
            targets.reserve(descriptor, file.size, 0 if ours else begin + first, begin + last)
            if ours:
                targets.write_all(descriptor, memoryview(file.header), 0)
            if blank or first == last:
                targets.sync_data(descriptor)  # else it goes with the data
        finally:
            os.close(descriptor)


def _write_span(plan: Plan, held: Journal, state: State, wanted: Wanted) -> State:
    low, high = plan.span
    total = _moments(state)
    # If the moments of what is written are asked for and not known, it is written again.
    done = state.done if state.moments or not wanted.measure else 0
    if wanted.digest is not None:
        file = plan.files[0]
        _read_back(targets.partial(file.path), len(file.header) + done, wanted.digest)
    if done:
        wanted.advance(done)
    ends, descriptors = _ends(plan), dict[int, int]()
    with Claims(held, state.done, (file.path.parent for file in plan.files)) as claims:

        def opened() -> Iterator[Run]:
            for run in runs.runs(plan.files, low + done, high):
                if run.file not in descriptors:
                    descriptors[run.file] = claims.open(plan.files[run.file].path, ends[run.file])
                yield run

        def work(run: Run, raw: pumping.Bytes) -> Moments | None:
            targets.write_all(descriptors[run.file], raw.data, run.offset)
            return measured(pumping.values(run, raw)) if wanted.measure else None

        with contextlib.closing(pumping.in_order(work, opened())) as made:
            for run, raw, moments in made:
                if moments is not None:
                    # Merged in order, so that the last digits depend neither on threads nor on
                    # where a kill came.
                    total = total.merged(moments)
                reached = run.position + run.nbytes - low
                if reached > state.done:
                    claims.reached(reached, astuple(total) if wanted.measure else None)
                if wanted.digest is not None:
                    wanted.digest.update(raw.data)
                wanted.advance(run.nbytes)
    return replace(state, done=high - low, moments=astuple(total) if wanted.measure else None)


def _moments(state: State) -> Moments:
    """Those that the sidecar has, of the bytes that are done."""
    if state.moments is None:
        return Moments()
    count, *rest = state.moments
    return Moments(int(count), *rest)


def _ends(plan: Plan) -> list[int]:
    """Where the data of each file end, in bytes of the span."""
    ends, end = [], -plan.span[0]
    for file in plan.files:
        end += file.data_bytes
        ends.append(min(end, plan.length))
    return ends


@contextlib.contextmanager
def _keeping(kept: Callable[[], bool] = lambda: True) -> Iterator[None]:
    """Say with an error that stops a write what can be done about it, if what is written is kept."""
    try:
        yield
    except (OSError, MemoryError, KeyboardInterrupt) as error:
        if not kept() or isinstance(error, DamagedError):
            raise
        _raise_with_hint(error)


def _raise_with_hint(error: OSError | MemoryError | KeyboardInterrupt) -> NoReturn:
    if isinstance(error, KeyboardInterrupt):
        raise KeyboardInterrupt(f"interrupted; {_HINT}") from None
    if isinstance(error, FileExistsError):
        raise FileExistsError(f"{error}; {_HINT} --force") from error
    if isinstance(error, OSError) and error.errno is not None:
        where = "" if error.filename is None else f": {os.fspath(error.filename)!r}"
        raise OSError(error.errno, f"{error.strerror}{where}; {_HINT}") from error
    raise type(error)(f"{str(error) or 'out of memory'}; {_HINT}") from error


def _read_back(path: Path, size: int, digest: Digest) -> None:
    """Update a digest with the first bytes of a file."""
    with open(path, "rb") as file:
        while size and (piece := file.read(min(size, _READ_BYTES))):
            digest.update(piece)
            size -= len(piece)
