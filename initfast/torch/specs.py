"""The description of a module, from which `initfast model` writes the state that `initialize` would
give it.
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
from initfast.torch.parametrized import Computed
from initfast.torch.plan import Planned, plan
from initfast.torch.programs import Recorded
from initfast.torch.targets import has_values, local_part

_REMEDY = "give a rule for it, or a rule None, which leaves it out of the spec"


def spec_from(
    module: torch.nn.Module, rules: Iterable[Any] = (), *, dtype: DTypeLike = None
) -> dict[str, Any]:
    """Return the spec of a module: what `initialize(module, seed, rules, buffers=True)` would draw,
    for `checkpoint.save`.

    Nothing is drawn, and modules on the meta device are as good as others. Tied parameters are
    there once, under the first of their names. Persistent buffers that are neither running
    statistics nor have a rule are there with the values that they hold.

    Args:
        module: any module; DTensors count with their global shape.
        rules: as for `initialize`. A rule None leaves a parameter or buffer out of the spec.
        dtype: what all floating tensors are made in; default: each in its own.

    Returns:
        The spec, as `json.dump` takes it, unless a model computes values that JSON has no words
        for, such as Mamba's time steps, or more than 65536 of them, such as Whisper's positions:
        their "init" is an initializer then, which `checkpoint.save` and `checkpoint.plan` take.

    Raises:
        ValueError: naming the parameter, for what `initialize` refuses, and what no initializer of
            Keras writes: `dirac_`, `sparse_`, `orthogonal_` of more than two dims, `blocks` unless
            each is constant, parametrized weights, buffers on the meta device or with infinities.
    """
    asked = None if dtype is None else resolve(dtype)
    parts = dict(module.named_modules(remove_duplicate=False))
    passing = {
        stream_name(parts, f"{path}.{key}" if path else key)
        for path, part in parts.items()
        for key in part._non_persistent_buffers_set
    }
    found: dict[str, Any] = {}
    planned = list(plan(module, ruling.parse(rules), buffers=True))
    for each in planned:
        left_out = each.by_rule and each.what is None
        if not left_out and not (each.kind == "buffer" and each.name in passing):
            found[each.name] = _described(each, asked)
    deviations.check(planned)
    return {"tensors": found}


def _described(planned: Planned, asked: DType | None) -> dict[str, Any]:
    tensor = planned.site.tensor
    try:
        if isinstance(planned.site, Computed):
            raise ValueError(
                "a spec cannot describe a parametrized weight: describe the module without its "
                "parametrization, or initialize it and save its state_dict"
            )
        kind = (
            asked
            if asked is not None and tensor.is_floating_point()
            else resolve_numeric(tensor.dtype)
        )
        if planned.what is None:
            return specs.tensor(specs.held(_values(tensor)), tuple(tensor.shape), kind)
        fill = planned.fill_of(tensor.dtype if kind is not asked else getattr(torch, kind.name))
        if fill.says is None:
            name = (
                planned.what.function
                if isinstance(planned.what, Spec)
                else type(planned.what).__name__
            )
            raise ValueError(
                f"no initializer of Keras writes what {name} does in the shape "
                f"{tuple(tensor.shape)} of {tensor.dtype}"
            )
        said = fill.says()
        if isinstance(said, Recorded) or (
            isinstance(said, Constant) and not specs.is_spelt_out(said)
        ):
            return {"shape": list(tensor.shape), "dtype": kind.name, "init": said}
        return specs.tensor(said, tuple(tensor.shape), kind, fill.fixed_rows)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{planned.kind} {planned.name!r}: {error}; {_REMEDY}") from error


def _values(tensor: Any) -> Any:
    """Return what a buffer holds, as a NumPy array."""
    if not has_values(tensor):
        raise ValueError("on the meta device there are no values")
    values = local_part(tensor).detach().cpu()
    return (
        values.double() if values.is_floating_point() else values
    ).numpy()  # exact, and NumPy has it
