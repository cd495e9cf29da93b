"""A model's files: which tensor is in which file, the index, and what `save` writes and `verify`
expects.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from initfast.core.seeds import Seed, root_seed
from initfast.files import containers, specs, writing
from initfast.files.containers import File, Tensor
from initfast.files.specs import AnySpec, Entry, Spec
from initfast.files.writing import Job, Result

__all__ = ["expected", "plan", "save", "write"]

SUFFIX = ".safetensors"
MAX_SHARD_SIZE = "5GB"
_STEM = "model"
_WHOLE, _INDEX = f"{_STEM}{SUFFIX}", f"{_STEM}{SUFFIX}.index.json"
_SHARD = f"{_STEM}-{{:05d}}-of-{{:05d}}{SUFFIX}"
_OURS = re.compile(rf"{_STEM}(-\d{{5,}}-of-\d{{5,}})?\.safetensors(\.index\.json)?(\.partial)?")
_UNITS = {"": 1, "B": 1, **{f"{name}B": 1000**n for n, name in enumerate("KMGT", 1)}}
_UNITS |= {f"{name}IB": 1024**n for n, name in enumerate("KMGT", 1)}
# Extensions of files that hold one model: a folder of such a name would surprise.
_FILES = (*containers.CONTAINERS, ".pt", ".pth", ".ckpt", ".h5", ".keras", ".gguf", ".json")


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
    """Write the model that a spec describes, in files that appear under their names whole or not at
    all.

    Args:
        spec: path of a JSON file, or what it holds, such as `spec_from` makes.
        path: a file that ends in .safetensors, or a folder, which is made if it is not there (its
            parent must be): it gets model.safetensors, or model-00001-of-0000N.safetensors and so
            on and model.safetensors.index.json.
        seed: integer in [0, 2**64), or a `Seed`, whose name then comes before the tensors'.
        max_shard_size: bytes of a file in a folder, a number or text such as "500MB" or "2GiB";
            default "5GB". A tensor that is larger has a file of its own.
        dtype: the name of what all floating tensors are made in; default: each in its own.
        shard: (K, N): this call writes the K-th of N parts of nearly equal size, for N processes or
            hosts that share the folder. The last of them to finish puts the files in place; the
            bytes are those of one process.
        resume: continue what was begun and interrupted; if there is nothing, begin.
        force: replace existing files, and start again what was interrupted.
        progress: called with counts of bytes as they are written.

    Returns:
        What has been done; `complete` says whether the files are in place.

    Raises:
        ValueError: for a spec or argument that is wrong. Nothing has been written then.
        OSError: for files that are in the way, a full disk, or an interrupted write of something
            else.
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
    """What `save` of these arguments would write, all of it checked. Nothing on the disk but the
    spec is looked at.
    """
    root = root_seed(seed)
    checked = specs.read(spec, dtype)
    out = Path(path)
    if out.suffix == SUFFIX:
        if max_shard_size is not None:
            raise ValueError(
                f"max_shard_size is for folders; received {max_shard_size!r} and {os.fspath(path)!r}"
            )
        files = [_file(out, checked.entries, root)]
        return Job(tuple(files), _identity(checked, root, files), base=out)
    if out.suffix in _FILES:
        raise ValueError(
            f"the output must end in {SUFFIX} or be a folder; received {os.fspath(path)!r}"
        )
    shards = list(
        _shards(
            checked.entries, size_of(MAX_SHARD_SIZE if max_shard_size is None else max_shard_size)
        )
    )
    names = (
        [_SHARD.format(n, len(shards)) for n in range(1, len(shards) + 1)]
        if len(shards) > 1
        else [_WHOLE]
    )
    files = [_file(out / name, entries, root) for name, entries in zip(names, shards, strict=True)]
    notes = ((out / _INDEX, _index(files)),) if len(files) > 1 else ()
    return Job(tuple(files), _identity(checked, root, files), base=out / _STEM, notes=notes)


def write(
    job: Job,
    *,
    shard: tuple[int, int] = (1, 1),
    resume: bool = False,
    force: bool = False,
    progress: Callable[[int], object] | None = None,
) -> Result:
    """Write what `plan` has made; arguments are those of `save`."""
    with _folder(job):
        return writing.write(job, worker=shard, resume=resume, force=force, advance=progress)


def expected(
    spec: AnySpec, path: str | os.PathLike[str], seed: int | Seed, *, dtype: str | None = None
) -> list[File]:
    """The files that a model on the disk should consist of, to be compared with what is there.

    Args:
        spec, seed, dtype: what it should have been made of, as for `save`.
        path: the file, or the folder; which of its files holds which tensor is taken from its
            index.

    Raises:
        ValueError: for a spec or argument that is wrong.
        OSError: the index is damaged, or its tensors are not those of the spec.
    """
    root = root_seed(seed)
    entries = specs.read(spec, dtype).entries
    out = Path(path)
    if not out.is_dir():
        return [_file(out, entries, root)]
    index = out / _INDEX
    if not index.exists():
        return [_file(out / _WHOLE, entries, root)]
    if (out / _WHOLE).exists():
        raise OSError(
            f"a folder must hold {_WHOLE} or {_INDEX}; received both in {os.fspath(path)!r}"
        )
    place = _weight_map(index)
    odd = {entry.name for entry in entries} ^ place.keys()
    if odd:
        raise OSError(
            f"{os.fspath(index)}: must name the tensors of the spec; received one too many or few, {min(odd)!r}"
        )
    held: dict[str, list[Entry]] = {name: [] for name in sorted(set(place.values()))}
    for entry in entries:
        held[place[entry.name]].append(entry)
    return [_file(out / name, some, root) for name, some in held.items()]


def size_of(text: int | str) -> int:
    """Bytes of 5_000_000_000, "5GB" or "5GiB". Raises ValueError."""
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) *([A-Za-z]*)", str(text).strip())
    unit = _UNITS.get(found[2].upper()) if found else None
    size = int(float(found[1]) * unit) if found and unit and len(found[1]) < 20 else 0
    if isinstance(text, bool) or not isinstance(text, int | str) or size < 1:
        raise ValueError(
            f"max_shard_size must be bytes, or a text such as '5GB' or '500MiB'; received {text!r}"
        )
    return size


def _shards(entries: Iterable[Entry], limit: int) -> Iterator[list[Entry]]:
    """Cut a model where the next tensor would make a file larger than `limit` bytes, as Hugging
    Face does.
    """
    held: list[Entry] = []
    total = 0
    for entry in entries:
        size = math.prod(entry.shape) * entry.dtype.itemsize + _in_header(entry)
        if held and total + size > limit - _HEADER:
            yield held
            held, total = [], 0
        held.append(entry)
        total += size
    yield held


_HEADER = 512  # bytes, at most, of a header without its tensors


def _in_header(entry: Entry) -> int:
    """Bytes that a tensor takes in the header, at most."""
    return 2 * len(entry.name.encode()) + 24 * len(entry.shape) + 128


def _tensor(entry: Entry, root: Seed) -> Tensor:
    return Tensor(entry.name, entry.drawn(root), entry.shape, entry.dtype)


def _file(path: Path, entries: Sequence[Entry], root: Seed) -> File:
    # Larger elements first, so that each tensor is aligned to its own, which torch's loader asks
    # for.
    ordered = sorted(entries, key=lambda entry: -entry.dtype.itemsize)
    tensors = [_tensor(entry, root) for entry in ordered]
    made = containers.safetensors(
        path, tensors, containers.metadata(root.seed if root.name is None else None)
    )
    if made.size >= 2**63:
        raise ValueError(
            f"a file must be smaller than 2**63 bytes; received {made.size:,} for {path.name!r}"
        )
    return made


def _identity(spec: Spec, root: Seed, files: Sequence[File]) -> dict[str, Any]:
    return {
        "seed": root.seed if root.name is None else root.get_config(),
        "dtypes": sorted({entry.dtype.name for entry in spec.entries}),
        "tensors": len(spec.entries),
        "files": len(files),
        "spec": spec.digest,
    }


def _index(files: Iterable[File]) -> bytes:
    listed = list(files)
    places = {tensor.name: file.path.name for file in listed for tensor in file.tensors}
    index = {
        "metadata": {"total_size": sum(file.data_bytes for file in listed)},
        "weight_map": places,
    }
    return json.dumps(index, indent=2, ensure_ascii=False).encode() + b"\n"


def _weight_map(index: Path) -> dict[str, str]:
    try:
        places = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        good = all(
            isinstance(name, str) and _OURS.fullmatch(name) and name.endswith(SUFFIX)
            for name in places.values()
        )
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        good = False
    if not good:
        raise OSError(
            f"{os.fspath(index)}: must have a 'weight_map' from tensors to files of a model beside it"
        )
    found: dict[str, str] = places
    return found


@contextlib.contextmanager
def _folder(job: Job) -> Iterator[None]:
    """The folder of a job is there while it runs; one that was made for nothing goes again."""
    folder, made = job.base.parent, False
    if job.base.name == _STEM:
        if folder.exists() and not folder.is_dir():
            raise NotADirectoryError(
                f"the output must end in {SUFFIX} or be a folder; received {os.fspath(folder)!r}"
            )
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
            made = True
        names = {
            path.name
            for path in (*(file.path for file in job.files), *(path for path, _ in job.notes))
        }
        others = sorted(name for name in os.listdir(folder) if _OURS.fullmatch(name))
        for name in others:
            if name.removesuffix(".partial") not in names:
                raise FileExistsError(
                    f"a folder holds the files of one model; received {os.fspath(folder / name)!r}, which is none of"
                    f" the {len(job.files)} to be written and must be removed first"
                )
    try:
        yield
    except BaseException:
        if made:
            with contextlib.suppress(OSError):  # something is in it, to be resumed
                folder.rmdir()
        raise
