"""Parameters of which a process holds an unmarked piece: flat shards of FSDP1, and what DeepSpeed
ZeRO-3 leaves of a parameter. Filled as it is, each piece would be taken for the whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

__all__ = ["check_unsharded", "flat_shards", "is_flat", "placeholder_of"]


def is_flat(tensor: Any) -> bool:
    """Return whether a parameter is FSDP1's flat one, or a part of it."""
    return bool(
        getattr(tensor, "_is_flat_param", False) or getattr(tensor, "_fsdp_flattened", False)
    )


def placeholder_of(tensor: Any) -> tuple[int, ...] | None:
    """Return the shape of the parameter that ZeRO-3 has taken away; None of one that is there."""
    whole = getattr(tensor, "ds_shape", None)
    return None if whole is None or tuple(whole) == tuple(tensor.shape) else tuple(whole)


def flat_shards(parts: Mapping[str, nn.Module]) -> Mapping[int, bool]:
    """Return the parameters of FullyShardedDataParallel modules by id, and whether each is now only
    a piece.
    """
    found = {}
    for part in parts.values():
        flat: Any = getattr(getattr(part, "_handle", None), "flat_param", None)
        infos = zip(getattr(flat, "_param_infos", ()), getattr(flat, "_shapes", ()), strict=True)
        for (key, holder, *_), shape in infos:
            tensor = getattr(holder, key, None)
            found[id(tensor)] = getattr(tensor, "shape", None) != shape
    return found


def check_unsharded(name: str, tensor: Any, shards: Mapping[int, bool]) -> None:
    """Refuse a parameter that is an unmarked piece of the whole.

    Raises:
        ValueError: naming the parameter, and the way to its whole.
    """
    if is_flat(tensor) and shards.get(id(tensor), True):
        raise ValueError(
            f"parameter {name!r} is a piece of a flat parameter of FullyShardedDataParallel: call "
            "initialize before wrapping, within FullyShardedDataParallel.summon_full_params(model),"
            " or shard the model with torch.distributed.fsdp.fully_shard"
        )
