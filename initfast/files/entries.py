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
_LONGEST = 1024  # characters of a name: no model comes near, and a file's header holds every name
# The table behind an STFT kernel is as long as its dims, and each part makes it again.
_STFT_SIZE = 1 << 20
# Errors of constructors and conversions for arguments that have not been checked.
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
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def values(self) -> Initializer:
        """Return the initializer with the fixed rows, without this tensor's stream."""
        return FixedRows(self.initializer, self.fixed_rows) if self.fixed_rows else self.initializer

    def drawn(self, root: Seed) -> Initializer:
        """Return the initializer with this tensor's stream within a seed."""
        return self.values.with_seed(root.named(self.stream))


def read(name: Any, given: Any, made: dict[str, Initializer]) -> Entry:
    """Return one tensor. `made` caches the initializers, as most models have few.

    Raises:
        ValueError: the name or the entry is wrong.
    """
    _check_name("name of a tensor", name)
    if not isinstance(given, Mapping):
        raise ValueError(
            f"tensor {short(name)}: must be an object with 'shape', 'dtype' and 'init';"
            f" received {short(given)}"
        )
    if not _REQUIRED <= given.keys() <= _KEYS:
        missing = [key for key in _NEEDED if key not in given]
        unknown = [key for key in given if key not in _KEYS]
        wrong = f"{missing[0]!r} is missing" if missing else f"received {short(unknown[0])}"
        raise ValueError(
            f"tensor {short(name)}: takes the keys {', '.join(map(repr, _NEEDED))}, and may have"
            f" {' and '.join(map(repr, _OPTIONAL))}; {wrong}"
        )
    dtype = given["dtype"]
    kind = DTYPES.get(dtype) if isinstance(dtype, str) else None
    if kind is None:
        raise ValueError(
            f"tensor {short(name)}: dtype must be one of {', '.join(map(repr, DTYPES))};"
            f" received {short(dtype)}"
        )
    stream = given.get("stream", name)
    if stream is not name:
        _check_name(f"tensor {short(name)}: stream", stream)
    try:
        shape = given["shape"]
        dims = normalize_shape(tuple(shape) if isinstance(shape, list) else shape)
        initializer = _initializer(given["init"], made)
        rows = _fixed_rows(given["fixed_rows"], dims, kind) if "fixed_rows" in given else ()
    except _WRONG as error:
        raise ValueError(f"tensor {short(name)}: {line(error)}") from error
    return Entry(name, dims, kind, initializer, stream, rows)


def checked(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """Return the entries after each has made a part of no elements, which makes all checks.

    Raises:
        ValueError: an initializer cannot make a tensor.
    """
    good: set[tuple[int, Dims, DType]] = set()
    listed = tuple(entries)
    for entry in listed:
        key = (id(entry.initializer), entry.shape, entry.dtype)
        if key not in good or entry.fixed_rows:
            try:
                _check(entry)
            except _WRONG as error:
                raise ValueError(f"tensor {short(entry.name)}: {line(error)}") from error
            good.add(key)
    return listed


def _check(entry: Entry) -> None:
    if isinstance(entry.initializer, STFT) and max(entry.shape, default=0) > _STFT_SIZE:
        raise ValueError(
            f"an STFT kernel may have at most {_STFT_SIZE} in a dim here; received {entry.shape}"
        )
    if entry.fixed_rows and entry.initializer.whole_only:
        raise ValueError(f"fixed_rows cannot be combined with {type(entry.initializer).__name__}")
    streams.check(entry.initializer, entry.shape, entry.dtype)


def _check_name(what: str, name: Any) -> None:
    """Check a name: some readers make paths of the names."""
    if not isinstance(name, str) or not 0 < len(name) <= _LONGEST or not name.isprintable():
        raise ValueError(
            f"a {what} must be 1 to {_LONGEST} printable characters; received {short(name)}"
        )
    if "\\" in name or name.startswith("/") or ".." in name.split("/") or name == "__metadata__":
        raise ValueError(
            f"a {what} must not be '__metadata__', begin with '/', hold '\\' or have a part '..';"
            f" received {short(name)}"
        )


def _initializer(given: Any, made: dict[str, Initializer]) -> Initializer:
    if isinstance(given, Initializer) and type(given) is not Initializer:
        return given
    text = given if isinstance(given, str) else json.dumps(given)
    if text not in made:
        if isinstance(given, str):
            initializer = grammar.parse(given, seed=0)
        else:
            initializer = registry.deserialize(given, seed=0)
        if initializer is None or type(initializer) is Initializer:
            raise ValueError(
                "init must be the text of an initializer, or an initializer as Keras JSON;"
                f" received {short(given)}"
            )
        made[text] = initializer
    return made[text]


def _fixed_rows(given: Any, shape: Dims, dtype: DType) -> tuple[Rows, ...]:
    found = []
    if not isinstance(given, list | tuple):
        raise ValueError(
            f"fixed_rows must be a list of [start, stop, value]; received {short(given)}"
        )
    for each in given:
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
                f"fixed_rows must lie within the first dim of {shape}; received {short(each)}"
            )
        held = number("the value of fixed_rows", value)
        cast("the value of fixed_rows", np.asarray(held), dtype)
        found.append(Rows(start, stop, held))
    return tuple(found)
