"""One tensor of a spec: its entry in JSON, checked."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from initfast.core.dtypes import FLOATING, DType
from initfast.core.indexing import Dims, normalize_shape
from initfast.core.seeds import Seed
from initfast.core.text import line, short
from initfast.initializers import grammar, registry, streams
from initfast.initializers.base import Initializer
from initfast.initializers.fixed_rows import FixedRows, Rows
from initfast.initializers.stft import STFT
from initfast.initializers.validation import cast, number

__all__ = ["DTYPES", "Entry", "checked", "read"]

_NUMPY = (
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "complex64",
    "complex128",
)
DTYPES: dict[str, DType] = {
    **{kind.name: kind for kind in FLOATING},
    **{name: np.dtype(name) for name in _NUMPY},
}
_NEEDED, _OPTIONAL = ("shape", "dtype", "init"), ("stream", "fixed_rows")
_REQUIRED, _KEYS = frozenset(_NEEDED), frozenset((*_NEEDED, *_OPTIONAL))
_LONGEST = 1024  # characters of a name, because the header of a file holds all names
# Limit of a dimension of an STFT kernel: its table is that long, and is computed for each chunk.
_STFT_SIZE = 1 << 20
# Errors that constructors and conversions raise for unchecked arguments.
_WRONG = (
    ArithmeticError,
    AttributeError,
    LookupError,
    NotImplementedError,
    RecursionError,
    TypeError,
    ValueError,
)


class Entry(NamedTuple):
    """One tensor: its name, logical shape, dtype, initializer and the name of its stream."""

    name: str
    shape: Dims
    dtype: DType
    initializer: Initializer
    stream: str
    fixed_rows: tuple[Rows, ...] = ()

    @property
    def nbytes(self) -> int:
        """Return the bytes of the tensor."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def values(self) -> Initializer:
        """Return the initializer with the fixed rows, but without the stream of this tensor."""
        return FixedRows(self.initializer, self.fixed_rows) if self.fixed_rows else self.initializer

    def seeded_initializer(self, root: Seed) -> Initializer:
        """Return the initializer with the stream of this tensor within the seed `root`."""
        return self.values.with_seed(root.named(self.stream))


def read(name: Any, entry: Any, cache: dict[str, Initializer]) -> Entry:
    """Return one tensor. `cache` holds the initializers, because most models have few.

    Raises:
        ValueError: the name or the entry is wrong.
    """
    _check_name("the name of a tensor", name)
    if not isinstance(entry, Mapping):
        raise ValueError(
            f"tensor {short(name)}: must be an object with 'shape', 'dtype' and 'init';"
            f" received {short(entry)}"
        )
    if not _REQUIRED <= entry.keys() <= _KEYS:
        missing = [key for key in _NEEDED if key not in entry]
        unknown = [key for key in entry if key not in _KEYS]
        fault = f"{missing[0]!r} is missing" if missing else f"received {short(unknown[0])}"
        raise ValueError(
            f"tensor {short(name)}: the keys must be {', '.join(map(repr, _NEEDED))} and optionally"
            f" {', '.join(map(repr, _OPTIONAL))}; {fault}"
        )
    dtype = entry["dtype"]
    kind = DTYPES.get(dtype) if isinstance(dtype, str) else None
    if kind is None:
        raise ValueError(
            f"tensor {short(name)}: dtype must be one of {', '.join(map(repr, DTYPES))};"
            f" received {short(dtype)}"
        )
    stream = entry.get("stream", name)
    if stream is not name:
        _check_name(f"tensor {short(name)}: stream", stream)
    try:
        shape = entry["shape"]
        dims = normalize_shape(tuple(shape) if isinstance(shape, list) else shape)
        initializer = _initializer(entry["init"], cache)
        rows = _fixed_rows(entry["fixed_rows"], dims, kind) if "fixed_rows" in entry else ()
    except _WRONG as error:
        raise ValueError(f"tensor {short(name)}: {line(error)}") from error
    return Entry(name, dims, kind, initializer, stream, rows)


def checked(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """Return the entries after all checks: each initializer computes a block of no elements.

    Raises:
        ValueError: an initializer cannot compute a tensor.
    """
    valid: set[tuple[int, Dims, DType]] = set()
    listed = tuple(entries)
    for entry in listed:
        key = (id(entry.initializer), entry.shape, entry.dtype)
        if key not in valid or entry.fixed_rows:
            try:
                _check(entry)
            except _WRONG as error:
                raise ValueError(f"tensor {short(entry.name)}: {line(error)}") from error
            valid.add(key)
    return listed


def _check(entry: Entry) -> None:
    if isinstance(entry.initializer, STFT) and max(entry.shape, default=0) > _STFT_SIZE:
        raise ValueError(
            f"an STFT kernel may have at most {_STFT_SIZE} in a dimension here; received"
            f" {entry.shape}"
        )
    if entry.fixed_rows and entry.initializer.whole_only:
        raise ValueError(f"fixed_rows cannot be combined with {type(entry.initializer).__name__}")
    streams.check(entry.initializer, entry.shape, entry.dtype)


def _check_name(what: str, name: Any) -> None:
    """Raise ValueError if a name is not allowed: some programs use these names as paths."""
    if not isinstance(name, str) or not 0 < len(name) <= _LONGEST or not name.isprintable():
        raise ValueError(
            f"{what} must be 1 to {_LONGEST} printable characters; received {short(name)}"
        )
    if "\\" in name or name.startswith("/") or ".." in name.split("/") or name == "__metadata__":
        raise ValueError(
            f"{what} must not be '__metadata__', begin with '/', contain '\\' or have a part '..';"
            f" received {short(name)}"
        )


def _initializer(init: Any, cache: dict[str, Initializer]) -> Initializer:
    if isinstance(init, Initializer) and type(init) is not Initializer:
        return init
    text = init if isinstance(init, str) else json.dumps(init)
    if text not in cache:
        if isinstance(init, str):
            initializer = grammar.parse(init, seed=0)
        else:
            initializer = registry.deserialize(init, seed=0)
        if initializer is None or type(initializer) is Initializer:
            raise ValueError(
                f"init must be the name of an initializer, or Keras JSON; received {short(init)}"
            )
        cache[text] = initializer
    return cache[text]


def _fixed_rows(listed: Any, shape: Dims, dtype: DType) -> tuple[Rows, ...]:
    rows = []
    if not isinstance(listed, list | tuple):
        raise ValueError(
            f"fixed_rows must be a list of [start, stop, value]; received {short(listed)}"
        )
    for each in listed:
        if (
            not isinstance(each, list | tuple)
            or len(each) != 3
            or not all(type(n) is int for n in each[:2])
        ):
            raise ValueError(
                f"fixed_rows must be a list of [start, stop, value]; received {short(each)}"
            )
        start, stop, value = each
        if not 0 <= start < stop <= (shape[0] if shape else 0):
            raise ValueError(
                f"fixed_rows must lie within the first dimension of {shape}; received {short(each)}"
            )
        fixed = number("the value of fixed_rows", value)
        cast("the value of fixed_rows", np.asarray(fixed), dtype)
        rows.append(Rows(start, stop, fixed))
    return tuple(rows)
