"""The description of a model as JSON: each tensor's name, shape, dtype and initializer.

    {"tensors": {"wte.weight": {"shape": [50257, 768], "dtype": "float32",
                                "init": {"class_name": "RandomNormal", "config": {"stddev": 0.02}}},
                 "ln_f.bias": {"shape": [768], "dtype": "float32", "init": "zeros"}}}

"init" is a name of Keras or torch, with or without arguments, or an initializer as Keras JSON. In a
dict in Python, it may also be an initializer. Its seed is ignored, because the name of a tensor
selects its stream. Two keys are optional: "stream" is the name of the stream, if not the tensor's
name. "fixed_rows", [[start, stop, value], ...], are rows of the first dimension that have one
value, such as the padding of an embedding."""

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

__all__ = ["DTYPES", "AnySpec", "Entry", "Spec", "constant_of", "read", "short", "tensor"]

_FLOATING = {kind.name: kind for kind in FLOATING}
_SPELT_OUT = 1 << 16  # maximum number of values that a spec lists for one tensor


@dataclass(frozen=True, slots=True)
class Spec:
    """The tensors of a model, in the order of the spec. `read` has checked them."""

    entries: tuple[Entry, ...]

    @property
    def elements(self) -> int:
        """Return the number of elements of all tensors."""
        return sum(math.prod(entry.shape) for entry in self.entries)


AnySpec: TypeAlias = Spec | str | os.PathLike[str] | Mapping[str, Any]


@garbage.paused()
def read(source: AnySpec, dtype: DTypeLike = None) -> Spec:
    """Return the spec in a JSON file or a dict, after all checks.

    After these checks, writing the files cannot fail because of the spec.

    Args:
        source: path of the file, a dict of the same form, or a `Spec`.
        dtype: name of a dtype that replaces the dtype of all floating tensors.

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
        tensors: Iterable[Entry] = source.entries
    else:
        cache: dict[str, Initializer] = {}
        tensors = (entries.read(name, entry, cache) for name, entry in _tensors(source).items())
    if dtype is not None:
        kind = _FLOATING[dtype]
        tensors = (
            entry._replace(dtype=kind) if is_floating(entry.dtype) else entry for entry in tensors
        )
    return Spec(entries.checked(tensors))


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
    entry = {"shape": list(shape), "dtype": dtype.name, "init": init if config else plain}
    rows = [list(each) for each in fixed_rows]
    return {**entry, "fixed_rows": rows} if rows else entry


def constant_of(values: Array) -> Initializer:
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


def is_listed(constant: Constant) -> bool:
    """Return whether a spec may list the values of a constant one by one."""
    return np.size(constant.value) <= _SPELT_OUT


def _tensors(source: str | os.PathLike[str] | Mapping[str, Any]) -> Mapping[Any, Any]:
    """Return the tensors of a spec, unchecked."""
    listed = source if isinstance(source, Mapping) else _load(Path(source))
    if list(listed) != ["tensors"]:
        if "tensors" not in listed and {"model_type", "architectures"} & set(listed):
            raise ValueError(
                "a spec must have the single key 'tensors'; received the config of a Hugging Face "
                "model: pass it to `initfast model` or `initfast verify` with --config, or build "
                "the model on the meta device and pass the result of spec_from"
            )
        raise ValueError(
            f"a spec must have the single key 'tensors'; received {short(list(listed))}"
        )
    tensors = listed["tensors"]
    if not isinstance(tensors, Mapping) or not tensors:
        raise ValueError(
            f"'tensors' must be an object with at least one tensor; received {short(tensors)}"
        )
    return tensors


def _load(path: Path) -> Mapping[str, Any]:
    try:
        with open_regular(path) as file:
            text = file.read().decode("utf-8")
        spec = json.loads(text, object_pairs_hook=_no_duplicates, parse_constant=_no_constants)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"a spec must be valid JSON; received {short(str(path))}: {line(error)}"
        ) from None
    if not isinstance(spec, dict):
        raise ValueError(f"a spec must be a JSON object; received {short(spec)}")
    return spec


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        ((key, _),) = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the key {short(key)} is repeated")
    return table


def _no_constants(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")
