"""The header of an `.npy` file, and which dtypes `numpy.load` can read back."""

import io

import numpy as np

from initfast.dtypes import DType

# NumPy has no name for these, so they are stored as raw bytes. It stores float8_e5m2 as '<f1', which it cannot load.
_RAW = {"bfloat16": "<V2", "float8_e4m3fn": "<V1"}
_UNREADABLE = ("float8_e5m2",)


def header(shape: tuple[int, ...], dtype: DType) -> bytes:
    """The bytes before the data: those that `numpy.save` writes for a C-ordered array of this shape and dtype.

    Raises ValueError for a dtype that `numpy.load` could not read.
    """
    if dtype.name in _UNREADABLE:
        raise ValueError(f"numpy.load cannot read {dtype.name} from .npy; use another dtype, received {dtype.name!r}")
    descr = _RAW.get(dtype.name) or np.dtype(dtype.name).newbyteorder("<").str
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": descr, "fortran_order": False, "shape": shape})
    return stream.getvalue()


def recipe(dtype: DType) -> str | None:
    """How to read the file where `numpy.load` alone gives raw bytes; None where it gives the numbers."""
    if dtype.name not in _RAW:
        return None
    return f"numpy.load gives {dtype.name} as raw bytes; read it with numpy.load(FILE).view(ml_dtypes.{dtype.name})"
