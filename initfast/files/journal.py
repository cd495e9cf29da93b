"""The sidecar of an unfinished write: which bytes are on the disk, for the run that continues after
a kill.

A text file which only grows, of lines of JSON, each with a checksum of all lines up to it. Line 1
says what is being written; the lines after it say how far it has come. The process that writes it
holds a lock on it, which ends with the process, however it ends."""

import contextlib
import fcntl
import json
import os
import re
import stat
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FORMAT = "initfast journal 1"
_START = f'{{"format": "{FORMAT}"'


@dataclass(slots=True)
class State:
    """What a sidecar says.

    Args:
        header: line 1, less the format.
        done: bytes of the worker's span that are on the disk, from its beginning.
        moments: those of the bytes done, as the writer gave them; None if it did not.
        finishing: the whole span is on the disk.
        placed: all files of all workers stand under their final names; only sidecars are left to
            delete.
        end: bytes of the sidecar that are whole lines.
        sum: their checksum.
    """

    header: Mapping[str, Any]
    done: int = 0
    moments: tuple[float, ...] | None = None
    finishing: bool = False
    placed: bool = False
    end: int = field(default=0, compare=False)
    sum: int = field(default=0, compare=False)


class DamagedError(OSError):
    """A sidecar does not hold what a sidecar holds. `ours`: it began as one."""

    def __init__(self, path: Path, what: str, *, ours: bool) -> None:
        cure = "--force starts again" if ours else "move it away"
        super().__init__(f"the sidecar {os.fspath(path)!r} must be whole; received {what} ({cure})")
        self.ours = ours


def name(base: Path, worker: tuple[int, int]) -> Path:
    """The path of a worker's sidecar: `BASE.partial.json`, or `BASE.partial.K-of-N.json` where
    there are several.
    """
    k, n = worker
    return base.with_name(f"{base.name}.partial{'' if n == 1 else f'.{k}-of-{n}'}.json")


def others(base: Path, worker: tuple[int, int]) -> list[tuple[tuple[int, int], Path]]:
    """The sidecars of other workers that are there now: (worker, path) of each, in order."""
    pattern = re.compile(rf"{re.escape(base.name)}\.partial(?:\.([0-9]+)-of-([0-9]+))?\.json")
    found = []
    for entry in os.listdir(base.parent):
        if match := pattern.fullmatch(entry):
            which = (int(match[1]), int(match[2])) if match[1] else (1, 1)
            if which != worker:
                found.append((which, base.parent / entry))
    return sorted(found)


def parse(path: Path, text: bytes) -> State | None:
    """What the bytes of a sidecar say; None if it was killed before its first line was whole.

    A last line without its end was torn by a kill or a full disk, and says nothing. Raises
    DamagedError."""
    lines = text.split(b"\n")[:-1]
    start = _START.encode()
    if not (text.startswith(start) or start.startswith(text)):
        raise DamagedError(path, f"{text[:60]!r}", ours=False)
    if not lines:
        return None
    records, sum_ = [], 0
    for number, line in enumerate(lines, 1):
        record, _, given = line.rpartition(b"\t")
        sum_ = zlib.crc32(record, sum_)
        try:
            if given != b"%08x" % sum_:
                raise ValueError
            records.append(json.loads(record.decode("utf-8")))
        except (ValueError, RecursionError):
            raise DamagedError(path, f"{line[:60]!r} in line {number}", ours=True) from None
    header = records[0]
    if not isinstance(header.pop("format", None), str) or not isinstance(
        header.get("identity"), dict
    ):
        raise DamagedError(path, f"{lines[0][:60]!r} in line 1", ours=True)
    state = State(header, end=sum(len(line) + 1 for line in lines), sum=sum_)
    for number, record in enumerate(records[1:], 2):
        if not _follow(state, record):
            raise DamagedError(path, f"{lines[number - 1][:60]!r} in line {number}", ours=True)
    return state


def _follow(state: State, record: Any) -> bool:
    """Take a record after line 1 into the state; False if it is none, or cannot come where it
    comes.
    """
    if not isinstance(record, dict) or state.placed:
        return False
    done, moments = record.get("done"), record.get("moments")
    if (
        set(record) <= {"done", "moments"}
        and type(done) is int
        and done >= state.done
        and not state.finishing
    ):
        if moments is not None and not _are_moments(moments):
            return False
        state.done, state.moments = done, None if moments is None else tuple(moments)
        return True
    if record == {"finishing": True} and not state.finishing:
        state.finishing = True
        return True
    if record == {"placed": True} and state.finishing:
        state.placed = True
        return True
    return False


def _are_moments(values: Any) -> bool:
    return (
        isinstance(values, list)
        and len(values) == 5
        and all(type(value) in (int, float) for value in values)
    )


def read(path: Path) -> State | None:
    """What a sidecar says now, whoever holds it. Raises DamagedError, and FileNotFoundError if
    there is none.
    """
    return parse(path, path.read_bytes())


class Journal:
    """A sidecar that is open and locked, to be written. Use it as a context: it is unlocked and
    closed on leaving.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor
        self._end = self._sum = 0
        self.recorded = False  # whether it says that any byte is done

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Unlock it; it stays where it is."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def state(self) -> State | None:
        """What it says; what comes next is written after it, in the place of a torn line."""
        size = os.fstat(self._descriptor).st_size
        state = parse(self.path, os.pread(self._descriptor, size, 0))
        self._end, self._sum = (state.end, state.sum) if state else (0, 0)
        self.recorded = state is not None and state.done > 0
        return state

    def begin(self, header: Mapping[str, Any]) -> None:
        """Write line 1, in place of all that was there."""
        os.ftruncate(self._descriptor, 0)
        self._end, self._sum, self.recorded = 0, 0, False
        self._append({"format": FORMAT, **header})

    def done(self, count: int, moments: Iterable[float] | None = None) -> None:
        """Say that the first `count` bytes of the span are on the disk."""
        self._append(
            {"done": count} if moments is None else {"done": count, "moments": list(moments)}
        )
        self.recorded = self.recorded or count > 0

    def finishing(self) -> None:
        """Say that the whole span is on the disk, and let that be on the disk too before anything
        is renamed.
        """
        self._append({"finishing": True})
        os.fsync(self._descriptor)
        self.recorded = True

    def placed(self) -> None:
        """Say that all files stand under their final names."""
        self._append({"placed": True})
        os.fsync(self._descriptor)

    def remove(self) -> None:
        """Delete it. The lock holds until it is closed, so that nobody takes up what is about to
        go.
        """
        self.path.unlink(missing_ok=True)

    def _append(self, record: Mapping[str, Any]) -> None:
        text = json.dumps(record).encode()
        self._sum = zlib.crc32(text, self._sum)
        line = b"%s\t%08x\n" % (text, self._sum)
        os.ftruncate(self._descriptor, self._end)
        while line:
            written = os.pwrite(self._descriptor, line, self._end)
            line = line[written:]
            self._end += written


def lock(path: Path, *, create: bool = True) -> Journal:
    """Open a sidecar and lock it.

    Raises:
        BlockingIOError: another process has it.
        FileNotFoundError: there is none, and `create` is False.
        OSError: it cannot be opened, is no regular file, or its file system knows no locks.
    """
    while True:
        flags = os.O_RDWR | os.O_NOFOLLOW | (os.O_CREAT if create else 0)
        descriptor = os.open(path, flags, 0o666)
        try:
            held = os.fstat(descriptor)
            if not stat.S_ISREG(held.st_mode):
                raise OSError(f"the sidecar must be a regular file; received {os.fspath(path)!r}")
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BlockingIOError(
                    f"one process at a time may write a file; another one is writing {os.fspath(path)!r}"
                ) from None
            # Whoever had the lock may have deleted the file before we got it: then the name is
            # another file's, or none.
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(held, os.stat(path, follow_symlinks=False)):
                    return Journal(path, descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
