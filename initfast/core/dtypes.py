"""The element types that kernels write, as NumPy dtypes, and the names that callers may use."""

from __future__ import annotations

from typing import Any, TypeAlias

import ml_dtypes
import numpy as np

from initfast import _kernels

DType: TypeAlias = np.dtype[Any]


def _numpy(name: str) -> DType:
    return np.dtype(getattr(ml_dtypes, name, name))


CODES: dict[DType, int] = {_numpy(name): code for code, (name, _) in enumerate(_kernels.DTYPES)}
"""The kernels' number of each element type that they write; only `random_bits` uses uint32."""

UINT32 = np.dtype("uint32")
FLOATING = tuple(dtype for dtype in CODES if dtype != UINT32)
"""The element types of random values, in the order of the kernels' numbers."""
FLOAT32, FLOAT64, FLOAT16, BFLOAT16, FLOAT8_E4M3FN, FLOAT8_E5M2 = FLOATING

_BY_NAME = {dtype.name: dtype for dtype in FLOATING}
_CHOICES = ", ".join(map(repr, _BY_NAME))
# Every common way to pass a dtype, so that a small call needs one look-up (np.dtype.name alone
# takes 2 us).
_KNOWN: dict[object, DType] = {None: FLOAT32}
for _dtype in FLOATING:
    _KNOWN[_dtype] = _KNOWN[_dtype.name] = _KNOWN[_dtype.type] = _dtype


def resolve(dtype: object = None) -> DType:
    """Return the floating element type that `dtype` names.

    Args:
        dtype: a name ('float32', 'bfloat16', ...), a NumPy or ml_dtypes dtype or scalar type, or a
            torch, JAX or TensorFlow dtype. None means float32.

    Raises:
        ValueError: if `dtype` is not a floating type that the kernels write, or is not in native
            byte order.
    """
    try:
        return _KNOWN[dtype]
    except (KeyError, TypeError):  # TypeError: unhashable, so not a dtype
        pass
    native = _to_numpy(dtype)
    if native in CODES and native != UINT32:
        return native
    if native is not None and native.kind in "biufc":
        raise ValueError(
            f"random values need a floating dtype: one of {_CHOICES}; received {native.name!r}"
        )
    raise ValueError(f"dtype must be one of {_CHOICES}; received {dtype!r}{_hint(dtype)}")


def resolve_numeric(dtype: object = None) -> DType:
    """Return the numeric dtype that `dtype` names: those of `resolve`, bool, integers and complex.

    Constants can be written in any of these, random values only in the types that `resolve`
    accepts.

    Raises:
        ValueError: if `dtype` is not a numeric type, or is not in native byte order.
    """
    try:
        return _KNOWN[dtype]
    except (KeyError, TypeError):
        pass
    native = _to_numpy(dtype)
    if native is not None and (
        is_floating(native) or (native.kind in "biufc" and native.isbuiltin == 1)
    ):
        return native
    raise ValueError(
        f"dtype must be one of {_CHOICES}, or another numeric dtype of NumPy; received {dtype!r}"
        f"{_hint(dtype)}"
    )


def is_floating(dtype: DType) -> bool:
    """Return whether random values can have this element type."""
    return dtype in CODES and dtype != UINT32


def bits_of(dtype: DType) -> DType:
    """Return the unsigned integer dtype of the same size."""
    return np.dtype(f"u{dtype.itemsize}")


def _hint(dtype: object) -> str:
    return ": pass a shape as one tuple, as in init((4, 4))" if isinstance(dtype, int) else ""


def _to_numpy(dtype: object) -> DType | None:
    """Return the NumPy dtype that `dtype` means, or None."""
    if dtype is float or (isinstance(dtype, str) and dtype == "float"):
        raise ValueError(
            "dtype must be 'float32' or 'float64' (float is float64 in NumPy, float32 in Keras); "
            "received float"
        )
    if type(dtype).__module__ == "torch":
        dtype = str(dtype).removeprefix("torch.")
    if isinstance(dtype, str) and dtype in _BY_NAME:
        return _BY_NAME[dtype]
    try:
        native = np.dtype(dtype)  # type: ignore[call-overload]
    except (TypeError, ValueError):
        name = getattr(dtype, "name", None)  # TensorFlow's dtypes have one
        return _BY_NAME.get(name) if isinstance(name, str) else None
    if not native.isnative:
        raise ValueError(f"dtype must be in native byte order; received {native.str!r}")
    # A dtype with metadata, or of a subclass of NumPy's, counts as the plain dtype of its type.
    return np.dtype(native.type) if native.type is not np.void else None
