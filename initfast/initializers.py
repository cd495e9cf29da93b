"""The base of all initializers, and the random ones: presets are rows over `VarianceScaling`."""

from __future__ import annotations

import inspect
import math
import numbers
import warnings
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

import numpy as np
import numpy.typing as npt

from initfast import distributions, layout
from initfast import fill as filling
from initfast.buffers import Buffer, empty, view
from initfast.dtypes import AnyDType, DType, resolve, resolve_numeric, to_numpy
from initfast.fans import check_axes, compute_fans
from initfast.seeds import AnySeed, ReusedSeedWarning, Seed, SeedGenerator, given_seed, live_seed, serialize_seed

if TYPE_CHECKING:
    from initfast._kernels import Source

__all__ = [
    "GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform", "Initializer", "LecunNormal", "LecunUniform",
    "RandomNormal", "RandomUniform", "TruncatedNormal", "VarianceScaling",
]  # fmt: skip

Array = npt.NDArray[Any]
Out = TypeVar("Out")

MODES = ("fan_in", "fan_out", "fan_avg")
DISTRIBUTIONS = ("uniform", "truncated_normal", "untruncated_normal")
# Standard deviation of a standard normal cut at -2 and 2: scipy.stats.truncnorm.std(-2, 2).
TRUNCATED_STDDEV = 0.87962566103423978


class Initializer:
    """Base class of all initializers.

    A subclass writes `__call__(shape, dtype=None)`, and `get_config()` if its constructor takes arguments, as in Keras.
    It then has `fill`, `block` and `rows` too, which make the whole array and cut the part out of it.
    """

    _config_keys: ClassVar[tuple[str, ...]] = ()

    def __call__(self, shape: Any, dtype: Any = None) -> Array:
        """A new array of `shape`, float32 unless `dtype` says otherwise, aligned to 64 bytes."""
        raise NotImplementedError("Initializer subclasses must implement the `__call__()` method.")

    def fill(self, out: Out, shape: Any = None, index: Any = None, *, dtype: Any = None) -> Out:
        """Fill `out` in place, as a whole array or as the part `index` of a logical array, and return it.

        Args:
            out: a writable buffer on the CPU: NumPy array (any strides), memmap, array.array, torch tensor, ...
            shape: the logical shape; default: that of `out` itself. Fans come from it.
            index: a NumPy basic index into the logical array; `out` has the shape of that part. Default: the whole.
            dtype: the element type, for a buffer that cannot say it (bytes, or uint16 that means bfloat16).

        Raises:
            ValueError, TypeError, IndexError: nothing has been written then.
        """
        if shape is None:
            if index is not None:
                raise ValueError(f"index needs shape=, the logical shape that it looks into; received index={index!r}")
            target = view(out, dtype)
            logical = target.shape
            part = layout.whole(logical)
        else:
            logical = layout.normalize_shape(shape)
            part = layout.whole(logical) if index is None else layout.select(logical, index)
            target = view(out, dtype, part.shape)
        self._write(target, logical, part)
        return out

    def block(self, shape: Any, index: Any, dtype: Any = None) -> Array:
        """The part `init(shape)[index]` of a logical array, byte for byte, as a new array.

        Args:
            shape: the logical shape, up to 8 dims and 2**63 elements.
            index: any NumPy basic index: integers, slices with any step, Ellipsis.
            dtype: default float32.
        """
        logical = layout.normalize_shape(shape)
        return self._new(logical, layout.select(logical, index), dtype)

    def rows(self, shape: Any, ids: Any, dtype: Any = None) -> Array:
        """The rows `init(shape)[ids]` of a logical array, byte for byte, as a new array.

        Args:
            shape: the logical shape, of at least one dim.
            ids: integers in [0, shape[0]) in an array of any rank, in any order, with repeats or without.
            dtype: default float32.
        """
        logical = layout.normalize_shape(shape)
        return self._new(logical, layout.take(logical, ids), dtype)

    def _dtype(self, dtype: Any) -> AnyDType:
        return resolve_numeric(dtype)

    def _new(self, shape: layout.Dims, part: layout.Part, dtype: Any) -> Array:
        out = empty(part.shape, self._dtype(dtype))
        self._write(view(out), shape, part)
        return out

    def _write(self, target: Buffer, shape: layout.Dims, part: layout.Part) -> None:
        """Write the part of the logical array of `shape` into memory that has the part's shape."""
        whole = np.asarray(self(shape, to_numpy(target.dtype)))
        target.array[...] = cut(whole, part)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON can hold them; `from_config` makes an equal initializer of them."""
        return {key: encode(getattr(self, key)) for key in self._config_keys}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The initializer of a config, ours or Keras' of any version: what is missing has its default."""
        known = inspect.signature(cls).parameters
        # tf.keras wrote a dtype into these configs, which no initializer keeps.
        given = {key: decode(value) for key, value in config.items() if key in known or key != "dtype"}
        unknown = [key for key in given if key not in known]
        if unknown and not any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values()):
            choices = ", ".join(map(repr, known)) or "nothing"
            raise ValueError(f"the config of {cls.__name__} takes {choices}; received {unknown[0]!r}")
        return cls(**given)

    def clone(self) -> Self:
        """A new initializer of the same config. A seed of None is drawn anew, a SeedGenerator starts again."""
        return self.from_config(self.get_config())

    def __repr__(self) -> str:
        shown = []
        for name, parameter in inspect.signature(type(self)).parameters.items():
            value = getattr(self, name, parameter.default)
            if isinstance(value, np.ndarray) or value != parameter.default:
                shown.append(f"{name}={value!r}")
        return f"{type(self).__name__}({', '.join(shown)})"


class RandomInitializer(Initializer):
    """Base of the initializers that draw from a stream: a subclass says what is drawn, `_source`, and this says where.

    Args:
        seed: None (drawn once from Python's `random`), an integer in [0, 2**64) or a `Seed`: every call draws the same
            values. A `SeedGenerator`: every call, also of `fill`, `block` and `rows`, draws from the next stream, so
            parts of one logical array want a fixed seed. A config's serialized seed is good too.
    """

    def __init__(self, seed: AnySeed = None) -> None:
        self._given_seed = given_seed(seed)
        self._live_seed = live_seed(self._given_seed)
        self._draws = 0  # whole arrays made of a fixed stream; counted no further than 2

    @property
    def seed(self) -> int | Seed | SeedGenerator:
        """The seed in use: the `Seed` or `SeedGenerator` given, else an integer, drawn if None was given."""
        live = self._live_seed
        return live.seed if isinstance(live, Seed) and not isinstance(self._given_seed, Seed) else live

    def __call__(self, shape: Any, dtype: Any = None) -> Array:
        logical = layout.normalize_shape(shape)
        kind = resolve(dtype)
        source = self._source(logical, kind)
        return filling.new(source, self._whole_seed(), logical, kind)

    def _dtype(self, dtype: Any) -> DType:
        return resolve(dtype)

    def _source(self, shape: layout.Dims, dtype: DType) -> Source:
        raise NotImplementedError("random initializers must implement `_source(shape, dtype)`")

    def _write(self, target: Buffer, shape: layout.Dims, part: layout.Part) -> None:
        kind = resolve(target.dtype)
        source = self._source(shape, kind)
        filling.fill(source, self._part_seed(), target, part)

    def _part_seed(self) -> Seed:
        live = self._live_seed
        return live if isinstance(live, Seed) else live.next()

    def _whole_seed(self) -> Seed:
        live = self._live_seed
        if not isinstance(live, Seed):
            return live.next()
        if self._draws < 2:
            self._draws += 1
            if self._draws == 2:
                warnings.warn(
                    f"{self!r} has one fixed stream and makes a second whole array: both hold the same values. Give "
                    f"each array a stream of its own, seed=Seed({live.seed}).named('layer/kernel'), or a new one at "
                    f"each call, seed=SeedGenerator({live.seed}).",
                    ReusedSeedWarning,
                    stacklevel=3,
                )
        return live

    def get_config(self) -> dict[str, Any]:
        return {"seed": encode(self._given_seed), **super().get_config()}


class RandomNormal(RandomInitializer):
    """Normal values: `mean + stddev * z`.

    Args:
        mean, stddev: finite numbers, stddev >= 0.
        seed: None, an integer in [0, 2**64), `Seed` or `SeedGenerator`.

    >>> RandomNormal(stddev=0.01, seed=7)((2, 3)).shape
    (2, 3)
    """

    _config_keys = ("mean", "stddev")

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: AnySeed = None) -> None:
        self.mean = number("mean", mean)
        self.stddev = _stddev(stddev)
        super().__init__(seed)

    def _source(self, shape: layout.Dims, dtype: DType) -> Source:
        return _normal(self.mean, self.stddev, dtype)


class RandomUniform(RandomInitializer):
    """Uniform values in the half-open interval [minval, maxval), in every dtype.

    Args:
        minval, maxval: finite numbers, minval <= maxval; if they are equal, so are all values.
        seed: None, an integer in [0, 2**64), `Seed` or `SeedGenerator`.

    >>> RandomUniform(0.0, 1.0, seed=7)((2, 3)).max() < 1.0
    np.True_
    """

    _config_keys = ("minval", "maxval")

    def __init__(self, minval: float = -0.05, maxval: float = 0.05, seed: AnySeed = None) -> None:
        self.minval = number("minval", minval)
        self.maxval = number("maxval", maxval)
        if self.minval > self.maxval:
            raise ValueError(f"minval must not exceed maxval; received minval={minval!r}, maxval={maxval!r}")
        super().__init__(seed)

    def _source(self, shape: layout.Dims, dtype: DType) -> Source:
        return _uniform(self.minval, self.maxval, dtype)


class TruncatedNormal(RandomInitializer):
    """Normal values cut at `mean + lower * stddev` and `mean + upper * stddev`, which none of them leaves.

    Args:
        mean, stddev: finite numbers of the normal before the cut, stddev >= 0. What is left of a cut at -2 and 2 has
            the standard deviation 0.8796 * stddev, as in Keras.
        seed: None, an integer in [0, 2**64), `Seed` or `SeedGenerator`.
        lower, upper: finite numbers in units of stddev, lower < upper. Keras has -2 and 2 only; so these are in the
            config where they differ from that, and Keras can read all others.

    >>> abs(TruncatedNormal(stddev=1.0, seed=7)((2, 3))).max() <= 2.0
    np.True_
    """

    _config_keys = ("mean", "stddev")

    def __init__(
        self,
        mean: float = 0.0,
        stddev: float = 0.05,
        seed: AnySeed = None,
        lower: float = -2.0,
        upper: float = 2.0,
    ) -> None:
        self.mean = number("mean", mean)
        self.stddev = _stddev(stddev)
        self.lower = number("lower", lower)
        self.upper = number("upper", upper)
        if self.lower >= self.upper:
            raise ValueError(f"lower must be less than upper; received lower={lower!r}, upper={upper!r}")
        super().__init__(seed)

    def _source(self, shape: layout.Dims, dtype: DType) -> Source:
        return _truncated_normal(self.mean, self.stddev, self.lower, self.upper, dtype)

    def get_config(self) -> dict[str, Any]:
        bounds = {} if (self.lower, self.upper) == (-2.0, 2.0) else {"lower": self.lower, "upper": self.upper}
        return {**super().get_config(), **bounds}


class VarianceScaling(RandomInitializer):
    """Values of mean 0 and variance `scale / n`, where n is a fan of the logical shape.

    Args:
        scale: finite number > 0.
        mode: n is 'fan_in', 'fan_out' or their mean, 'fan_avg'; at least 1.
        distribution: 'truncated_normal' (also 'normal': of stddev `sqrt(scale / n) / 0.8796...` cut at 2 of it),
            'untruncated_normal' or 'uniform' (in `+-sqrt(3 * scale / n)`).
        seed: None, an integer in [0, 2**64), `Seed` or `SeedGenerator`.
        input_axes, output_axes: the axes whose lengths multiply to the fans, both or none; default: `compute_fans`.

    >>> VarianceScaling(2.0, "fan_out", "uniform", seed=7)((2, 3), dtype="float16").dtype
    dtype('float16')
    """

    _config_keys: ClassVar[tuple[str, ...]] = ("scale", "mode", "distribution", "input_axes", "output_axes")

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: AnySeed = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        self.scale = number("scale", scale)
        if self.scale <= 0.0:
            raise ValueError(f"Argument `scale` must be positive float. Received: scale={scale}")
        if not isinstance(mode, str) or mode not in MODES:
            raise ValueError(f"Invalid `mode` argument: {mode}. Please use one of {_choices(MODES)}")
        name = distribution.lower() if isinstance(distribution, str) else distribution
        name = "truncated_normal" if name == "normal" else name
        if not isinstance(name, str) or name not in DISTRIBUTIONS:
            raise ValueError(
                f"Invalid `distribution` argument: {distribution}.Please use one of {_choices(DISTRIBUTIONS)}"
            )
        self.mode = mode
        self.distribution = name
        self.input_axes = check_axes("input_axes", input_axes)
        self.output_axes = check_axes("output_axes", output_axes)
        super().__init__(seed)

    def _source(self, shape: layout.Dims, dtype: DType) -> Source:
        return _scaled(self.scale, self.mode, self.distribution, self.input_axes, self.output_axes, shape, dtype)


class _Preset(VarianceScaling):
    """A row of the table below: VarianceScaling with scale, mode and distribution chosen."""

    _config_keys = ("input_axes", "output_axes")
    _row: ClassVar[tuple[float, str, str]]

    def __init_subclass__(cls, row: tuple[float, str, str] | None = None, source: str = "", **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if row is not None:
            cls._row = row
            cls.__doc__ = _PRESET_DOC.format(name=cls.__name__, row=row, source=source)

    def __init__(
        self,
        seed: AnySeed = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        super().__init__(*self._row, seed=seed, input_axes=input_axes, output_axes=output_axes)


_PRESET_DOC = """Values of mean 0 and variance `{row[0]:g} / {row[1]}`, {row[2]}: `VarianceScaling{row}`.

    Args:
        seed: None, an integer in [0, 2**64), `Seed` or `SeedGenerator`.
        input_axes, output_axes: the axes whose lengths multiply to the fans, both or none; default: `compute_fans`.

    Source: {source}.

    >>> {name}(seed=42)((64, 32)).shape
    (64, 32)
    """

_GLOROT = "Glorot and Bengio 2010, Understanding the difficulty of training deep feedforward neural networks"
_LECUN = "LeCun, Bottou, Orr and Mueller 1998, Efficient BackProp"
_HE = "He, Zhang, Ren and Sun 2015, Delving deep into rectifiers"


class GlorotUniform(_Preset, row=(1.0, "fan_avg", "uniform"), source=_GLOROT): ...


class GlorotNormal(_Preset, row=(1.0, "fan_avg", "truncated_normal"), source=_GLOROT): ...


class LecunUniform(_Preset, row=(1.0, "fan_in", "uniform"), source=_LECUN): ...


class LecunNormal(_Preset, row=(1.0, "fan_in", "truncated_normal"), source=_LECUN): ...


class HeUniform(_Preset, row=(2.0, "fan_in", "uniform"), source=_HE): ...


class HeNormal(_Preset, row=(2.0, "fan_in", "truncated_normal"), source=_HE): ...


# A small call is dominated by making its Source, so each one is made once. Only floats without -0.0, strings and
# tuples of plain integers come in, so that equal keys are the same parameters.
_SOURCES = 1024
_uniform = lru_cache(_SOURCES)(distributions.uniform)
_normal = lru_cache(_SOURCES)(distributions.normal)
_truncated_normal = lru_cache(_SOURCES)(distributions.truncated_normal)


@lru_cache(_SOURCES)
def _scaled(
    scale: float,
    mode: str,
    distribution: str,
    input_axes: tuple[int, ...] | None,
    output_axes: tuple[int, ...] | None,
    shape: layout.Dims,
    dtype: DType,
) -> Source:
    fan_in, fan_out = compute_fans(shape, input_axes, output_axes)
    fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[mode]
    variance = scale / max(1.0, fan)
    if distribution == "uniform":
        limit = math.sqrt(3.0 * variance)
        return distributions.uniform(-limit, limit, dtype)
    if distribution == "untruncated_normal":
        return distributions.normal(0.0, math.sqrt(variance), dtype)
    return distributions.truncated_normal(0.0, math.sqrt(variance) / TRUNCATED_STDDEV, -2.0, 2.0, dtype)


def number(name: str, value: object) -> float:
    """`value` as a finite float. A scalar array or tensor is a number too; a boolean or a string is none."""
    if type(value) is not float:
        if not isinstance(value, np.generic) and getattr(value, "shape", None) == () and hasattr(value, "item"):
            value = value.item()
        if isinstance(value, (bool, np.bool_)) or not isinstance(value, (numbers.Real, np.generic)):
            raise TypeError(f"{name} must be a finite number; received {value!r}")
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a finite number; received {value!r}") from None
    if not math.isfinite(found):
        raise ValueError(f"{name} must be a finite number; received {value!r}")
    return found + 0.0  # no -0.0, which equals 0.0 as a key but does not draw the same bytes


def _stddev(value: object) -> float:
    stddev = number("stddev", value)
    if stddev < 0.0:
        raise ValueError(f"stddev must be >= 0; received {value!r}")
    return stddev


def _choices(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names))


def encode(value: Any) -> Any:
    """An argument of a constructor in the form in which Keras writes it into JSON."""
    if isinstance(value, (Seed, SeedGenerator)):
        return serialize_seed(value)
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, (np.ndarray, complex)):
        array = np.asarray(value)
        # JSON has no complex numbers, and NumPy reads them from text; bfloat16 and float8 are exact in float64.
        plain = array.astype(str if array.dtype.kind == "c" else float) if array.dtype.kind in "cV" else array
        return {"class_name": "__numpy__", "config": {"value": plain.tolist(), "dtype": array.dtype.name}}
    return value


def decode(value: Any) -> Any:
    """What `encode`, or Keras, wrote."""
    if isinstance(value, Mapping) and value.get("class_name") in ("__numpy__", "__tensor__"):
        config = value["config"]
        return np.array(config["value"], dtype=to_numpy(resolve_numeric(config["dtype"])))
    return value


def cut(whole: Array, part: layout.Part) -> Array:
    """The part of an array that exists as a whole."""
    flat = np.ascontiguousarray(whole).reshape(-1)
    if 0 in part.shape:
        return np.empty(part.shape, whole.dtype)
    if part.starts is not None:
        row = math.prod(whole.shape[1:])
        found: Array = flat.reshape(-1, row)[part.starts // np.uint64(row)].reshape(part.shape)
        return found
    # The step of a single entry is never taken, and may be larger than any stride.
    strides = [step * flat.itemsize if n > 1 else 0 for n, step in zip(part.shape, part.steps, strict=True)]
    found = np.lib.stride_tricks.as_strided(flat[part.start :], part.shape, strides, writeable=False)
    return found
