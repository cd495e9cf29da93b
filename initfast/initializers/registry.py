"""Find an initializer by name, config, class or array, as in `keras.initializers`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, overload

import numpy as np

from initfast.core.indexing import normalize_shape
from initfast.core.text import line
from initfast.core.types import Array, DTypeLike, Shape
from initfast.initializers import grammar
from initfast.initializers.base import Initializer
from initfast.initializers.configs import ALL_OBJECTS, deserialize, serialize
from initfast.initializers.constant import Constant

__all__ = ["ALL_OBJECTS", "deserialize", "get", "serialize"]

AnyInitializer = TypeVar("AnyInitializer", bound=Initializer)
Function = TypeVar("Function", bound=Callable[..., Any])


@overload
def get(identifier: None) -> None: ...
@overload
def get(identifier: str | Mapping[str, Any]) -> Initializer: ...
@overload
def get(identifier: type[AnyInitializer]) -> AnyInitializer: ...
@overload
def get(identifier: Function) -> Function: ...
@overload
def get(identifier: Array) -> Callable[..., Array]: ...
@overload
def get(identifier: object) -> Any: ...
def get(identifier: Any) -> Any:
    """Return the initializer that a text, a config, a class or an array describes.

    Args:
        identifier: a text: one of the 41 names of Keras (case-sensitive), a name with arguments,
            such as "random_normal(stddev=0.02)", a name of `torch.nn.init`, such as
            "kaiming_normal", or Keras JSON; a config dict (see `deserialize`); an initializer
            class; any callable `f(shape, dtype=None)`, which is returned unchanged; an array or
            tensor, which becomes an initializer of exactly its shape; or None, which stays None.

    Raises:
        ValueError: `identifier` does not describe an initializer.

    >>> get("he_normal").scale
    2.0
    >>> get("random_normal(stddev=0.02)").stddev
    0.02
    """
    if identifier is None:
        return None
    if isinstance(identifier, Mapping):
        return deserialize(identifier)
    if isinstance(identifier, str):
        return grammar.parse(identifier)
    if isinstance(identifier, (np.ndarray, np.generic)) or (
        hasattr(identifier, "__array__")
        and hasattr(identifier, "shape")
        and not callable(identifier)
    ):
        return _direct(identifier)
    if not callable(identifier):
        raise ValueError(f"Could not interpret initializer identifier: {line(identifier)}")
    return identifier() if inspect.isclass(identifier) else identifier


def _direct(tensor: Any) -> Callable[..., Array]:
    """Return an initializer of the values of an array or tensor, for exactly its shape."""
    values = Constant(tensor)
    expected = tuple(map(int, tensor.shape))

    def initialize_fn(shape: Shape, dtype: DTypeLike = None) -> Array:
        """Return a copy of the array passed to `get`, in `dtype`; `shape` must be its shape."""
        if normalize_shape(shape) != expected:
            raise ValueError(
                f"Expected `shape` to be {expected} for direct tensor as initializer."
                f" Received shape={shape}"
            )
        return values(expected, dtype)

    return initialize_fn
