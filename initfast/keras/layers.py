"""Properties of Keras layers for a diagnosis: fans, kernels and units."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from initfast.initializers.fans import AXES, Axes, einsum_axes

__all__ = ["axis", "fans", "is_norm", "kernels", "passes", "unit_columns"]

Floats = npt.NDArray[np.floating[Any]]

# Layers by the row of `AXES` for their kernel.
_FANS: dict[str, tuple[Any, ...]] = {
    "keras": (
        keras.layers.Dense,
        keras.layers.Conv1D,
        keras.layers.Conv2D,
        keras.layers.Conv3D,
    ),
    "keras transposed": (
        keras.layers.Conv1DTranspose,
        keras.layers.Conv2DTranspose,
        keras.layers.Conv3DTranspose,
    ),
    "keras depthwise": (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D),
}
# These only change the shape of a signal, or make it coarser.
_PASSING = ("Dropout", "Pooling", "Flatten", "Reshape", "Permute", "Identity", "ZeroPadding",
            "Cropping", "UpSampling", "ActivityRegularization", "DropPath")  # fmt: skip


def axis(layer: Any, tensor: Any) -> int:
    """Return the axis of the units: the last one, unless the layer has another."""
    own = getattr(layer, "axis", None)
    first = getattr(layer, "data_format", None) == "channels_first"
    if isinstance(own, int) and own < len(tensor.shape):
        return own
    return 1 if first and len(tensor.shape) > 2 else -1


def passes(layer: Any) -> bool:
    """Return whether a layer only reshapes, pools or drops values of its input."""
    return any(each in type(layer).__name__ for each in _PASSING)


def is_norm(layer: Any, training: bool) -> bool:
    """Return whether a layer's output has the same size for any input."""
    fixed = isinstance(layer, keras.layers.BatchNormalization) and not (
        training and layer.trainable
    )
    return "Normalization" in type(layer).__name__ and not fixed


def _axes(layer: Any) -> Axes | None:
    if isinstance(layer, keras.layers.EinsumDense):
        return einsum_axes(layer.equation)
    return next((AXES[row] for row, kinds in _FANS.items() if isinstance(layer, kinds)), None)


def fans(layer: Any) -> tuple[int, int] | None:
    """Return (fan_in, fan_out) of a layer's kernel; None if it has no kernel or several."""
    axes = _axes(layer)
    if axes is None:
        return None
    return axes.fans(tuple(layer.kernel.shape), getattr(layer, "groups", 1))


def kernels(layer: Any) -> list[tuple[Any, int]]:
    """Return the variables that multiply signals, each with its fan_in; empty if the layer is
    unknown.
    """
    if (fan_pair := fans(layer)) is not None:
        return [(layer.kernel, fan_pair[0])]
    cell = getattr(layer, "cell", None)
    if cell is None:
        return []
    own = [getattr(cell, name, None) for name in ("kernel", "recurrent_kernel")]
    return [(each, int(each.shape[0])) for each in own if each is not None and len(each.shape) == 2]


def unit_columns(layer: Any) -> tuple[Any, Any, Any] | None:
    """Return (kernel, bias, function), or None if the layer is unknown.

    The function reshapes values of the kernel's shape to (inputs, units)."""
    cell = getattr(layer, "cell", None)
    if cell is not None and hasattr(cell, "recurrent_kernel") and hasattr(cell, "kernel"):
        units = cell.units
        return (
            cell.kernel,
            None,
            lambda values: values.reshape(values.shape[0], -1, units).reshape(-1, units),
        )
    if isinstance(layer, keras.layers.EinsumDense):
        axes = einsum_axes(layer.equation)

        def columns(values: Floats) -> Floats:
            count = int(np.prod([values.shape[each] for each in axes.outputs], dtype=int))
            last = range(-len(axes.outputs), 0)
            return np.moveaxis(values, axes.outputs, list(last)).reshape(-1, count)

        count = columns(np.empty(layer.kernel.shape)).shape[1]
        whole = layer.bias is None or int(np.prod(layer.bias.shape)) == count
        return (layer.kernel, layer.bias, columns) if whole else None
    if isinstance(layer, _FANS["keras"]):
        return layer.kernel, layer.bias, lambda values: values.reshape(-1, values.shape[-1])
    return None
