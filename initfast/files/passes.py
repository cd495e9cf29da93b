"""One pass over all groups of a file, which makes them: what it counts and measures."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from initfast.core.moments import Moments
from initfast.files.chunks import Bytes, Group, Maker, chunks, groups
from initfast.files.formats import File
from initfast.files.walker import walk

__all__ = ["Options", "Result", "run"]


@dataclass(frozen=True, slots=True)
class Result:
    """What a call has done.

    Args:
        moments: of all elements, if they were asked for.
        written: bytes of data that this call wrote.
        resumed: bytes of data that were in place already.
        complete: whether all files have their final names.
        sha256: of the file, in hexadecimal digits, if it was asked for.
    """

    moments: Moments | None
    written: int
    resumed: int
    complete: bool
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Options:
    advance: Callable[[int], object]
    measure: bool
    sha256: bool
    chunk_bytes: int


def run(
    file: File,
    visit: Callable[[Group, Bytes], int],
    options: Options,
    maker: Maker | None = None,
    rows: tuple[int, int] | None = None,
) -> Result:
    """Make all groups of a file, and add up what `visit` says that it wrote of each."""
    digest = hashlib.sha256(file.header) if options.sha256 else None
    total, written, resumed = Moments(), 0, 0
    todo = groups(chunks(file.tensors, options.chunk_bytes, rows), options.chunk_bytes)
    with contextlib.closing(walk(todo, visit, maker, options.measure)) as steps:
        for group, raw, count, part in steps:
            written, resumed = written + count, resumed + group.nbytes - count
            if part is not None:
                # Merged in order, so that the last digits do not depend on threads.
                total = total.merged(part)
            if digest is not None:
                digest.update(raw.data)
            options.advance(group.nbytes)
    sha256 = None if digest is None else digest.hexdigest()
    return Result(total if options.measure else None, written, resumed, True, sha256)
