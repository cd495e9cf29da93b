"""`materialise`: give the meta tensors of a module memory. Ties and the attributes of parameters
are preserved. `Site`: where a module keeps a tensor.
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
    """The place where a module keeps a tensor: its dict of parameters or buffers, and the key."""

    holder: dict[str, Any]
    key: str

    @property
    def tensor(self) -> Any:
        return self.holder[self.key]

    def write(self, fill: targets.Fill, seed: Seed) -> None:
        """Write the part of the tensor that this process holds, if any."""
        target = targets.find(self.tensor)
        if target is not None:
            targets.write(self.tensor, target, fill, seed)


def is_meta(tensor: Any) -> bool:
    """Return whether the tensor, or the local part of a DTensor, is on the meta device."""
    return bool(local_part(tensor).is_meta)


def memory_of(tensor: Any) -> tuple[Any, ...]:
    """Return a key that is equal for tensors over the same elements of the same storage: for tied
    tensors, and for a matrix and its transpose.
    """
    if is_lazy(tensor) or not (targets.is_plain(tensor) or is_sharded(tensor)):
        return ("unknown", id(tensor))
    local = local_part(tensor)
    if not local.numel():
        return ("empty", id(tensor))
    span = sum(
        (size - 1) * stride for size, stride in zip(local.shape, local.stride(), strict=True)
    )
    return local.untyped_storage()._cdata, local.storage_offset(), local.numel(), span, local.dtype


def materialise(module: torch.nn.Module, device: Any = None) -> None:
    """Give every meta tensor of a module uninitialised memory. Other tensors stay unchanged.

    Args:
        module: any module that `Module.to_empty` accepts, FSDP2 modules included.
        device: where to allocate. Default: the device type of the mesh for a DTensor, else the CPU.
    """
    sites: dict[int, list[Site]] = defaultdict(list)
    meta_tensors: dict[int, Any] = {}
    first_by_memory: dict[tuple[Any, ...], int] = {}
    for part in module.modules():
        for holder in (part._parameters, part._buffers):
            for key, tensor in holder.items():
                if tensor is not None and is_meta(tensor):
                    sites[id(tensor)].append(Site(holder, key))
                    meta_tensors[id(tensor)] = tensor
                    first_by_memory.setdefault(memory_of(tensor), id(tensor))

    def allocate(tensor: Any) -> Any:
        if not is_meta(tensor):
            return tensor
        return torch.empty_like(
            tensor,
            device=device or (tensor.device_mesh.device_type if is_sharded(tensor) else "cpu"),
        )

    # As Module.to_empty, except for tensors that have memory. FSDP and RNNs override _apply, so
    # it has to be called.
    apply: Any = module._apply
    apply(allocate)
    for tensor_id, places in sites.items():
        meta, real = meta_tensors[tensor_id], places[0].tensor
        if real is meta:
            continue  # a DTensor is changed in place, so that its ties are preserved
        vars(real).update(vars(meta))
        if type(real) is torch.nn.Parameter and isinstance(meta, torch.nn.Parameter):
            real.__class__ = type(meta)  # a subclass with the same memory layout
        for place in places[1:]:
            place.holder[place.key] = real
        first = first_by_memory[memory_of(meta)]
        if first != tensor_id:  # another parameter over the same memory
            shared = sites[first][0].tensor.detach()
            real.data = shared.as_strided(meta.shape, meta.stride(), meta.storage_offset())
