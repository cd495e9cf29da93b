"""Access to the memory of torch tensors and of objects with DLPack, as NumPy arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from initfast.core.dtypes import DType, is_floating, resolve_numeric

_CPU = 1  # kDLCPU of dlpack.h


def from_torch(tensor: Any, torch: Any) -> tuple[npt.NDArray[Any], DType]:
    """Return the memory of a CPU tensor, and its dtype; `torch` is the module.

    Raises:
        TypeError: if it is of a subclass, whose memory may not match its shape.
        ValueError: if it is not on the CPU, or has no strided memory.
    """
    if type(tensor) not in (torch.Tensor, torch.nn.Parameter):
        # NumPy and DLPack would read the global shape of a DTensor from memory that only holds the
        # local shard.
        is_dtensor = hasattr(tensor, "to_local")
        hint = (
            "use initfast.torch, which fills the local part"
            if is_dtensor
            else "fill the plain tensor inside it"
        )
        raise TypeError(
            f"out must be a plain torch.Tensor or Parameter ({hint}); received {type_name(tensor)}"
        )
    if tensor.device.type != "cpu":
        hint = (
            "; materialise it first with to_empty(device='cpu')"
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
    dtype = resolve_numeric(tensor.dtype)
    try:
        # FSDP resizes a storage without changing its tensors: it is then too small for them.
        last = tensor.storage_offset() + sum(
            (n - 1) * s for n, s in zip(tensor.shape, tensor.stride(), strict=True)
        )
        if (
            tensor.numel()
            and tensor.untyped_storage().nbytes() < (last + 1) * tensor.element_size()
        ):
            raise ValueError(
                "out must have memory for its elements; received a tensor with a smaller storage"
            )
        return np.asarray(_Memory(tensor.detach(), dtype)), dtype
    except RuntimeError as error:
        # Tensors inside vmap or grad, nested tensors and ZeroTensors have no writable memory.
        reason = str(error).strip().split("\n")[0][:120]
        raise ValueError(f"a tensor must have strided memory; torch says: {reason}") from None


class _Memory:
    """A tensor's memory for NumPy; bfloat16 and float8 tensors are shown as integers.

    `Tensor.numpy` is not used: after it, FSDP could no longer resize the tensor's storage.
    """

    def __init__(self, tensor: Any, dtype: DType) -> None:
        size, address = tensor.element_size(), tensor.data_ptr()
        if tensor.numel() and not address:
            raise RuntimeError("it has no address")
        self.tensor = tensor  # keeps the memory alive: this object is the base of the array
        self.__array_interface__ = {
            "version": 3,
            "data": (address, False),
            "shape": tuple(tensor.shape),
            "strides": tuple(stride * size for stride in tensor.stride()),
            "typestr": np.dtype(f"u{size}").str if is_floating(dtype) else dtype.str,
        }


def from_dlpack(out: object, error: Exception) -> npt.NDArray[Any]:
    """Return an array over an object with DLPack on the CPU.

    `error` is the exception of the buffer protocol, for the message.

    Raises:
        TypeError: if the object has no DLPack, or no writable memory.
        ValueError: if it is not on the CPU.
    """
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
