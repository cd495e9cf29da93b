"""Memory for a module that was made on the meta device, with its ties and its parameters' own
attributes kept.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any, NamedTuple

import torch
from torch.nn.parameter import is_lazy

from initfast.core.seeds import Seed
from initfast.torch import targets
from initfast.torch.targets import is_sharded, local_part


class Site(NamedTuple):
    """Where a module keeps a tensor: its own dict of parameters or buffers, and the key."""

    holder: dict[str, Any]
    key: str

    @property
    def tensor(self) -> Any:
        return self.holder[self.key]

    def write(self, fill: targets.Fill, seed: Seed) -> None:
        """Write the part of the tensor that this process holds, if there is one."""
        target = targets.find(self.tensor)
        if target is not None:
            targets.write(self.tensor, target, fill, seed)


def is_meta(tensor: Any) -> bool:
    """Return whether the tensor, or the local part of a DTensor, is on the meta device."""
    return bool(local_part(tensor).is_meta)


def memory_of(tensor: Any) -> tuple[Any, ...]:
    """Equal for tensors over the same elements of the same storage: tied ones, also a matrix and
    its transpose.
    """
    if is_lazy(tensor) or not (targets.is_plain(tensor) or is_sharded(tensor)):
        return ("unknown", id(tensor))
    local = local_part(tensor)
    if not local.numel():
        return ("empty", id(tensor))
    reach = sum(
        (size - 1) * stride for size, stride in zip(local.shape, local.stride(), strict=True)
    )
    return local.untyped_storage()._cdata, local.storage_offset(), local.numel(), reach, local.dtype


def materialise(module: torch.nn.Module, device: Any = None) -> None:
    """Give every meta tensor of a module memory of unknown content, on `device`; others stay as
    they are.

    Args:
        module: whatever `Module.to_empty` works on; FSDP2 modules too.
        device: default, the device type of a DTensor's mesh, and the CPU for all else.
    """
    sites: dict[int, list[Site]] = defaultdict(list)
    olds: dict[int, Any] = {}
    twins: dict[tuple[Any, ...], int] = {}
    for part in module.modules():
        for holder in (part._parameters, part._buffers):
            for key, tensor in holder.items():
                if tensor is not None and is_meta(tensor):
                    sites[id(tensor)].append(Site(holder, key))
                    olds[id(tensor)] = tensor
                    twins.setdefault(memory_of(tensor), id(tensor))

    def allocate(tensor: Any) -> Any:
        if not is_meta(tensor):
            return tensor
        return torch.empty_like(
            tensor,
            device=device or (tensor.device_mesh.device_type if is_sharded(tensor) else "cpu"),
        )

    # What to_empty does, but for the tensors that have memory. FSDP and RNNs bring their own
    # _apply, which has to run.
    apply: Any = module._apply
    apply(allocate)
    for tensor_id, places in sites.items():
        old, new = olds[tensor_id], places[0].tensor
        if new is old:
            continue  # a DTensor is changed in place, and so keeps its ties
        vars(new).update(vars(old))
        if type(new) is torch.nn.Parameter and isinstance(old, torch.nn.Parameter):
            new.__class__ = type(old)  # a subclass that adds nothing to the memory
        for place in places[1:]:
            place.holder[place.key] = new
        first = twins[memory_of(old)]
        if first != tensor_id:  # a separate parameter over the memory of another
            shared = sites[first][0].tensor.detach()
            new.data = shared.as_strided(old.shape, old.stride(), old.storage_offset())
