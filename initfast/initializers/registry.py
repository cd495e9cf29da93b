"""Initializers by name and by config: the 41 strings of Keras, and its JSON in both forms."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, overload

import numpy as np

from initfast.core.indexing import normalize_shape
from initfast.core.types import Array, DTypeLike, Shape
from initfast.initializers import constant, orthogonal, random, stft
from initfast.initializers.base import Initializer

__all__ = ["ALL_OBJECTS", "deserialize", "get", "serialize"]

_CLASSES: tuple[type[Initializer], ...] = (
    Initializer,
    constant.Constant,
    constant.Identity,
    constant.Ones,
    stft.STFT,
    constant.Zeros,
    random.GlorotNormal,
    random.GlorotUniform,
    random.HeNormal,
    random.HeUniform,
    random.LecunNormal,
    random.LecunUniform,
    orthogonal.Orthogonal,
    random.RandomNormal,
    random.RandomUniform,
    random.TruncatedNormal,
    random.VarianceScaling,
)


def _snake_case(name: str) -> str:
    """Keras' rule: RandomNormal is random_normal, STFT is stft."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


ALL_OBJECTS: dict[str, type[Initializer]] = {
    **{made.__name__: made for made in _CLASSES},
    **{_snake_case(made.__name__): made for made in _CLASSES},
    "IdentityInitializer": constant.Identity,
    "normal": random.RandomNormal,
    "one": constant.Ones,
    "STFTInitializer": stft.STFT,
    "OrthogonalInitializer": orthogonal.Orthogonal,
    "uniform": random.RandomUniform,
    "zero": constant.Zeros,
}
"""Every string that `get` takes, and its class."""

Made = TypeVar("Made", bound=Initializer)
Function = TypeVar("Function", bound=Callable[..., Any])
_MODULES = ("initfast", "keras", "tf_keras", "tensorflow.keras")


@overload
def get(identifier: None) -> None: ...
@overload
def get(identifier: str | Mapping[str, Any]) -> Initializer: ...
@overload
def get(identifier: type[Made]) -> Made: ...
@overload
def get(identifier: Function) -> Function: ...
@overload
def get(identifier: Array) -> Callable[..., Array]: ...
@overload
def get(identifier: object) -> Any: ...
def get(identifier: Any) -> Any:
    """An initializer from whatever names one.

    Args:
        identifier: one of the 41 strings (case counts), a config dict (see `deserialize`), an
            initializer class, any callable `f(shape, dtype=None)`, which is returned as it is, an
            array or tensor, which becomes an initializer of exactly its shape, or None, which stays
            None.

    Raises:
        ValueError: it is none of these.

    >>> get("he_normal").scale
    2.0
    """
    if identifier is None:
        return None
    if isinstance(identifier, Mapping):
        return deserialize(identifier)
    if isinstance(identifier, str):
        return deserialize({"class_name": identifier, "config": {}}, identifier)
    if isinstance(identifier, (np.ndarray, np.generic)) or (
        hasattr(identifier, "__array__")
        and hasattr(identifier, "shape")
        and not callable(identifier)
    ):
        return _direct(identifier)
    if not callable(identifier):
        raise ValueError(f"Could not interpret initializer identifier: {identifier}")
    return identifier() if inspect.isclass(identifier) else identifier


@overload
def serialize(initializer: None) -> None: ...
@overload
def serialize(initializer: Initializer) -> dict[str, Any]: ...
def serialize(initializer: Initializer | None) -> dict[str, Any] | None:
    """The JSON form of an initializer, laid out as Keras lays it out; its module is 'initfast', so
    that Keras does not take it for its own.

    >>> serialize(random.HeNormal(seed=1))["config"]
    {'seed': 1, 'input_axes': None, 'output_axes': None}
    """
    if initializer is None:
        return None
    name = type(initializer).__name__
    if ALL_OBJECTS.get(name) is not type(initializer):
        raise ValueError(f"serialize takes the initializers of initfast; received {initializer!r}")
    return {
        "module": "initfast",
        "class_name": name,
        "config": initializer.get_config(),
        "registered_name": None,
    }


@overload
def deserialize(config: None, identifier: Any = None) -> None: ...
@overload
def deserialize(config: Mapping[str, Any], identifier: Any = None) -> Initializer: ...
def deserialize(config: Mapping[str, Any] | None, identifier: Any = None) -> Initializer | None:
    """The initializer of a JSON form: ours, or that of Keras, old (`class_name` and `config`) or
    new.

    Args:
        config: `{"class_name": one of the 41 strings, "config": arguments}`; "config" may be
            missing, "module" must then be that of Keras or initfast, and "registered_name" must not
            be that of a class of someone else.
        identifier: what error messages show; default: `config`.
    """
    if config is None:
        return None
    shown = config if identifier is None else identifier
    if not isinstance(config, Mapping) or not isinstance(config.get("class_name"), str):
        raise ValueError(f"Could not interpret initializer identifier: {shown}")
    name: str = config["class_name"]
    arguments = config.get("config")
    found = ALL_OBJECTS.get(name)
    module = config.get("module")
    known = module is None or f"{module}.".startswith(tuple(f"{ours}." for ours in _MODULES))
    if found is None or not known or config.get("registered_name") not in (None, name):
        import difflib

        near = difflib.get_close_matches(name, ALL_OBJECTS, n=1)
        hint = f". Did you mean {near[0]!r}?" if found is None and near else ""
        raise ValueError(f"Could not interpret initializer identifier: {shown}{hint}")
    if arguments is not None and not isinstance(arguments, Mapping):
        raise ValueError(f"the config of an initializer must be a dict; received {arguments!r}")
    return found.from_config(arguments or {})


def _direct(tensor: Any) -> Callable[..., Array]:
    values = constant.Constant(tensor)
    held = tuple(map(int, tensor.shape))

    def initialize_fn(shape: Shape, dtype: DTypeLike = None) -> Array:
        """A copy of the array that `get` was given."""
        if normalize_shape(shape) != held:
            raise ValueError(
                f"Expected `shape` to be {held} for direct tensor as initializer. Received shape={shape}"
            )
        return values(held, dtype)

    return initialize_fn
