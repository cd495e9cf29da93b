"""The memory of tensors that are not NumPy arrays: of torch, and of what has DLPack."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from initfast.core.dtypes import DType, is_floating, resolve_numeric

_CPU = 1  # kDLCPU of dlpack.h


def from_torch(tensor: Any, torch: Any) -> tuple[npt.NDArray[Any], DType]:
    """Return the memory of a CPU tensor, and its dtype; `torch` is the module.

    Raises:
        TypeError: if it is of a subclass, whose memory may not be what its shape says.
        ValueError: if it is not on the CPU, or has no strided memory.
    """
    if type(tensor) not in (torch.Tensor, torch.nn.Parameter):
        # NumPy and DLPack read a DTensor as its global shape over memory that is not the shard.
        local = hasattr(tensor, "to_local")
        hint = "initfast.torch fills its local part" if local else "fill the plain tensor inside it"
        raise TypeError(
            f"out must be a plain torch.Tensor or Parameter ({hint}); received {type_name(tensor)}"
        )
    if tensor.device.type != "cpu":
        hint = (
            "; materialise it first, with to_empty(device='cpu')"
            if tensor.device.type == "meta"
            else ""
        )
        raise ValueError(
            f"a tensor must be on the CPU; received one on device {str(tensor.device)!r}{hint}"
        )
    if tensor.layout != torch.strided or tensor.is_neg() or tensor.is_conj():
        kind = (
            str(tensor.layout) if tensor.layout != torch.strided else "a lazy negative or conjugate"
        )
        raise ValueError(f"a tensor must have strided memory; received {kind}")
    own = resolve_numeric(tensor.dtype)
    try:
        # Storage that was resized behind the tensor's back (as FSDP does) no longer holds its
        # elements.
        last = tensor.storage_offset() + sum(
            (n - 1) * s for n, s in zip(tensor.shape, tensor.stride(), strict=True)
        )
        if (
            tensor.numel()
            and tensor.untyped_storage().nbytes() < (last + 1) * tensor.element_size()
        ):
            raise ValueError(
                "out must have memory behind it; received a tensor with too little storage"
            )
        return np.asarray(_Memory(tensor.detach(), own)), own
    except RuntimeError as error:
        # Inside vmap or grad, nested, zero tensors: no memory that one could write into.
        reason = str(error).strip().split("\n")[0][:120]
        raise ValueError(f"a tensor must have strided memory; torch says: {reason}") from None


class _Memory:
    """The memory of a tensor for NumPy, also of a bfloat16 or float8 type, as its bits.

    `Tensor.numpy` would forbid to resize the tensor's storage for good, which FSDP does.
    """

    def __init__(self, tensor: Any, dtype: DType) -> None:
        size, address = tensor.element_size(), tensor.data_ptr()
        if tensor.numel() and not address:
            raise RuntimeError("it has no address")
        self.tensor = tensor  # kept alive by the array, whose base this is
        self.__array_interface__ = {
            "version": 3,
            "data": (address, False),
            "shape": tuple(tensor.shape),
            "strides": tuple(stride * size for stride in tensor.stride()),
            "typestr": np.dtype(f"u{size}").str if is_floating(dtype) else dtype.str,
        }


def from_dlpack(out: object, error: Exception) -> npt.NDArray[Any]:
    """Return an object that has DLPack on the CPU. `error` is what the buffer protocol said."""
    if not hasattr(out, "__dlpack__") or not hasattr(out, "__dlpack_device__"):
        raise TypeError(
            f"out must be a writable CPU buffer; received {type_name(out)} ({error})"
        ) from None
    if out.__dlpack_device__()[0] != _CPU:
        raise ValueError(
            f"out must be on the CPU; received {type_name(out)} on DLPack device "
            f"{out.__dlpack_device__()}"
        )
    try:
        return np.from_dlpack(out)
    except (TypeError, ValueError, BufferError, RuntimeError) as reason:
        raise TypeError(
            f"out must be a writable CPU buffer; received {type_name(out)} ({reason})"
        ) from None


def type_name(out: object) -> str:
    """Return the name of an object's type, for a message."""
    kind = type(out)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
