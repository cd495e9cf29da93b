"""The element types that kernels can write, and how a caller may name them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np


class DType(NamedTuple):
    """An element type of the kernels: its name, bytes per element, and the kernels' own number for it."""

    name: str
    itemsize: int
    code: int

    @property
    def numpy(self) -> np.dtype[Any]:
        """The NumPy dtype of this name. bfloat16 and float8 need ml_dtypes; ImportError says so where it is missing."""
        return _NUMPY.get(self.name) or _from_ml_dtypes(self.name)

    @property
    def uint(self) -> np.dtype[Any]:
        """The unsigned integer dtype of the same size: the bits of an element."""
        return _UINT[self.itemsize]


AnyDType = DType | np.dtype[Any]  # what a buffer may hold: constants are good in any numeric dtype of NumPy

FLOAT32 = DType("float32", 4, 0)
FLOAT64 = DType("float64", 8, 1)
FLOAT16 = DType("float16", 2, 2)
BFLOAT16 = DType("bfloat16", 2, 3)
FLOAT8_E4M3FN = DType("float8_e4m3fn", 1, 4)
FLOAT8_E5M2 = DType("float8_e5m2", 1, 5)
UINT32 = DType("uint32", 4, 6)  # raw bits only: `random_bits` draws it, no initializer does

FLOATING = (FLOAT32, FLOAT64, FLOAT16, BFLOAT16, FLOAT8_E4M3FN, FLOAT8_E5M2)

_CHOICES = ", ".join(repr(dtype.name) for dtype in FLOATING)
_BY_NAME = {dtype.name: dtype for dtype in FLOATING}
_UINT = {size: np.dtype(f"u{size}") for size in (1, 2, 4, 8)}
_NUMPY: dict[str, np.dtype[Any]] = {name: np.dtype(name) for name in ("float32", "float64", "float16", "uint32")}
# Everything a caller is likely to pass, so that a small call pays one look-up (np.dtype.name alone costs 2 us).
_KNOWN: dict[object, DType] = {None: FLOAT32}
for _dtype in FLOATING:
    _KNOWN[_dtype] = _KNOWN[_dtype.name] = _dtype
    if _dtype.name in _NUMPY:
        _KNOWN[_NUMPY[_dtype.name]] = _KNOWN[_NUMPY[_dtype.name].type] = _dtype


def resolve(dtype: object = None) -> DType:
    """Return the floating element type that `dtype` names.

    Args:
        dtype: a name ('float32', 'bfloat16', ...), a NumPy or ml_dtypes dtype or scalar type, a torch, JAX or
            TensorFlow dtype, or a `DType`. None means float32.

    Raises:
        ValueError: if `dtype` is no floating type that the kernels write, or is not in native byte order.
    """
    try:
        return _KNOWN[dtype]
    except (KeyError, TypeError):  # TypeError: unhashable, so certainly no dtype
        pass
    name, native = _describe(dtype)
    if name in _BY_NAME:
        if native is not None:
            _KNOWN[native] = _KNOWN[native.type] = _BY_NAME[name]
        return _BY_NAME[name]
    if native is not None and native.kind in "biufc":
        raise ValueError(f"random values need a floating dtype: one of {_CHOICES}; received {name!r}")
    raise ValueError(f"dtype must be one of {_CHOICES}; received {dtype!r}")


def resolve_numeric(dtype: object = None) -> AnyDType:
    """As `resolve`, but every other numeric dtype of NumPy (bool, integers, complex) is good too, as an `np.dtype`.

    Constants can be written in any of these, random values only in a `DType`.
    """
    try:
        return _KNOWN[dtype]
    except (KeyError, TypeError):
        pass
    name, native = _describe(dtype)
    if native is not None and name not in _BY_NAME and native.kind in "biufc" and native.isbuiltin == 1:
        return native
    try:
        return resolve(dtype)
    except ValueError:
        raise ValueError(
            f"dtype must be one of {_CHOICES}, or another numeric dtype of NumPy; received {dtype!r}"
        ) from None


def to_numpy(dtype: AnyDType) -> np.dtype[Any]:
    """Return the NumPy dtype of what `resolve_numeric` gave."""
    return dtype.numpy if isinstance(dtype, DType) else dtype


def _describe(dtype: object) -> tuple[str, np.dtype[Any] | None]:
    """Return the name that `dtype` goes by ('' if none), and its NumPy dtype where NumPy knows it."""
    if dtype is float or (isinstance(dtype, str) and dtype == "float"):
        raise ValueError("dtype must say its width: float is float64 to NumPy and float32 to Keras; received float")
    if isinstance(dtype, DType):
        return dtype.name, _NUMPY.get(dtype.name)
    if isinstance(dtype, str) and dtype in _BY_NAME:
        return dtype, None
    if type(dtype).__module__ == "torch":
        dtype = str(dtype).removeprefix("torch.")
        if dtype in _BY_NAME:
            return dtype, None
    try:
        native = np.dtype(dtype)  # type: ignore[call-overload]
    except (TypeError, ValueError):
        name = getattr(dtype, "name", "")
        return (name if isinstance(name, str) else ""), None
    if not native.isnative:
        raise ValueError(f"dtype must be in native byte order; received {native.str!r}")
    return native.name, native


def _from_ml_dtypes(name: str) -> np.dtype[Any]:
    try:
        import ml_dtypes
    except ImportError:
        raise ImportError(f"NumPy has no {name} of its own; ml_dtypes brings it: pip install ml_dtypes") from None
    _NUMPY[name] = np.dtype(getattr(ml_dtypes, name))
    return _NUMPY[name]
