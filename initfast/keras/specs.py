"""The description of a built model, from which `initfast model` writes the weights that
`initialize` would give it.
"""

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
from initfast.keras.models import Planned, Rules, plan
from initfast.keras.sources import Derived

_REMEDY = "give a rule for it, or a rule None, which leaves it out of the spec"


def spec_from(model: Any, rules: Rules | None = None, *, dtype: DTypeLike = None) -> dict[str, Any]:
    """Return the spec of a built model: what `initialize(model, seed, rules)` would draw, for
    `checkpoint.save`.

    Nothing is drawn. Tensors have the names of `initialize`, such as 'encoder/dense_1/kernel';
    weights that it leaves alone, which are states, are there with the values that they hold.

    Args:
        model: a Keras model or layer.
        rules: as for `initialize`. None leaves a weight out of the spec.
        dtype: what all floating weights are made in; default: each in its own.

    Returns:
        The spec, as `json.dump` takes it.

    Raises:
        ValueError: naming the weight, for what `initialize` refuses, and what no initializer of
            Keras writes: your own, or a state of many values or with infinities.
    """
    asked = None if dtype is None else resolve(dtype)
    planned = plan(model, 0, rules)
    return {
        "tensors": {
            each.weight.path: _described(each, asked)
            for each in planned
            if each.made or not each.by_rule
        }
    }


def _described(planned: Planned, asked: DType | None) -> dict[str, Any]:
    weight, made, _ = planned
    shape = tuple(map(int, weight.variable.shape))
    kind = resolve_numeric(tensors.named_dtype(weight.variable.dtype))
    if asked is not None and is_floating(kind):
        kind = asked
    rows: tuple[Rows, ...] = ()
    try:
        if made is None:
            made = specs.held(np.asarray(keras.ops.convert_to_numpy(weight.variable.value)))
        elif isinstance(made, Derived) and made.change == "forget":
            quarter = shape[0] // 4
            made, rows = made.inner, (Rows(quarter, 2 * quarter, 1.0),)
        elif isinstance(made, Derived):
            made = _changed(made, kind)
        return specs.tensor(made, shape, kind, rows)
    except (TypeError, ValueError) as error:
        raise ValueError(f"weight {weight.path!r}: {error}; {_REMEDY}") from error


def _changed(made: Derived, kind: DType) -> Initializer:
    """Return the constant that a layer makes of another one, such as its double."""
    if not isinstance(made.inner, Constant | Ones | Zeros) or np.ndim(
        getattr(made.inner, "value", 0)
    ):
        raise ValueError(
            f"no initializer of Keras writes the {made.change} of a {type(made.inner).__name__}"
        )
    return Constant(float(made.block((), ..., kind)))
