"""Memory to fill: new aligned arrays, and any writable CPU buffer that the caller already has."""

from __future__ import annotations

import math
import sys
from ctypes import addressof, c_char
from mmap import PAGESIZE
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from initfast.core.dtypes import DType, is_floating, resolve_numeric
from initfast.core.indexing import Dims

ALIGNMENT = (
    64  # bytes: JAX adopts such memory without a copy, TensorFlow aborts the process on less
)
_CPU = 1  # kDLCPU of dlpack.h
_BYTE = np.dtype("u1")


class Buffer(NamedTuple):
    """Writable memory: its address, dtype, shape and its strides in bytes.

    `owner` is a NumPy array over the memory and keeps it alive. Its own dtype may be another one of
    the same size."""

    address: int
    dtype: DType
    shape: Dims
    strides: Dims
    owner: npt.NDArray[Any]

    @property
    def array(self) -> npt.NDArray[Any]:
        """The memory as a NumPy array of `dtype`."""
        return self.owner.view(self.dtype)


def new(shape: Dims, dtype: DType) -> Buffer:
    """Return a new C-order array of arbitrary values whose memory starts at a multiple of 64 bytes.

    Raises:
        MemoryError: if there is not that much memory.
    """
    size = math.prod(shape) * dtype.itemsize
    try:
        raw = np.empty(
            size + ALIGNMENT, _BYTE
        )  # NumPy asks for 2M pages here; an aligned allocator of ours would not
        # raw.ctypes.data takes 4 times as long
        address = addressof(c_char.from_buffer(raw))  # type: ignore[arg-type]
        skip = -address % ALIGNMENT
        array = np.ndarray(shape, dtype, raw, skip)
    except (ValueError, MemoryError):
        raise MemoryError(
            f"an array must fit into memory; received shape {shape} of {dtype.name}, {size} bytes"
        ) from None
    return Buffer(address + skip, dtype, shape, array.strides, array)


def empty(shape: Dims, dtype: DType) -> npt.NDArray[Any]:
    """As `new`, the array alone."""
    return new(shape, dtype).owner


def view(out: object, dtype: object = None, shape: Dims | None = None) -> Buffer:
    """Return `out` as a `Buffer`. Nothing is copied and nothing is written.

    Args:
        out: a NumPy array (also a memmap, of any strides), a torch CPU tensor, a SharedMemory, or
            anything with the buffer protocol (bytearray, mmap, array.array, ctypes arrays,
            memoryview) or with DLPack on the CPU.
        dtype: default, the buffer's own. Unsigned integers and void of the same size can be read as
            any dtype, so that memory that has no bfloat16 or float8 type can hold them.
            Untyped bytes need it.
        shape: default, the buffer's own. A flat buffer that is no array or tensor takes any shape
            of as many elements.

    Raises:
        TypeError: if `out` is no buffer that can be written through, such as a list, a DTensor or a
            JAX array.
        ValueError: if it is read-only, not on the CPU, big-endian, misaligned, overlaps itself, or
            if `dtype` or `shape` do not fit it.
    """
    asked = None if dtype is None else resolve_numeric(dtype)
    if isinstance(out, np.ndarray) and issubclass(type(out), np.ndarray):  # and not its proxy
        # A subclass may overrule its attributes, but not those of this view of its memory.
        array: npt.NDArray[Any] = np.ndarray.view(out, np.ndarray)
        return _checked(out, array, _own(array.dtype, out), asked, shape)
    torch = sys.modules.get(
        "torch"
    )  # whoever holds a tensor has imported torch; nobody else should wait for it
    if torch is not None and isinstance(out, getattr(torch, "Tensor", ())):
        array, own = _from_torch(out, torch)
        return _checked(out, array, own, asked, shape)
    shared = _is_shared_memory(out)
    try:
        memory = memoryview(out.buf if shared else out)  # type: ignore[arg-type,attr-defined]
    except (TypeError, ValueError, BufferError) as error:
        array = _from_dlpack(out, error)
        return _checked(out, array, _own(array.dtype, out), asked, shape)
    return _from_memory(out, memory, asked, shape, rounded_up=shared)


def _checked(
    out: object,
    array: npt.NDArray[Any],
    own: DType | None,
    asked: DType | None,
    shape: Dims | None,
) -> Buffer:
    """Return `array` as a Buffer, checked to be safe to write into; `own` is its dtype or None."""
    if not array.flags.writeable:
        raise ValueError(f"out must be writable; received a read-only {_kind(out)}")
    dtype = _agreed(array.dtype, own, asked)
    if shape is not None and shape != array.shape:
        raise ValueError(
            f"out must have the shape {shape}; received {_kind(out)} of shape {array.shape}"
        )
    address = int(array.__array_interface__["data"][0])
    if array.size:
        if not address:
            raise ValueError(
                f"out must have memory behind it; received {_kind(out)} without storage"
            )
        unit = dtype.alignment
        plain = array.flags.c_contiguous  # then the strides are known to be good
        if address % unit or not (plain or _strides_fit(array, unit)):
            raise ValueError(
                f"out must be aligned to {unit} bytes for {dtype.name}, strides included;"
                f" received address {address:#x}, strides {array.strides}"
            )
        if not plain and overlaps(array.shape, array.strides, array.itemsize):
            raise ValueError(
                f"no two elements of out may share memory; received shape {array.shape}, strides "
                f"{array.strides}"
            )
    return Buffer(address, dtype, array.shape, array.strides, array)


def _strides_fit(array: npt.NDArray[Any], unit: int) -> bool:
    return all(
        stride % unit == 0 for n, stride in zip(array.shape, array.strides, strict=True) if n > 1
    )


def overlaps(shape: Dims, strides: Dims, itemsize: int) -> bool:
    """Return whether elements of an array (strides in bytes) may share memory.

    Conservative: every view that slicing, transposing or reshaping makes is told right, and no
    overlap is ever missed, but dims interleaved by hand (shape (3, 2), strides (2, 3), itemsize 1)
    count as overlapping even when they are not."""
    reach = itemsize  # bytes that the dims seen so far span
    for stride, n in sorted(
        (abs(stride), n) for n, stride in zip(shape, strides, strict=True) if n > 1
    ):
        if stride < reach:
            return True
        reach += stride * (n - 1)
    return False


def _agreed(native: np.dtype[Any], own: DType | None, asked: DType | None) -> DType:
    """Return the dtype to fill a buffer as, from its own dtype and the requested one."""
    if own is None and asked is None:
        raise ValueError(f"a buffer of raw bits needs dtype=; received a buffer of {native.str!r}")
    if own is not None:  # NumPy takes None for float64 when it compares dtypes
        if asked is None or asked == own:
            return own
        if own.kind != "u":  # unsigned integers and void are raw bits
            raise ValueError(
                f"dtype must agree with the buffer's own, {own.name!r}; received {asked.name!r}"
            )
    assert asked is not None
    if asked.itemsize != native.itemsize:
        raise ValueError(
            f"dtype must have as many bytes as the buffer's elements, {native.itemsize};"
            f" received {asked.name!r} of {asked.itemsize}"
        )
    return asked


def _own(native: np.dtype[Any], out: object) -> DType | None:
    """Return an array's dtype as ours; None for void, as which a bfloat16 .npy is loaded."""
    if native.type is np.void and native.names is None and native.subdtype is None:
        return None
    try:
        return resolve_numeric(native)
    except ValueError as error:
        raise ValueError(f"{error} in {_kind(out)}") from None


def _from_torch(tensor: Any, torch: Any) -> tuple[npt.NDArray[Any], DType]:
    if type(tensor) not in (torch.Tensor, torch.nn.Parameter):
        # NumPy and DLPack read a DTensor as its global shape over memory that is not the shard.
        local = hasattr(tensor, "to_local")
        hint = "initfast.torch fills its local part" if local else "fill the plain tensor inside it"
        raise TypeError(
            f"out must be a plain torch.Tensor or Parameter ({hint}); received {_kind(tensor)}"
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
    except (
        RuntimeError
    ) as error:  # inside vmap or grad, nested, zero tensors: no memory that one could write into
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


def _is_shared_memory(out: object) -> bool:
    module = sys.modules.get(
        "multiprocessing.shared_memory"
    )  # as with torch: who has one has imported it
    return module is not None and isinstance(out, module.SharedMemory)


def _from_memory(
    out: object, memory: memoryview, asked: DType | None, shape: Dims | None, rounded_up: bool
) -> Buffer:
    """Return a buffer-protocol object, typed (ctypes) or of untyped bytes (bytearray, mmap)."""
    if memory.readonly:
        raise ValueError(f"out must be writable; received a read-only {_kind(out)}")
    if memory.itemsize == 1 and memory.format.lstrip("@=<>!|") in ("B", "b", "c"):
        if asked is None:
            raise ValueError(f"a buffer of untyped bytes needs dtype=; received {_kind(out)}")
        if not memory.c_contiguous:
            raise ValueError(
                f"a buffer of untyped bytes must be contiguous; received strides {memory.strides}"
            )
        dims = (memory.nbytes // asked.itemsize,) if shape is None else shape
        need = math.prod(dims) * asked.itemsize
        # Some systems round a SharedMemory up to whole pages, so there, and only there, bytes may
        # be left over.
        spare = PAGESIZE - 1 if rounded_up and shape is not None else 0
        if not need <= memory.nbytes <= need + spare:
            wanted = (
                f"a multiple of {asked.itemsize} bytes"
                if shape is None
                else f"{need} bytes for shape {shape}"
            )
            raise ValueError(
                f"out must hold {wanted} of {asked.name}; received {_kind(out)} of "
                f"{memory.nbytes} bytes"
            )
        # Not np.ndarray(buffer=memory), which would let go of it: a bytearray could then move while
        # it is filled.
        octets = np.asarray(memory).reshape(-1)[:need]
        return _checked(out, octets.view(f"V{asked.itemsize}").reshape(dims), None, asked, None)
    try:
        array = np.asarray(memory)
    except (TypeError, ValueError, NotImplementedError, RuntimeError):
        raise ValueError(
            f"out must hold numbers; received {_kind(out)} of format {memory.format!r}"
        ) from None
    own = _own(array.dtype, out)
    if (
        shape is not None
        and array.ndim == 1
        and array.flags.c_contiguous
        and math.prod(shape) == array.size
    ):
        array = array.reshape(shape)
    return _checked(out, array, own, asked, shape)


def _from_dlpack(out: object, error: Exception) -> npt.NDArray[Any]:
    """Return an object that has DLPack on the CPU. `error` is what the buffer protocol said."""
    if not hasattr(out, "__dlpack__") or not hasattr(out, "__dlpack_device__"):
        raise TypeError(
            f"out must be a writable CPU buffer; received {_kind(out)} ({error})"
        ) from None
    if out.__dlpack_device__()[0] != _CPU:
        raise ValueError(
            f"out must be on the CPU; received {_kind(out)} on DLPack device "
            f"{out.__dlpack_device__()}"
        )
    try:
        return np.from_dlpack(out)
    except (TypeError, ValueError, BufferError, RuntimeError) as reason:
        raise TypeError(
            f"out must be a writable CPU buffer; received {_kind(out)} ({reason})"
        ) from None


def _kind(out: object) -> str:
    kind = type(out)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
