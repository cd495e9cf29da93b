"""The base class of all initializers: whole arrays, parts of arrays, JSON, and the seed."""

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

    A subclass implements `__call__(shape, dtype=None)`, as in Keras, and stores each argument of
    its constructor in an attribute of that name (or implements `get_config()`). `fill`, `fill_run`,
    `block` and `rows` then work too: they make the whole array and copy the part. If the
    constructor takes `seed`, or `input_axes` and `output_axes`, the adapters pass the seed and axes
    of each tensor. Derive from `RandomInitializer` to compute only the requested part.

    >>> import numpy as np, initfast as ift
    >>> class Ramp(ift.Initializer):
    ...     def __call__(self, shape, dtype=None):
    ...         return np.arange(np.prod(shape), dtype=dtype or "float32").reshape(shape)
    >>> Ramp().rows((4, 2), [3, 0]).tolist()
    [[6.0, 7.0], [0.0, 1.0]]
    """

    _config_keys: ClassVar[tuple[str, ...] | None] = None
    """The names of the arguments in a config; None: all arguments of the constructor."""

    _always_shown: ClassVar[tuple[str, ...]] = ()
    """The arguments that repr shows even if they have their default values."""

    whole_only: ClassVar[bool] = True
    """Whether a part costs as much as the whole array, from which it is copied. Callers then make
    the whole array once.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__init__" in vars(cls) and "_config_keys" not in vars(cls):
            cls._config_keys = None  # the base class has other arguments

    def __call__(self, shape: Shape, dtype: DTypeLike = None) -> Array:
        """Return a new array of `shape` and `dtype` (default: float32), aligned to 64 bytes."""
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
            shape: the logical shape, from which fans are computed; default: the shape of `out`.
            index: a NumPy basic index into the logical array; `out` must have the shape of this
                part. Default: the whole array.
            dtype: the element type, for a buffer without one (bytes, or uint16 memory that holds
                bfloat16).
            moments: called with the `typing.Moments` of the written elements: their count, mean,
                std, minimum and maximum, in float64. Random values are measured while they are in
                the cache, with the same bits for any number of threads.

        Raises:
            ValueError, TypeError, IndexError: an argument is wrong; nothing has been written.

        >>> import initfast as ift
        >>> moments = []
        >>> init = ift.RandomNormal(stddev=2.0, seed=7)
        >>> out = init.fill(np.empty(10_000), moments=moments.append)
        >>> round(moments[0].std, 1)
        2.0
        """
        if shape is None:
            if index is not None:
                raise ValueError(
                    f"index needs the logical shape: pass shape=; received index={index!r}"
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
        """Fill a one-dimensional `out` with consecutive elements in C order, and return it.

        Args:
            out: a writable buffer on the CPU, with one dim; untyped bytes need `dtype`.
            shape: the logical shape, of at least ``start + len(out)`` elements.
            start: the number of the first element, counted in C order from 0.
            dtype: the element type, for a buffer without one.
            moments: as in `fill`.

        Raises:
            ValueError, TypeError: an argument is wrong; nothing has been written.

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
                f"start and out must lie within the {math.prod(logical)} elements of shape "
                f"{logical}; received start {start} and {target.shape[0]} elements"
            )
        self._fill(target, logical, indexing.run(start, target.shape[0]), moments)
        return out

    def block(self, shape: Shape, index: Index, dtype: DTypeLike = None) -> Array:
        """Return `init(shape)[index]`, byte for byte, as a new array.

        Args:
            shape: the logical shape, up to 8 dims and 2**63 elements.
            index: any NumPy basic index: integers, slices with any step, Ellipsis.
            dtype: default float32.

        Raises:
            ValueError, TypeError, IndexError: an argument is wrong.

        >>> import initfast as ift
        >>> ift.RandomNormal(stddev=0.02, seed=42).block((10**9, 128), np.s_[-100:, :64]).shape
        (100, 64)
        """
        logical = indexing.normalize_shape(shape)
        return self._new(logical, indexing.select(logical, index), dtype)

    @overload
    def rows(self, shape: Shape, ids: RowIds, dtype: DTypeLike = None) -> Array: ...
    @overload
    def rows(self, shape: Shape, ids: RowIds, dtype: DTypeLike = None, *, out: Out) -> Out: ...
    def rows(self, shape: Shape, ids: RowIds, dtype: DTypeLike = None, *, out: Any = None) -> Any:
        """Return the rows `init(shape)[ids]`, byte for byte, as a new array or in `out`.

        Args:
            shape: the logical shape, of at least one dim.
            ids: integers in [0, shape[0]), an array of any rank in any order; repeats are allowed.
            dtype: default float32, or the dtype of `out`.
            out: a writable buffer as for `fill`, of shape `ids.shape + shape[1:]`. It is filled
                and returned.

        Raises:
            ValueError, TypeError, IndexError: an argument is wrong; nothing has been written.

        >>> import initfast as ift
        >>> ift.Identity().rows((5, 3), [1, 4, 1]).tolist()
        [[0.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
        """
        logical = indexing.normalize_shape(shape)
        part = indexing.take(logical, ids)
        if out is None:
            return self._new(logical, part, dtype)
        self._write(view(out, dtype, part.shape), logical, part)
        return out

    def with_seed(self, seed: AnySeed) -> Self:
        """Return a copy with another seed, or this initializer itself if it takes no seed.

        Args:
            seed: None, an integer in [0, 2**64), `Seed` or `SeedGenerator`.

        >>> import initfast as ift
        >>> ift.HeNormal(seed=42).with_seed(43)
        HeNormal(seed=43)
        """
        return self._with(seed=seed)

    def with_axes(self, input_axes: Sequence[int], output_axes: Sequence[int]) -> Self:
        """Return a copy with these axes, or this initializer itself if it has axes or takes none.

        Args:
            input_axes, output_axes: the axes whose lengths multiply to the fans.

        >>> import initfast as ift
        >>> ift.HeNormal(seed=42).with_axes([1], [0])
        HeNormal(seed=42, input_axes=(1,), output_axes=(0,))
        """
        axes = (getattr(self, "input_axes", None), getattr(self, "output_axes", None))
        if axes != (None, None):
            return self
        return self._with(input_axes=input_axes, output_axes=output_axes)

    def _with(self, **arguments: Any) -> Self:
        """Return a copy with other arguments, or this initializer if it does not take them."""
        if not arguments.keys() <= _parameters(type(self)):  # type: ignore[arg-type]
            return self
        config = self.get_config()
        missing = [name for name in arguments if name not in config]
        if missing:
            raise TypeError(
                f"get_config() of {type(self).__name__} must return every argument of the "
                f"constructor; missing: {', '.join(missing)}"
            )
        return self.from_config({**config, **arguments})

    def pinned(self) -> Self:
        """Return an initializer with one fixed stream: for a random one, a copy with its current
        stream or the next of its SeedGenerator; otherwise itself."""
        return self

    def _dtype(self, dtype: DTypeLike) -> DType:
        return resolve_numeric(dtype)

    def _check_out(self, out: object, shape: indexing.Dims) -> None:
        """Warn if the axes of `out` are in another order than this initializer expects."""

    def _count_whole(self, address: int = -1) -> None:
        """Record that a whole array was made, in memory at `address`; -1: in new memory."""

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
        """Write a part, and call `moments` with its moments unless it is None."""
        if moments is None:
            self._write(target, shape, part)
        else:
            moments(self._write_measured(target, shape, part))

    def _write_measured(self, target: Buffer, shape: indexing.Dims, part: indexing.Part) -> Moments:
        """Write as `_write` does, and return the moments of the part."""
        self._write(target, shape, part)
        return measure(target.array)

    def _write(self, target: Buffer, shape: indexing.Dims, part: indexing.Part) -> None:
        """Write a part of the logical array of `shape` into memory of the part's shape.

        This default is for subclasses with only Keras' `__call__`; the initializers of initfast
        derive from `Direct`.
        """
        values = np.asarray(self(shape, target.dtype))
        if values.shape != shape:
            raise ValueError(
                f"{type(self).__name__} must return an array of the requested shape, {shape}; "
                f"received {values.shape}"
            )
        target.array[...] = indexing.cut(values, part)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor in JSON form, for `from_config`."""
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
                    f"{type(self).__name__} must store its argument {key!r} in an attribute of "
                    "that name, or implement get_config()"
                )
        return {key: encode(getattr(self, key)) for key in keys}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Return the initializer of a `config` of initfast, or of any version of Keras."""
        parameters = inspect.signature(cls).parameters
        # Configs of tf.keras contain a dtype, which initializers do not use.
        arguments = {
            key: decode(value)
            for key, value in config.items()
            if key in parameters or key != "dtype"
        }
        unknown = [key for key in arguments if key not in parameters]
        if unknown and not any(
            parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()
        ):
            choices = ", ".join(map(repr, parameters)) or "no arguments"
            raise ValueError(
                f"the config of {cls.__name__} takes {choices}; received {unknown[0]!r}"
            )
        return cls(**arguments)

    def clone(self) -> Self:
        """Return a new initializer with the same config; a seed of None is drawn again."""
        return self.from_config(self.get_config())

    def __eq__(self, other: object) -> bool:
        """Return whether both have the same class, arguments and seed, and so make the same values.

        Initializers with SeedGenerators are equal if they share the generator.
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
        arguments = []
        for name, parameter in inspect.signature(type(self)).parameters.items():
            value = getattr(self, name, parameter.default)
            always = name in self._always_shown
            if always or isinstance(value, np.ndarray) or value != parameter.default:
                arguments.append(f"{name}={value!r}")
        return f"{type(self).__name__}({', '.join(arguments)})"


@lru_cache(1024)  # `inspect` is slow, and models call this for each tensor
def _parameters(kind: type[Initializer]) -> frozenset[str]:
    """Return the names of a constructor's arguments."""
    return frozenset(inspect.signature(kind).parameters)


class Direct(Initializer):
    """Base class of the initializers that compute any part directly, in `_write`."""

    whole_only = False
    _config_keys: ClassVar[tuple[str, ...] | None] = ()
    _refuse_keras = refuse_keras

    def __call__(self, shape: Shape, dtype: DTypeLike = None) -> Array:
        self._refuse_keras()
        logical = indexing.normalize_shape(shape)
        return self._new(logical, indexing.whole(logical), dtype)

    def _write(self, target: Buffer, shape: indexing.Dims, part: indexing.Part) -> None:
        raise NotImplementedError("Direct subclasses must implement `_write(target, shape, part)`")

    def get_config(self) -> dict[str, Any]:
        self._refuse_keras()
        return super().get_config()
