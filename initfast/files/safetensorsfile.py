"""The header of a `.safetensors` file: write it from names, dtypes and shapes, and parse it.

A file is 8 bytes (the header's length N, little-endian), N bytes of JSON, and the tensors' bytes.
The JSON maps each name to its dtype, shape and `data_offsets`, which count from the end of the
header; `__metadata__` maps strings to strings. Source:
https://github.com/huggingface/safetensors#format."""

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, NamedTuple

from initfast.core.dtypes import DType
from initfast.core.indexing import Dims, normalize_shape
from initfast.core.text import short

ALIGNMENT = 64  # bytes: the tensors begin at a multiple, so that a memory map is aligned
LENGTH_BYTES = 8
MAX_HEADER = 100_000_000  # bytes: the limit of the safetensors library
METADATA = "__metadata__"

# The format's name of a dtype, the name in NumPy, and bytes per element.
_DTYPES = (
    ("F64", "float64", 8),
    ("F32", "float32", 4),
    ("F16", "float16", 2),
    ("BF16", "bfloat16", 2),
    ("F8_E4M3", "float8_e4m3fn", 1),
    ("F8_E5M2", "float8_e5m2", 1),
    ("I64", "int64", 8),
    ("I32", "int32", 4),
    ("I16", "int16", 2),
    ("I8", "int8", 1),
    ("U64", "uint64", 8),
    ("U32", "uint32", 4),
    ("U16", "uint16", 2),
    ("U8", "uint8", 1),
    ("BOOL", "bool", 1),
    ("C64", "complex64", 8),
)
_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
_INT = frozenset((int,))
_KEYS = frozenset(("dtype", "shape", "data_offsets"))
_NAMES = {numpy_name: name for name, numpy_name, _ in _DTYPES}
_BYTES = {name: size for name, _, size in _DTYPES}


class Entry(NamedTuple):
    """A tensor of a header: `dtype` as the format spells it, `begin` in bytes of the data."""

    name: str
    dtype: str
    shape: Dims
    begin: int
    nbytes: int


@cache  # because NumPy computes the name of a dtype slowly
def dtype_name(dtype: DType) -> str:
    """Return the format's name of a dtype. Raises ValueError if it has none."""
    try:
        return _NAMES[dtype.name]
    except KeyError:
        choices = ", ".join(repr(name) for name in _NAMES)
        raise ValueError(
            f"the dtype in .safetensors must be one of {choices}; received {dtype.name!r}"
        ) from None


def check_name(name: object) -> str:
    """Return a tensor's name if a file can hold it. Raises ValueError otherwise."""
    if not isinstance(name, str) or not name or name == METADATA:
        raise ValueError(
            f"a tensor's name must be a non-empty string other than {METADATA!r}; received"
            f" {short(name)}"
        )
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError(
            f"a tensor's name must be valid Unicode text; received {short(name)}"
        ) from None
    return name


def header(
    tensors: Iterable[tuple[object, DType, Dims]], metadata: Mapping[str, str] | None = None
) -> bytes:
    """Return the header of tensors in this order; its length is a multiple of 64 bytes.

    Args:
        tensors: (name, dtype, shape) of each; the names must differ.
        metadata: the strings under `__metadata__`.

    Raises:
        ValueError: a name is empty, reserved or repeated, the format has no such dtype, or there
            are too many tensors.
    """
    names: set[str] = set()
    rows = [f'"{METADATA}":{_encode(dict(metadata))}'] if metadata else []
    end = 0
    for unchecked, dtype, shape in tensors:
        name = check_name(unchecked)
        if name in names:
            raise ValueError(
                f"the tensors of a file must have different names; received {short(name)} twice"
            )
        names.add(name)
        begin, end = end, end + math.prod(shape) * dtype.itemsize
        rows.append(
            f'{_encode(name)}:{{"dtype":"{dtype_name(dtype)}","shape":[{",".join(map(str, shape))}]'
            f',"data_offsets":[{begin},{end}]}}'
        )
    text = f"{{{','.join(rows)}}}".encode()
    text += b" " * (-(LENGTH_BYTES + len(text)) % ALIGNMENT)
    if len(text) > MAX_HEADER:
        raise ValueError(
            f"a .safetensors header must take at most {MAX_HEADER:,} bytes; received {len(text):,}"
        )
    return len(text).to_bytes(LENGTH_BYTES, "little") + text


def header_length(start: bytes, file_size: int) -> int:
    """Return the length of the header's JSON, from the first 8 bytes of a file.

    Raises:
        ValueError: the length is impossible.
    """
    if len(start) < LENGTH_BYTES:
        raise ValueError(
            f"a .safetensors file must have at least {LENGTH_BYTES} bytes; received {len(start)}"
        )
    length = int.from_bytes(start[:LENGTH_BYTES], "little")
    if length > min(MAX_HEADER, file_size - LENGTH_BYTES):
        raise ValueError(
            f"a .safetensors header must lie within the file and take at most {MAX_HEADER:,} bytes;"
            f" received {length:,} bytes in a file of {file_size:,}"
        )
    return length


def parse(text: bytes, data_bytes: int) -> tuple[tuple[Entry, ...], dict[str, str]]:
    """Return the tensors of a header, in the order of the file, and the metadata.

    Args:
        text: the JSON.
        data_bytes: how many bytes follow it; the tensors must fill them without gaps or overlaps.

    Raises:
        ValueError: the header is damaged; the message says how.
    """
    try:
        table = json.loads(text.decode("utf-8"), object_pairs_hook=_no_duplicates)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(
            f"a .safetensors header must be JSON in UTF-8; received {bytes(text[:60])!r}"
        ) from error
    if not isinstance(table, dict):
        raise ValueError(
            f"a .safetensors header must be a JSON object; received {bytes(text[:60])!r}"
        )
    metadata = table.pop(METADATA, {})
    if not isinstance(metadata, dict) or not all(
        isinstance(value, str) for value in metadata.values()
    ):
        raise ValueError(f"{METADATA} must map strings to strings; received {short(metadata)}")
    entries = sorted(
        (_entry(*item) for item in table.items()), key=lambda entry: (entry.begin, entry.nbytes)
    )
    end = 0
    for entry in entries:
        if entry.begin != end:
            raise ValueError(
                "tensors must follow each other without gaps or overlaps; received"
                f" {short(entry.name)} at byte {entry.begin}, not {end}"
            )
        end += entry.nbytes
    if end != data_bytes:
        raise ValueError(
            f"the tensors must fill the file; received {end:,} bytes of tensors in"
            f" {data_bytes:,} bytes of data"
        )
    return tuple(entries), metadata


def _entry(name: str, value: Any) -> Entry:
    if not isinstance(value, dict) or value.keys() != _KEYS:
        raise ValueError(
            f"tensor {short(name)} must have a dtype, a shape and data_offsets; received"
            f" {short(value)}"
        )
    dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not _integers(shape) or not _integers(offsets) or len(offsets) != 2:
        raise ValueError(
            f"the shape and offsets of tensor {short(name)} must be integers >= 0;"
            f" received {short(value)}"
        )
    if not isinstance(dtype, str) or dtype not in _BYTES:
        raise ValueError(
            f"the dtype of tensor {short(name)} must be one of {', '.join(_BYTES)};"
            f" received {short(dtype)}"
        )
    dims = normalize_shape(tuple(shape))
    begin, end = offsets
    if end - begin != math.prod(dims) * _BYTES[dtype]:
        raise ValueError(
            f"the data_offsets of tensor {short(name)} must match its shape and dtype;"
            f" received {end - begin:,} bytes for {dtype} of shape {dims}"
        )
    return Entry(name, dtype, dims, begin, end - begin)


def _integers(value: Any) -> bool:
    if not isinstance(value, list) or not _INT.issuperset(map(type, value)):
        return False
    return min(value, default=0) >= 0


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        ((name, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(
            f"names in a .safetensors header must differ; received {short(name)} twice"
        )
    return table
