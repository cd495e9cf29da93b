"""Specs of built models, for `initfast model`, which writes the weights of `initialize`."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from initfast.core.dtypes import DType, is_floating, resolve, resolve_numeric
from initfast.core.types import DTypeLike
from initfast.files import specs
from initfast.initializers.base import Initializer
from initfast.initializers.constant import Constant, Ones, Zeros
from initfast.initializers.fixed_rows import Rows
from initfast.keras import tensors
from initfast.keras.models import Plan, Rules, plan
from initfast.keras.sources import Derived

_REMEDY = "pass a rule for it, or a rule None to leave it out of the spec"


def spec_from(model: Any, rules: Rules | None = None, *, dtype: DTypeLike = None) -> dict[str, Any]:
    """Return the spec of a built model, from which `checkpoint.save` writes the weights that
    `initialize(model, seed, rules)` would draw.

    Nothing is drawn. Tensors have the names of `initialize`, such as 'encoder/dense_1/kernel'.
    States, which `initialize` does not change, are in the spec with their present values.

    Args:
        model: a Keras model or layer.
        rules: as for `initialize`. None leaves a weight out of the spec.
        dtype: dtype of all floating weights in the spec; default: each weight's own.

    Returns:
        The spec, a dict for `json.dump`.

    Raises:
        ValueError: `initialize` would raise, or no initializer of Keras can describe a weight: your
            own initializer, or a state with many values or infinities. The message names the
            weight.

    >>> import keras
    >>> layer = keras.layers.Dense(2)
    >>> layer.build((None, 4))
    >>> spec_from(layer)["tensors"]["kernel"]["shape"]
    [4, 2]
    """
    floating_dtype = None if dtype is None else resolve(dtype)
    return {
        "tensors": {
            each.weight.path: _entry(each, floating_dtype)
            for each in plan(model, 0, rules)
            if each.initializer or not each.by_rule
        }
    }


def _entry(weight_plan: Plan, floating_dtype: DType | None) -> dict[str, Any]:
    weight, initializer, _ = weight_plan
    shape = tuple(map(int, weight.variable.shape))
    kind = resolve_numeric(tensors.dtype_name(weight.variable.dtype))
    if floating_dtype is not None and is_floating(kind):
        kind = floating_dtype
    rows: tuple[Rows, ...] = ()
    try:
        if initializer is None:
            initializer = specs.constant_of(
                np.asarray(keras.ops.convert_to_numpy(weight.variable.value))
            )
        elif isinstance(initializer, Derived) and initializer.change == "forget":
            quarter = shape[0] // 4
            initializer, rows = initializer.inner, (Rows(quarter, 2 * quarter, 1.0),)
        elif isinstance(initializer, Derived):
            initializer = _as_constant(initializer, kind)
        return specs.tensor(initializer, shape, kind, rows)
    except (TypeError, ValueError) as error:
        raise ValueError(f"weight {weight.path!r}: {error}; {_REMEDY}") from error


def _as_constant(derived: Derived, kind: DType) -> Initializer:
    """Return the constant that a layer computes from another constant, such as its root."""
    if not isinstance(derived.inner, Constant | Ones | Zeros) or np.ndim(
        getattr(derived.inner, "value", 0)
    ):
        raise ValueError(
            f"no initializer of Keras can describe the {derived.change} of a "
            f"{type(derived.inner).__name__}"
        )
    return Constant(float(derived.block((), ..., kind)))
