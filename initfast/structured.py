"""Initializers that are not drawn value by value: constants, identity, orthogonal matrices, Fourier kernels."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from initfast import distributions, layout
from initfast import fill as filling
from initfast.buffers import Buffer, empty, view
from initfast.dtypes import FLOAT32, FLOAT64, AnyDType, DType, resolve, resolve_numeric, to_numpy
from initfast.initializers import Array, Initializer, RandomInitializer, cut, number
from initfast.seeds import AnySeed, Seed

__all__ = ["STFT", "Constant", "Identity", "Ones", "Orthogonal", "Zeros"]

_LARGE = 1 << 20  # bytes from which on a constant is worth the threads
_PIECE = 1 << 16  # elements worked on at a time: the memory that a part costs beside itself


class _Structured(Initializer):
    """Values that follow from an element's place, so that a part is made without the whole."""

    def __call__(self, shape: Any, dtype: Any = None) -> Array:
        logical = layout.normalize_shape(shape)
        return self._new(logical, layout.whole(logical), dtype)

    def _dtype(self, dtype: Any) -> AnyDType:
        try:
            return resolve_numeric(dtype)
        except ValueError as error:
            raise ValueError(f"Invalid dtype: {dtype}. {error}") from None


class Zeros(_Structured):
    """0 everywhere, in any numeric dtype."""

    def _write(self, target: Buffer, shape: layout.Dims, part: layout.Part) -> None:
        _write_one(target, part, np.array(0))


class Ones(_Structured):
    """1 everywhere, in any numeric dtype."""

    def _write(self, target: Buffer, shape: layout.Dims, part: layout.Part) -> None:
        _write_one(target, part, np.array(1))


class Constant(_Structured):
    """One value everywhere, or an array of values broadcast to the logical shape, in any numeric dtype.

    Args:
        value: a finite number or boolean, or an array of them.

    The value is cast to the dtype as NumPy does it; a value that the dtype cannot hold raises ValueError.

    >>> Constant([1, 2])((2, 2), dtype="int8").tolist()
    [[1, 2], [1, 2]]
    """

    _config_keys = ("value",)

    def __init__(self, value: Any = 0.0) -> None:
        values = _numbers("value", value)
        self.value: Any = values if values.ndim else _scalar(values)

    def _write(self, target: Buffer, shape: layout.Dims, part: layout.Part) -> None:
        values = _cast("value", np.asarray(self.value), to_numpy(target.dtype))
        try:
            whole = np.broadcast_shapes(values.shape, shape) == shape
        except ValueError:
            whole = False
        if not whole:
            raise ValueError(f"value must broadcast to the logical shape, {shape}; received shape {values.shape}")
        if values.ndim == 0:
            _write_one(target, part, values)
        elif part.starts is None and part == layout.whole(shape):
            target.array[...] = values
        else:
            axes = shape[len(shape) - values.ndim :]

            def look_up(ids: npt.NDArray[np.int64]) -> Array:
                places: list[npt.NDArray[np.int64]] = []
                for length, held in zip(axes[::-1], values.shape[::-1], strict=True):
                    ids, place = np.divmod(ids, length)
                    places.append(place if held > 1 else np.zeros_like(place))
                found: Array = values[tuple(places[::-1])]
                return found

            _write_elements(target.array, part, look_up)


class Identity(_Structured):
    """`gain` on the main diagonal of a matrix, which need not be square, and 0 beside it.

    Args:
        gain: finite number.

    >>> Identity(gain=2)((2, 3)).tolist()
    [[2.0, 0.0, 0.0], [0.0, 2.0, 0.0]]
    """

    _config_keys = ("gain",)

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = number("gain", gain)

    def _write(self, target: Buffer, shape: layout.Dims, part: layout.Part) -> None:
        if len(shape) != 2:
            raise ValueError(
                "Identity matrix initializer can only be used for 2D matrices. "
                f"Received: shape={shape} of rank {len(shape)}."
            )
        out = target.array
        gain = _cast("gain", np.asarray(self.gain), out.dtype)
        if out.size == 0:
            return
        found = _diagonal(part, shape[1])
        if found is None:
            cols = shape[1]
            zero = np.zeros_like(gain)
            _write_elements(out, part, lambda ids: np.where(ids // cols == ids % cols, gain, zero))
        else:
            _write_one(target, part, np.array(0))
            out[found] = gain


def _diagonal(part: layout.Part, cols: int) -> tuple[npt.NDArray[np.intp], ...] | None:
    """Where the part of a matrix of `cols` columns holds the diagonal, if it is a matrix of rows or of a window."""
    if part.starts is not None:
        rows = part.starts // np.uint64(cols)
        hit = np.flatnonzero(rows < cols)
        return (*np.unravel_index(hit, part.shape[:-1]), rows[hit].astype(np.intp))
    if len(part.shape) != 2:
        return None
    first, left = divmod(part.start, cols)
    # The step of a single entry is never taken, and may be larger than any integer of NumPy.
    down, across = (step if n > 1 else 0 for n, step in zip(part.shape, part.steps, strict=True))
    if down % cols or not 0 <= left + (part.shape[1] - 1) * across < cols:
        return None
    rows_of_window = first + np.arange(part.shape[0]) * (down // cols)
    places, rest = np.divmod(rows_of_window - left, across or 1)
    hit = np.flatnonzero((rest == 0) & (places >= 0) & (places < part.shape[1]))
    return hit, places[hit].astype(np.intp)


class Orthogonal(RandomInitializer):
    """An orthogonal matrix times `gain`: the columns are orthonormal, or the rows where there are fewer of them.

    The logical array is seen as a matrix of `prod(shape[:-1])` rows. Its Q is that of the QR decomposition of our
    normals, in float64 for float64 and float32 for all else, with the signs that make the diagonal of R positive.

    Args:
        gain: finite number.
        seed: None, an integer in [0, 2**64), `Seed` or `SeedGenerator`.

    `fill`, `block` and `rows` cost as much time and memory as the whole, from which they are cut. The QR is LAPACK's:
    values are the same on each call on one machine, and the same up to rounding between machines and LAPACK builds.

    Source: Saxe, McClelland and Ganguli 2014, Exact solutions to the nonlinear dynamics of learning.

    >>> w = Orthogonal(seed=7)((3, 2), dtype="float64")
    >>> bool(np.allclose(w.T @ w, np.eye(2)))
    True
    """

    _config_keys = ("gain",)

    def __init__(self, gain: float = 1.0, seed: AnySeed = None) -> None:
        self.gain = number("gain", gain)
        super().__init__(seed)

    def __call__(self, shape: Any, dtype: Any = None) -> Array:
        logical = layout.normalize_shape(shape)
        kind = resolve(dtype)
        _check_rank(logical)
        out = empty(logical, kind)
        if out.size:
            out[...] = self._whole(logical, self._whole_seed(), wide=kind == FLOAT64)
        return out

    def _write(self, target: Buffer, shape: layout.Dims, part: layout.Part) -> None:
        kind = resolve(target.dtype)
        _check_rank(shape)
        if 0 not in part.shape:
            target.array[...] = cut(self._whole(shape, self._part_seed(), wide=kind == FLOAT64), part)

    def _whole(self, shape: layout.Dims, seed: Seed, wide: bool) -> Array:
        rows, cols = math.prod(shape[:-1]), shape[-1]
        kind = FLOAT64 if wide else FLOAT32
        tall = (max(rows, cols), min(rows, cols))
        q, r = np.linalg.qr(filling.new(distributions.normal(0.0, 1.0, kind), seed, tall, kind))
        q *= np.where(np.diagonal(r) < 0.0, -self.gain, self.gain).astype(q.dtype)
        return np.reshape(q if rows >= cols else q.T, shape)


def _check_rank(shape: layout.Dims) -> None:
    if len(shape) < 2:
        raise ValueError(
            "The tensor to initialize must be at least two-dimensional. "
            f"Received: shape={shape} of rank {len(shape)}."
        )


class STFT(_Structured):
    """Kernels of a short-time Fourier transform, for a convolution of logical shape (frame_length, 1, bins).

    Element [t, 0, k] is `cos(2 pi t k / n)`, or `-sin(2 pi t k / n)`, times `window[t] / norm`; `n = 2 (bins - 1)`.

    Args:
        side: 'real' or 'imag'.
        window: 'hann', 'hamming', an array of frame_length values, None for no window and no scaling, or any other
            name that `scipy.signal.get_window` knows, if SciPy is installed.
        scaling: 'density', norm is `sqrt(sum(window**2))`; 'spectrum', `sum(abs(window))`; None, 1.
        periodic: whether a named window is periodic, else symmetric.

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
            raise ValueError(f"side should be 'real' or 'imag', not {side}")
        if scaling is not None and (not isinstance(scaling, str) or scaling not in ("density", "spectrum")):
            raise ValueError(
                f"Scaling is invalid, it must be `None`, 'density' or 'spectrum'. Received scaling={scaling}"
            )
        if not isinstance(periodic, bool):
            raise TypeError(f"periodic must be True or False; received {periodic!r}")
        self.side = side
        self.window: Any = window
        if isinstance(window, str):
            _window(window, 1, periodic)
        elif window is not None:
            self.window = _numbers("window", window)
            if self.window.dtype.kind == "c":
                raise ValueError("window must hold real numbers; received complex ones")
        self.scaling = scaling
        self.periodic = periodic

    def _dtype(self, dtype: Any) -> AnyDType:
        return resolve(dtype)

    def _write(self, target: Buffer, shape: layout.Dims, part: layout.Part) -> None:
        resolve(target.dtype)
        if len(shape) != 3 or shape[1] != 1 or shape[2] == 1:
            raise ValueError(f"an STFT kernel has the shape (frame_length, 1, bins), bins >= 2; received {shape}")
        frame, _, bins = shape
        if 0 in shape:
            return
        weight = None if self.window is None else self._weight(frame)
        # One table for all: what a cosine is rounded to may depend on its place in the array it is computed in.
        turns = np.arange(2 * (bins - 1)) * (math.pi / (bins - 1))
        table = np.cos(turns) if self.side == "real" else -np.sin(turns)

        def look_up(ids: npt.NDArray[np.int64]) -> Array:
            time, frequency = np.divmod(ids, bins)
            found: Array = table[time % len(table) * frequency % len(table)]
            return found if weight is None else found * weight[time]

        _write_elements(target.array, part, look_up)

    def _weight(self, frame: int) -> npt.NDArray[np.float64]:
        """The window over its norm."""
        named = isinstance(self.window, str)
        window = _window(self.window, frame, self.periodic) if named else self.window.astype(np.float64)
        if window.shape != (frame,):
            raise ValueError(
                f"The shape of `window` must be equal to [frame_length].Received: window shape={window.shape}"
                f" for frame_length={frame}"
            )
        norm = {
            "density": math.sqrt(np.sum(window * window)),
            "spectrum": float(np.sum(np.abs(window))),
            None: 1.0,
        }[self.scaling]
        if norm == 0.0:
            raise ValueError(f"a window to be scaled must not be zero everywhere; received {self.window!r} of {frame}")
        weight: npt.NDArray[np.float64] = window / norm
        return weight


def _window(name: str, length: int, periodic: bool) -> npt.NDArray[np.float64]:
    """A window by name, as `scipy.signal.get_window` makes it."""
    share = {"hann": 0.5, "hamming": 0.54}.get(name)
    if share is None:
        try:
            from scipy.signal import get_window
        except ImportError:
            raise ImportError(
                f"window {name!r} comes from SciPy ('hann' and 'hamming' do not): pip install scipy"
            ) from None
        found: npt.NDArray[np.float64] = get_window(name, length, fftbins=periodic)
        return found
    if length <= 1:
        return np.ones(length)
    period = length if periodic else length - 1
    window: npt.NDArray[np.float64] = share - (1.0 - share) * np.cos(2.0 * math.pi / period * np.arange(length))
    return window


def _write_one(target: Buffer, part: layout.Part, value: Array) -> None:
    """Write the same value everywhere: much of it on all threads, if its bytes are a pattern that the kernels know."""
    native = to_numpy(target.dtype)
    large = math.prod(part.shape) * native.itemsize >= _LARGE
    if large and native.itemsize in (1, 2, 4, 8) and native.alignment == native.itemsize:
        source = distributions.constant(value.astype(native).tobytes())
        pattern = DType(native.name, native.itemsize, source.dtype)  # a pattern has the code of no dtype of its own
        filling.fill(source, Seed(0), target._replace(dtype=pattern), part)
    else:
        target.array[...] = value


def _write_elements(out: Array, part: layout.Part, values: Callable[[npt.NDArray[np.int64]], Array]) -> None:
    """Write `values(ids)` for the logical elements of a part, a piece at a time."""
    row = math.prod(part.shape) // max(1, len(part.starts)) if part.starts is not None else 0
    for low in range(0, out.size, _PIECE):
        places = np.arange(low, min(low + _PIECE, out.size))
        if part.starts is not None:
            ids = part.starts.astype(np.int64)[places // row] + places % row
        else:
            ids = np.full(places.shape, part.start, np.int64)
            rest = places
            for length, step in zip(part.shape[::-1], part.steps[::-1], strict=True):
                rest, place = np.divmod(rest, length)
                if length > 1:
                    ids += place * step
        out.flat[low : low + len(places)] = values(ids).astype(out.dtype)


def _numbers(name: str, value: Any) -> Array:
    """A copy of an array-like of finite numbers."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        value = view(value.detach().contiguous()).array
    try:
        values = np.array(value)
        resolve_numeric(values.dtype)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number or an array of numbers; received {value!r}") from None
    if not _finite(values):
        raise ValueError(f"{name} must be finite; received {value!r}")
    values.setflags(write=False)
    return values


def _scalar(values: Array) -> bool | int | float | complex:
    """A 0-d array as a number of Python."""
    found: bool | int | float | complex = values.astype(float).item() if values.dtype.kind == "V" else values.item()
    return found


def _finite(values: Array) -> bool:
    return bool(np.isfinite(values.astype(float) if values.dtype.kind == "V" else values).all())


def _cast(name: str, values: Array, dtype: np.dtype[Any]) -> Array:
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
            cast = values.astype(dtype)
        fits = _finite(cast)
    if not fits:
        raise ValueError(f"{name} must be a number that {dtype.name} can hold; received {given.tolist()!r}")
    return cast
