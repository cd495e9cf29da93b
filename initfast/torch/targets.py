"""From a tensor to the memory that this process has to write (`find`), and `write`, through which
every value goes: outside autograd, staged for accelerators, with the version counter.
"""

from __future__ import annotations

import sys
from typing import Any

import torch

from initfast.core.buffers import view
from initfast.core.dtypes import resolve
from initfast.core.indexing import Dims
from initfast.core.rounding import in_fixed_environment
from initfast.core.seeds import Seed
from initfast.initializers import blocks
from initfast.initializers.random import RandomInitializer
from initfast.torch import shards, staging
from initfast.torch.fills import Fill as Fill
from initfast.torch.fills import Target as Target
from initfast.torch.unsharded import placeholder_of


def is_sharded(tensor: Any) -> bool:
    """Return whether a tensor is a DTensor, or another class with `to_local`."""
    return hasattr(tensor, "to_local")


def check(tensor: Any) -> None:
    """Check that `tensor` can be written.

    Raises:
        TypeError: it is not a tensor, or its class overrides torch's functions and is not DTensor,
            so that only the class understands its memory.
        ValueError: it is the empty placeholder that DeepSpeed ZeRO-3 leaves of a parameter.
    """
    if not isinstance(tensor, torch.Tensor):
        raise TypeError(f"tensor must be a torch.Tensor; received {type(tensor).__name__}")
    if not is_plain(tensor) and not is_sharded(tensor) and not _is_fake(tensor):
        raise TypeError(
            f"tensor must be a torch.Tensor, Parameter or DTensor; received "
            f"{type(tensor).__module__}.{type(tensor).__name__}, whose memory only that class "
            "understands"
        )
    whole = placeholder_of(tensor)
    if whole is not None:
        raise ValueError(
            f"tensor is an empty placeholder of DeepSpeed ZeRO-3 for shape {whole}: initialise it "
            "within "
            "deepspeed.zero.GatheredParameters(list(model.parameters()), modifier_rank=0)"
        )


def check_lasting(tensor: torch.Tensor) -> None:
    """Raise ValueError if `tensor` is the result of a computation, such as `module.weight` under a
    parametrization: values written into it would be lost. A view of a parameter is accepted.
    """
    base = tensor._base if tensor._is_view() else tensor
    if base is not None and base.grad_fn is not None:
        raise ValueError(
            "tensor must be a parameter, a view of one or a tensor without a grad_fn; received the "
            f"result of a computation ({type(base.grad_fn).__name__}), so values written into it "
            "would be lost. For a parametrized weight, call initfast.torch.initialize or assign a "
            "filled tensor to module.weight. For any other tensor, pass tensor.detach()"
        )


def is_plain(tensor: Any) -> bool:
    """Return whether the class of a tensor leaves torch's functions as they are, so that writing
    its memory sets its values. Subclasses of Tensor may do so too.
    """
    kind = type(tensor)
    return kind.__torch_dispatch__ is torch.Tensor.__torch_dispatch__ and any(
        _function(kind) is _function(each) for each in (torch.Tensor, torch.nn.Parameter)
    )


def _function(kind: Any) -> Any:
    return getattr(kind.__torch_function__, "__func__", kind.__torch_function__)


def local_part(tensor: Any) -> torch.Tensor:
    """Return this process' part as a plain tensor: `tensor` itself, unless it is sharded or of a
    subclass.
    """
    local: torch.Tensor = tensor
    with torch.no_grad():  # otherwise autograd records to_local
        if is_sharded(tensor):
            local = tensor.to_local()
            check(local)
        if type(local) not in (torch.Tensor, torch.nn.Parameter) and is_plain(local):
            local = local.as_subclass(torch.Tensor)
    return local


def has_values(tensor: Any) -> bool:
    """Return whether the tensor has memory, unlike meta and fake tensors."""
    return not (_is_fake(tensor) or local_part(tensor).is_meta)


def find(tensor: Any) -> Target | None:
    """Return the target of a tensor that passed `check`, or None if this process has nothing to
    write.

    Raises:
        RuntimeError: an inference tensor outside of inference mode, as torch raises it.
        ValueError: a DTensor whose local part is not one block of the whole.
    """
    if not has_values(tensor):
        return None
    local = local_part(tensor)
    if local.is_inference() and not torch.is_inference_mode_enabled():
        raise RuntimeError(
            "Inplace update to inference tensor outside InferenceMode is not allowed"
        )
    index = shards.window(tensor, local) if is_sharded(tensor) else None
    if not local.numel():
        return None
    if local.device.type == "cpu":
        view(local)  # raises if NumPy cannot write it, before anything is written
    return Target(local, tuple(tensor.shape), index)


@in_fixed_environment
def write(tensor: Any, target: Target, fill: Fill, seed: Seed) -> None:
    """Write the target of a tensor outside autograd, and bump the version counter so that autograd
    notices.

    The rounding direction is fixed because torch uses the current one for constants and for the
    steps of recorded draws.
    """
    with torch.no_grad():
        if fill.draws and not _on_cpu(target.local):
            staging.write(target, fill, seed)
        else:
            fill.run(target, seed)
    _changed(tensor, target.local)


def _changed(tensor: Any, local: torch.Tensor) -> None:
    for each in {id(tensor): tensor, id(local): local}.values():
        if not each.is_inference():
            torch.autograd.graph.increment_version(each)


def draw(initializer: RandomInitializer, shape: Dims, dtype: torch.dtype) -> Fill:
    """Return a fill that draws every element as `initializer` does, whatever its seed."""
    blocks.check(initializer, shape, resolve(dtype))

    def run(target: Target, seed: Seed) -> None:
        initializer.with_seed(seed).fill(target.local, target.shape, target.where)

    return Fill(run, equivalent=lambda: initializer)


def assign(tensor: Any, target: Target, value: torch.Tensor) -> None:
    """Write into the target its part of `value`, which is the whole logical tensor."""
    with torch.no_grad():
        target.local.copy_(value if target.where is None else value[target.where])
    _changed(tensor, target.local)


def _on_cpu(tensor: torch.Tensor) -> bool:
    return bool(tensor.device.type == "cpu")


def _is_fake(tensor: Any) -> bool:
    # A fake tensor exists only if this module was imported.
    module = sys.modules.get("torch._subclasses.fake_tensor")
    return module is not None and isinstance(tensor, module.FakeTensor)
