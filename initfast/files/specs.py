"""The description of a model as JSON: each tensor's name, shape, dtype and initializer.

    {"tensors": {"wte.weight": {"shape": [50257, 768], "dtype": "float32",
                                "init": {"class_name": "RandomNormal", "config": {"stddev": 0.02}}},
                 "ln_f.bias": {"shape": [768], "dtype": "float32", "init": "zeros"}}}

"init" is one of the 41 strings of Keras or an initializer as Keras JSON; in a dict that is not read
from JSON, also an initializer itself. Its seed is ignored: a tensor is drawn from the stream of its
name. Two keys are optional: "stream", a name that replaces the tensor's as that of the stream, and
"fixed_rows", [[start, stop, value], ...], rows of the first dim that hold one value, such as the
padding of an embedding."""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

import numpy as np

from initfast.core import garbage
from initfast.core.dtypes import FLOATING, DType, is_floating
from initfast.core.indexing import Dims
from initfast.core.regular import open_regular
from initfast.core.text import line, short
from initfast.core.types import Array, DTypeLike
from initfast.files import entries
from initfast.files.entries import DTYPES, Entry
from initfast.initializers import registry
from initfast.initializers.base import Initializer
from initfast.initializers.constant import Constant
from initfast.initializers.fixed_rows import Rows
from initfast.initializers.random import RandomInitializer

__all__ = ["DTYPES", "AnySpec", "Entry", "Spec", "held", "read", "short", "tensor"]

_FLOATING = {kind.name: kind for kind in FLOATING}
_SPELT_OUT = 1 << 16  # values of one tensor that a spec written here holds one by one


@dataclass(frozen=True, slots=True)
class Spec:
    """The tensors of a model, in the order of the description; `read` has checked them."""

    entries: tuple[Entry, ...]

    @property
    def elements(self) -> int:
        """Elements of all tensors together."""
        return sum(math.prod(entry.shape) for entry in self.entries)


AnySpec: TypeAlias = Spec | str | os.PathLike[str] | Mapping[str, Any]


@garbage.paused()
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
        if dtype is None:
            return source
        found: Iterable[Entry] = source.entries
    else:
        made: dict[str, Initializer] = {}
        found = (entries.read(name, given, made) for name, given in _tensors(source).items())
    if dtype is not None:
        kind = _FLOATING[dtype]
        found = (
            entry._replace(dtype=kind) if is_floating(entry.dtype) else entry for entry in found
        )
    return Spec(entries.checked(found))


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
    """Return whether a spec written here spells out the values of a constant."""
    return np.size(constant.value) <= _SPELT_OUT


def _tensors(source: str | os.PathLike[str] | Mapping[str, Any]) -> Mapping[Any, Any]:
    """Return the tensors of a spec, which are not checked."""
    listed = source if isinstance(source, Mapping) else _load(Path(source))
    if list(listed) != ["tensors"]:
        if "tensors" not in listed and {"model_type", "architectures"} & set(listed):
            raise ValueError(
                "a spec must have the one key 'tensors'; received the config of a Hugging Face "
                "model: pass it as `initfast model --config`, or build the model on the meta "
                "device and pass what spec_from returns"
            )
        raise ValueError(f"a spec must have the one key 'tensors'; received {short(list(listed))}")
    tensors = listed["tensors"]
    if not isinstance(tensors, Mapping) or not tensors:
        raise ValueError(
            f"the 'tensors' must be an object of one or more; received {short(tensors)}"
        )
    return tensors


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
