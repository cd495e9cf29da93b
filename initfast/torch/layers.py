"""What a layer of a torch module is, for a diagnosis: its fans, its units, its weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from initfast.initializers.fans import AXES

__all__ = ["axis", "fans", "is_composed", "is_layer", "is_norm", "kernels", "unit_rows"]

_TRANSPOSED = nn.modules.conv._ConvTransposeNd
_BY_CHANNEL = (nn.modules.batchnorm._NormBase, nn.GroupNorm)
# They read rows, and multiply by nothing.
_TABLES = (nn.Embedding, nn.EmbeddingBag)


def is_layer(module: nn.Module, name: str) -> bool:
    """Return whether a module is a line of a report: it has parameters, and no child that has
    any.
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
    """Return whether a module with children is a layer all the same: they are called as functions,
    or are parametrisations.
    """
    return isinstance(module, nn.MultiheadAttention) or nn.utils.parametrize.is_parametrized(module)


def is_norm(module: nn.Module) -> bool:
    """Return whether a module's output has the same size for any input."""
    if "Norm" not in type(module).__name__:
        return False
    fixed = isinstance(module, nn.modules.batchnorm._BatchNorm) and not module.training
    return not fixed


def fans(
    layer: nn.Module, given: tuple[int, ...] | None, out: torch.Tensor
) -> tuple[int, int] | None:
    """(fan_in, fan_out) of a layer's main weight, given the shape of what it was called with; None
    if it multiplies by none, or by several."""
    if isinstance(layer, nn.modules.conv._ConvNd):
        kind = "torch transposed" if isinstance(layer, _TRANSPOSED) else "torch"
        return AXES[kind].fans(tuple(layer.weight.shape), layer.groups)
    if given is None or isinstance(layer, (*_TABLES, nn.MultiheadAttention, nn.RNNBase)):
        return None
    # Weights of a custom dense layer may be (in, out) or (out, in); experts are stacked.
    for weight in layer.parameters(recurse=is_composed(layer)):
        if weight.ndim == 2 and (given[-1], out.shape[-1]) in (
            tuple(weight.shape),
            tuple(weight.shape[::-1]),
        ):
            return given[-1], out.shape[-1]
        if weight.ndim == 3 and given[-1] in weight.shape[1:]:
            kind = "torch experts" if weight.shape[-1] == given[-1] else "keras experts"
            return AXES[kind].fans(tuple(weight.shape))
    return None


def axis(layer: nn.Module, tensor: torch.Tensor) -> int:
    """Return where the units are: the channels of a convolution, else the last dimension."""
    if isinstance(layer, nn.modules.conv._ConvNd):
        return 1 - layer.weight.ndim
    return 1 if isinstance(layer, _BY_CHANNEL) and tensor.ndim > 1 else -1


def kernels(layer: nn.Module, fan_in: int | None) -> list[tuple[torch.Tensor, int]]:
    """Return the weights that multiply signals, each with its fan_in; empty where that is not
    known.
    """
    if isinstance(layer, _TABLES):
        return []
    weight: Any = getattr(layer, "weight", None)
    if isinstance(layer, nn.modules.conv._ConvNd) and fan_in is not None:
        return [(weight, fan_in)]
    own = [each for each in layer.parameters(recurse=is_composed(layer)) if each.ndim >= 2]
    if isinstance(layer, (nn.RNNBase, nn.MultiheadAttention)):
        return [(each, each.shape[-1]) for each in own]
    if isinstance(weight, torch.Tensor) and weight.ndim == 2 and fan_in is not None:
        return [(weight, fan_in)]  # of a parametrisation, too
    if fan_in is None or not own:
        return []
    # All stacks of experts have their inputs on one side: that on which the first has its own.
    side = -1 if own[0].shape[-1] == fan_in else -2
    return [(each, each.shape[side]) for each in own]


def unit_rows(layer: nn.Module, fan_in: int | None) -> tuple[Any, ...] | None:
    """Return how to read a weight's units: (weight, bias, function to rows of units); None if not
    known.

    The function turns the weight, or its gradient, into (units, all that goes into one).
    """
    if isinstance(layer, nn.RNNBase):
        first: Any = layer.weight_ih_l0
        size, gates = layer.hidden_size, first.shape[0] // layer.hidden_size
        return (
            first,
            None,
            lambda held: held.reshape(gates, size, -1).transpose(0, 1).reshape(size, -1),
        )
    weight, bias = getattr(layer, "weight", None), getattr(layer, "bias", None)
    if not isinstance(weight, nn.Parameter) or weight.ndim < 2 or isinstance(layer, _TABLES):
        return None
    if isinstance(layer, _TRANSPOSED):
        if layer.groups != 1:
            return None
        return weight, bias, lambda held: held.transpose(0, 1).reshape(weight.shape[1], -1)
    if isinstance(layer, (nn.Linear, nn.modules.conv._ConvNd)):
        return weight, bias, lambda held: held.reshape(weight.shape[0], -1)
    if type(layer).__name__ == "Conv1D" and fan_in == weight.shape[0]:  # of transformers: (in, out)
        return weight, bias, lambda held: held.T
    return None
