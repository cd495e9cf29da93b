"""Kernels of a short-time Fourier transform, with their windows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from initfast.core import indexing
from initfast.core.buffers import Buffer
from initfast.core.dtypes import DType, resolve
from initfast.core.rounding import in_fixed_environment
from initfast.core.types import Array, DTypeLike
from initfast.initializers.from_index import FromIndex, write_elements
from initfast.initializers.validation import numbers

__all__ = ["STFT"]


class STFT(FromIndex):
    """Kernels of a short-time Fourier transform, of logical shape (frame_length, 1, bins).

    Element [t, 0, k] is `window[t] / norm` times `cos(2 pi t k / n)` (real) or `-sin(2 pi t k / n)`
    (imaginary), with `n = 2 (bins - 1)`, as in Keras.

    Args:
        side: 'real' or 'imag'.
        window: 'hann', 'hamming', an array of frame_length values, None for no window and no
            scaling, or any other name of `scipy.signal.get_window`, which needs SciPy.
        scaling: the norm: `sqrt(sum(window**2))` for 'density', `sum(abs(window))` for 'spectrum',
            1 for None.
        periodic: True for a periodic, False for a symmetric window, if it has a name.

    >>> STFT("real", window=None)((4, 1, 3))[:, 0, 1].round().tolist()
    [1.0, 0.0, -1.0, -0.0]
    """

    _config_keys = ("side", "window", "periodic", "scaling")

    def __init__(
        self,
        side: str = "real",
        window: str | Sequence[float] | npt.ArrayLike | None = "hann",
        scaling: str | None = "density",
        periodic: bool = False,
    ) -> None:
        if not isinstance(side, str) or side not in ("real", "imag"):
            hint = indexing.shape_hint(side)
            raise ValueError(f"side should be 'real' or 'imag', not {side}{hint}")
        if scaling is not None and (
            not isinstance(scaling, str) or scaling not in ("density", "spectrum")
        ):
            raise ValueError(
                "Scaling is invalid, it must be `None`, 'density' or 'spectrum'. Received "
                f"scaling={scaling}"
            )
        if not isinstance(periodic, bool):
            raise TypeError(f"periodic must be True or False; received {periodic!r}")
        self.side = side
        self.window: Any = window
        if isinstance(window, str):
            _window(window, 1, periodic)
        elif window is not None:
            self.window = numbers("window", window)
            if self.window.dtype.kind == "c":
                raise ValueError("window must hold real numbers; received complex numbers")
        self.scaling = scaling
        self.periodic = periodic

    def _dtype(self, dtype: DTypeLike) -> DType:
        return resolve(dtype)

    @in_fixed_environment
    def _write(self, target: Buffer, shape: indexing.Dims, part: indexing.Part) -> None:
        resolve(target.dtype)
        if len(shape) != 3 or shape[1] != 1 or shape[2] == 1:
            raise ValueError(
                f"shape must be (frame_length, 1, bins) with bins >= 2; received {shape}"
            )
        frame, _, bins = shape
        if 0 in shape:
            return
        weight = None if self.window is None else self._weight(frame)
        # Each value is computed once, in one table, because NumPy's rounding of a cosine may depend
        # on its position in the array.
        turns = np.arange(2 * (bins - 1)) * (math.pi / (bins - 1))
        table = np.cos(turns) if self.side == "real" else -np.sin(turns)

        def look_up(ids: npt.NDArray[np.uint64]) -> Array:
            time, frequency = np.divmod(ids, bins)
            values: Array = table[time % len(table) * frequency % len(table)]
            return values if weight is None else values * weight[time]

        write_elements(target.array, part, look_up)

    def _weight(self, frame: int) -> npt.NDArray[np.float64]:
        """Return the window divided by its norm."""
        by_name = isinstance(self.window, str)
        if by_name:
            window = _window(self.window, frame, self.periodic)
        else:
            window = self.window.astype(np.float64)
        if window.shape != (frame,):
            raise ValueError(
                "The shape of `window` must be equal to [frame_length].Received: window "
                f"shape={window.shape}"
                f" for frame_length={frame}"
            )
        norm = {
            "density": math.sqrt(np.sum(window * window)),
            "spectrum": float(np.sum(np.abs(window))),
            None: 1.0,
        }[self.scaling]
        if norm == 0.0:
            raise ValueError(
                f"window must not be zero everywhere unless scaling is None; received "
                f"{self.window!r} of length {frame}"
            )
        weight: npt.NDArray[np.float64] = window / norm
        return weight


def _window(name: str, length: int, periodic: bool) -> npt.NDArray[np.float64]:
    """Return a window by its name in `scipy.signal.get_window`."""
    coefficient = {"hann": 0.5, "hamming": 0.54}.get(name)
    if coefficient is None:
        try:
            from scipy.signal import get_window
        except ImportError:
            raise ImportError(
                f"window {name!r} needs SciPy, unlike 'hann' and 'hamming': pip install scipy"
            ) from None
        values: npt.NDArray[np.float64] = get_window(name, length, fftbins=periodic)
        return values
    if length <= 1:
        return np.ones(length)
    period = length if periodic else length - 1
    window: npt.NDArray[np.float64] = coefficient - (1.0 - coefficient) * np.cos(
        2.0 * math.pi / period * np.arange(length)
    )
    return window
