"""What the `reset_parameters` of torch's own modules draw: a table with a row for each family of
modules (at the end), and `default`, which looks a parameter up.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from torch import nn

from initfast.core.rounding import in_fixed_environment
from initfast.initializers.fans import torch_fans
from initfast.torch.parametrized import shape_of


class Spec(NamedTuple):
    """A call of a function of `torch.nn.init`: its name and its arguments."""

    function: str
    arguments: Mapping[str, Any] = {}


ONES, ZEROS = Spec("ones_"), Spec("zeros_")
# This is uniform on +-1 / sqrt(fan_in).
_KAIMING = Spec("kaiming_uniform_", {"a": in_fixed_environment(math.sqrt)(5)})


@in_fixed_environment
def default(ancestors: Mapping[str, nn.Module], parameter: Any) -> Spec | None:
    """Return what a parameter of torch's own modules is drawn from, or None if it is unknown.

    Args:
        ancestors: the modules that hold the parameter, outermost first, by its name within each
            (`names.holders`). The outermost decides: MultiheadAttention and Transformer initialise
            the parameters of their children.
        parameter: the parameter; only its shape is used.
    """
    for name, module in ancestors.items():
        for kind, (reset, row) in _RESET_ROWS.items():
            # A subclass with another reset method draws from another distribution.
            if isinstance(module, kind) and getattr(type(module), reset) is getattr(kind, reset):
                spec = row(module, name, parameter)
                if spec is not None:
                    return spec
    return None


def axes_of(name: str, holder: nn.Module, parameter: Any) -> tuple[str, bool]:
    """Return the row of `fans.AXES` for a parameter that a rule draws, and whether this is certain.
    Three dims outside a convolution are taken as stacked matrices, which may be wrong.
    """
    kind = type(holder).__name__.lower()
    if (
        parameter.dim() != 3
        or parameter.shape[0] == 1
        or isinstance(holder, _THREE_DIMS)
        or "conv" in kind
    ):
        return "torch", True
    # transformers marks experts of shape (expert, in, out) with is_transposed.
    stacked = "keras experts" if getattr(holder, "is_transposed", False) else "torch experts"
    return stacked, any(word in f"{kind}.{name}".lower() for word in ("expert", "moe"))


def padding_rows(holders: Iterable[Mapping[str, nn.Module]]) -> set[int]:
    """Return the rows of a parameter that are always 0: the padding rows of its embeddings.

    Args:
        holders: `names.holders` of each of the parameter's names.
    """
    rows = set()
    for modules in holders:
        module = modules.get("weight")
        if isinstance(module, nn.Embedding | nn.EmbeddingBag) and module.padding_idx is not None:
            rows.add(module.padding_idx)
    return rows


def default_buffer(module: nn.Module, name: str) -> Spec | None:
    """Return the initial value of a buffer of torch's own modules, or None if it is unknown."""
    if isinstance(module, _NORM) and type(module).reset_running_stats is _NORM.reset_running_stats:
        return {"running_mean": ZEROS, "running_var": ONES, "num_batches_tracked": ZEROS}.get(name)
    return None


def _symmetric_uniform(bound: float) -> Spec:
    return Spec("uniform_", {"a": -bound, "b": bound})


def _by_fan_in(module: Any, name: str, parameter: Any) -> Spec | None:
    if name == "bias":
        fan_in, _ = torch_fans(shape_of(module, "weight"))
        return _symmetric_uniform(1 / math.sqrt(fan_in) if fan_in > 0 else 0.0)
    return _KAIMING if name == "weight" else None


def _bilinear(module: Any, name: str, parameter: Any) -> Spec | None:
    if name not in ("weight", "bias"):
        return None
    return _symmetric_uniform(1 / math.sqrt(shape_of(module, "weight")[1]))


def _embedding(module: Any, name: str, parameter: Any) -> Spec | None:
    return Spec("normal_") if name == "weight" else None


def _recurrent(module: Any, name: str, parameter: Any) -> Spec | None:
    if "." in name:
        return None
    return _symmetric_uniform(
        1.0 / math.sqrt(module.hidden_size) if module.hidden_size > 0 else 0.0
    )


def _attention(module: Any, name: str, parameter: Any) -> Spec | None:
    if name in ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight"):
        return Spec("xavier_uniform_")
    if name in ("in_proj_bias", "out_proj.bias"):
        return ZEROS
    return Spec("xavier_normal_") if name in ("bias_k", "bias_v") else None


def _transformer(module: Any, name: str, parameter: Any) -> Spec | None:
    return Spec("xavier_uniform_") if parameter.dim() > 1 else None


def _affine(module: Any, name: str, parameter: Any) -> Spec | None:
    return {"weight": ONES, "bias": ZEROS}.get(name)


def _prelu(module: Any, name: str, parameter: Any) -> Spec | None:
    return Spec("constant_", {"val": module.init}) if name == "weight" else None


_THREE_DIMS = (nn.modules.conv._ConvNd, nn.Bilinear, nn.MultiheadAttention)
_NORM: Any = nn.modules.batchnorm._NormBase  # BatchNorm, SyncBatchNorm and InstanceNorm
_Row = Callable[[Any, str, Any], Spec | None]
_RESET_ROWS: dict[Any, tuple[str, _Row]] = {
    nn.Transformer: ("_reset_parameters", _transformer),
    nn.MultiheadAttention: ("_reset_parameters", _attention),
    nn.Linear: ("reset_parameters", _by_fan_in),
    nn.modules.conv._ConvNd: ("reset_parameters", _by_fan_in),
    nn.Bilinear: ("reset_parameters", _bilinear),
    nn.Embedding: ("reset_parameters", _embedding),
    nn.EmbeddingBag: ("reset_parameters", _embedding),
    nn.RNNBase: ("reset_parameters", _recurrent),
    nn.RNNCellBase: ("reset_parameters", _recurrent),
    _NORM: ("reset_parameters", _affine),
    nn.LayerNorm: ("reset_parameters", _affine),
    nn.GroupNorm: ("reset_parameters", _affine),
    nn.RMSNorm: ("reset_parameters", _affine),
    nn.PReLU: ("reset_parameters", _prelu),
}
