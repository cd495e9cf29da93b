"""What a file holds: a header, and tensors whose bytes follow each other without gaps. For `.npy`,
`.safetensors`, raw.

A `File` is one that is to be written: each tensor has an initializer. A `Found` is one that is
there."""

import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from initfast._version import STREAM_VERSION, __version__
from initfast.core.dtypes import DType
from initfast.core.indexing import Dims
from initfast.files import npyfile, safetensorsfile
from initfast.initializers.base import Initializer

# The container of an extension. Raw files are the data alone, little-endian, in C order.
CONTAINERS = {".npy": "npy", ".safetensors": "safetensors", ".bin": "raw", ".raw": "raw"}


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor to be written: what makes it, and where it lies.

    Args:
        name: its name in the file; None where the container has none.
        initializer: makes it; its stream is fixed.
        shape: logical shape.
        dtype: from `dtypes.resolve_numeric`.
        offset: byte of the file at which it begins; the builders below set it.
    """

    name: str | None
    initializer: Initializer
    shape: Dims
    dtype: DType
    offset: int = 0

    @property
    def size(self) -> int:
        """Elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize


@dataclass(frozen=True, slots=True)
class File:
    """A file to be written: its final name, its first bytes, and the tensors that follow, in order,
    without gaps.
    """

    path: Path
    header: bytes
    tensors: tuple[Tensor, ...]

    @property
    def size(self) -> int:
        """Bytes in all."""
        return len(self.header) + self.data_bytes

    @property
    def data_bytes(self) -> int:
        return sum(tensor.nbytes for tensor in self.tensors)


class Held(NamedTuple):
    """A tensor in a file that is there; `dtype` is in the container's spelling, '' in a raw file."""

    name: str | None
    dtype: str
    shape: Dims
    offset: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class Found:
    """A file that is there: its container, its size in bytes, and what its header says. A raw file
    has one tensor.
    """

    path: Path
    container: str
    size: int
    tensors: tuple[Held, ...]
    metadata: Mapping[str, str]


def container(path: str | os.PathLike[str]) -> str:
    """'npy', 'safetensors' or 'raw', by the extension. Raises ValueError."""
    suffix = Path(path).suffix
    if suffix not in CONTAINERS:
        raise ValueError(
            f"the file must end in {', '.join(CONTAINERS)}; received {os.fspath(path)!r}"
        )
    return CONTAINERS[suffix]


def npy(path: str | os.PathLike[str], tensor: Tensor) -> File:
    """An `.npy` file of one tensor. Raises ValueError for a dtype that `numpy.load` could not read."""
    return _file(path, npyfile.header(tensor.shape, tensor.dtype), [tensor])


def raw(path: str | os.PathLike[str], tensor: Tensor) -> File:
    """A file of one tensor's bytes and nothing else."""
    return _file(path, b"", [tensor])


def safetensors(
    path: str | os.PathLike[str],
    tensors: Iterable[Tensor],
    metadata: Mapping[str, str] | None = None,
) -> File:
    """A `.safetensors` file of tensors with names, in the order given.

    Raises:
        ValueError: for a name or dtype that the format cannot hold, or a name given twice.
    """
    held = list(tensors)
    named = [
        (safetensorsfile.check_name(tensor.name), tensor.dtype, tensor.shape) for tensor in held
    ]
    return _file(path, safetensorsfile.header(named, metadata), held)


def metadata(seed: int | None) -> dict[str, str]:
    """What our `.safetensors` files carry: 'format' for the loaders, and 'initfast' for `verify`
    and for readers.
    """
    made: dict[str, object] = {"version": __version__, "stream_version": STREAM_VERSION}
    if seed is not None:
        made["seed"] = seed
    return {"format": "pt", "initfast": json.dumps(made)}


def seed_of(found: Found) -> int | None:
    """The seed that the metadata of a file of ours tell, if they do."""
    try:
        made = json.loads(found.metadata.get("initfast", "null"))
        seed = made["seed"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return seed if type(seed) is int and 0 <= seed < 2**64 else None


def read(path: str | os.PathLike[str]) -> Found:
    """What a file says it holds; its data are not looked at.

    Raises:
        ValueError: if the extension is none of ours, or the header is not what the container asks
            for.
        OSError: if it cannot be read.
    """
    kind = container(path)
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if kind == "raw":
            return Found(Path(path), kind, size, (Held(None, "", (), 0, size),), {})
        if kind == "npy":
            entry = npyfile.parse(file, size)
            return Found(
                Path(path), kind, size, (Held(None, entry.dtype, entry.shape, *entry[2:]),), {}
            )
        length = safetensorsfile.header_length(file.read(safetensorsfile.LENGTH_BYTES), size)
        begin = safetensorsfile.LENGTH_BYTES + length
        entries, held = safetensorsfile.parse(file.read(length), size - begin)
        tensors = tuple(Held(e.name, e.dtype, e.shape, begin + e.begin, e.nbytes) for e in entries)
        return Found(Path(path), kind, size, tensors, held)


def locate(found: Found, tensor: Tensor) -> Tensor:
    """The tensor at the place where a file that is there holds it.

    Raises:
        ValueError: if the file has none of that name, shape and dtype.
    """
    held = next(
        (
            held
            for held in found.tensors
            if held.name == tensor.name or found.container != "safetensors"
        ),
        None,
    )
    if held is None:
        raise ValueError(f"the file must hold a tensor {tensor.name!r}; received {_names(found)}")
    expected, received = described(found.container, tensor), described(found.container, held)
    if expected != received:
        raise ValueError(f"the file must hold {expected}; received {received}")
    return replace(tensor, offset=held.offset)


def described(kind: str, tensor: Tensor | Held) -> str:
    """A tensor as a message shows it, in the container's own terms."""
    if kind == "raw":
        return f"{tensor.nbytes:,} bytes"
    name = f"{tensor.name!r}: " if tensor.name is not None and kind == "safetensors" else ""
    if isinstance(tensor, Held):
        spelling = tensor.dtype
    else:
        spelling = (npyfile if kind == "npy" else safetensorsfile).dtype_name(tensor.dtype)
    return f"{name}{spelling} of shape {tensor.shape}"


def _names(found: Found) -> str:
    names = [repr(held.name) for held in found.tensors]
    return (
        ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "") or "none"
    )


def _file(path: str | os.PathLike[str], header: bytes, tensors: Iterable[Tensor]) -> File:
    placed, offset = [], len(header)
    for tensor in tensors:
        placed.append(replace(tensor, offset=offset))
        offset += tensor.nbytes
    return File(Path(path), header, tuple(placed))
