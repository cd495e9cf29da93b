"""Write a file of initialised tensors, so that a kill at any moment leaves nothing wrong.

The bytes go to `OUT.partial`, which takes its final name in one step once they are on the disk.
Every value can be made again as fast as a disk reads, so nothing is recorded about how far a write
has come: to resume is to walk all chunks, make each again, compare it with what is there, and write
it if it differs or is missing. A crash, a hole and a flipped bit are the same case.

A partial of another write (another seed, shape, dtype, initializer or version) is refused and left
as it is. It is recognised, before anything is written, in pieces of 64 bytes; a piece of
zeros counts as never written:
- a piece of the header differs;
- or the file is longer than it would become;
- or, of the first chunk that has been written, more than half of the pieces differ. If that chunk
  holds one value throughout, as zeros and biases do, the next chunk is looked at too.
A finished file that a resumed run meets under its final name is compared in the same way, and any
difference is refused: a finished file is never changed in place, except by `write_rows`."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

import numpy as np

from initfast.core.moments import Moments
from initfast.core.regular import open_regular
from initfast.files import formats
from initfast.files.chunks import CHUNK_BYTES, Bytes, Chunk, Maker, Scratch, chunks, equal
from initfast.files.chunks import walk as walk_chunks
from initfast.files.formats import File, Tensor
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

__all__ = ["Result", "raise_with_hint", "write", "write_rows"]

_log = logging.getLogger(__name__)
# Chunks that are looked at to recognise a partial: more than can be unwritten in front of others.
_PROBED = 256
_PIECE = 64


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
class _Options:
    advance: Callable[[int], object]
    measure: bool
    sha256: bool
    chunk_bytes: int


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
    options = _Options(advance or (lambda count: None), measure, sha256, chunk_bytes)
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
        if partial.found and not (resume and _is_same_write(partial, file, maker, chunk_bytes)):
            if not force:
                raise FileExistsError(
                    f"the partial {os.fspath(partial.path)!r} is of another write, with another"
                    " seed, shape, dtype, initializer or version"
                    f"{_begun_with(partial, file)}: finish that one with the command that began"
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

        def put(chunk: Chunk, raw: Bytes) -> int:
            check()
            write_at(descriptor, raw.data, chunk.offset)
            return chunk.nbytes

        options = _Options(advance or (lambda count: None), True, False, chunk_bytes)
        result = _walk(File(Path(path), b"", (tensor,)), put, options, rows=(first, last))
        os.fsync(descriptor)
        check()
    assert result.moments is not None
    return result.moments


class _Mender:
    """Writes chunks that differ from what a partial holds."""

    def __init__(self, partial: Partial) -> None:
        self._partial = partial
        self._scratch = Scratch()
        self.wrote = False

    def __call__(self, chunk: Chunk, raw: Bytes) -> int:
        """Return how many bytes were written."""
        if self._partial.found:
            there = self._scratch.of(chunk.nbytes)
            count = self._partial.read(there.data, chunk.offset)
            if count == chunk.nbytes and equal(there, raw):
                return 0
        self._partial.write(raw.data, chunk.offset)
        self.wrote = True
        return chunk.nbytes


def _write_partial(
    partial: Partial,
    file: File,
    maker: Maker,
    mender: _Mender,
    options: _Options,
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
    return _walk(file, mender, options, maker)


def _walk(
    file: File,
    visit: Callable[[Chunk, Bytes], int],
    options: _Options,
    maker: Maker | None = None,
    rows: tuple[int, int] | None = None,
) -> Result:
    """Make all chunks of a file, and add up what `visit` says that it wrote of each."""
    digest = hashlib.sha256(file.header) if options.sha256 else None
    total, written, resumed = Moments(), 0, 0
    todo = chunks(file.tensors, options.chunk_bytes, rows)
    with contextlib.closing(walk_chunks(todo, visit, maker, options.measure)) as steps:
        for chunk, raw, count, part in steps:
            written, resumed = written + count, resumed + chunk.nbytes - count
            if part is not None:
                # Merged in order, so that the last digits do not depend on threads.
                total = total.merged(part)
            if digest is not None:
                digest.update(raw.data)
            options.advance(chunk.nbytes)
    sha256 = None if digest is None else digest.hexdigest()
    return Result(total if options.measure else None, written, resumed, True, sha256)


def _compare_finished(file: File, options: _Options, *, force: bool) -> Result | None:
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

        def compare(chunk: Chunk, raw: Bytes) -> int:
            there = scratch.of(chunk.nbytes)
            read_at(descriptor, there.data, chunk.offset)
            if not equal(there, raw):
                raise _DifferentError
            return 0

        header = np.zeros(len(file.header), np.uint8)
        read_at(descriptor, header.data, 0)
        if os.fstat(descriptor).st_size != file.size or header.tobytes() != file.header:
            raise _DifferentError
        return _walk(file, compare, options)
    except _DifferentError:
        if force:
            return None
        raise FileExistsError(
            f"an existing file is replaced only with --force; received {os.fspath(file.path)!r},"
            " which holds other values than this command writes"
        ) from None
    finally:
        os.close(descriptor)


def _is_same_write(partial: Partial, file: File, maker: Maker, chunk_bytes: int) -> bool:
    """Return whether a partial is of this write, by the rule in the docstring of this module."""
    header = np.zeros(len(file.header), np.uint8)
    partial.read(header.data, 0)
    written, same = _pieces(header, np.frombuffer(file.header, np.uint8))
    if partial.found > file.size or same < written:
        return False
    return not _has_other_values(partial, file, maker, chunk_bytes)


def _has_other_values(partial: Partial, file: File, maker: Maker, chunk_bytes: int) -> bool:
    for chunk in itertools.islice(chunks(file.tensors, chunk_bytes), _PROBED):
        there = np.zeros(chunk.nbytes, np.uint8)
        partial.read(there.data, chunk.offset)
        if not there.any():
            continue
        raw = np.empty(chunk.nbytes, np.uint8)
        maker.make(chunk, raw, maker.prepare(chunk))
        written, same = _pieces(there, raw)
        if 2 * same < written:
            return True
        elements = raw.reshape(chunk.size, -1)
        if not (elements == elements[0]).all():
            return False
    return False


def _pieces(there: Bytes, raw: Bytes) -> tuple[int, int]:
    """Return how many pieces have been written, and how many of these are as they should be."""
    size = -(-len(raw) // _PIECE) * _PIECE
    padded = [np.pad(each, (0, size - len(each))).reshape(-1, _PIECE) for each in (there, raw)]
    written = padded[0].any(axis=1)
    return int(written.sum()), int((written & (padded[0] == padded[1]).all(axis=1)).sum())


def _begun_with(partial: Partial, file: File) -> str:
    """Return what the header of a partial says of it, as far as it can be read."""
    with contextlib.suppress(ValueError, OSError):
        stored = formats.read(partial.path, formats.format_of(file.path))
        for wrong in formats.locate(stored, file.tensors):
            if isinstance(wrong, ValueError):
                return f" (must hold {wrong})"
        seed = formats.seed_of(stored.metadata)
        return "" if seed is None else f" (it was begun with seed {seed})"
    return ""


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
