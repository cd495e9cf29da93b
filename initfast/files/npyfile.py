"""The header of an `.npy` file, and the dtypes that `numpy.load` can read."""

import io
import math
import warnings
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from initfast.core.dtypes import DType
from initfast.core.indexing import Dims, normalize_shape
from initfast.core.regular import DAMAGED
from initfast.core.text import line

# NumPy has no name for these dtypes and stores them as raw bytes. It stores float8_e5m2 as '<f1',
# which it cannot load.
_RAW = {"bfloat16": "<V2", "float8_e4m3fn": "<V1"}
_UNREADABLE = ("float8_e5m2",)
# Maximum bytes of a header. The headers that initfast writes have 128.
_MAX_HEADER = 65_536


class Entry(NamedTuple):
    """The array of a header: `dtype` as the format spells it, `begin` in bytes of the file."""

    dtype: str
    shape: Dims
    begin: int
    nbytes: int


def dtype_name(dtype: DType) -> str:
    """Return the format's name of a dtype, such as '<f4'.

    Raises:
        ValueError: `numpy.load` cannot read the dtype.
    """
    if dtype.name in _UNREADABLE:
        raise ValueError(
            f"numpy.load cannot read {dtype.name} from .npy: use another dtype or format"
        )
    return _RAW.get(dtype.name) or np.dtype(dtype.name).newbyteorder("<").str


def header(shape: Dims, dtype: DType) -> bytes:
    """Return the header that `numpy.save` writes for a C-ordered array.

    Raises:
        ValueError: `numpy.load` cannot read the dtype.
    """
    stream = io.BytesIO()
    header = {"descr": dtype_name(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue()


def parse(file: BinaryIO, size: int) -> Entry:
    """Return the array that the header of an open file of `size` bytes describes.

    Raw bytes are spelt as in `dtype_name`, also if the file spells them differently.

    Raises:
        ValueError: the header is damaged, or the file does not end with the data.
    """
    try:
        major = np.lib.format.read_magic(file)[0]
        read_header = {
            1: np.lib.format.read_array_header_1_0,
            2: np.lib.format.read_array_header_2_0,
        }[major]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a header that Python 2 wrote
            shape, fortran, dtype = read_header(file, max_header_size=_MAX_HEADER)
    except DAMAGED as error:
        raise ValueError(
            f"the file must be an .npy file of version 1 or 2: {line(error)}"
        ) from None
    dims = normalize_shape(shape)
    if fortran and sum(n > 1 for n in dims) > 1:
        raise ValueError(f"an .npy file must be in C order; received Fortran order of shape {dims}")
    begin, nbytes = file.tell(), math.prod(dims) * dtype.itemsize
    if begin + nbytes != size:
        raise ValueError(
            f"an .npy file must end with its data; received {size:,} bytes, but the header says"
            f" {begin + nbytes:,}"
        )
    return Entry(_spelling(dtype), dims, begin, nbytes)


def load_hint(dtype: DType) -> str | None:
    """Return how to read a dtype that `numpy.load` returns as raw bytes; None for other dtypes."""
    if dtype.name not in _RAW:
        return None
    name = dtype.name
    return (
        f"numpy.load returns {name} as raw bytes:"
        f" read the file with numpy.load(FILE).view(ml_dtypes.{name})"
    )


def _spelling(dtype: np.dtype[Any]) -> str:
    if dtype.type is np.void and dtype.names is None and dtype.subdtype is None:
        return f"<V{dtype.itemsize}"
    return dtype.str
