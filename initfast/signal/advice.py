"""What to do about a layer: the initializer that fits it, unless it already has that."""

from __future__ import annotations

import math

from initfast.signal.activations import ACTIVATIONS
from initfast.signal.layers import LayerReport
from initfast.signal.quadrature import Facts, facts
from initfast.signal.recommendations import recommended

__all__ = ["ONE_SIDED", "advice", "facts_of"]

NEAR = 1.25  # a measured variance within this factor of the recommended one is that

_ELSE = "look to depth, widths and inputs, or normalise."

ONE_SIDED = {
    "sigmoid": "a sigmoid is never negative",
    "hard_sigmoid": "a hard sigmoid is never negative",
    "relu": "ReLU is never negative",
    "relu6": "ReLU6 is never negative",
    "softplus": "softplus is never negative",
    "log_sigmoid": "a log-sigmoid is never positive",
}


def facts_of(layer: LayerReport) -> Facts | None:
    """Return what is known of a layer's activation; None if it is not elementwise."""
    row = ACTIVATIONS.get(layer.activation)
    return layer.facts or (None if row is None else facts(row))


def advice(layer: LayerReport, initializer: str) -> str:
    """Return a sentence on what fits the layer; empty for a layer without a kernel.

    Args:
        initializer: the one in use, in words; it is not recommended against itself. Nor is one
            whose variance the weights already have.
    """
    known = facts_of(layer)
    if known is None or layer.fan_in is None or layer.fan_out is None:
        return ""
    try:
        fits = recommended(layer.activation, known)
    except ValueError as error:
        return f"{error}.".capitalize()
    if initializer in (fits.initializer, *fits.also):
        return f"{initializer} is what fits {layer.activation}; {_ELSE}"
    if layer.weight_scale and not initializer:
        ratio = layer.weight_scale**2 / fits.scale(layer.fan_in, layer.fan_out)
        # Few weights vary by chance: four standard errors of their variance.
        near = NEAR + 4.0 * math.sqrt(2.0 / (layer.fan_in * layer.units))
        if 1.0 / near <= ratio <= near:
            return f"The weights have the variance that fits {layer.activation}; {_ELSE}"
    if layer.kind.startswith("DepthwiseConv"):
        # Keras counts the channels of a depthwise kernel as inputs of each unit.
        std = math.sqrt(fits.scale(layer.fan_in, layer.fan_out) / layer.fan_in)
        return (
            f"Fits {layer.activation}: random_normal(stddev={std:.3g}), as {fits.initializer} with "
            f"the {layer.fan_in} inputs that a unit has; Keras counts those of all channels."
        )
    return f"Fits {layer.activation}: {fits.initializer} ({fits.source})."
