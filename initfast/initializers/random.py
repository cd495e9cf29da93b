"""The base class of the random initializers, and one initializer for each distribution."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

from initfast.core import engine, indexing
from initfast.core.buffers import Buffer
from initfast.core.dtypes import DType, resolve
from initfast.core.moments import Moments
from initfast.core.rounding import in_fixed_environment
from initfast.core.seeds import (
    AnySeed,
    ReusedSeedWarning,
    Seed,
    SeedGenerator,
    given_seed,
    live_seed,
)
from initfast.core.types import Array, DTypeLike, Shape
from initfast.core.warn import warn
from initfast.initializers import sources
from initfast.initializers.base import Direct
from initfast.initializers.copies import Config, Uses
from initfast.initializers.fans import check_axes, compute_fans
from initfast.initializers.validation import encode, number

if TYPE_CHECKING:
    from initfast._kernels import Source

__all__ = ["RandomInitializer", "RandomNormal", "RandomUniform", "TruncatedNormal"]


class RandomInitializer(Direct):
    """Base class of the initializers that draw from a stream.

    A subclass implements `for_shape(shape)`, which returns the initializer of initfast that draws
    an array of this logical shape. Seeds, axes, parts, moments, configs and copies then work as for
    all other initializers:

    >>> import initfast as ift
    >>> class DepthScaled(ift.RandomInitializer):
    ...     def __init__(self, layers, seed=None):
    ...         super().__init__(seed)
    ...         self.layers = layers
    ...
    ...     def for_shape(self, shape):
    ...         fan_in, _ = self.fans(shape)
    ...         return ift.RandomNormal(stddev=(2 * self.layers * fan_in) ** -0.5)
    >>> DepthScaled(12, seed=42).rows((10**9, 64), [7]).shape
    (1, 64)

    Args:
        seed: None (drawn once from Python's `random`), an integer in [0, 2**64) or a `Seed`: every
            call draws the same values. A `SeedGenerator`: every call, also of `fill`, `block` and
            `rows`, draws from the next stream, so use a fixed seed for the parts of one array. The
            serialized seed of a config is also accepted.
    """

    def __init__(self, seed: AnySeed = None) -> None:
        self._set_seed(seed)

    _config_keys: ClassVar[tuple[str, ...] | None] = None
    input_axes: tuple[int, ...] | None = None
    output_axes: tuple[int, ...] | None = None

    def for_shape(self, shape: indexing.Dims) -> RandomInitializer:
        """Return the initializer that draws an array of this logical shape, such as a RandomNormal.

        Its seed is not used.

        Args:
            shape: the logical shape, as a tuple of integers.
        """
        raise NotImplementedError("RandomInitializer subclasses must implement `for_shape(shape)`")

    @in_fixed_environment
    def resolved(self, shape: indexing.Dims) -> RandomInitializer:
        """Return the initializer of initfast that draws the same array of logical `shape`."""
        if type(self).for_shape is RandomInitializer.for_shape:
            return self
        return self.for_shape(shape).resolved(shape).with_seed(self._given_seed)

    def fans(self, shape: Shape) -> tuple[int, int]:
        """Return (fan_in, fan_out) of a logical `shape`: `compute_fans` with the axes of this
        initializer.
        """
        return compute_fans(indexing.normalize_shape(shape), self.input_axes, self.output_axes)

    def with_axes(self, input_axes: Sequence[int], output_axes: Sequence[int]) -> Self:
        if (self.input_axes, self.output_axes) != (None, None):
            return self
        initializer = copy.copy(self)
        initializer.input_axes = check_axes("input_axes", input_axes)
        initializer.output_axes = check_axes("output_axes", output_axes)
        return initializer

    def _set_seed(self, seed: AnySeed) -> None:
        self._given_seed = given_seed(seed)
        self._live_seed = live_seed(self._given_seed)
        self._uses = Uses()

    @property
    def seed(self) -> int | Seed | SeedGenerator:
        """Return the seed in use: the constructor's `Seed` or `SeedGenerator`, or an integer."""
        live = self._live_seed
        return (
            live.seed if isinstance(live, Seed) and not isinstance(self._given_seed, Seed) else live
        )

    def __call__(self, shape: Shape, dtype: DTypeLike = None) -> Array:
        values = super().__call__(shape, dtype)
        self._count_whole()
        return values

    def with_seed(self, seed: AnySeed) -> Self:
        initializer = copy.copy(self)
        initializer._set_seed(seed)
        return initializer

    def pinned(self) -> Self:
        initializer = self.with_seed(self._next_seed())
        self._count_whole()
        return initializer

    def _dtype(self, dtype: DTypeLike) -> DType:
        return resolve(dtype)

    @in_fixed_environment
    def _source(self, shape: indexing.Dims, dtype: DType) -> Source:
        initializer = self.for_shape(shape)
        if not isinstance(initializer, RandomInitializer) or initializer.whole_only:
            raise TypeError(
                "for_shape must return a random initializer of initfast, such as RandomNormal; "
                f"received {initializer!r}"
            )
        return initializer._source(shape, dtype)

    def _write(self, target: Buffer, shape: indexing.Dims, part: indexing.Part) -> None:
        source = self._source(shape, resolve(target.dtype))
        engine.fill(source, self._next_seed(), target, part)

    def _write_measured(self, target: Buffer, shape: indexing.Dims, part: indexing.Part) -> Moments:
        source = self._source(shape, resolve(target.dtype))
        moments = engine.fill(source, self._next_seed(), target, part, measured=True)
        assert moments is not None
        return moments

    def _next_seed(self) -> Seed:
        live = self._live_seed
        return live if isinstance(live, Seed) else live.next()

    def _count_whole(self, address: int = -1) -> None:
        live = self._live_seed
        if isinstance(live, Seed) and self._uses.again(address):
            warn(
                f"{self!r}, or a copy of it, makes a second whole array from one fixed stream: "
                "both hold the same values. Use a separate stream for each array: "
                f"seed=Seed({live.seed}).named('layer/kernel'), or "
                f"seed=SeedGenerator({live.seed}) for a new stream at each call.",
                ReusedSeedWarning,
            )

    def get_config(self) -> dict[str, Any]:
        others = {key: value for key, value in super().get_config().items() if key != "seed"}
        return Config({"seed": encode(self._given_seed), **others}, self)

    def _arguments(self) -> dict[str, Any]:
        axes = (self.input_axes, self.output_axes)
        return {**self.get_config(), "seed": self.seed, "axes": axes}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        initializer = super().from_config(config)
        if isinstance(config, Config):
            initializer._join(config.origin)
        return initializer

    def _join(self, origin: Self) -> None:
        """Share the record of arrays with `origin`, unless a seed of None was drawn again."""
        if self._live_seed == origin._live_seed:
            self._uses = origin._uses


class RandomNormal(RandomInitializer):
    """Normal values: `mean + stddev * z`, with standard normal z.

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
        return sources.normal(self.mean, self.stddev, dtype)


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
        return sources.uniform(self.minval, self.maxval, dtype)


class TruncatedNormal(RandomInitializer):
    """Normal values truncated at `mean + lower * stddev` and `mean + upper * stddev`.

    Args:
        mean, stddev: finite numbers, stddev >= 0: the parameters before truncation. Values
            truncated at -2 and 2 have the standard deviation 0.8796 * stddev, as in Keras.
        seed: None, an integer in [0, 2**64), `Seed` or `SeedGenerator`.
        lower, upper: finite numbers in units of stddev, lower < upper. Keras always uses -2 and 2,
            so the config contains the bounds only if they differ.

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
        return sources.truncated_normal(self.mean, self.stddev, self.lower, self.upper, dtype)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        if (self.lower, self.upper) != (-2.0, 2.0):
            config.update(lower=self.lower, upper=self.upper)
        return config


def _stddev(value: object) -> float:
    stddev = number("stddev", value)
    if stddev < 0.0:
        raise ValueError(f"stddev must be >= 0; received {value!r}")
    return stddev
