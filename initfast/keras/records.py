"""The initializers that a layer gives `add_weight` and does not keep, found by building a copy."""

from __future__ import annotations

from typing import Any

import keras

from initfast.keras.defaults import default
from initfast.keras.weights import own


def added(layer: Any) -> dict[int, Any]:
    """Return the initializer of each weight of a layer that its class adds by `add_weight`.

    A copy of the layer, made of its config, is built with zeros, and its calls are recorded. It
    is a copy only if it has the layer's weights, by name and shape, in the same order.

    Returns:
        The initializers, as the class gives them, by the `id` of the layer's own variables; empty
        for a layer that cannot be copied.
    """
    given: dict[int, Any] = {}

    def add_weight(self: Any, *args: Any, **kwargs: Any) -> Any:
        initializer = args[1] if len(args) > 1 else kwargs.pop("initializer", None)
        if len(args) > 2:
            kwargs["dtype"] = args[2]
        variable = super(kind, self).add_weight(*args[:1], initializer="zeros", **kwargs)
        floating = "float" in keras.backend.standardize_dtype(variable.dtype)
        standard = "glorot_uniform" if floating else "zeros"
        given[id(variable)] = standard if initializer is None else initializer
        return variable

    kind: Any = type(type(layer).__name__, (type(layer),), {"add_weight": add_weight})
    try:
        with default(0):  # so that the names do not count in a block around this one
            copy = kind.from_config(layer.get_config())
            copy.build_from_config(layer.get_build_config())
    except Exception:  # whatever the constructor or the build of a user's layer raises
        return {}
    mine, theirs = own(layer), own(copy)
    if [(name, tuple(v.shape)) for name, v in mine] != [
        (name, tuple(v.shape)) for name, v in theirs
    ]:
        return {}
    return {
        id(variable): given[id(twin)]
        for (_, variable), (_, twin) in zip(mine, theirs, strict=True)
        if id(twin) in given
    }
