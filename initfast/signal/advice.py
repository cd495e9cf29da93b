"""Advice on a layer: the initializer that fits its activation, unless the layer has it already."""

from __future__ import annotations

import math

from initfast.signal.activations import ACTIVATIONS
from initfast.signal.layers import LayerReport
from initfast.signal.quadrature import Facts, facts
from initfast.signal.recommendations import recommended

__all__ = ["ONE_SIDED", "advice", "facts_of"]

NEAR = 1.25  # weights whose variance is within this factor of the recommended one have it

_ELSE = "check the depth, the widths and the inputs, or add a normalisation."

ONE_SIDED = {
    "sigmoid": "a sigmoid is never negative",
    "hard_sigmoid": "a hard sigmoid is never negative",
    "relu": "ReLU is never negative",
    "relu6": "ReLU6 is never negative",
    "softplus": "softplus is never negative",
    "log_sigmoid": "a log-sigmoid is never positive",
}


def facts_of(layer: LayerReport) -> Facts | None:
    """Return the facts about a layer's activation; None if it is not elementwise."""
    row = ACTIVATIONS.get(layer.activation)
    return layer.facts or (None if row is None else facts(row))


def advice(layer: LayerReport, initializer: str) -> str:
    """Return a sentence that names the initializer that fits the layer; empty for a layer without a
    kernel.

    Args:
        layer: the layer of a report.
        initializer: the present one, as `label` spells it, or "". If the layer already has a
            fitting initializer, or weights of its variance, the sentence says so.
    """
    activation = facts_of(layer)
    if activation is None or layer.fan_in is None or layer.fan_out is None:
        return ""
    try:
        fits = recommended(layer.activation, activation)
    except ValueError as error:
        return f"{error}.".capitalize()
    if initializer in (fits.initializer, *fits.also):
        return f"{initializer} already fits {layer.activation}: {_ELSE}"
    if layer.weight_scale and not initializer:
        ratio = layer.weight_scale**2 / fits.scale(layer.fan_in, layer.fan_out)
        # The variance of few weights varies by chance: allow four standard errors.
        near = NEAR + 4.0 * math.sqrt(2.0 / (layer.fan_in * layer.units))
        if 1.0 / near <= ratio <= near:
            return f"The weights already have the variance that fits {layer.activation}: {_ELSE}"
    if layer.kind.startswith("DepthwiseConv"):
        # Keras counts all channels of a depthwise kernel as inputs of each unit.
        std = math.sqrt(fits.scale(layer.fan_in, layer.fan_out) / layer.fan_in)
        return (
            f"Use random_normal(stddev={std:.3g}) for {layer.activation}: {fits.initializer} for "
            f"the {layer.fan_in} inputs of one unit. Keras counts the inputs of all channels."
        )
    return f"Use {fits.initializer} for {layer.activation} ({fits.source})."
