"""What all initializers share: whole arrays, parts of them, JSON, and the seed."""

from __future__ import annotations

import copy
import inspect
import math
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

import numpy as np

from initfast.core import engine, indexing
from initfast.core.buffers import Buffer, new, view
from initfast.core.dtypes import DType, resolve, resolve_numeric
from initfast.core.moments import Moments, measure
from initfast.core.seeds import (
    AnySeed,
    ReusedSeedWarning,
    Seed,
    SeedGenerator,
    given_seed,
    live_seed,
)
from initfast.core.types import Array, DTypeLike, Index, RowIds, Shape
from initfast.initializers.callers import refuse_keras
from initfast.initializers.validation import decode, encode

if TYPE_CHECKING:
    from initfast._kernels import Source

Out = TypeVar("Out")


class Initializer:
    """Base class of all initializers.

    A subclass writes `__call__(shape, dtype=None)`, and `get_config()` if its constructor takes
    arguments, as in Keras. It then has `fill`, `fill_run`, `block` and `rows` too, which make the
    whole array and cut the part out of it."""

    _config_keys: ClassVar[tuple[str, ...]] = ()

    whole_only: ClassVar[bool] = True
    """Whether a part costs as much as the whole array, from which it is cut; callers then make the
    whole once.
    """

    def __call__(self, shape: Shape, dtype: DTypeLike = None) -> Array:
        """A new array of `shape`, float32 unless `dtype` says otherwise, aligned to 64 bytes."""
        raise NotImplementedError("Initializer subclasses must implement the `__call__()` method.")

    def fill(
        self,
        out: Out,
        shape: Shape | None = None,
        index: Index = None,
        *,
        dtype: DTypeLike = None,
        moments: Callable[[Moments], object] | None = None,
    ) -> Out:
        """Fill `out` in place, as a whole array or as a part of a logical array, and return it.

        Args:
            out: a writable buffer on the CPU: NumPy array (any strides), memmap, array.array, torch
                tensor, ...
            shape: the logical shape; default: that of `out` itself. Fans come from it.
            index: a NumPy basic index into the logical array; `out` has the shape of that part.
                Default: the whole.
            dtype: the element type, for a buffer that cannot say it (bytes, or uint16 that means
                bfloat16).
            moments: called with the `typing.Moments` of the elements written: their count, mean,
                std, minimum and maximum, in float64. Random values are measured while they are in
                the cache, with the same bits for any number of threads.

        Raises:
            ValueError, TypeError, IndexError: nothing has been written then.

        >>> import initfast as ift
        >>> found = []
        >>> out = ift.RandomNormal(stddev=2.0, seed=7).fill(np.empty(10_000), moments=found.append)
        >>> round(found[0].std, 1)
        2.0
        """
        if shape is None:
            if index is not None:
                raise ValueError(
                    "index needs shape=, the logical shape that it looks into; received "
                    f"index={index!r}"
                )
            target = view(out, dtype)
            logical = target.shape
            part = indexing.whole(logical)
        else:
            logical = indexing.normalize_shape(shape)
            part = indexing.whole(logical) if index is None else indexing.select(logical, index)
            target = view(out, dtype, part.shape)
        self._fill(target, logical, part, moments)
        return out

    def fill_run(
        self,
        out: Out,
        shape: Shape,
        start: int,
        *,
        dtype: DTypeLike = None,
        moments: Callable[[Moments], object] | None = None,
    ) -> Out:
        """Fill a flat `out` with the elements from `start` on, in C order, and return it.

        Args:
            out: a writable buffer on the CPU, of one dim; untyped bytes need `dtype`.
            shape: the logical shape, which holds at least ``start + len(out)`` elements.
            start: element of the logical array, counted in C order, with which `out` begins.
            dtype: the element type, for a buffer that cannot say it.
            moments: as in `fill`.

        Raises:
            ValueError, TypeError: nothing has been written then.

        >>> import initfast as ift
        >>> ift.Identity().fill_run(np.empty(4), (3, 3), start=2).tolist()
        [0.0, 0.0, 1.0, 0.0]
        """
        target = view(out, dtype)
        logical = indexing.normalize_shape(shape)
        if len(target.shape) != 1:
            raise ValueError(f"out must have one dim; received shape {target.shape}")
        if not 0 <= start <= math.prod(logical) - target.shape[0]:
            raise ValueError(
                f"a run must lie within the {math.prod(logical)} elements of shape {logical};"
                f" received {target.shape[0]} from element {start} on"
            )
        self._fill(target, logical, indexing.run(start, target.shape[0]), moments)
        return out

    def block(self, shape: Shape, index: Index, dtype: DTypeLike = None) -> Array:
        """The part `init(shape)[index]` of a logical array, byte for byte, as a new array.

        Args:
            shape: the logical shape, up to 8 dims and 2**63 elements.
            index: any NumPy basic index: integers, slices with any step, Ellipsis.
            dtype: default float32.
        """
        logical = indexing.normalize_shape(shape)
        return self._new(logical, indexing.select(logical, index), dtype)

    def rows(self, shape: Shape, ids: RowIds, dtype: DTypeLike = None) -> Array:
        """The rows `init(shape)[ids]` of a logical array, byte for byte, as a new array.

        Args:
            shape: the logical shape, of at least one dim.
            ids: integers in [0, shape[0]) in an array of any rank, in any order, with repeats or
                without.
            dtype: default float32.
        """
        logical = indexing.normalize_shape(shape)
        return self._new(logical, indexing.take(logical, ids), dtype)

    def with_seed(self, seed: AnySeed) -> Self:
        """The same initializer with another seed; one that draws nothing is returned as it is.

        Args:
            seed: None, an integer in [0, 2**64), `Seed` or `SeedGenerator`.
        """
        return self

    def pinned(self) -> Self:
        """Return this initializer with one fixed stream: its own, or its SeedGenerator's next."""
        return self

    def _dtype(self, dtype: DTypeLike) -> DType:
        return resolve_numeric(dtype)

    def _new(self, shape: indexing.Dims, part: indexing.Part, dtype: DTypeLike) -> Array:
        target = new(part.shape, self._dtype(dtype))
        self._write(target, shape, part)
        return target.owner

    def _fill(
        self,
        target: Buffer,
        shape: indexing.Dims,
        part: indexing.Part,
        moments: Callable[[Moments], object] | None,
    ) -> None:
        if moments is None:
            self._write(target, shape, part)
        else:
            moments(self._write_measured(target, shape, part))

    def _write_measured(self, target: Buffer, shape: indexing.Dims, part: indexing.Part) -> Moments:
        """Write as `_write` does, and return the moments of the part."""
        self._write(target, shape, part)
        return measure(target.array)

    def _write(self, target: Buffer, shape: indexing.Dims, part: indexing.Part) -> None:
        """Write the part of the logical array of `shape` into memory that has the part's shape.

        This one is for subclasses that have only Keras' `__call__`; those of initfast are `Direct`.
        """
        target.array[...] = indexing.cut(np.asarray(self(shape, target.dtype)), part)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments for JSON; `from_config` makes an equal initializer."""
        return {key: encode(getattr(self, key)) for key in self._config_keys}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Return the initializer of a config, ours or Keras' of any version."""
        known = inspect.signature(cls).parameters
        # tf.keras wrote a dtype into these configs, which no initializer keeps.
        given = {
            key: decode(value) for key, value in config.items() if key in known or key != "dtype"
        }
        unknown = [key for key in given if key not in known]
        if unknown and not any(
            parameter.kind is parameter.VAR_KEYWORD for parameter in known.values()
        ):
            choices = ", ".join(map(repr, known)) or "nothing"
            raise ValueError(
                f"the config of {cls.__name__} takes {choices}; received {unknown[0]!r}"
            )
        return cls(**given)

    def clone(self) -> Self:
        """Return a new initializer of the same config; a seed of None is drawn again."""
        return self.from_config(self.get_config())

    def __repr__(self) -> str:
        shown = []
        for name, parameter in inspect.signature(type(self)).parameters.items():
            value = getattr(self, name, parameter.default)
            if isinstance(value, np.ndarray) or value != parameter.default:
                shown.append(f"{name}={value!r}")
        return f"{type(self).__name__}({', '.join(shown)})"


class Direct(Initializer):
    """Base of the initializers that make any part by itself, in `_write`; the whole is one too."""

    whole_only = False
    _refuse_keras = refuse_keras

    def __call__(self, shape: Shape, dtype: DTypeLike = None) -> Array:
        self._refuse_keras()
        logical = indexing.normalize_shape(shape)
        return self._new(logical, indexing.whole(logical), dtype)

    def _write(self, target: Buffer, shape: indexing.Dims, part: indexing.Part) -> None:
        raise NotImplementedError(
            "a direct initializer must implement `_write(target, shape, part)`"
        )

    def get_config(self) -> dict[str, Any]:
        self._refuse_keras()
        return super().get_config()


class RandomInitializer(Direct):
    """Base of the initializers that draw from a stream: a subclass defines `_source`.

    Args:
        seed: None (drawn once from Python's `random`), an integer in [0, 2**64) or a `Seed`: every
            call draws the same values. A `SeedGenerator`: every call, also of `fill`, `block` and
            `rows`, draws from the next stream, so parts of one logical array want a fixed seed. A
            config's serialized seed is also accepted.
    """

    def __init__(self, seed: AnySeed = None) -> None:
        self._set_seed(seed)

    def _set_seed(self, seed: AnySeed) -> None:
        self._given_seed = given_seed(seed)
        self._live_seed = live_seed(self._given_seed)
        self._draws = 0  # whole arrays made of a fixed stream; counted no further than 2

    @property
    def seed(self) -> int | Seed | SeedGenerator:
        """The seed in use: the `Seed` or `SeedGenerator` given, else an integer."""
        live = self._live_seed
        return (
            live.seed if isinstance(live, Seed) and not isinstance(self._given_seed, Seed) else live
        )

    def __call__(self, shape: Shape, dtype: DTypeLike = None) -> Array:
        values = super().__call__(shape, dtype)
        self._count_whole()
        return values

    def with_seed(self, seed: AnySeed) -> Self:
        made = copy.copy(self)
        made._set_seed(seed)
        return made

    def pinned(self) -> Self:
        made = self.with_seed(self._next_seed())
        self._count_whole()
        return made

    def _dtype(self, dtype: DTypeLike) -> DType:
        return resolve(dtype)

    def _source(self, shape: indexing.Dims, dtype: DType) -> Source:
        raise NotImplementedError("random initializers must implement `_source(shape, dtype)`")

    def _write(self, target: Buffer, shape: indexing.Dims, part: indexing.Part) -> None:
        source = self._source(shape, resolve(target.dtype))
        engine.fill(source, self._next_seed(), target, part)

    def _write_measured(self, target: Buffer, shape: indexing.Dims, part: indexing.Part) -> Moments:
        source = self._source(shape, resolve(target.dtype))
        found = engine.fill(source, self._next_seed(), target, part, measured=True)
        assert found is not None
        return found

    def _next_seed(self) -> Seed:
        live = self._live_seed
        return live if isinstance(live, Seed) else live.next()

    def _count_whole(self) -> None:
        """Warn of the second whole array of one stream, which holds the values of the first."""
        live = self._live_seed
        if isinstance(live, Seed) and self._draws < 2:
            self._draws += 1
            if self._draws == 2:
                warnings.warn(
                    f"{self!r} has one fixed stream and makes a second whole array: both hold the "
                    "same values. Give "
                    "each array a stream of its own, "
                    f"seed=Seed({live.seed}).named('layer/kernel'), or a new one at "
                    f"each call, seed=SeedGenerator({live.seed}).",
                    ReusedSeedWarning,
                    stacklevel=3,
                )

    def get_config(self) -> dict[str, Any]:
        return {"seed": encode(self._given_seed), **super().get_config()}
