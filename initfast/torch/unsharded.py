"""Detect parameters that are pieces without saying so: flat shards of FSDP1, and the placeholders
of DeepSpeed ZeRO-3. They are refused, because a piece would be initialised like a whole parameter.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

__all__ = ["check_unsharded", "flat_shards", "is_flat", "placeholder_of"]


def is_flat(tensor: Any) -> bool:
    """Return whether a parameter is the flat parameter of FSDP1, or a part of it."""
    return bool(
        getattr(tensor, "_is_flat_param", False) or getattr(tensor, "_fsdp_flattened", False)
    )


def placeholder_of(tensor: Any) -> tuple[int, ...] | None:
    """Return the whole shape of a parameter that ZeRO-3 has partitioned, or None if it
    has all of its elements now.
    """
    shape = getattr(tensor, "ds_shape", None)
    return None if shape is None or tuple(shape) == tuple(tensor.shape) else tuple(shape)


def flat_shards(parts: Mapping[str, nn.Module]) -> Mapping[int, bool]:
    """Return the ids of the parameters of FullyShardedDataParallel modules, and whether each is
    only a piece now.
    """
    pieces = {}
    for part in parts.values():
        flat_parameter: Any = getattr(getattr(part, "_handle", None), "flat_param", None)
        infos = zip(
            getattr(flat_parameter, "_param_infos", ()),
            getattr(flat_parameter, "_shapes", ()),
            strict=True,
        )
        for (key, holder, *_), shape in infos:
            tensor = getattr(holder, key, None)
            pieces[id(tensor)] = getattr(tensor, "shape", None) != shape
    return pieces


def check_unsharded(name: str, tensor: Any, shards: Mapping[int, bool]) -> None:
    """Raise ValueError if the parameter `name` is a piece of a flat parameter. `shards` is the
    result of `flat_shards`.
    """
    if is_flat(tensor) and shards.get(id(tensor), True):
        raise ValueError(
            f"parameter {name!r} is a piece of a flat parameter of FullyShardedDataParallel: call "
            "initialize before wrapping, within FullyShardedDataParallel.summon_full_params(model),"
            " or shard the model with torch.distributed.fsdp.fully_shard"
        )
