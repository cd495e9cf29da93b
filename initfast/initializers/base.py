"""What all initializers share: whole arrays, parts of them, JSON, and the seed."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, ClassVar, Self, TypeVar, overload

import numpy as np

from initfast.core import indexing
from initfast.core.buffers import Buffer, new, view
from initfast.core.dtypes import DType, resolve_numeric
from initfast.core.moments import Moments, measure
from initfast.core.seeds import AnySeed
from initfast.core.types import Array, DTypeLike, Index, RowIds, Shape
from initfast.initializers.callers import refuse_keras
from initfast.initializers.validation import decode, encode

Out = TypeVar("Out")


class Initializer:
    """Base class of all initializers.

    A subclass writes `__call__(shape, dtype=None)`, as in Keras, and keeps each argument of its
    constructor in an attribute of that name (or writes `get_config()`). It then has `fill`,
    `fill_run`, `block` and `rows` too, which make the whole array and cut the part out of it. If
    the constructor takes `seed`, or `input_axes` and `output_axes`, engines pass the seed and axes
    of a tensor. `RandomInitializer` is the base of random initializers, and makes only the part.
    """

    _config_keys: ClassVar[tuple[str, ...] | None] = None
    """The arguments in a config; None: all that the constructor has."""

    _always_shown: ClassVar[tuple[str, ...]] = ()
    """The arguments that repr shows with their default values too."""

    whole_only: ClassVar[bool] = True
    """Whether a part costs as much as the whole array, from which it is cut; callers then make the
    whole once.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__init__" in vars(cls) and "_config_keys" not in vars(cls):
            cls._config_keys = None  # those of the base are not its arguments

    def __call__(self, shape: Shape, dtype: DTypeLike = None) -> Array:
        """Return a new array of `shape`, float32 unless `dtype` says otherwise, aligned to 64
        bytes.
        """
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
        if not isinstance(out, np.ndarray):
            self._check_out(out, logical)
        self._fill(target, logical, part, moments)
        if index is None:
            self._count_whole(target.address)
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
        """Return the part `init(shape)[index]` of a logical array, byte for byte, as a new array.

        Args:
            shape: the logical shape, up to 8 dims and 2**63 elements.
            index: any NumPy basic index: integers, slices with any step, Ellipsis.
            dtype: default float32.
        """
        logical = indexing.normalize_shape(shape)
        return self._new(logical, indexing.select(logical, index), dtype)

    @overload
    def rows(self, shape: Shape, ids: RowIds, dtype: DTypeLike = None) -> Array: ...
    @overload
    def rows(self, shape: Shape, ids: RowIds, dtype: DTypeLike = None, *, out: Out) -> Out: ...
    def rows(self, shape: Shape, ids: RowIds, dtype: DTypeLike = None, *, out: Any = None) -> Any:
        """Return the rows `init(shape)[ids]` of a logical array, byte for byte, as a new array or
        in `out`.

        Args:
            shape: the logical shape, of at least one dim.
            ids: integers in [0, shape[0]) in an array of any rank, in any order, with repeats or
                without.
            dtype: default float32, or that of `out`.
            out: a writable buffer as for `fill`, of the shape `ids.shape + shape[1:]`; it is filled
                and returned.
        """
        logical = indexing.normalize_shape(shape)
        part = indexing.take(logical, ids)
        if out is None:
            return self._new(logical, part, dtype)
        self._write(view(out, dtype, part.shape), logical, part)
        return out

    def with_seed(self, seed: AnySeed) -> Self:
        """Return the same initializer with another seed; one that takes no seed is returned as it
        is.

        Args:
            seed: None, an integer in [0, 2**64), `Seed` or `SeedGenerator`.

        >>> import initfast as ift
        >>> ift.HeNormal(seed=42).with_seed(43)
        HeNormal(seed=43)
        """
        return self._with(seed=seed)

    def with_axes(self, input_axes: Sequence[int], output_axes: Sequence[int]) -> Self:
        """Return the same initializer with fans of other axes; one that takes none, or has axes of
        its own, is returned as it is.

        Args:
            input_axes, output_axes: the axes whose lengths multiply to the fans.
        """
        given = (getattr(self, "input_axes", None), getattr(self, "output_axes", None))
        if given != (None, None):
            return self
        return self._with(input_axes=input_axes, output_axes=output_axes)

    def _with(self, **arguments: Any) -> Self:
        """Return a new initializer with other arguments, or this one if it does not take them."""
        if not arguments.keys() <= _parameters(type(self)):  # type: ignore[arg-type]
            return self
        config = self.get_config()
        if not arguments.keys() <= config.keys():
            raise TypeError(
                f"get_config() must return every argument of the constructor; "
                f"{type(self).__name__} takes {', '.join(arguments)}, which are not in its config"
            )
        return self.from_config({**config, **arguments})

    def pinned(self) -> Self:
        """Return this initializer with one fixed stream: its own, or its SeedGenerator's next."""
        return self

    def _dtype(self, dtype: DTypeLike) -> DType:
        return resolve_numeric(dtype)

    def _check_out(self, out: object, shape: indexing.Dims) -> None:
        """Warn of memory in which the axes of `shape` mean something else than here."""

    def _count_whole(self, address: int = -1) -> None:
        """Note that a whole array was made, in memory at `address`; -1: in new memory."""

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
        made = np.asarray(self(shape, target.dtype))
        if made.shape != shape:
            raise ValueError(
                f"{type(self).__name__} must return an array of the shape asked for, {shape}; "
                f"received {made.shape}"
            )
        target.array[...] = indexing.cut(made, part)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments for JSON; `from_config` makes an equal initializer."""
        keys = self._config_keys
        if keys is None:
            keys = tuple(
                name
                for name, parameter in inspect.signature(type(self)).parameters.items()
                if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
            )
        for key in keys:
            if not hasattr(self, key):
                raise TypeError(
                    f"{type(self).__name__} must keep its argument {key!r} in an attribute of that "
                    "name, or write get_config()"
                )
        return {key: encode(getattr(self, key)) for key in keys}

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

    def __eq__(self, other: object) -> bool:
        """Return whether the other is of the same class, with the same arguments and the same seed:
        then both make the same values. Those of a SeedGenerator are equal if they share it.
        """
        if self is other:
            return True
        if type(other) is not type(self):
            return NotImplemented
        assert isinstance(other, Initializer)
        return self._arguments() == other._arguments()

    def __hash__(self) -> int:
        return hash(type(self))

    def _arguments(self) -> dict[str, Any]:
        return self.get_config()

    def __repr__(self) -> str:
        shown = []
        for name, parameter in inspect.signature(type(self)).parameters.items():
            value = getattr(self, name, parameter.default)
            always = name in self._always_shown
            if always or isinstance(value, np.ndarray) or value != parameter.default:
                shown.append(f"{name}={value!r}")
        return f"{type(self).__name__}({', '.join(shown)})"


@lru_cache(1024)  # `inspect` takes its time, and a model asks for each tensor
def _parameters(kind: type[Initializer]) -> frozenset[str]:
    """Return the names of a constructor's arguments."""
    return frozenset(inspect.signature(kind).parameters)


class Direct(Initializer):
    """Base of the initializers that make any part by itself, in `_write`; the whole is one too."""

    whole_only = False
    _config_keys: ClassVar[tuple[str, ...] | None] = ()
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
