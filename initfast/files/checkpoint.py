"""Write the files of a model, and list the files that an existing model should have.

The unit of work is a file. Worker K of N writes files K, K + N, .... The worker that finds all
files in place writes the index."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from initfast.core.regular import open_regular
from initfast.core.seeds import Seed
from initfast.files import layout, writer
from initfast.files.chunks import CHUNK_BYTES
from initfast.files.formats import File
from initfast.files.job import INDEX, SUFFIX, Job
from initfast.files.layout import plan, size_of
from initfast.files.partial import allocated, check_space, partial_path, refuse_existing, resolve
from initfast.files.specs import AnySpec, Entry
from initfast.files.writer import Result

__all__ = ["Job", "expected", "plan", "save", "size_of", "write", "write_shared"]

_RETRY_SECONDS, _WAIT_SECONDS = 0.05, 10.0


def save(
    spec: AnySpec,
    path: str | os.PathLike[str],
    *,
    seed: int | Seed,
    max_shard_size: int | str | None = None,
    dtype: str | None = None,
    shard: tuple[int, int] = (1, 1),
    resume: bool = False,
    force: bool = False,
    progress: Callable[[int], object] | None = None,
) -> Result:
    """Write the model that a spec describes. Each file is written atomically.

    Args:
        spec: path of a JSON file, or a dict of the same form, such as `spec_from` returns.
        path: a file that ends in .safetensors, or a folder, which is created if its parent exists.
            A folder gets model.safetensors, or model-00001-of-0000N.safetensors and so on and
            model.safetensors.index.json.
        seed: integer in [0, 2**64), or a `Seed`, whose name is then a prefix of the tensors' names.
        max_shard_size: maximum bytes of a file in a folder, a number or text such as "500MB" or
            "2GiB"; default "5GB". A larger tensor has a separate file.
        dtype: name of the dtype of all floating tensors; default: as in the spec.
        shard: (K, N): this call writes only files K, K + N, ..., as worker K of N processes or
            hosts that share the folder. The last worker to finish writes the index. With fewer
            files than N, some workers have nothing to write.
        resume: complete an interrupted write. Finished files are compared. This is safe on the
            first run too.
        force: replace existing files, and restart unfinished ones.
        progress: called with counts of bytes as they are written.

    Returns:
        A result whose `written` and `resumed` are bytes of data that this call has written and that
        were in place. `complete` says whether all files of the model are in place.

    Raises:
        ValueError: the spec or an argument is wrong. Nothing has been written then.
        OSError: a file exists already, the disk is full, or an unfinished file exists.
    """
    job = plan(spec, path, seed, max_shard_size, dtype=dtype)
    return write(job, shard=shard, resume=resume, force=force, progress=progress)


def write(
    job: Job,
    *,
    shard: tuple[int, int] = (1, 1),
    resume: bool = False,
    force: bool = False,
    progress: Callable[[int], object] | None = None,
    chunk_bytes: int = CHUNK_BYTES,
) -> Result:
    """Write the files of a `Job` from `plan`. Arguments are those of `save` and `writer.write`."""
    if not 1 <= shard[0] <= shard[1]:
        raise ValueError(f"shard must be (K, N) with K from 1 to N; received {shard!r}")
    numbers = job.numbers(shard)
    written = resumed = 0
    with _folder(job):
        paths = [resolve(job.folder / job.names[number]) for number in numbers]
        if not (resume or force):
            for path in paths:
                refuse_existing(path)
        if paths:
            check_space(paths[0].parent, job.data_bytes(shard) - sum(map(_disk_bytes, paths)))
        for count, number in enumerate(numbers):
            try:
                result = writer.write(
                    job.file(number),
                    resume=resume,
                    force=force,
                    advance=progress,
                    chunk_bytes=chunk_bytes,
                )
            except (OSError, MemoryError, KeyboardInterrupt) as error:
                if count and "rerun with" not in str(error):
                    writer.raise_with_hint(error, "--resume")
                raise
            written, resumed = written + result.written, resumed + result.resumed
        complete = len(numbers) == len(job.names) or _are_in_place(job)
        if complete and (index := job.index) is not None:
            write_shared(index, force=force)
    return Result(None, written, resumed, complete)


def expected(
    spec: AnySpec, path: str | os.PathLike[str], seed: int | Seed, *, dtype: str | None = None
) -> list[File]:
    """Return the files that an existing model should consist of.

    Args:
        spec, seed, dtype: the expected ones, as for `save`.
        path: the file or the folder of the model. The index in the folder says which file holds
            which tensor.

    Raises:
        ValueError: the spec or an argument is wrong.
        OSError: the index is damaged, or its tensors are not those of the spec.
    """
    return list(layout.existing(spec, path, seed, dtype=dtype).files)


def _disk_bytes(path: Path) -> int:
    """Return how many bytes of the disk a file takes already, finished or unfinished."""
    return max(allocated(path), allocated(partial_path(path)))


def _are_in_place(job: Job) -> bool:
    """Return whether all files have their final names, sizes and headers."""
    return all(path.is_file() for path in job.paths) and all(
        _is_in_place(path, job.header(number), job.entries[number])
        for number, path in enumerate(job.paths)
    )


def _is_in_place(path: Path, header: bytes, entries: Iterable[Entry]) -> bool:
    try:
        with open_regular(path) as opened:
            size = os.fstat(opened.fileno()).st_size
            data_bytes = sum(entry.nbytes for entry in entries)
            return size == len(header) + data_bytes and opened.read(len(header)) == header
    except FileNotFoundError:
        return False


def write_shared(file: File, *, force: bool) -> None:
    """Write a small file. Several workers may write the same bytes at once."""
    end = time.monotonic() + _WAIT_SECONDS
    while True:
        try:
            writer.write(file, resume=True, force=force)
            return
        except BlockingIOError:
            if time.monotonic() > end:
                raise
            time.sleep(_RETRY_SECONDS)


@contextlib.contextmanager
def _folder(job: Job) -> Iterator[None]:
    """Create the folder of a model, and remove it if nothing was written.

    Raises:
        OSError: the folder cannot be created, or it holds files of another model.
    """
    created = False
    if job.is_folder:
        if job.folder.exists() and not job.folder.is_dir():
            raise NotADirectoryError(
                f"the output must end in {SUFFIX} or be a folder;"
                f" received {os.fspath(job.folder)!r}"
            )
        try:
            job.folder.mkdir()
            created = True
        except FileExistsError:
            pass
        except FileNotFoundError:
            raise FileNotFoundError(
                f"the folder of {os.fspath(job.folder)!r} does not exist: create it first"
            ) from None
        names = {*job.names, *([INDEX] if len(job.names) > 1 else [])}
        for name in sorted(filter(layout.is_model_file, os.listdir(job.folder))):
            if name.removesuffix(".partial") not in names:
                raise FileExistsError(
                    f"{os.fspath(job.folder / name)!r} belongs to another model or shard size:"
                    " remove it, or write to another folder"
                )
    try:
        yield
    except BaseException:
        if created:
            with contextlib.suppress(OSError):  # it holds files that can be resumed
                job.folder.rmdir()
        raise
