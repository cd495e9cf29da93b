"""The header of an `.npy` file, and which dtypes `numpy.load` can read back."""

import io
import math
import warnings
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from initfast.core.dtypes import DType
from initfast.core.indexing import Dims, normalize_shape

# NumPy has no name for these, so they are stored as raw bytes. It stores float8_e5m2 as '<f1',
# which it cannot load.
_RAW = {"bfloat16": "<V2", "float8_e4m3fn": "<V1"}
_UNREADABLE = ("float8_e5m2",)
# What a header may take: ours takes 128 bytes, and one of this length is no header of plain
# numbers.
_MAX_HEADER = 65_536


class Entry(NamedTuple):
    """The array as the header has it: `dtype` in the format's spelling, `begin` in bytes of the
    file.
    """

    dtype: str
    shape: Dims
    begin: int
    nbytes: int


def dtype_name(dtype: DType) -> str:
    """The format's spelling of an element type, such as '<f4'. Raises ValueError for what
    `numpy.load` cannot read.
    """
    if dtype.name in _UNREADABLE:
        raise ValueError(
            f"numpy.load cannot read {dtype.name} from .npy; use another dtype, received {dtype.name!r}"
        )
    return _RAW.get(dtype.name) or np.dtype(dtype.name).newbyteorder("<").str


def header(shape: Dims, dtype: DType) -> bytes:
    """The bytes before the data: those that `numpy.save` writes for a C-ordered array of this shape
    and dtype.

    Raises ValueError for a dtype that `numpy.load` could not read.
    """
    stream = io.BytesIO()
    held = {"descr": dtype_name(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, held)
    return stream.getvalue()


def parse(file: BinaryIO, size: int) -> Entry:
    """What the header of an open file of `size` bytes says. Raises ValueError if it is none, or the
    data are not all.

    The spelling of raw bytes is that of `dtype_name`, also where the file has another one for the
    same."""
    try:
        major = np.lib.format.read_magic(file)[0]
        read = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}[
            major
        ]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a header that Python 2 wrote
            shape, fortran, native = read(file, max_header_size=_MAX_HEADER)
    except (ValueError, KeyError, TypeError, SyntaxError) as error:
        raise ValueError(f"the file must be an .npy file of version 1 or 2; {error}") from None
    dims = normalize_shape(shape)
    if fortran and sum(n > 1 for n in dims) > 1:
        raise ValueError(f"an .npy file must be in C order; received Fortran order of shape {dims}")
    begin, nbytes = file.tell(), math.prod(dims) * native.itemsize
    if begin + nbytes != size:
        raise ValueError(
            f"an .npy file must end with its data; received {size:,} bytes, {begin + nbytes:,} by its header"
        )
    return Entry(_spelling(native), dims, begin, nbytes)


def recipe(dtype: DType) -> str | None:
    """How to read the file where `numpy.load` alone gives raw bytes; None where it gives the
    numbers.
    """
    if dtype.name not in _RAW:
        return None
    return f"numpy.load gives {dtype.name} as raw bytes; read it with numpy.load(FILE).view(ml_dtypes.{dtype.name})"


def _spelling(native: np.dtype[Any]) -> str:
    if native.type is np.void and native.names is None and native.subdtype is None:
        return f"<V{native.itemsize}"
    return native.str
