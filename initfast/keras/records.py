"""Record the initializers that a layer passes to `add_weight` and does not keep."""

from __future__ import annotations

from typing import Any

import keras

from initfast.keras.defaults import default
from initfast.keras.weights import own


def recorded_initializers(layer: Any) -> dict[int, Any]:
    """Return the initializers of the weights that a layer adds by `add_weight`.

    This builds a copy of the layer from its config, with zeros, and records the calls. The copy
    must have the layer's weights, by name and shape, in the same order.

    Returns:
        The initializers, as the class passes them, by the `id` of the layer's variables; empty if
        the layer cannot be copied.
    """
    initializers: dict[int, Any] = {}

    def add_weight(self: Any, *args: Any, **kwargs: Any) -> Any:
        """Add a weight of zeros, and record its initializer."""
        initializer = args[1] if len(args) > 1 else kwargs.pop("initializer", None)
        if len(args) > 2:
            kwargs["dtype"] = args[2]
        variable = super(kind, self).add_weight(*args[:1], initializer="zeros", **kwargs)
        floating = "float" in keras.backend.standardize_dtype(variable.dtype)
        standard = "glorot_uniform" if floating else "zeros"
        initializers[id(variable)] = standard if initializer is None else initializer
        return variable

    kind: Any = type(type(layer).__name__, (type(layer),), {"add_weight": add_weight})
    try:
        with default(0):  # so that an outer block does not count these names
            copy = kind.from_config(layer.get_config())
            copy.build_from_config(layer.get_build_config())
    except Exception:  # a user's layer may raise anything
        return {}
    mine, theirs = own(layer), own(copy)
    if [(name, tuple(v.shape)) for name, v in mine] != [
        (name, tuple(v.shape)) for name, v in theirs
    ]:
        return {}
    return {
        id(variable): initializers[id(twin)]
        for (_, variable), (_, twin) in zip(mine, theirs, strict=True)
        if id(twin) in initializers
    }
