"""The description of a model as JSON: each tensor's name, shape, dtype and initializer.

    {"tensors": {"wte.weight": {"shape": [50257, 768], "dtype": "float32",
                                "init": {"class_name": "RandomNormal", "config": {"stddev": 0.02}}},
                 "ln_f.bias": {"shape": [768], "dtype": "float32", "init": "zeros"}}}

"init" is one of the 41 strings of Keras or an initializer as Keras JSON; in a dict that is not read
from JSON, also an initializer itself. Its seed is ignored: a tensor is drawn from the stream of its
name. Two keys are optional: "stream", a name that replaces
the tensor's as that of the stream, and "fixed_rows", [[start, stop, value], ...], rows of the first
dim that hold one value, such as the padding of an embedding."""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

import numpy as np

from initfast.core.dtypes import FLOATING, DType, is_floating
from initfast.core.indexing import Dims, normalize_shape
from initfast.core.regular import open_regular
from initfast.core.seeds import Seed
from initfast.core.text import line, short
from initfast.core.types import Array, DTypeLike
from initfast.initializers import grammar, registry, streams
from initfast.initializers.base import Initializer
from initfast.initializers.constant import Constant
from initfast.initializers.fixed_rows import FixedRows, Rows
from initfast.initializers.random import RandomInitializer
from initfast.initializers.stft import STFT
from initfast.initializers.validation import cast, number

__all__ = ["AnySpec", "Entry", "Spec", "held", "read", "short", "tensor"]

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
_FLOATING = {kind.name: kind for kind in FLOATING}
DTYPES: dict[str, DType] = {
    **_FLOATING,
    **{name: np.dtype(name) for name in _NUMPY},
}
_NEEDED, _OPTIONAL = ("shape", "dtype", "init"), ("stream", "fixed_rows")
_SPELT_OUT = 1 << 16  # values of one tensor that a spec written here holds one by one
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


@dataclass(frozen=True, slots=True)
class Entry:
    """One tensor: its name, logical shape, dtype, initializer and the name of its stream."""

    name: str
    shape: Dims
    dtype: DType
    initializer: Initializer
    stream: str
    fixed_rows: tuple[Rows, ...] = ()

    def drawn(self, root: Seed) -> Initializer:
        """Return the initializer with this tensor's stream within a seed."""
        initializer = self.initializer.with_seed(root.named(self.stream))
        return FixedRows(initializer, self.fixed_rows) if self.fixed_rows else initializer


@dataclass(frozen=True, slots=True)
class Spec:
    """The tensors of a model, in the order of the description; `read` has checked them."""

    entries: tuple[Entry, ...]

    @property
    def elements(self) -> int:
        """Elements of all tensors together."""
        return sum(math.prod(entry.shape) for entry in self.entries)


AnySpec: TypeAlias = Spec | str | os.PathLike[str] | Mapping[str, Any]


def read(source: AnySpec, dtype: DTypeLike = None) -> Spec:
    """Return the spec in a JSON file, or in the contents of one, after all checks.

    After these checks, nothing in it can fail once files are written.

    Args:
        source: path of the file, a dict of that form, or a `Spec`.
        dtype: the name of a dtype that replaces that of all floating tensors.

    Raises:
        ValueError: the spec is wrong; the message names the tensor.
        OSError: the file cannot be read.
    """
    if dtype is not None and (not isinstance(dtype, str) or dtype not in _FLOATING):
        raise ValueError(
            f"dtype must be one of {', '.join(map(repr, _FLOATING))}; received {dtype!r}"
        )
    if isinstance(source, Spec):
        entries: Iterable[Entry] = source.entries
    else:
        listed = source if isinstance(source, Mapping) else _load(Path(source))
        if list(listed) != ["tensors"]:
            if "tensors" not in listed and {"model_type", "architectures"} & set(listed):
                raise ValueError(
                    "a spec must have the one key 'tensors'; received the config of a Hugging Face "
                    "model: pass it as `initfast model --config`, or build the model on the meta "
                    "device and pass what spec_from returns"
                )
            raise ValueError(
                f"a spec must have the one key 'tensors'; received {short(list(listed))}"
            )
        if not isinstance(listed["tensors"], Mapping) or not listed["tensors"]:
            raise ValueError(
                "the 'tensors' must be an object of one or more;"
                f" received {short(listed['tensors'])}"
            )
        made: dict[Any, Initializer] = {}
        entries = (_entry(name, given, made) for name, given in listed["tensors"].items())
    if dtype is not None:
        kind = _FLOATING[dtype]
        entries = (
            replace(entry, dtype=kind) if is_floating(entry.dtype) else entry for entry in entries
        )
    return Spec(_checked(entries))


def tensor(
    initializer: Initializer, shape: Dims, dtype: DType, fixed_rows: Iterable[Rows] = ()
) -> dict[str, Any]:
    """Return the entry of a spec for one tensor, without the seed.

    An initializer without arguments becomes its name.

    Raises:
        ValueError: the initializer is not one of initfast's.
    """
    if isinstance(initializer, RandomInitializer):
        initializer = initializer.resolved(shape)
    serialized = registry.serialize(initializer)
    assert serialized is not None
    config = {
        key: value
        for key, value in serialized["config"].items()
        if key != "seed" and value is not None
    }
    name = type(initializer).__name__
    init = {"class_name": name, "config": config}
    plain = name.lower() if name.lower() in registry.ALL_OBJECTS else name
    found = {"shape": list(shape), "dtype": dtype.name, "init": init if config else plain}
    rows = [list(each) for each in fixed_rows]
    return {**found, "fixed_rows": rows} if rows else found


def held(values: Array) -> Initializer:
    """Return an initializer that writes the values of an array.

    Raises:
        ValueError: the array holds infinities, NaN or too many different values.
    """
    first = values.flat[0] if values.size else 0
    if (values == first).all():
        return Constant(first)
    if values.size > _SPELT_OUT:
        raise ValueError(f"a spec spells out at most {_SPELT_OUT} values; received {values.size}")
    return Constant(values)


def is_spelt_out(constant: Constant) -> bool:
    """Whether a spec written here spells out the values of a constant."""
    return np.size(constant.value) <= _SPELT_OUT


def _load(path: Path) -> Mapping[str, Any]:
    try:
        with open_regular(path) as file:
            text = file.read().decode("utf-8")
        found = json.loads(text, object_pairs_hook=_no_duplicates, parse_constant=_no_constants)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"a spec must be JSON, each key once; received {short(str(path))}: {line(error)}"
        ) from None
    if not isinstance(found, dict):
        raise ValueError(f"a spec must be an object; received {short(found)}")
    return found


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        ((twice, _),) = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the key {short(twice)} comes twice")
    return found


def _no_constants(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number of JSON")


def _entry(name: Any, given: Any, made: dict[Any, Initializer]) -> Entry:
    """Return one tensor. `made` caches the initializers, as most models have few."""
    _check_name("name of a tensor", name)
    if not isinstance(given, Mapping):
        raise ValueError(
            f"tensor {short(name)}: must be an object with 'shape', 'dtype' and 'init';"
            f" received {short(given)}"
        )
    missing = [key for key in _NEEDED if key not in given]
    unknown = [key for key in given if key not in _NEEDED and key not in _OPTIONAL]
    if missing or unknown:
        wrong = f"{missing[0]!r} is missing" if missing else f"received {short(unknown[0])}"
        raise ValueError(
            f"tensor {short(name)}: takes the keys {', '.join(map(repr, _NEEDED))}, and may have"
            f" {' and '.join(map(repr, _OPTIONAL))}; {wrong}"
        )
    kind = DTYPES.get(given["dtype"]) if isinstance(given["dtype"], str) else None
    if kind is None:
        raise ValueError(
            f"tensor {short(name)}: dtype must be one of {', '.join(map(repr, DTYPES))};"
            f" received {short(given['dtype'])}"
        )
    stream = given.get("stream", name)
    if stream is not name:
        _check_name(f"tensor {short(name)}: stream", stream)
    try:
        shape = normalize_shape(
            tuple(given["shape"]) if isinstance(given["shape"], list) else given["shape"]
        )
        key = given["init"]
        if not isinstance(key, str | Initializer):
            key = json.dumps(key)
        if key not in made:
            made[key] = _initializer(given["init"])
        rows = _fixed_rows(given.get("fixed_rows", ()), shape, kind)
    except _WRONG as error:
        raise ValueError(f"tensor {short(name)}: {line(error)}") from error
    return Entry(name, shape, kind, made[key], stream, rows)


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


def _initializer(given: Any) -> Initializer:
    if isinstance(given, Initializer) and type(given) is not Initializer:
        return given
    if isinstance(given, str):
        initializer = grammar.parse(given, seed=0)
    else:
        initializer = registry.deserialize(given, seed=0)
    if initializer is None or type(initializer) is Initializer:
        raise ValueError(
            "init must be the text of an initializer, or an initializer as Keras JSON;"
            f" received {short(given)}"
        )
    return initializer


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


def _checked(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """Return the entries after each has made a part of no elements, which makes all checks."""
    good: set[tuple[int, Dims, DType]] = set()
    checked = []
    for entry in entries:
        key = (id(entry.initializer), entry.shape, entry.dtype)
        if key not in good or entry.fixed_rows:
            try:
                _check(entry)
            except _WRONG as error:
                raise ValueError(f"tensor {short(entry.name)}: {line(error)}") from error
            good.add(key)
        checked.append(entry)
    return tuple(checked)


def _check(entry: Entry) -> None:
    if isinstance(entry.initializer, STFT) and max(entry.shape, default=0) > _STFT_SIZE:
        raise ValueError(
            f"an STFT kernel may have at most {_STFT_SIZE} in a dim here; received {entry.shape}"
        )
    if entry.fixed_rows and entry.initializer.whole_only:
        raise ValueError(f"fixed_rows cannot be combined with {type(entry.initializer).__name__}")
    streams.check(entry.initializer, entry.shape, entry.dtype)
