"""`spec_from`: describe what `initialize` would draw, so that `initfast model` and
`checkpoint.save` can write it without the model.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from initfast.core.dtypes import DType, resolve, resolve_numeric
from initfast.core.types import DTypeLike
from initfast.files import specs
from initfast.initializers.constant import Constant
from initfast.torch import deviations
from initfast.torch import rules as ruling
from initfast.torch.defaults import Spec
from initfast.torch.names import stream_name
from initfast.torch.parametrized import ComputedWeight
from initfast.torch.plan import PlanEntry, plan
from initfast.torch.programs import Recorded
from initfast.torch.targets import has_values, local_part

_REMEDY = "pass a rule for it, or a rule None to leave it out of the spec"


def spec_from(
    module: torch.nn.Module, rules: Iterable[Any] = (), *, dtype: DTypeLike = None
) -> dict[str, Any]:
    """Return the spec of a module for `checkpoint.save`: what
    `initialize(module, seed, rules, buffers=True)` would draw.

    Nothing is drawn, and the module may be on the meta device. The spec has tied parameters once,
    under their first name. Persistent buffers without a rule, except running statistics, are
    described by their values.

    Args:
        module: any module. DTensors are described by their global shape.
        rules: as for `initialize`. A rule None leaves a parameter or buffer out of the spec.
        dtype: the dtype of all floating tensors. Default: the dtype of each tensor.

    Returns:
        The spec, a dict for `json.dump`. There is an exception: if the model computes values that
        the spec cannot express in JSON, such as Mamba's time steps, or more than 65536 values, such
        as Whisper's positions, then "init" is an initializer, which `checkpoint.save` and
        `checkpoint.plan` accept.

    Raises:
        ValueError: `initialize` would raise, or no initializer of Keras writes the same: `dirac_`,
            `sparse_`, `orthogonal_` of more than two dims, `blocks` unless all are constant,
            parametrized weights, and buffers on the meta device or with infinities. The message
            names the parameter.

    >>> layer = torch.nn.Linear(2, 3, bias=False)
    >>> spec_from(layer, rules={"weight": "normal_(std=0.02)"})["tensors"]["weight"]["shape"]
    [3, 2]
    """
    target_dtype = None if dtype is None else resolve(dtype)
    parts = dict(module.named_modules(remove_duplicate=False))
    non_persistent = {
        stream_name(parts, f"{path}.{key}" if path else key)
        for path, part in parts.items()
        for key in part._non_persistent_buffers_set
    }
    tensors: dict[str, Any] = {}
    entries = list(plan(module, ruling.parse(rules), buffers=True))
    for each in entries:
        left_out = each.by_rule and each.initializer is None
        if not left_out and not (each.kind == "buffer" and each.name in non_persistent):
            tensors[each.name] = _description(each, target_dtype)
    deviations.check(entries)
    return {"tensors": tensors}


def _description(entry: PlanEntry, target_dtype: DType | None) -> dict[str, Any]:
    """Return the description of one tensor, in `target_dtype` if it is floating."""
    tensor = entry.site.tensor
    try:
        if isinstance(entry.site, ComputedWeight):
            raise ValueError(
                "a spec cannot describe a parametrized weight: remove the parametrization before "
                "spec_from, or initialize the module and save its state_dict"
            )
        dtype = (
            target_dtype
            if target_dtype is not None and tensor.is_floating_point()
            else resolve_numeric(tensor.dtype)
        )
        if entry.initializer is None:
            return specs.tensor(specs.constant_of(_values(tensor)), tuple(tensor.shape), dtype)
        fill = entry.fill_of(
            tensor.dtype if dtype is not target_dtype else getattr(torch, dtype.name)
        )
        if fill.equivalent is None:
            name = (
                entry.initializer.function
                if isinstance(entry.initializer, Spec)
                else type(entry.initializer).__name__
            )
            raise ValueError(
                f"no initializer of Keras writes the same as {name} for shape "
                f"{tuple(tensor.shape)} and {tensor.dtype}"
            )
        initializer = fill.equivalent()
        if isinstance(initializer, Recorded) or (
            isinstance(initializer, Constant) and not specs.is_listed(initializer)
        ):
            return {"shape": list(tensor.shape), "dtype": dtype.name, "init": initializer}
        return specs.tensor(initializer, tuple(tensor.shape), dtype, fill.fixed_rows)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{entry.kind} {entry.name!r}: {error}; {_REMEDY}") from error


def _values(tensor: Any) -> Any:
    """Return the values of a buffer as a NumPy array."""
    if not has_values(tensor):
        raise ValueError("it has no values on the meta device")
    values = local_part(tensor).detach().cpu()
    # float64 is exact, and unlike bfloat16 a dtype of NumPy.
    return (values.double() if values.is_floating_point() else values).numpy()
