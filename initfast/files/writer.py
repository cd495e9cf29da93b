"""Write a file of initialised tensors, so that a kill at any moment leaves nothing wrong.

The bytes go to `OUT.partial`, which takes its final name in one step once they are on the disk.
Every value can be made again as fast as a disk reads, so nothing is recorded about how far a write
has come: to resume is to walk all chunks, make each again, compare it with what is there, and write
it if it differs or is missing. A crash, a hole and a flipped bit are the same case.

A partial of another write (another seed, shape, dtype, initializer or version) is refused and left
as it is; `identity.py` recognises it.
A finished file that a resumed run meets under its final name is compared in the same way, and any
difference is refused: a finished file is never changed in place, except by `write_rows`."""

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
from initfast.files.identity import begun_with, is_same_write
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
    """A finished file is not what it should be."""


def write(
    file: File,
    *,
    resume: bool = False,
    force: bool = False,
    advance: Callable[[int], object] | None = None,
    measure: bool = False,
    sha256: bool = False,
    blank: bool = False,
    again: str = "--resume",
    chunk_bytes: int = CHUNK_BYTES,
) -> Result:
    """Write a file, or what is missing of it, and put it in place.

    Args:
        file: what to write; its initializers must have passed their checks, as in `blocks.check`.
        resume: continue an unfinished write; if there is none, begin. A finished file is compared.
        force: replace an existing file at the end, and start an unfinished write again, except
            with `resume` one of the same values.
        advance: called with counts of bytes of data, in order, on the calling thread.
        measure: whether to take the moments of all elements.
        sha256: whether to take the digest of the file.
        blank: write the header, and zeros for the data.
        again: the options that resume this write, for messages.
        chunk_bytes: bytes of a chunk, the same in each call.

    Raises:
        FileExistsError: the file or an unfinished write exists, or holds other values.
        BlockingIOError: another process is writing this file.
        OSError: the system refuses something, or the partial was changed meanwhile.
        KeyboardInterrupt: its text, like that of an OSError, says if something was kept.

    Uses `get_num_threads()` threads, and memory that does not grow with the file.
    """
    final = resolve(file.path)
    file = replace(file, path=final)
    options = Options(advance or (lambda count: None), measure, sha256, chunk_bytes)
    if resume and (finished := _compare_finished(file, options, force=force)):
        return finished
    if not force:
        refuse_existing(final)
    maker = Maker()
    with Partial(final) as partial:
        if resume and not (force or partial.found) and os.path.lexists(final):
            partial.remove()  # another process has just finished the file
            if finished := _compare_finished(file, options, force=False):
                return finished
        if partial.found and not (resume or force):
            raise FileExistsError(
                "an unfinished write exists: use --resume or --force; received"
                f" {os.fspath(partial.path)!r}"
            )
        if partial.found and not (resume and is_same_write(partial, file, maker, chunk_bytes)):
            if not force:
                raise FileExistsError(
                    f"the partial {os.fspath(partial.path)!r} is of another write, with another"
                    " seed, shape, dtype, initializer or version"
                    f"{begun_with(partial, file)}: finish that one with the command that began"
                    " it, or use --force to start again"
                )
            partial.clear()
        mender = _Mender(partial)
        try:
            if not force:
                refuse_existing(final)  # it may have come before the lock was ours
            result = _write_partial(partial, file, maker, mender, options, blank=blank)
            partial.publish(force=force)
        except BaseException as error:
            if isinstance(error, OSError) and error.errno is not None and error.filename is None:
                error.filename = os.fspath(partial.path)
            if partial.found or (mender.wrote and not blank):
                raise_with_hint(error, again)
            partial.remove()
            raise
    _log.info("%s: %d bytes written, %d were there", final, result.written, result.resumed)
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
        tensor: from `formats.locate`.
        first, last: entries of its first dim, as in a slice.
        advance, chunk_bytes: as in `write`.

    Other rows are not touched: several processes may write different ones at once. A kill leaves
    some rows written; the same call again completes them.

    Raises:
        OSError: the file was truncated, replaced or deleted meanwhile, among others.
    """
    with open_regular(path, write=True) as opened:
        descriptor = opened.fileno()
        before = os.fstat(descriptor)

        def check() -> None:
            """A write beyond the end would leave a hole, one into a replaced file would be lost."""
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
        result = passes.run(File(Path(path), b"", (tensor,)), put, options, rows=(first, last))
        os.fsync(descriptor)
        check()
    assert result.moments is not None
    return result.moments


class _Mender:
    """Writes groups that differ from what a partial holds."""

    def __init__(self, partial: Partial) -> None:
        self._partial = partial
        self._scratch = Scratch()
        self.wrote = False

    def __call__(self, group: Group, raw: Bytes) -> int:
        """Return how many bytes were written."""
        if self._partial.found:
            there = self._scratch.of(group.nbytes)
            count = self._partial.read(there.data, group.offset)
            if count == group.nbytes and equal(there, raw):
                return 0
        self._partial.write(raw.data, group.offset)
        self.wrote = True
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
    """Return the result if the file has its final name and holds what it should; None if the file
    is to be written.

    Raises:
        FileExistsError: it holds something else, and `force` is False.
    """
    finish_rename(file.path)
    if not os.path.lexists(file.path) or (force and os.path.lexists(partial_path(file.path))):
        return None
    scratch = Scratch()
    descriptor = os.open(file.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:

        def compare(group: Group, raw: Bytes) -> int:
            there = scratch.of(group.nbytes)
            read_at(descriptor, there.data, group.offset)
            if not equal(there, raw):
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
            f"an existing file is replaced only with --force; received {os.fspath(file.path)!r},"
            " which holds other values than this command writes"
        ) from None
    finally:
        os.close(descriptor)


def raise_with_hint(error: BaseException, again: str) -> NoReturn:
    """Raise an error that stopped a write, with how to resume it."""
    hint = f"what is written stays: rerun with {again}"
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
