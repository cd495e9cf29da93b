"""One pass that computes all groups of a file, and counts and measures them."""

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
    """The result of a write.

    Args:
        moments: mean, standard deviation and extremes of all elements, if they were requested.
        written: bytes of data that this call has written.
        resumed: bytes of data that were already in place.
        complete: whether all files have their final names.
        sha256: the digest of the file in hexadecimal digits, if it was requested.
    """

    moments: Moments | None
    written: int
    resumed: int
    complete: bool
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a pass, as in `writer.write`."""

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
    """Compute all groups of a file, and pass each to `visit`, which returns the bytes it wrote.

    Returns:
        The sum of these bytes, and the requested moments and digest.
    """
    digest = hashlib.sha256(file.header) if options.sha256 else None
    total, written, resumed = Moments(), 0, 0
    todo = groups(chunks(file.tensors, options.chunk_bytes, rows), options.chunk_bytes)
    with contextlib.closing(walk(todo, visit, maker, options.measure)) as steps:
        for group, raw, count, part in steps:
            written, resumed = written + count, resumed + group.nbytes - count
            if part is not None:
                # Merge in order, so that the last digits do not depend on the threads.
                total = total.merged(part)
            if digest is not None:
                digest.update(raw.data)
            options.advance(group.nbytes)
    sha256 = None if digest is None else digest.hexdigest()
    return Result(total if options.measure else None, written, resumed, True, sha256)
