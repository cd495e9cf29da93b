"""Say in the journal what has reached the disk, from a thread of its own, so that the workers do
not wait for it.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from initfast.files import targets
from initfast.files.journal import Journal

# Between two claims: what a kill may cost, at most, beside what the disk was still at.
SECONDS = 1.0

Position = tuple[int, Iterable[float] | None]


class Claims:
    """The open files of a span, and the thread that syncs them and then says so. A context: leaving
    it closes them.

    Left without an error, it has synced everything and said so. Left by Ctrl-C, it does the same if
    something has been said before; after any other error it says no more, since what a disk refused
    once it may lose without a word."""

    def __init__(self, journal: Journal, done: int, folders: Iterable[Path]) -> None:
        self._journal = journal
        self._folders = set(
            folders
        )  # to be synced before the first claim, so that a crash leaves names to resume
        self._said = done
        self._position: Position = (done, None)
        self._open: dict[int, int] = {}  # descriptor: where in the span its file ends
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="initfast-claims", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def open(self, final: Path, end: int) -> int:
        """A descriptor of a file's partial; it is closed once the span's bytes up to `end` are
        claimed.
        """
        descriptor = targets.open_partial(final, create=False)
        with self._lock:
            self._open[descriptor] = end
        return descriptor

    def reached(self, done: int, moments: Iterable[float] | None = None) -> None:
        """Take note that the span's first `done` bytes are written. Raises what a claim before has
        met with.
        """
        with self._lock:
            self._position = (done, moments)
        if self._error is not None:
            raise self._error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        try:
            if error is None:
                if self._error is not None:
                    raise self._error
                self._claim()
            elif (
                isinstance(error, KeyboardInterrupt)
                and self._error is None
                and self._journal.recorded
            ):
                with contextlib.suppress(OSError):
                    self._claim()
        finally:
            for descriptor in self._open:
                os.close(descriptor)

    def _run(self) -> None:
        while not self._stop.wait(SECONDS):
            try:
                if self._folders:
                    targets.sync_folders(self._folders)
                    self._folders.clear()
                self._claim()
            except BaseException as error:
                self._error = error
                return

    def _claim(self) -> None:
        with self._lock:
            (done, moments), descriptors = self._position, dict(self._open)
        if done == self._said:
            return
        for descriptor in descriptors:
            targets.sync_data(descriptor)
        self._journal.done(done, moments)
        self._said = done
        for descriptor, end in descriptors.items():
            if end <= done:
                with self._lock:
                    del self._open[descriptor]
                os.close(descriptor)
