"""Memory to fill: new aligned arrays, and existing writable CPU buffers."""

from __future__ import annotations

import math
import sys
from ctypes import addressof, c_char
from mmap import PAGESIZE
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from initfast.core.dtypes import DType, resolve_numeric
from initfast.core.indexing import Dims
from initfast.core.tensors import from_dlpack, from_torch, type_name

# In bytes. JAX uses memory with this alignment without a copy; with a smaller alignment TensorFlow
# aborts the process.
ALIGNMENT = 64
_BYTE = np.dtype("u1")


class Buffer(NamedTuple):
    """Writable memory: its address, dtype, shape and strides in bytes.

    `owner` is a NumPy array over the memory and keeps it alive. Its dtype may differ from `dtype`,
    but has the same size."""

    address: int
    dtype: DType
    shape: Dims
    strides: Dims
    owner: npt.NDArray[Any]

    @property
    def array(self) -> npt.NDArray[Any]:
        """Return the memory as a NumPy array of `dtype`."""
        return self.owner.view(self.dtype)


def new(shape: Dims, dtype: DType) -> Buffer:
    """Return a new C-order array whose memory starts at a multiple of 64 bytes, not initialised.

    Raises:
        MemoryError: if there is not enough memory.
    """
    size = math.prod(shape) * dtype.itemsize
    try:
        # NumPy asks the system for pages of 2 MiB; an aligned allocation by C would not.
        raw = np.empty(size + ALIGNMENT, _BYTE)
        # Faster by a factor of 4 than raw.ctypes.data.
        address = addressof(c_char.from_buffer(raw))  # type: ignore[arg-type]
        skip = -address % ALIGNMENT
        array = np.ndarray(shape, dtype, raw, skip)
    except (ValueError, MemoryError):
        raise MemoryError(
            f"not enough memory: shape {shape} of {dtype.name} needs {size} bytes"
        ) from None
    return Buffer(address + skip, dtype, shape, array.strides, array)


def empty(shape: Dims, dtype: DType) -> npt.NDArray[Any]:
    """Return a new array as `new` does, without the `Buffer`."""
    return new(shape, dtype).owner


def view(out: object, dtype: object = None, shape: Dims | None = None) -> Buffer:
    """Return `out` as a `Buffer`, without copying or writing anything.

    Args:
        out: a NumPy array (also a memmap, of any strides), a torch CPU tensor, a SharedMemory, or
            anything with the buffer protocol (bytearray, mmap, array.array, ctypes arrays,
            memoryview) or with DLPack on the CPU.
        dtype: the default is the dtype of the buffer. Unsigned integers and void are accepted as
            any dtype of the same size, so that a library without bfloat16 or float8 can hold
            these. Untyped bytes need a dtype.
        shape: the default is the shape of the buffer. A flat buffer that is not an array or tensor
            accepts any shape with the same number of elements.

    Raises:
        TypeError: if `out` is not a writable buffer, for example a list, a DTensor or a JAX array.
        ValueError: if it is read-only, not on the CPU, big-endian, misaligned, overlaps itself, or
            if `dtype` or `shape` do not fit it.
    """
    requested = None if dtype is None else resolve_numeric(dtype)
    if isinstance(out, np.ndarray) and issubclass(type(out), np.ndarray):  # not a proxy
        # A subclass may override its attributes; this view has those of its memory.
        array: npt.NDArray[Any] = np.ndarray.view(out, np.ndarray)
        return _checked(out, array, _own_dtype_of(array.dtype, out), requested, shape)
    # A caller with a tensor has imported torch; other callers should not wait for the import.
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(out, getattr(torch, "Tensor", ())):
        array, own_dtype = from_torch(out, torch)
        return _checked(out, array, own_dtype, requested, shape)
    shared = _is_shared_memory(out)
    try:
        memory = memoryview(out.buf if shared else out)  # type: ignore[arg-type,attr-defined]
    except (TypeError, ValueError, BufferError) as error:
        array = from_dlpack(out, error)
        return _checked(out, array, _own_dtype_of(array.dtype, out), requested, shape)
    return _from_memory(out, memory, requested, shape, rounded_up=shared)


def _checked(
    out: object,
    array: npt.NDArray[Any],
    own_dtype: DType | None,
    requested: DType | None,
    shape: Dims | None,
) -> Buffer:
    """Return `array` as a Buffer, or raise ValueError if it is not safe to write into.

    `own_dtype` is the dtype of the array, or None if its elements are raw bits."""
    if not array.flags.writeable:
        raise ValueError(f"out must be writable; received a read-only {type_name(out)}")
    dtype = _resolve(array.dtype, own_dtype, requested)
    if shape is not None and shape != array.shape:
        raise ValueError(
            f"out must have the shape {shape}; received {type_name(out)} of shape {array.shape}"
        )
    address = int(array.__array_interface__["data"][0])
    if array.size:
        if not address:
            raise ValueError(f"out must have memory; received {type_name(out)} without storage")
        unit = dtype.alignment
        contiguous = array.flags.c_contiguous  # then the strides need no check
        if address % unit or not (contiguous or _strides_fit(array, unit)):
            raise ValueError(
                f"out must be aligned to {unit} bytes for {dtype.name}, strides included;"
                f" received address {address:#x}, strides {array.strides}"
            )
        if not contiguous and overlaps(array.shape, array.strides, array.itemsize):
            raise ValueError(
                f"elements of out must not overlap in memory; received shape {array.shape}, "
                f"strides {array.strides}"
            )
    return Buffer(address, dtype, array.shape, array.strides, array)


def _strides_fit(array: npt.NDArray[Any], unit: int) -> bool:
    """Return whether all strides that are used are multiples of `unit` bytes."""
    return all(
        stride % unit == 0 for n, stride in zip(array.shape, array.strides, strict=True) if n > 1
    )


def overlaps(shape: Dims, strides: Dims, itemsize: int) -> bool:
    """Return whether elements of an array (strides in bytes) may share memory.

    The answer is right for every view that slicing, transposing or reshaping makes, and False is
    always right. True may be wrong for dims that were interleaved with `as_strided` (for example
    shape (3, 2), strides (2, 3), itemsize 1)."""
    reach = itemsize  # bytes that the dims up to here span
    for stride, n in sorted(
        (abs(stride), n) for n, stride in zip(shape, strides, strict=True) if n > 1
    ):
        if stride < reach:
            return True
        reach += stride * (n - 1)
    return False


def _resolve(native: np.dtype[Any], own_dtype: DType | None, requested: DType | None) -> DType:
    """Return the dtype to fill a buffer with, from its own dtype and the requested one."""
    if own_dtype is None and requested is None:
        raise ValueError(f"a buffer of raw bits needs dtype=; received a buffer of {native.str!r}")
    if own_dtype is not None:  # to NumPy, None equals the dtype float64
        if requested is None or requested == own_dtype:
            return own_dtype
        if own_dtype.kind != "u":  # unsigned integers and void are raw bits
            raise ValueError(
                f"dtype must be the buffer's dtype, {own_dtype.name!r}; received {requested.name!r}"
            )
    assert requested is not None
    if requested.itemsize != native.itemsize:
        raise ValueError(
            f"dtype must have the itemsize of the buffer, {native.itemsize};"
            f" received {requested.name!r} of itemsize {requested.itemsize}"
        )
    return requested


def _own_dtype_of(native: np.dtype[Any], out: object) -> DType | None:
    """Return an array's dtype, or None for void: NumPy loads a bfloat16 .npy file as void."""
    if native.type is np.void and native.names is None and native.subdtype is None:
        return None
    try:
        return resolve_numeric(native)
    except ValueError as error:
        raise ValueError(f"{error} in {type_name(out)}") from None


def _is_shared_memory(out: object) -> bool:
    # As with torch: a caller with a SharedMemory has imported its module.
    module = sys.modules.get("multiprocessing.shared_memory")
    return module is not None and isinstance(out, module.SharedMemory)


def _from_memory(
    out: object, memory: memoryview, requested: DType | None, shape: Dims | None, rounded_up: bool
) -> Buffer:
    """Return a Buffer over `memory`, typed (ctypes) or of untyped bytes (bytearray, mmap).

    `rounded_up` says that `out` may be longer than requested, by less than one page."""
    if memory.readonly:
        raise ValueError(f"out must be writable; received a read-only {type_name(out)}")
    if memory.itemsize == 1 and memory.format.lstrip("@=<>!|") in ("B", "b", "c"):
        if requested is None:
            raise ValueError(f"a buffer of untyped bytes needs dtype=; received {type_name(out)}")
        if not memory.c_contiguous:
            raise ValueError(
                f"a buffer of untyped bytes must be contiguous; received strides {memory.strides}"
            )
        dims = (memory.nbytes // requested.itemsize,) if shape is None else shape
        need = math.prod(dims) * requested.itemsize
        # Some systems round a SharedMemory up to whole pages, so that it may have unused bytes.
        spare = PAGESIZE - 1 if rounded_up and shape is not None else 0
        if not need <= memory.nbytes <= need + spare:
            size = (
                f"a multiple of {requested.itemsize} bytes"
                if shape is None
                else f"{need} bytes for shape {shape}"
            )
            raise ValueError(
                f"out must hold {size} of {requested.name}; received {type_name(out)} of "
                f"{memory.nbytes} bytes"
            )
        # Not np.ndarray(buffer=memory), which releases the memoryview: a bytearray could then be
        # resized, and its memory moved, during the fill.
        octets = np.asarray(memory).reshape(-1)[:need]
        return _checked(
            out, octets.view(f"V{requested.itemsize}").reshape(dims), None, requested, None
        )
    try:
        array = np.asarray(memory)
    except (TypeError, ValueError, NotImplementedError, RuntimeError):
        raise ValueError(
            f"out must hold numbers; received {type_name(out)} of format {memory.format!r}"
        ) from None
    own_dtype = _own_dtype_of(array.dtype, out)
    if (
        shape is not None
        and array.ndim == 1
        and array.flags.c_contiguous
        and math.prod(shape) == array.size
    ):
        array = array.reshape(shape)
    return _checked(out, array, own_dtype, requested, shape)
