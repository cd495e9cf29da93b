"""Memory to fill: new aligned arrays, and any writable CPU buffer that the caller already has."""

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

ALIGNMENT = (
    64  # bytes: JAX adopts such memory without a copy, TensorFlow aborts the process on less
)
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
        """Return the memory as a NumPy array of `dtype`."""
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
        array, own = from_torch(out, torch)
        return _checked(out, array, own, asked, shape)
    shared = _is_shared_memory(out)
    try:
        memory = memoryview(out.buf if shared else out)  # type: ignore[arg-type,attr-defined]
    except (TypeError, ValueError, BufferError) as error:
        array = from_dlpack(out, error)
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
        raise ValueError(f"out must be writable; received a read-only {type_name(out)}")
    dtype = _agreed(array.dtype, own, asked)
    if shape is not None and shape != array.shape:
        raise ValueError(
            f"out must have the shape {shape}; received {type_name(out)} of shape {array.shape}"
        )
    address = int(array.__array_interface__["data"][0])
    if array.size:
        if not address:
            raise ValueError(
                f"out must have memory behind it; received {type_name(out)} without storage"
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
        raise ValueError(f"{error} in {type_name(out)}") from None


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
        raise ValueError(f"out must be writable; received a read-only {type_name(out)}")
    if memory.itemsize == 1 and memory.format.lstrip("@=<>!|") in ("B", "b", "c"):
        if asked is None:
            raise ValueError(f"a buffer of untyped bytes needs dtype=; received {type_name(out)}")
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
                f"out must hold {wanted} of {asked.name}; received {type_name(out)} of "
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
            f"out must hold numbers; received {type_name(out)} of format {memory.format!r}"
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
