"""For a diagnosis: which torch modules are layers, and their fans, units and weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from initfast.initializers.fans import AXES

__all__ = ["axis", "fans", "is_composed", "is_layer", "is_norm", "kernels", "unit_rows"]

_TRANSPOSED = nn.modules.conv._ConvTransposeNd
_BY_CHANNEL = (nn.modules.batchnorm._NormBase, nn.GroupNorm)
# They look rows up and do not multiply the signal.
_EMBEDDINGS = (nn.Embedding, nn.EmbeddingBag)


def is_layer(module: nn.Module, name: str) -> bool:
    """Return whether a module is a line of the report: it has parameters, and no child with
    parameters.
    """
    if isinstance(
        module, (nn.PReLU, nn.ParameterList, nn.ParameterDict)
    ) or "parametrizations" in name.split("."):
        return False
    if is_composed(module):
        return True
    if next(module.parameters(recurse=False), None) is None:
        return False
    return all(
        isinstance(child, nn.PReLU) or next(child.parameters(), None) is None
        for child in module.children()
    )


def is_composed(module: nn.Module) -> bool:
    """Return whether a module is a layer although it has children with parameters: it does not call
    them as modules, or they are parametrisations.
    """
    return isinstance(module, nn.MultiheadAttention) or nn.utils.parametrize.is_parametrized(module)


def is_norm(module: nn.Module) -> bool:
    """Return whether a module's output has the same size for any input."""
    if "Norm" not in type(module).__name__:
        return False
    fixed = isinstance(module, nn.modules.batchnorm._BatchNorm) and not module.training
    return not fixed


def fans(
    layer: nn.Module, input_shape: tuple[int, ...] | None, out: torch.Tensor
) -> tuple[int, int] | None:
    """Return (fan_in, fan_out) of a layer's main weight. Return None if it has no weight that
    multiplies the signal, or several.

    Args:
        layer: the layer.
        input_shape: the shape of its input, if that is a tensor.
        out: its output.
    """
    if isinstance(layer, nn.modules.conv._ConvNd):
        kind = "torch transposed" if isinstance(layer, _TRANSPOSED) else "torch"
        return AXES[kind].fans(tuple(layer.weight.shape), layer.groups)
    if input_shape is None or isinstance(layer, (*_EMBEDDINGS, nn.MultiheadAttention, nn.RNNBase)):
        return None
    # Weights of a custom dense layer may be (in, out) or (out, in); experts are stacked.
    for weight in layer.parameters(recurse=is_composed(layer)):
        if weight.ndim == 2 and (input_shape[-1], out.shape[-1]) in (
            tuple(weight.shape),
            tuple(weight.shape[::-1]),
        ):
            return input_shape[-1], out.shape[-1]
        if weight.ndim == 3 and input_shape[-1] in weight.shape[1:]:
            kind = "torch experts" if weight.shape[-1] == input_shape[-1] else "keras experts"
            return AXES[kind].fans(tuple(weight.shape))
    return None


def axis(layer: nn.Module, tensor: torch.Tensor) -> int:
    """Return the axis of the units: the channels of a convolution, otherwise the last axis."""
    if isinstance(layer, nn.modules.conv._ConvNd):
        return 1 - layer.weight.ndim
    return 1 if isinstance(layer, _BY_CHANNEL) and tensor.ndim > 1 else -1


def kernels(layer: nn.Module, fan_in: int | None) -> list[tuple[torch.Tensor, int]]:
    """Return the weights that multiply signals, each with its fan_in. An empty list: unknown."""
    if isinstance(layer, _EMBEDDINGS):
        return []
    weight: Any = getattr(layer, "weight", None)
    if isinstance(layer, nn.modules.conv._ConvNd) and fan_in is not None:
        return [(weight, fan_in)]
    own = [each for each in layer.parameters(recurse=is_composed(layer)) if each.ndim >= 2]
    if isinstance(layer, (nn.RNNBase, nn.MultiheadAttention)):
        return [(each, each.shape[-1]) for each in own]
    if isinstance(weight, torch.Tensor) and weight.ndim == 2 and fan_in is not None:
        return [(weight, fan_in)]  # also if it is parametrised
    if fan_in is None or not own:
        return []
    # All stacks of experts have their inputs on the same axis as the first one.
    side = -1 if own[0].shape[-1] == fan_in else -2
    return [(each, each.shape[side]) for each in own]


def unit_rows(layer: nn.Module, fan_in: int | None) -> tuple[Any, ...] | None:
    """Return (weight, bias, rows) of a layer's units, or None if they are unknown.

    `rows` is a function that reshapes the weight, or its gradient, to (units, inputs per unit).
    """
    if isinstance(layer, nn.RNNBase):
        first: Any = layer.weight_ih_l0
        size, gates = layer.hidden_size, first.shape[0] // layer.hidden_size
        return (
            first,
            None,
            lambda weights: weights.reshape(gates, size, -1).transpose(0, 1).reshape(size, -1),
        )
    weight, bias = getattr(layer, "weight", None), getattr(layer, "bias", None)
    if not isinstance(weight, nn.Parameter) or weight.ndim < 2 or isinstance(layer, _EMBEDDINGS):
        return None
    if isinstance(layer, _TRANSPOSED):
        if layer.groups != 1:
            return None
        return weight, bias, lambda weights: weights.transpose(0, 1).reshape(weight.shape[1], -1)
    if isinstance(layer, (nn.Linear, nn.modules.conv._ConvNd)):
        return weight, bias, lambda weights: weights.reshape(weight.shape[0], -1)
    if type(layer).__name__ == "Conv1D" and fan_in == weight.shape[0]:  # of transformers: (in, out)
        return weight, bias, lambda weights: weights.T
    return None
