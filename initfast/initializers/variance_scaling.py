"""`VarianceScaling`, whose variance follows from the fans, and its presets, such as `HeNormal`."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

from initfast.core import indexing
from initfast.core.dtypes import DType
from initfast.core.rounding import in_fixed_environment
from initfast.core.seeds import AnySeed
from initfast.core.warn import warn
from initfast.initializers import sources
from initfast.initializers.fans import AXES, check_axes, compute_fans
from initfast.initializers.precision import check_table
from initfast.initializers.random import RandomInitializer
from initfast.initializers.validation import number

if TYPE_CHECKING:
    from initfast._kernels import Source

__all__ = [
    "GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform", "LecunNormal", "LecunUniform",
    "VarianceScaling",
]  # fmt: skip

MODES = ("fan_in", "fan_out", "fan_avg")
DISTRIBUTIONS = ("uniform", "truncated_normal", "untruncated_normal")
# Standard deviation of a standard normal truncated at -2 and 2: scipy.stats.truncnorm.std(-2, 2).
TRUNCATED_STDDEV = 0.87962566103423978


class VarianceScaling(RandomInitializer):
    """Values of mean 0 and variance `scale / n`, where n is a fan of the logical shape.

    Args:
        scale: a finite number > 0.
        mode: n is 'fan_in', 'fan_out' or their mean, 'fan_avg'; a fan below 1 counts as 1.
        distribution: 'truncated_normal' or 'normal' (stddev `sqrt(scale / n) / 0.8796...`,
            truncated at 2 stddev), 'untruncated_normal', or 'uniform' (`+-sqrt(3 * scale / n)`).
        seed: None, an integer in [0, 2**64), `Seed` or `SeedGenerator`.
        input_axes, output_axes: the axes whose lengths multiply to the fans, both or neither;
            default: the axes of `compute_fans`.

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
        # A Parameter exists only if torch has been imported.
        nn = getattr(sys.modules.get("torch"), "nn", None)
        is_parameter = isinstance(out, getattr(nn, "Parameter", ()))
        if is_parameter and len(shape) > 1 and (self.input_axes, self.output_axes) == (None, None):
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
    """Base class of the presets: VarianceScaling with a fixed scale, mode and distribution."""

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
        input_axes, output_axes: the axes whose lengths multiply to the fans, both or neither;
            default: the axes of `compute_fans`.

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


@lru_cache(sources.SOURCES)
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
    """Return the Source of a VarianceScaling for a logical shape."""
    fan = _fan(mode, compute_fans(shape, input_axes, output_axes))
    # Divide by a power of 4 first, which is exact, so that no intermediate result overflows or
    # underflows if the final one does not.
    half = math.frexp(scale)[1] // 2
    variance = math.ldexp(scale, -2 * half) / max(1.0, fan)
    stddev = math.sqrt(variance)
    if mode != "fan_out" and None in (input_axes, output_axes):
        check_table(shape, math.ldexp(stddev, half))
    if distribution == "uniform":
        limit = math.ldexp(math.sqrt(3.0 * variance), half)
        return sources.uniform(-limit, limit, dtype)
    if distribution == "untruncated_normal":
        return sources.normal(0.0, math.ldexp(stddev, half), dtype)
    stddev = math.ldexp(stddev / TRUNCATED_STDDEV, half)
    return sources.truncated_normal(0.0, stddev, -2.0, 2.0, dtype)


def _fan(mode: str, fans: tuple[int, int]) -> float:
    return {"fan_in": fans[0], "fan_out": fans[1], "fan_avg": sum(fans) / 2}[mode]


@lru_cache(sources.SOURCES)
def _check_parameter(name: str, mode: str, shape: indexing.Dims) -> None:
    """Warn once if a torch weight, which is (out, in), is read as (in, out)."""
    ours, torchs = (_fan(mode, AXES[engine].fans(shape)) for engine in ("keras", "torch"))
    if ours != torchs:
        warn(
            f"{name} reads shape {shape} as (in, out), with {mode} {ours:g}, but a "
            f"torch.nn.Parameter is (out, in), with {mode} {torchs:g}: use the functions of "
            "initfast.torch or initfast.torch.initialize(module, seed), or pass input_axes and "
            "output_axes",
            RuntimeWarning,
        )


def _choices(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names))
