"""A model's files: which tensor is in which file, the index, and what `save` writes and `verify`
expects.

The piece of work is a file. Worker K of N writes files K, K + N, ...; whoever finds all of them in
place writes the index."""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from initfast.core.regular import open_regular
from initfast.core.seeds import Seed, root_seed
from initfast.core.text import short
from initfast.files import formats, safetensorsfile, specs, writer
from initfast.files.chunks import CHUNK_BYTES
from initfast.files.formats import File, Tensor
from initfast.files.partial import allocated, check_space, partial_path, refuse_existing, resolve
from initfast.files.specs import AnySpec, Entry
from initfast.files.writer import Result

__all__ = ["Job", "expected", "plan", "save", "write", "write_shared"]

MAX_SHARD_SIZE = "5GB"
SUFFIX = ".safetensors"
_WHOLE, _INDEX = f"model{SUFFIX}", f"model{SUFFIX}.index.json"
_SHARD = f"model-{{:05d}}-of-{{:05d}}{SUFFIX}"
_OURS = re.compile(r"model(-\d{5,}-of-\d{5,})?\.safetensors(\.index\.json)?(\.partial)?")
_UNITS = {"": 1, "B": 1, **{f"{name}B": 1000**n for n, name in enumerate("KMGT", 1)}}
_UNITS |= {f"{name}IB": 1024**n for n, name in enumerate("KMGT", 1)}
# Extensions of files that hold one model: a folder of such a name would be a mistake.
_FILES = (*formats.FORMATS, ".pt", ".pth", ".ckpt", ".h5", ".keras", ".gguf", ".json")
_RETRY_SECONDS, _WAIT_SECONDS = 0.05, 10.0


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be written. The initializers of a file are made when the file is asked for.

    Args:
        folder: of the files.
        names: names of the files.
        entries: the tensors of each.
        root: the seed within which tensors have streams of their own.
        is_folder: whether the model is the folder, and not one file.
    """

    folder: Path
    names: tuple[str, ...]
    entries: tuple[tuple[Entry, ...], ...]
    root: Seed
    is_folder: bool

    @property
    def files(self) -> Iterator[File]:
        """All files."""
        return map(self.file, range(len(self.names)))

    def file(self, number: int) -> File:
        """Return one file, from 0."""
        return _file(self.folder / self.names[number], self.entries[number], self.root)

    def numbers(self, worker: tuple[int, int]) -> range:
        """Return the numbers of the files of worker (K, N)."""
        return range(worker[0] - 1, len(self.names), worker[1])

    def data_bytes(self, worker: tuple[int, int] = (1, 1)) -> int:
        """Return how many bytes of data a worker writes."""
        return sum(_data_bytes(self.entries[number]) for number in self.numbers(worker))

    @property
    def index(self) -> File | None:
        """The index, a file without tensors; None if there is one file."""
        if len(self.names) == 1:
            return None
        places = {
            entry.name: name
            for name, entries in zip(self.names, self.entries, strict=True)
            for entry in _ordered(entries)
        }
        index = {"metadata": {"total_size": self.data_bytes()}, "weight_map": places}
        text = json.dumps(index, indent=2, ensure_ascii=False).encode() + b"\n"
        return File(self.folder / _INDEX, text)


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
        spec: path of a JSON file, or what it holds, such as `spec_from` returns.
        path: a file that ends in .safetensors, or a folder, which is created if its parent exists.
            A folder gets model.safetensors, or model-00001-of-0000N.safetensors and so on and
            model.safetensors.index.json.
        seed: integer in [0, 2**64), or a `Seed`, whose name then comes before the tensors'.
        max_shard_size: bytes of a file in a folder, a number or text such as "500MB" or "2GiB";
            default "5GB". A tensor that is larger has a file to itself.
        dtype: the dtype of all floating tensors; default: each has its own.
        shard: (K, N): this call writes files K, K + N, ..., for N processes or hosts that share the
            folder. The last of them to finish writes the index. With fewer files than N, some of
            them have nothing to write.
        resume: continue what was interrupted; finished files are compared. If there is nothing,
            begin.
        force: replace existing files, and start unfinished ones again.
        progress: called with counts of bytes as they are written.

    Returns:
        What was done; `complete` says whether all files are in place.

    Raises:
        ValueError: the spec or an argument is wrong. Nothing has been written then.
        OSError: files are in the way, the disk is full, or another write was interrupted.
    """
    job = plan(spec, path, seed, max_shard_size, dtype=dtype)
    return write(job, shard=shard, resume=resume, force=force, progress=progress)


def plan(
    spec: AnySpec,
    path: str | os.PathLike[str],
    seed: int | Seed,
    max_shard_size: int | str | None = None,
    *,
    dtype: str | None = None,
) -> Job:
    """Return what `save` of these arguments would write, after all checks of the arguments.

    Of the disk, only the spec is read.
    """
    root = _root(seed)
    entries = specs.read(spec, dtype).entries
    if not os.fspath(path):
        raise ValueError("the output must have a name; received ''")
    out = Path(path)
    if out.suffix == SUFFIX:
        if max_shard_size is not None:
            raise ValueError(
                f"max_shard_size is for folders; received {max_shard_size!r} and"
                f" {os.fspath(path)!r}"
            )
        job = Job(out.parent, (out.name,), (entries,), root, False)
    elif out.suffix in _FILES:
        raise ValueError(
            f"the output must end in {SUFFIX} or be a folder; received {os.fspath(path)!r}"
        )
    else:
        limit = size_of(MAX_SHARD_SIZE if max_shard_size is None else max_shard_size)
        shards = tuple(_shards(entries, limit))
        names = [_SHARD.format(n, len(shards)) for n in range(1, len(shards) + 1)]
        job = Job(out, tuple(names) if len(shards) > 1 else (_WHOLE,), shards, root, True)
    for name, some in zip(job.names, job.entries, strict=True):
        _check(name, some)
    return job


def write(
    job: Job,
    *,
    shard: tuple[int, int] = (1, 1),
    resume: bool = False,
    force: bool = False,
    progress: Callable[[int], object] | None = None,
    chunk_bytes: int = CHUNK_BYTES,
) -> Result:
    """Write what `plan` has returned. Arguments are those of `save` and `writer.write`."""
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
            check_space(paths[0].parent, job.data_bytes(shard) - sum(map(_taken, paths)))
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
    """Return the files that an existing model should consist of, to be compared with it.

    Args:
        spec, seed, dtype: what it should have been made of, as for `save`.
        path: the file, or the folder, whose index says which of its files holds which tensor.

    Raises:
        ValueError: the spec or an argument is wrong.
        OSError: the index is damaged, or its tensors are not those of the spec.
    """
    root = _root(seed)
    entries = specs.read(spec, dtype).entries
    out = Path(path)
    if not out.is_dir():
        return [_file(out, entries, root)]
    index = out / _INDEX
    if not index.exists():
        return [_file(out / _WHOLE, entries, root)]
    if (out / _WHOLE).exists():
        raise OSError(
            f"a folder must hold {_WHOLE} or {_INDEX}, not both; received {os.fspath(path)!r}"
        )
    places = _weight_map(index)
    odd = {entry.name for entry in entries} ^ places.keys()
    if odd:
        raise OSError(
            f"{os.fspath(index)}: must name the tensors of the spec, no more and no fewer;"
            f" received {min(odd)!r}"
        )
    shards: dict[str, list[Entry]] = {name: [] for name in sorted(set(places.values()))}
    for entry in entries:
        shards[places[entry.name]].append(entry)
    return [_file(out / name, some, root) for name, some in shards.items()]


def size_of(text: int | str) -> int:
    """Return the bytes of 5_000_000_000, "5GB" or "5GiB". Raises ValueError."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) *([A-Za-z]*)", str(text).strip())
    unit = _UNITS.get(match[2].upper()) if match else None
    size = int(float(match[1]) * unit) if match and unit and len(match[1]) < 20 else 0
    if isinstance(text, bool) or not isinstance(text, int | str) or size < 1:
        raise ValueError(
            "max_shard_size must be bytes, or a text such as '5GB' or '500MiB'; received"
            f" {short(text)}"
        )
    return size


def _root(seed: int | Seed) -> Seed:
    if seed is None:
        raise ValueError("seed must be an integer in [0, 2**64) or a Seed; received None")
    return root_seed(seed)


def _shards(entries: Iterable[Entry], limit: int) -> Iterator[tuple[Entry, ...]]:
    """Cut a model where the next tensor would make a file larger than `limit` bytes, as Hugging
    Face does.
    """
    shard: list[Entry] = []
    total = 0
    for entry in entries:
        size = _data_bytes([entry]) + _in_header(entry)
        if shard and total + size > limit - _HEADER:
            yield tuple(shard)
            shard, total = [], 0
        shard.append(entry)
        total += size
    yield tuple(shard)


_HEADER = 512  # bytes, at most, of a header without its tensors


def _in_header(entry: Entry) -> int:
    """Return how many bytes a tensor takes in the header, at most."""
    return 2 * len(entry.name.encode()) + 24 * len(entry.shape) + 128


def _data_bytes(entries: Iterable[Entry]) -> int:
    return sum(math.prod(entry.shape) * entry.dtype.itemsize for entry in entries)


def _check(name: str, entries: Sequence[Entry]) -> None:
    """Raise ValueError for what a file cannot hold, without making its initializers."""
    for dtype in {entry.dtype for entry in entries}:
        formats.SAFETENSORS.dtype_name(dtype)
    header = _HEADER + sum(map(_in_header, entries))
    if header > safetensorsfile.MAX_HEADER:  # it may be: this is an upper bound
        _file(Path(name), entries, Seed(0))
    size = header + _data_bytes(entries)
    if size >= 2**63:
        raise ValueError(f"a file must be smaller than 2**63 bytes; received {size:,} for {name!r}")


def _ordered(entries: Iterable[Entry]) -> list[Entry]:
    """Return the tensors in order of the file: larger elements first, so that each tensor is
    aligned to its elements, which torch's loader needs.
    """
    return sorted(entries, key=lambda entry: -entry.dtype.itemsize)


def _file(path: Path, entries: Iterable[Entry], root: Seed) -> File:
    tensors = (
        Tensor(entry.name, entry.drawn(root), entry.shape, entry.dtype)
        for entry in _ordered(entries)
    )
    metadata = formats.metadata(root.seed if root.name is None else None)
    return formats.SAFETENSORS.file(path, tensors, metadata)


def _taken(path: Path) -> int:
    """Return how many bytes of the disk a file of ours takes already, finished or not."""
    return max(allocated(path), allocated(partial_path(path)))


def _are_in_place(job: Job) -> bool:
    """Return whether all files have their final names, sizes and headers."""
    paths = [job.folder / name for name in job.names]
    if not all(path.is_file() for path in paths):
        return False
    return all(_is_in_place(file) for file in job.files)


def _is_in_place(file: File) -> bool:
    try:
        with open_regular(file.path) as opened:
            size = os.fstat(opened.fileno()).st_size
            return size == file.size and opened.read(len(file.header)) == file.header
    except FileNotFoundError:
        return False


def write_shared(file: File, *, force: bool) -> None:
    """Write a small file, as several workers may do at once: the bytes are the same."""
    end = time.monotonic() + _WAIT_SECONDS
    while True:
        try:
            writer.write(file, resume=True, force=force)
            return
        except BlockingIOError:
            if time.monotonic() > end:
                raise
            time.sleep(_RETRY_SECONDS)


def _read(path: Path) -> bytes:
    with open_regular(path) as file:
        return file.read()


def _weight_map(index: Path) -> dict[str, str]:
    try:
        places: dict[str, str] = json.loads(_read(index))["weight_map"]
        good = all(
            isinstance(name, str) and _OURS.fullmatch(name) and name.endswith(SUFFIX)
            for name in places.values()
        )
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        good = False
    if not good:
        raise OSError(
            f"{os.fspath(index)}: must have a 'weight_map' from tensors to files of a model in the"
            " same folder"
        )
    return places


@contextlib.contextmanager
def _folder(job: Job) -> Iterator[None]:
    """Create the folder of a model, and remove it again if nothing was written.

    Raises:
        OSError: the folder cannot be one, or it holds files of another model.
    """
    created = False
    if job.is_folder:
        if job.folder.exists() and not job.folder.is_dir():
            raise NotADirectoryError(
                f"the output must end in {SUFFIX} or be a folder;"
                f" received {os.fspath(job.folder)!r}"
            )
        with contextlib.suppress(FileExistsError):
            job.folder.mkdir()
            created = True
        names = {*job.names, *([_INDEX] if len(job.names) > 1 else [])}
        for name in sorted(filter(_OURS.fullmatch, os.listdir(job.folder))):
            if name.removesuffix(".partial") not in names:
                raise FileExistsError(
                    "a folder holds the files of one model: remove"
                    f" {os.fspath(job.folder / name)!r}, which is not one of the"
                    f" {len(job.names)} to be written"
                )
    try:
        yield
    except BaseException:
        if created:
            with contextlib.suppress(OSError):  # something is in it, to be resumed
                job.folder.rmdir()
        raise
