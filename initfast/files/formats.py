"""The table of file formats, with the functions that write and read their headers.

A file is a header, followed by the bytes of its tensors without gaps."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from initfast._version import STREAM_VERSION, __version__
from initfast.core import garbage
from initfast.core.dtypes import FLOATING, DType
from initfast.core.regular import open_regular
from initfast.files import npyfile, safetensorsfile
from initfast.files.tensors import File, StoredTensor, Tensor

__all__ = [
    "FORMATS", "NPY", "RAW", "SAFETENSORS", "File", "Format", "StoredFile", "StoredTensor",
    "Tensor", "format_of", "locate", "metadata", "read", "seed_of",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class StoredFile:
    """The description of an existing file by its header. A raw file has one tensor."""

    path: Path
    format: Format
    size: int
    tensors: tuple[StoredTensor, ...]
    metadata: Mapping[str, str]


Contents = tuple[tuple[StoredTensor, ...], Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Format:
    """A file format.

    Args:
        suffixes: extensions of its files.
        named: whether its tensors have names. Such a file may hold metadata and several tensors.
        described: whether the header contains shapes and dtypes.
        dtype_name: returns the format's name of a dtype; raises ValueError if it has none.
        header: returns the header of a file with these tensors and metadata.
        parse: returns the tensors and metadata of an open file of this size; raises ValueError.
        warning: returns a hint for readers of this dtype, or None.
    """

    suffixes: tuple[str, ...]
    named: bool
    described: bool
    dtype_name: Callable[[DType], str]
    header: Callable[[Sequence[Tensor], Mapping[str, str] | None], bytes]
    parse: Callable[[BinaryIO, int], Contents]
    warning: Callable[[DType], str | None]

    def file(
        self,
        path: str | os.PathLike[str],
        tensors: Iterable[Tensor],
        metadata: Mapping[str, str] | None = None,
    ) -> File:
        """Return a file of these tensors, in this order.

        Raises:
            ValueError: the format cannot hold a name or dtype, or two tensors have the same name.
        """
        listed = list(tensors)
        header = self.header(listed, metadata)
        placed, offset = [], len(header)
        for tensor in listed:
            placed.append(tensor.at(offset))
            offset += tensor.nbytes
        return File(Path(path), header, tuple(placed))

    def describe(self, tensor: Tensor | StoredTensor) -> str:
        """Return the dtype and shape of a tensor as messages show them."""
        if not self.described:
            return f"{tensor.nbytes:,} bytes"
        dtype = tensor.dtype if isinstance(tensor, StoredTensor) else self.dtype_name(tensor.dtype)
        return f"{dtype} of shape {tensor.shape}"

    def agree(self, tensor: Tensor, stored: StoredTensor) -> bool:
        """Return whether a tensor in an existing file has the expected dtype and shape."""
        if not self.described:
            return tensor.nbytes == stored.nbytes
        return tensor.shape == stored.shape and self.dtype_name(tensor.dtype) == stored.dtype

    def dtype_of(self, tensor: StoredTensor) -> DType:
        """Return the dtype of a stored tensor. Raises ValueError if `fill` cannot write it."""
        for dtype in (*FLOATING, *_INTEGERS):
            try:
                if self.dtype_name(dtype) == tensor.dtype:
                    return dtype
            except ValueError:  # the format has no name for this dtype
                continue
        raise ValueError(
            "the dtype must be integer, bool, or one of "
            f"{', '.join(dtype.name for dtype in FLOATING)}; received {tensor.dtype!r}"
        )


_INTEGERS = [np.dtype(name) for name in ("?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8")]


def _npy_header(tensors: Sequence[Tensor], metadata: Mapping[str, str] | None) -> bytes:
    (tensor,) = tensors
    return npyfile.header(tensor.shape, tensor.dtype)


def _npy_parse(file: BinaryIO, size: int) -> Contents:
    return (StoredTensor(None, *npyfile.parse(file, size)),), {}


def _safetensors_header(tensors: Sequence[Tensor], metadata: Mapping[str, str] | None) -> bytes:
    named = ((tensor.name, tensor.dtype, tensor.shape) for tensor in tensors)
    return safetensorsfile.header(named, metadata)


def _safetensors_parse(file: BinaryIO, size: int) -> Contents:
    length = safetensorsfile.header_length(file.read(safetensorsfile.LENGTH_BYTES), size)
    begin = safetensorsfile.LENGTH_BYTES + length
    entries, metadata = safetensorsfile.parse(file.read(length), size - begin)
    tensors = (StoredTensor(e.name, e.dtype, e.shape, begin + e.begin, e.nbytes) for e in entries)
    return tuple(tensors), metadata


NPY = Format(
    suffixes=(".npy",),
    named=False,
    described=True,
    dtype_name=npyfile.dtype_name,
    header=_npy_header,
    parse=_npy_parse,
    warning=npyfile.load_hint,
)
SAFETENSORS = Format(
    suffixes=(".safetensors",),
    named=True,
    described=True,
    dtype_name=safetensorsfile.dtype_name,
    header=_safetensors_header,
    parse=_safetensors_parse,
    warning=lambda dtype: None,
)
# Only the values, little-endian, in C order.
RAW = Format(
    suffixes=(".bin", ".raw"),
    named=False,
    described=False,
    dtype_name=lambda dtype: "",
    header=lambda tensors, metadata: b"",
    parse=lambda file, size: ((StoredTensor(None, "", (), 0, size),), {}),
    warning=lambda dtype: None,
)
FORMATS = {suffix: row for row in (NPY, SAFETENSORS, RAW) for suffix in row.suffixes}


def format_of(path: str | os.PathLike[str]) -> Format:
    """Return the format of the extension of a path. Raises ValueError if it is unknown."""
    suffix = Path(path).suffix
    if suffix not in FORMATS:
        raise ValueError(f"the file must end in {', '.join(FORMATS)}; received {os.fspath(path)!r}")
    return FORMATS[suffix]


@garbage.paused()
def read(path: str | os.PathLike[str], format: Format | None = None) -> StoredFile:
    """Return the description of an existing file. Default format: that of its extension.

    Raises:
        ValueError: the extension is unknown, or the header is damaged.
        OSError: the file cannot be read.
    """
    file_format = format or format_of(path)
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        return StoredFile(Path(path), file_format, size, *file_format.parse(file, size))


@garbage.paused()
def locate(file: StoredFile, tensors: Iterable[Tensor]) -> list[Tensor | ValueError]:
    """Return each tensor with its offset in the file, or a ValueError if it is missing or differs.

    In a file without names, the only tensor is located, whatever its name.
    """
    describe = file.format.describe
    stored = {tensor.name if file.format.named else None: tensor for tensor in file.tensors}
    results: list[Tensor | ValueError] = []
    for tensor in tensors:
        actual = stored.get(tensor.name if file.format.named else None)
        name = f"{tensor.name!r} as " if file.format.named else ""
        if actual is None:
            results.append(ValueError(f"{name}{describe(tensor)}; received no such tensor"))
        elif not file.format.agree(tensor, actual):
            results.append(ValueError(f"{name}{describe(tensor)}; received {describe(actual)}"))
        else:
            results.append(tensor.at(actual.offset))
    return results


def metadata(seed: int | None) -> dict[str, str]:
    """Return the metadata of `.safetensors` files that initfast writes.

    Loaders need 'format'; `verify` reads 'initfast'.
    """
    origin: dict[str, object] = {"version": __version__, "stream_version": STREAM_VERSION}
    if seed is not None:
        origin["seed"] = seed
    return {"format": "pt", "initfast": json.dumps(origin)}


def seed_of(metadata: Mapping[str, str]) -> int | None:
    """Return the seed in the metadata of a file that initfast wrote, or None."""
    try:
        seed = json.loads(metadata.get("initfast", "null"))["seed"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return seed if type(seed) is int and 0 <= seed < 2**64 else None
