"""What a tensor has to write into on this process, and the one place that writes: no_grad, staging,
version counter.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from initfast.core.buffers import view
from initfast.core.dtypes import resolve
from initfast.core.indexing import Dims
from initfast.core.seeds import Seed
from initfast.initializers import blocks
from initfast.initializers.base import Initializer, RandomInitializer
from initfast.initializers.fixed_rows import Rows
from initfast.torch import shards


class Target(NamedTuple):
    """Memory of this process, and the part of the logical tensor of `shape` that it holds (None:
    all of it).
    """

    local: torch.Tensor
    shape: Dims
    where: tuple[slice, ...] | None


class Fill(NamedTuple):
    """How to write a target. One that draws writes CPU memory and needs a seed; others write on any
    device.

    `says` makes the initializer of initfast that writes the same with the same seed, but for
    `fixed_rows`; None if there is none."""

    run: Callable[[Target, Seed], None]
    draws: bool = True
    says: Callable[[], Initializer] | None = None
    fixed_rows: tuple[Rows, ...] = ()


def is_sharded(tensor: Any) -> bool:
    """Whether a tensor is a DTensor, or another that says which plain tensor it holds here."""
    return hasattr(tensor, "to_local")


def check(tensor: Any) -> None:
    """Refuse what is no tensor, or one whose memory only its own class understands.

    Raises:
        TypeError: if it is neither a plain tensor or Parameter, nor a DTensor.
    """
    if not isinstance(tensor, torch.Tensor):
        raise TypeError(f"tensor must be a torch.Tensor; received {type(tensor).__name__}")
    if (
        type(tensor) not in (torch.Tensor, torch.nn.Parameter)
        and not is_sharded(tensor)
        and not _is_fake(tensor)
    ):
        raise TypeError(
            f"tensor must be a torch.Tensor, Parameter or DTensor; received "
            f"{type(tensor).__module__}.{type(tensor).__name__}, whose memory only that class "
            "understands"
        )


def local_part(tensor: Any) -> torch.Tensor:
    """The plain tensor that holds this process' part: `tensor` itself unless it is sharded."""
    local: torch.Tensor = tensor
    if is_sharded(tensor):
        with torch.no_grad():  # else to_local is a step of the autograd graph
            local = tensor.to_local()
        check(local)
    return local


def has_values(tensor: Any) -> bool:
    """Whether there is memory behind the tensor: neither meta nor fake tensors have any."""
    return not (_is_fake(tensor) or local_part(tensor).is_meta)


def find(tensor: Any) -> Target | None:
    """The target of a tensor that `check` let pass; None where there is nothing to write on this
    process.
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
        view(local)  # refuses what cannot be written through, before anything is written
    return Target(local, tuple(tensor.shape), index)


def write(tensor: Any, target: Target, fill: Fill, seed: Seed) -> None:
    """Write the target of a tensor, outside autograd, which hears of it by the version counter."""
    local = target.local
    with torch.no_grad():
        if fill.draws and not _on_cpu(local):
            staged = torch.empty(local.shape, dtype=local.dtype, device="cpu")
            fill.run(target._replace(local=staged), seed)
            local.copy_(staged)
        else:
            fill.run(target, seed)
    for changed in {id(tensor): tensor, id(local): local}.values():
        if not changed.is_inference():
            torch.autograd.graph.increment_version(changed)


def draw(initializer: RandomInitializer, shape: Dims, dtype: torch.dtype) -> Fill:
    """A fill that draws every element as `initializer` does, whose own seed does not matter."""
    blocks.check(initializer, shape, resolve(dtype))

    def run(target: Target, seed: Seed) -> None:
        initializer.with_seed(seed).fill(target.local, target.shape, target.where)

    return Fill(run, says=lambda: initializer)


def starts(target: Target) -> Dims:
    """The logical place of a target's first element, dim by dim."""
    return (
        (0,) * len(target.shape)
        if target.where is None
        else tuple(part.start for part in target.where)
    )


def _on_cpu(tensor: torch.Tensor) -> bool:
    return bool(tensor.device.type == "cpu")


def _is_fake(tensor: Any) -> bool:
    module = sys.modules.get(
        "torch._subclasses.fake_tensor"
    )  # who has a fake tensor has imported it
    return module is not None and isinstance(tensor, module.FakeTensor)
