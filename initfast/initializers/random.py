"""The random initializers: distributions by name, and presets as rows over `VarianceScaling`."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

from initfast.core import distributions, indexing
from initfast.core.dtypes import DType
from initfast.core.rounding import in_fixed_environment
from initfast.core.seeds import AnySeed
from initfast.core.warn import warn
from initfast.initializers.base import RandomInitializer
from initfast.initializers.fans import AXES, check_axes, compute_fans
from initfast.initializers.precision import check_normal, check_table, check_uniform
from initfast.initializers.validation import number

if TYPE_CHECKING:
    from initfast._kernels import Source

__all__ = [
    "GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform", "LecunNormal", "LecunUniform",
    "RandomNormal", "RandomUniform", "TruncatedNormal", "VarianceScaling",
]  # fmt: skip

MODES = ("fan_in", "fan_out", "fan_avg")
DISTRIBUTIONS = ("uniform", "truncated_normal", "untruncated_normal")
# Standard deviation of a standard normal cut at -2 and 2: scipy.stats.truncnorm.std(-2, 2).
TRUNCATED_STDDEV = 0.87962566103423978


class RandomNormal(RandomInitializer):
    """Normal values: `mean + stddev * z`.

    Args:
        mean, stddev: finite numbers, stddev >= 0.
        seed: None, an integer in [0, 2**64), `Seed` or `SeedGenerator`.

    >>> RandomNormal(stddev=0.01, seed=7)((2, 3)).shape
    (2, 3)
    """

    _config_keys = ("mean", "stddev")
    _always_shown = ("stddev",)

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: AnySeed = None) -> None:
        self.mean = number("mean", mean)
        self.stddev = _stddev(stddev)
        super().__init__(seed)

    def _source(self, shape: indexing.Dims, dtype: DType) -> Source:
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
    _always_shown = ("minval", "maxval")

    def __init__(self, minval: float = -0.05, maxval: float = 0.05, seed: AnySeed = None) -> None:
        self.minval = number("minval", minval)
        self.maxval = number("maxval", maxval)
        if self.minval > self.maxval:
            raise ValueError(
                f"minval must not exceed maxval; received minval={minval!r}, maxval={maxval!r}"
            )
        super().__init__(seed)

    def _source(self, shape: indexing.Dims, dtype: DType) -> Source:
        return _uniform(self.minval, self.maxval, dtype)


class TruncatedNormal(RandomInitializer):
    """Normal values cut at `mean + lower * stddev` and `mean + upper * stddev`.

    Args:
        mean, stddev: finite numbers of the normal before the cut, stddev >= 0. What is left of a
            cut at -2 and 2 has the standard deviation 0.8796 * stddev, as in Keras.
        seed: None, an integer in [0, 2**64), `Seed` or `SeedGenerator`.
        lower, upper: finite numbers in units of stddev, lower < upper. Keras has -2 and 2 only; so
            these are in the config where they differ from that, and Keras can read all others.

    >>> abs(TruncatedNormal(stddev=1.0, seed=7)((2, 3))).max() <= 2.0
    np.True_
    """

    _config_keys = ("mean", "stddev")
    _always_shown = ("stddev",)

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
            raise ValueError(
                f"lower must be less than upper; received lower={lower!r}, upper={upper!r}"
            )
        super().__init__(seed)

    def _source(self, shape: indexing.Dims, dtype: DType) -> Source:
        return _truncated_normal(self.mean, self.stddev, self.lower, self.upper, dtype)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        if (self.lower, self.upper) != (-2.0, 2.0):
            config.update(lower=self.lower, upper=self.upper)
        return config


class VarianceScaling(RandomInitializer):
    """Values of mean 0 and variance `scale / n`, where n is a fan of the logical shape.

    Args:
        scale: finite number > 0.
        mode: n is 'fan_in', 'fan_out' or their mean, 'fan_avg'; at least 1.
        distribution: 'truncated_normal' (also 'normal': of stddev `sqrt(scale / n) / 0.8796...` cut
            at 2 of it), 'untruncated_normal' or 'uniform' (in `+-sqrt(3 * scale / n)`).
        seed: None, an integer in [0, 2**64), `Seed` or `SeedGenerator`.
        input_axes, output_axes: the axes whose lengths multiply to the fans, both or none; default:
            `compute_fans`.

    >>> VarianceScaling(2.0, "fan_out", "uniform", seed=7)((2, 3), dtype="float16").dtype
    dtype('float16')
    """

    _config_keys: ClassVar[tuple[str, ...] | None] = (
        "scale",
        "mode",
        "distribution",
        "input_axes",
        "output_axes",
    )

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
            raise ValueError(
                f"Invalid `mode` argument: {mode}. Please use one of {_choices(MODES)}"
            )
        name = distribution.lower() if isinstance(distribution, str) else distribution
        name = "truncated_normal" if name == "normal" else name
        if not isinstance(name, str) or name not in DISTRIBUTIONS:
            raise ValueError(
                f"Invalid `distribution` argument: {distribution}.Please use one of "
                f"{_choices(DISTRIBUTIONS)}"
            )
        self.mode = mode
        self.distribution = name
        self.input_axes = check_axes("input_axes", input_axes)
        self.output_axes = check_axes("output_axes", output_axes)
        super().__init__(seed)

    def _check_out(self, out: object, shape: indexing.Dims) -> None:
        # Whoever holds a Parameter has imported torch.
        nn = getattr(sys.modules.get("torch"), "nn", None)
        held = isinstance(out, getattr(nn, "Parameter", ()))
        if held and len(shape) > 1 and (self.input_axes, self.output_axes) == (None, None):
            _check_parameter(type(self).__name__, self.mode, shape)

    def _source(self, shape: indexing.Dims, dtype: DType) -> Source:
        return _scaled(
            self.scale,
            self.mode,
            self.distribution,
            self.input_axes,
            self.output_axes,
            shape,
            dtype,
        )


class _Preset(VarianceScaling):
    """A row of the table below: VarianceScaling with scale, mode and distribution chosen."""

    _config_keys = ("input_axes", "output_axes")
    _row: ClassVar[tuple[float, str, str]]

    def __init_subclass__(
        cls, row: tuple[float, str, str] | None = None, source: str = "", **kwargs: Any
    ) -> None:
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


_PRESET_DOC = """Values of mean 0 and variance `{row[0]:g} / {row[1]}`, {row[2]}.

    The same as `VarianceScaling{row}`.

    Args:
        seed: None, an integer in [0, 2**64), `Seed` or `SeedGenerator`.
        input_axes, output_axes: the axes whose lengths multiply to the fans, both or none;
            default: `compute_fans`.

    Source: {source}.

    >>> {name}(seed=42)((64, 32)).shape
    (64, 32)
    """

_GLOROT = (
    "Glorot and Bengio 2010, Understanding the difficulty of training deep feedforward neural "
    "networks"
)
_LECUN = "LeCun, Bottou, Orr and Mueller 1998, Efficient BackProp"
_HE = "He, Zhang, Ren and Sun 2015, Delving deep into rectifiers"


class GlorotUniform(_Preset, row=(1.0, "fan_avg", "uniform"), source=_GLOROT): ...


class GlorotNormal(_Preset, row=(1.0, "fan_avg", "truncated_normal"), source=_GLOROT): ...


class LecunUniform(_Preset, row=(1.0, "fan_in", "uniform"), source=_LECUN): ...


class LecunNormal(_Preset, row=(1.0, "fan_in", "truncated_normal"), source=_LECUN): ...


class HeUniform(_Preset, row=(2.0, "fan_in", "uniform"), source=_HE): ...


class HeNormal(_Preset, row=(2.0, "fan_in", "truncated_normal"), source=_HE): ...


# A small call is dominated by making its Source, so each one is made once. Only floats without
# -0.0, strings and tuples of plain integers come in, so that equal keys are the same parameters.
_SOURCES = 1024


@lru_cache(_SOURCES)
def _uniform(minval: float, maxval: float, dtype: DType) -> Source:
    source = distributions.uniform(minval, maxval, dtype)
    check_uniform(minval, maxval, dtype)
    return source


@lru_cache(_SOURCES)
def _normal(mean: float, stddev: float, dtype: DType) -> Source:
    source = distributions.normal(mean, stddev, dtype)
    check_normal(mean, stddev, dtype)
    return source


@lru_cache(_SOURCES)
def _truncated_normal(
    mean: float, stddev: float, lower: float, upper: float, dtype: DType
) -> Source:
    source = distributions.truncated_normal(mean, stddev, lower, upper, dtype)
    check_normal(mean, stddev, dtype, lower, upper)
    return source


@lru_cache(_SOURCES)
@in_fixed_environment
def _scaled(
    scale: float,
    mode: str,
    distribution: str,
    input_axes: tuple[int, ...] | None,
    output_axes: tuple[int, ...] | None,
    shape: indexing.Dims,
    dtype: DType,
) -> Source:
    fan = _fan(mode, compute_fans(shape, input_axes, output_axes))
    # A power of 4 is taken off first, which changes no bit, so that no step leaves the range of
    # the floats if its result lies within.
    half = math.frexp(scale)[1] // 2
    variance = math.ldexp(scale, -2 * half) / max(1.0, fan)
    stddev = math.sqrt(variance)
    if mode != "fan_out" and None in (input_axes, output_axes):
        check_table(shape, math.ldexp(stddev, half))
    if distribution == "uniform":
        limit = math.ldexp(math.sqrt(3.0 * variance), half)
        return _uniform(-limit, limit, dtype)
    if distribution == "untruncated_normal":
        return _normal(0.0, math.ldexp(stddev, half), dtype)
    stddev = math.ldexp(stddev / TRUNCATED_STDDEV, half)
    return _truncated_normal(0.0, stddev, -2.0, 2.0, dtype)


def _fan(mode: str, fans: tuple[int, int]) -> float:
    return {"fan_in": fans[0], "fan_out": fans[1], "fan_avg": sum(fans) / 2}[mode]


@lru_cache(_SOURCES)
def _check_parameter(name: str, mode: str, shape: indexing.Dims) -> None:
    """Warn, once, of a weight of torch, which is (out, in), with fans of (in, out)."""
    ours, torchs = (_fan(mode, AXES[engine].fans(shape)) for engine in ("keras", "torch"))
    if ours != torchs:
        warn(
            f"{name} takes a weight of shape {shape} as (in, out), with {mode} {ours:g}, and a "
            f"torch.nn.Parameter is (out, in), with {mode} {torchs:g}: use initfast.torch, its "
            "functions or initialize(module, seed), or pass "
            "input_axes and output_axes",
            RuntimeWarning,
        )


def _stddev(value: object) -> float:
    stddev = number("stddev", value)
    if stddev < 0.0:
        raise ValueError(f"stddev must be >= 0; received {value!r}")
    return stddev


def _choices(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names))
