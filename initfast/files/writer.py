"""Write a file of initialised tensors atomically, and resume an interrupted write.

The bytes are written to `OUT.partial`, which is renamed to OUT once they are on the disk. Values
can be computed again as fast as a disk reads, so the progress of a write is not recorded. Resuming
computes all chunks again, compares them with the file, and writes those that differ or are missing.
A crash, a hole and a flipped bit are the same case.

The unfinished file of another write (another seed, shape, dtype, initializer or version) is refused
and not changed; `identity.py` recognises it. A resumed run compares a finished file in the same
way, and refuses any difference. Only `write_rows` changes a finished file in place."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import numpy as np

from initfast.core.moments import Moments
from initfast.core.regular import open_regular
from initfast.files import passes
from initfast.files.chunks import CHUNK_BYTES, Bytes, Group, Maker, equal
from initfast.files.formats import File, Tensor
from initfast.files.identity import is_same_write, origin
from initfast.files.partial import (
    Partial,
    allocated,
    check_space,
    finish_rename,
    partial_path,
    read_at,
    refuse_existing,
    resolve,
    write_at,
)
from initfast.files.passes import Options, Result
from initfast.files.walker import Scratch

__all__ = ["Result", "raise_with_hint", "write", "write_rows"]

_log = logging.getLogger(__name__)


class _DifferentError(Exception):
    """The error that a finished file has other values."""


def write(
    file: File,
    *,
    resume: bool = False,
    force: bool = False,
    advance: Callable[[int], object] | None = None,
    measure: bool = False,
    sha256: bool = False,
    blank: bool = False,
    resume_options: str = "--resume",
    chunk_bytes: int = CHUNK_BYTES,
) -> Result:
    """Write a file, or the missing part of an unfinished one, and give it its final name.

    Args:
        file: the file. Its initializers must have passed their checks, as in `blocks.check`.
        resume: complete an unfinished write, if there is one. A finished file is compared.
        force: replace an existing file at the end, and restart an unfinished write; with `resume`
            only one of other values.
        advance: called with counts of bytes of data, in order, on the calling thread.
        measure: whether to measure the moments of all elements.
        sha256: whether to compute the digest of the file.
        blank: write the header, and zeros as data.
        resume_options: the command line options that resume this write, for messages.
        chunk_bytes: bytes of a chunk. A resumed write needs the same number.

    Raises:
        FileExistsError: the file or an unfinished write exists, or has other values.
        BlockingIOError: another process is writing this file.
        OSError: a call of the system failed, or the unfinished file was changed during the write.
        KeyboardInterrupt: the message, as that of an OSError, says if an unfinished file is kept.

    Uses `get_num_threads()` threads, and memory that does not grow with the file.
    """
    final = resolve(file.path)
    file = replace(file, path=final)
    options = Options(advance or (lambda count: None), measure, sha256, chunk_bytes)
    if resume and (finished := _compare_finished(file, options, force=force)):
        return finished
    if not (resume or force):
        refuse_existing(final)
    maker = Maker()
    with Partial(final) as partial:
        if resume and not (force or partial.existing_size) and os.path.lexists(final):
            partial.remove()  # another process has just finished the file
            if finished := _compare_finished(file, options, force=False):
                return finished
        if partial.existing_size and not (resume or force):
            raise FileExistsError(
                f"an unfinished write exists, {os.fspath(partial.path)!r}: use --resume to complete"
                " it, or --force to replace it"
            )
        if partial.existing_size and not (
            resume and is_same_write(partial, file, maker, chunk_bytes)
        ):
            if not force:
                raise FileExistsError(
                    f"the unfinished file {os.fspath(partial.path)!r} belongs to another write,"
                    " with another seed, shape, dtype, initializer or version"
                    f"{origin(partial, file)}: complete it with the command that began it, or use"
                    " --force to replace it"
                )
            partial.clear()
        mender = _Mender(partial)
        try:
            if not force:
                refuse_existing(final)  # another process may have created it before the lock
            result = _write_partial(partial, file, maker, mender, options, blank=blank)
            partial.publish(force=force)
        except BaseException as error:
            if isinstance(error, OSError) and error.errno is not None and error.filename is None:
                error.filename = os.fspath(partial.path)
            if partial.existing_size or (mender.has_written and not blank):
                raise_with_hint(error, resume_options)
            partial.remove()
            raise
    _log.info("%s: %d bytes written, %d already in place", final, result.written, result.resumed)
    return result


def write_rows(
    path: str | os.PathLike[str],
    tensor: Tensor,
    first: int,
    last: int,
    *,
    advance: Callable[[int], object] | None = None,
    chunk_bytes: int = CHUNK_BYTES,
) -> Moments:
    """Overwrite rows `first` to `last` of a tensor in an existing file; return their moments.

    Args:
        path: the file.
        tensor: the tensor, from `formats.locate`.
        first, last: rows of its first dimension, as in a slice.
        advance, chunk_bytes: as in `write`.

    Other rows are not changed, so that several processes may write different rows at once. After a
    kill, the same call completes the rows.

    Raises:
        OSError: a call of the system failed, or the file was truncated, replaced or deleted
            during the write.
        KeyboardInterrupt: the message says that some rows may be written.
    """
    with open_regular(path, write=True) as opened:
        descriptor = opened.fileno()
        before = os.fstat(descriptor)

        def check() -> None:
            """Raise OSError if the file was changed: a write would leave a hole or be lost."""
            with contextlib.suppress(FileNotFoundError):
                same = os.path.samestat(before, os.stat(path))
                if same and os.fstat(descriptor).st_size == before.st_size:
                    return
            raise OSError(
                f"the file {os.fspath(path)!r} was truncated, replaced or deleted while its rows"
                " were written: run the command again"
            )

        def put(group: Group, raw: Bytes) -> int:
            check()
            write_at(descriptor, raw.data, group.offset)
            return group.nbytes

        options = Options(advance or (lambda count: None), True, False, chunk_bytes)
        try:
            result = passes.run(File(Path(path), b"", (tensor,)), put, options, rows=(first, last))
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                "interrupted; some rows may be written: run the command again"
            ) from None
        os.fsync(descriptor)
        check()
    assert result.moments is not None
    return result.moments


class _Mender:
    """A function that writes those groups of a partial that differ from the expected bytes."""

    def __init__(self, partial: Partial) -> None:
        self._partial = partial
        self._scratch = Scratch()
        self.has_written = False

    def __call__(self, group: Group, raw: Bytes) -> int:
        """Write a group if it differs, and return how many bytes were written."""
        if self._partial.existing_size:
            stored = self._scratch.of(group.nbytes)
            count = self._partial.read(stored.data, group.offset)
            if count == group.nbytes and equal(stored, raw):
                return 0
        self._partial.write(raw.data, group.offset)
        self.has_written = True
        return group.nbytes


def _write_partial(
    partial: Partial,
    file: File,
    maker: Maker,
    mender: _Mender,
    options: Options,
    *,
    blank: bool,
) -> Result:
    if blank:
        partial.clear()
    check_space(file.path.parent, file.size - allocated(partial.path))
    partial.reserve(file.size)
    header = np.zeros(len(file.header), np.uint8)
    partial.read(header.data, 0)
    if header.tobytes() != file.header:
        partial.write(memoryview(file.header), 0)
    if blank:
        return Result(None, 0, 0, True)
    return passes.run(file, mender, options, maker)


def _compare_finished(file: File, options: Options, *, force: bool) -> Result | None:
    """Return the result if the finished file exists and matches; None if it is to be written.

    Raises:
        FileExistsError: the finished file has other values, and `force` is False.
    """
    finish_rename(file.path)
    if not os.path.lexists(file.path) or (force and os.path.lexists(partial_path(file.path))):
        return None
    scratch = Scratch()
    descriptor = os.open(file.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:

        def compare(group: Group, raw: Bytes) -> int:
            stored = scratch.of(group.nbytes)
            read_at(descriptor, stored.data, group.offset)
            if not equal(stored, raw):
                raise _DifferentError
            return 0

        header = np.zeros(len(file.header), np.uint8)
        read_at(descriptor, header.data, 0)
        if os.fstat(descriptor).st_size != file.size or header.tobytes() != file.header:
            raise _DifferentError
        return passes.run(file, compare, options)
    except _DifferentError:
        if force:
            return None
        raise FileExistsError(
            f"{os.fspath(file.path)!r} already exists with other values than this command writes:"
            " use --force to replace it"
        ) from None
    finally:
        os.close(descriptor)


def raise_with_hint(error: BaseException, resume_options: str) -> NoReturn:
    """Raise an error that stopped a write, with a hint how to resume it."""
    hint = f"the part already written is kept: rerun with {resume_options}"
    if isinstance(error, KeyboardInterrupt):
        raise KeyboardInterrupt(f"interrupted; {hint}") from None
    if isinstance(error, FileExistsError):
        raise FileExistsError(f"{error}; {hint} --force") from error
    if isinstance(error, OSError) and error.errno is not None:
        where = "" if error.filename is None else f": {os.fspath(error.filename)!r}"
        raise OSError(error.errno, f"{error.strerror}{where}; {hint}") from error
    if isinstance(error, OSError | MemoryError):
        raise type(error)(f"{str(error) or 'out of memory'}; {hint}") from error
    raise error
