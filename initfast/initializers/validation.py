"""What constructors accept, and how it looks in JSON."""

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
        found = float(value)
    except OverflowError:
        found = math.inf
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a finite number; received {short(value)}") from None
    if not math.isfinite(found):
        raise ValueError(f"{name} must be a finite number; received {short(value)}")
    return found + 0.0  # no -0.0, which equals 0.0 as a key but does not draw the same bytes


def _is_real(value: object) -> TypeGuard[SupportsFloat]:
    """Return whether a scalar of Python, NumPy or ml_dtypes is a real number."""
    if isinstance(value, np.generic):
        return value.dtype.kind in "iuf" or is_floating(value.dtype)
    return isinstance(value, Real) and not isinstance(value, bool)


def numbers(name: str, value: Any) -> Array:
    """Return a copy of an array-like of finite numbers."""
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
    """Return a 0-d array as a number of Python."""
    found: bool | int | float | complex = (
        values.astype(float).item() if is_floating(values.dtype) else values.item()
    )
    return found


def finite(values: Array) -> bool:
    """Return whether all values are finite, also those of a dtype that NumPy has from elsewhere."""
    return bool(np.isfinite(values.astype(float) if is_floating(values.dtype) else values).all())


def cast(name: str, values: Array, dtype: np.dtype[Any]) -> Array:
    """`values` in `dtype`, which has to be able to hold them."""
    fits, given = True, values
    if values.dtype.kind == "c" and dtype.kind not in "cb":
        fits = not values.imag.any()
        values = values.real
    if dtype.kind in "iu" and values.size and values.dtype.kind != "b":
        limits = np.iinfo(dtype)
        fits = fits and limits.min <= int(values.min()) and int(values.max()) <= limits.max
    if fits:
        with np.errstate(all="ignore"):
            found = values.astype(dtype)
        fits = finite(found)
    if not fits:
        raise ValueError(
            f"{name} must be a number that {dtype.name} can hold; received {short(given.tolist())}"
        )
    return found


def encode(value: Any) -> Any:
    """Return an argument of a constructor in the form in which Keras writes it into JSON."""
    if isinstance(value, (Seed, SeedGenerator)):
        return serialize_seed(value)
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, (np.ndarray, complex)):
        array = np.asarray(value)
        # JSON has no complex numbers, and NumPy reads them from text; bfloat16 and float8 are exact
        # in float64.
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
    """Return what `encode`, or Keras, wrote."""
    if isinstance(value, Mapping) and value.get("class_name") in ("__numpy__", "__tensor__"):
        config = value.get("config")
        if not isinstance(config, Mapping) or not {"value", "dtype"} <= config.keys():
            raise ValueError(
                f"the config of an array must hold 'value' and 'dtype'; received {short(value)}"
            )
        dtype = resolve_numeric(config["dtype"])
        try:
            return np.array(config["value"], dtype=dtype)
        except (TypeError, ValueError, OverflowError):
            raise ValueError(
                f"an array of {dtype.name} must be numbers; received {short(config['value'])}"
            ) from None
    return value
