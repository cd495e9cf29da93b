"""Validate the arguments of constructors, and convert them from and to JSON."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from numbers import Real
from typing import Any, SupportsFloat, TypeGuard

import numpy as np

from initfast.core.buffers import view
from initfast.core.dtypes import is_floating, resolve_numeric
from initfast.core.indexing import shape_hint
from initfast.core.seeds import Seed, SeedGenerator, serialize_seed
from initfast.core.text import short
from initfast.core.types import Array


def number(name: str, value: Any) -> float:
    """Return `value`, a number or a scalar array or tensor, as a finite float."""
    if type(value) is not float:
        if (
            not isinstance(value, np.generic)
            and getattr(value, "shape", None) == ()
            and hasattr(value, "item")
        ):
            value = value.item()
        if not _is_real(value):
            raise TypeError(
                f"{name} must be a finite number; received {short(value)}{shape_hint(value)}"
            )
    try:
        result = float(value)
    except OverflowError:
        result = math.inf
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a finite number; received {short(value)}") from None
    if not math.isfinite(result):
        raise ValueError(f"{name} must be a finite number; received {short(value)}")
    return result + 0.0  # -0.0 becomes 0.0: they are one cache key, but draw other bytes


def _is_real(value: object) -> TypeGuard[SupportsFloat]:
    """Return whether a scalar of Python, NumPy or ml_dtypes is a real number."""
    if isinstance(value, np.generic):
        return value.dtype.kind in "iuf" or is_floating(value.dtype)
    return isinstance(value, Real) and not isinstance(value, bool)


def numbers(name: str, value: Any) -> Array:
    """Return a read-only copy of an array-like of finite numbers."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        value = view(value.detach().contiguous()).array
    try:
        values = np.array(value)
        resolve_numeric(values.dtype)
    except (TypeError, ValueError):
        raise TypeError(
            f"{name} must be a number or an array of numbers; received {short(value)}"
        ) from None
    if not finite(values):
        raise ValueError(f"{name} must be finite; received {short(value)}")
    values.setflags(write=False)
    return values


def scalar(values: Array) -> bool | int | float | complex:
    """Return a 0-d array as a Python number."""
    result: bool | int | float | complex = (
        values.astype(float).item() if is_floating(values.dtype) else values.item()
    )
    return result


def finite(values: Array) -> bool:
    """Return whether all values are finite, also for a dtype of ml_dtypes."""
    return bool(np.isfinite(values.astype(float) if is_floating(values.dtype) else values).all())


def cast(name: str, values: Array, dtype: np.dtype[Any]) -> Array:
    """Return `values` in `dtype`; raise ValueError if it cannot hold them."""
    fits, original = True, values
    if values.dtype.kind == "c" and dtype.kind not in "cb":
        fits = not values.imag.any()
        values = values.real
    if dtype.kind in "iu" and values.size and values.dtype.kind != "b":
        limits = np.iinfo(dtype)
        fits = fits and limits.min <= int(values.min()) and int(values.max()) <= limits.max
    if fits:
        with np.errstate(all="ignore"):
            result = values.astype(dtype)
        fits = finite(result)
    if not fits:
        raise ValueError(
            f"{name} must be a number that {dtype.name} can hold; received "
            f"{short(original.tolist())}"
        )
    return result


def encode(value: Any) -> Any:
    """Return an argument of a constructor in the JSON form of Keras."""
    if isinstance(value, (Seed, SeedGenerator)):
        return serialize_seed(value)
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, (np.ndarray, complex)):
        array = np.asarray(value)
        # JSON has no complex numbers, which NumPy can read from text. bfloat16 and float8 numbers
        # are exact in float64.
        plain = (
            array.astype(str if array.dtype.kind == "c" else float)
            if array.dtype.kind in "cV"
            else array
        )
        return {
            "class_name": "__numpy__",
            "config": {"value": plain.tolist(), "dtype": array.dtype.name},
        }
    return value


def decode(value: Any) -> Any:
    """Return the value of a JSON form that `encode` or Keras wrote."""
    if isinstance(value, Mapping) and value.get("class_name") in ("__numpy__", "__tensor__"):
        config = value.get("config")
        if not isinstance(config, Mapping) or not {"value", "dtype"} <= config.keys():
            raise ValueError(
                f"the config of an array must contain 'value' and 'dtype'; received {short(value)}"
            )
        dtype = resolve_numeric(config["dtype"])
        try:
            return np.array(config["value"], dtype=dtype)
        except (TypeError, ValueError, OverflowError):
            raise ValueError(
                f"the value of an array must be {dtype.name} numbers; received "
                f"{short(config['value'])}"
            ) from None
    return value
