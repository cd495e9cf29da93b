"""The layout of a model in files: which tensor is in which file, and the index.

Hugging Face's loaders read it: model.safetensors, or model-00001-of-0000N.safetensors and so on
with model.safetensors.index.json. `plan` lays out a model to write, `existing` one to compare."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from initfast.core.regular import open_regular
from initfast.core.seeds import Seed, root_seed
from initfast.core.text import short
from initfast.files import formats, safetensorsfile, specs
from initfast.files.job import INDEX, SUFFIX, WHOLE, Job
from initfast.files.specs import AnySpec, Entry

__all__ = ["existing", "is_model_file", "plan", "size_of"]

MAX_SHARD_SIZE = "5GB"
_SHARD = f"model-{{:05d}}-of-{{:05d}}{SUFFIX}"
_MODEL_FILE = re.compile(r"model(-\d{5,}-of-\d{5,})?\.safetensors(\.index\.json)?(\.partial)?")
_UNITS = {"": 1, "B": 1, **{f"{name}B": 1000**n for n, name in enumerate("KMGT", 1)}}
_UNITS |= {f"{name}IB": 1024**n for n, name in enumerate("KMGT", 1)}
# Extensions of model files: a folder with such a name would be a mistake.
_FILES = (*formats.FORMATS, ".pt", ".pth", ".ckpt", ".h5", ".keras", ".gguf", ".json")
_HEADER = 512  # maximum bytes of a header without its tensors


def plan(
    spec: AnySpec,
    path: str | os.PathLike[str],
    seed: int | Seed,
    max_shard_size: int | str | None = None,
    *,
    dtype: str | None = None,
) -> Job:
    """Return the files that `save` of these arguments would write, after all checks.

    Nothing is written, and only the spec is read.
    """
    root = _root(seed)
    entries = specs.read(spec, dtype).entries
    if not os.fspath(path):
        raise ValueError("the output must have a name; received ''")
    out = Path(path)
    if out.suffix == SUFFIX:
        if max_shard_size is not None:
            raise ValueError(
                f"max_shard_size is for folders; received {max_shard_size!r} with"
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
        job = Job(out, tuple(names) if len(shards) > 1 else (WHOLE,), shards, root, True)
    return _checked(job)


def existing(
    spec: AnySpec, path: str | os.PathLike[str], seed: int | Seed, *, dtype: str | None = None
) -> Job:
    """Return the files of an existing model. Arguments and errors are those of `expected`."""
    root = _root(seed)
    entries = specs.read(spec, dtype).entries
    out = Path(path)
    if not out.is_dir():
        return _checked(Job(out.parent, (out.name,), (entries,), root, False))
    index = out / INDEX
    if not index.exists():
        return _checked(Job(out, (WHOLE,), (entries,), root, True))
    if (out / WHOLE).exists():
        raise OSError(
            f"a folder must hold {WHOLE} or {INDEX}, not both; received {os.fspath(path)!r}"
        )
    places = _weight_map(index)
    mismatches = {entry.name for entry in entries} ^ places.keys()
    if mismatches:
        name = min(mismatches)
        other = "the spec" if name in places else "the index"
        raise OSError(
            f"{os.fspath(index)}: the index must name the tensors of the spec; {name!r} is not in"
            f" {other}"
        )
    shards: dict[str, list[Entry]] = {name: [] for name in sorted(set(places.values()))}
    for entry in entries:
        shards[places[entry.name]].append(entry)
    return _checked(Job(out, tuple(shards), tuple(map(tuple, shards.values())), root, True))


def size_of(text: int | str) -> int:
    """Return the bytes of a size such as 5_000_000_000, "5GB" or "5GiB". Raises ValueError."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) *([A-Za-z]*)", str(text).strip())
    unit = _UNITS.get(match[2].upper()) if match else None
    size = int(float(match[1]) * unit) if match and unit and len(match[1]) < 20 else 0
    if isinstance(text, bool) or not isinstance(text, int | str) or size < 1:
        raise ValueError(
            "max_shard_size must be a number of bytes, or a text such as '5GB' or '500MiB';"
            f" received {short(text)}"
        )
    return size


def is_model_file(name: str) -> bool:
    """Return whether a file of this name is a part of a model, finished or unfinished."""
    return _MODEL_FILE.fullmatch(name) is not None


def _root(seed: int | Seed) -> Seed:
    if seed is None:
        raise ValueError("seed must be an integer in [0, 2**64) or a Seed; received None")
    return root_seed(seed)


def _shards(entries: Iterable[Entry], limit: int) -> Iterator[tuple[Entry, ...]]:
    """Yield the tensors of each file of at most `limit` bytes, divided as by Hugging Face."""
    shard: list[Entry] = []
    total = 0
    for entry in entries:
        size = entry.nbytes + _in_header(entry)
        if shard and total + size > limit - _HEADER:
            yield tuple(shard)
            shard, total = [], 0
        shard.append(entry)
        total += size
    yield tuple(shard)


def _in_header(entry: Entry) -> int:
    """Return the maximum bytes of a tensor in the header."""
    return 2 * len(entry.name.encode()) + 24 * len(entry.shape) + 128


def _data_bytes(entries: Iterable[Entry]) -> int:
    return sum(entry.nbytes for entry in entries)


def _checked(job: Job) -> Job:
    """Return the job. Raises ValueError if a file cannot hold its tensors."""
    for number, entries in enumerate(job.entries):
        for dtype in {entry.dtype for entry in entries}:
            formats.SAFETENSORS.dtype_name(dtype)
        header = _HEADER + sum(map(_in_header, entries))
        if (
            header > safetensorsfile.MAX_HEADER
        ):  # an upper bound: `job.header` raises an error if the header is too long
            job.header(number)
        size = header + _data_bytes(entries)
        if size >= 2**63:
            raise ValueError(
                "a file must be smaller than 2**63 bytes;"
                f" received {size:,} for {job.names[number]!r}"
            )
    return job


def _weight_map(index: Path) -> dict[str, str]:
    try:
        with open_regular(index) as file:
            places: dict[str, str] = json.loads(file.read())["weight_map"]
        valid = all(
            isinstance(name, str) and is_model_file(name) and name.endswith(SUFFIX)
            for name in set(places.values())
        )
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        valid = False
    if not valid:
        raise OSError(
            f"{os.fspath(index)}: the index must have a 'weight_map' from tensors to files of a"
            " model in the same folder"
        )
    return places
