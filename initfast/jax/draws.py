"""Draw from a key under JAX's transformations. One primitive draws on the host in a plain call, and
with the handler of `ffi` in a compiled program."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import batching, mlir

from initfast.core import indexing
from initfast.core.buffers import empty
from initfast.core.dtypes import DType
from initfast.core.seeds import Seed
from initfast.core.types import Array, Shape
from initfast.initializers.base import Initializer
from initfast.initializers.blocks import check, source_of
from initfast.jax import ffi
from initfast.jax.arrays import concrete, enabled, make
from initfast.jax.keys import seed_of_words, words_of

P: Any = jax.sharding.PartitionSpec
Build = Callable[[Seed], Initializer]


def draw(
    build: Callable[[indexing.Dims, Seed], Initializer],
    key: Any,
    shape: Shape,
    dtype: Any,
    sharding: Any,
) -> jax.Array:
    """Return the array of the initializer that `build` returns for a shape and the seed of a key.

    The key may be traced; then the result is traced too.
    """
    logical = indexing.normalize_shape(shape)
    words = words_of(key)
    of_shape = partial(build, logical)
    native = enabled(dtype)
    values: jax.Array = _DRAW.bind(
        words,
        build=of_shape,
        shape=logical,
        dtype=native,
        sharding=sharding,
        needs_devices=ffi.NEEDS_DEVICES,
    )
    if not isinstance(values, jax.core.Tracer):
        return values
    # Nothing was drawn yet. Raise the errors of drawing now.
    sample = of_shape(Seed(0))
    check(sample, logical, native)
    if sample.whole_only:
        sample(tuple(min(n, 1) for n in logical), native)
    return values if sharding is None else _constrained(values, sharding)


def _constrained(values: jax.Array, sharding: Any) -> jax.Array:
    """Return traced values with a sharding, set by the partitioner or the types of a mesh."""
    constrain: Any = jax.lax.with_sharding_constraint
    spec = getattr(sharding, "spec", sharding)
    if not isinstance(spec, jax.sharding.PartitionSpec):
        sharding = concrete(sharding, values.shape)
    else:
        mesh = getattr(sharding, "mesh", None) or jax.sharding.get_abstract_mesh()
        if mesh.empty:
            raise ValueError(
                "sharding must have a mesh of devices, or be used under jax.set_mesh; received "
                f"{sharding}"
            )
        jax.sharding.NamedSharding(mesh, spec).shard_shape(values.shape)
        if jax.sharding.AxisType.Explicit in mesh.axis_types:
            constrain = jax.sharding.reshard
    constrained: jax.Array = constrain(values, sharding)
    return constrained


_DRAW: Any = Primitive("initfast")
"""The primitive: from the words of keys, uint32[..., 2 or 4], to an array of `shape` per key."""


def _run(
    words: Any, *, build: Build, shape: indexing.Dims, dtype: DType, sharding: Any, **_: Any
) -> jax.Array:
    """Return the result of a plain call, drawn on the host."""
    mesh = jax.sharding.get_mesh()
    if sharding is None and not mesh.empty:
        sharding = jax.sharding.NamedSharding(mesh, P())  # as jax.random does under jax.set_mesh
    if words.ndim == 1:
        return make(build(seed_of_words(words)), shape, concrete(sharding, shape), dtype)
    values: jax.Array = jax.device_put(_on_host(words, build, shape, dtype), sharding)
    return values


def _on_host(words: Any, build: Build, shape: indexing.Dims, dtype: DType) -> Array:
    """Return an array of `shape` for each key."""
    keys = np.asarray(words)
    values = empty((*keys.shape[:-1], *shape), dtype)
    count = math.prod(keys.shape[:-1])
    for array, key in zip(
        values.reshape(count, 1, *shape), keys.reshape(count, keys.shape[-1]), strict=True
    ):
        build(seed_of_words(key)).fill(array.reshape(shape))
    return values


def _shaped(words: Any, *, shape: indexing.Dims, dtype: DType, **_: Any) -> Any:
    """Return the type of the result, which varies over the axes of a mesh, and is sharded, as the
    keys are.
    """
    mesh = words.sharding.mesh
    if mesh.empty:
        mesh = jax.sharding.get_abstract_mesh()
    spec = P(*words.sharding.spec[:-1], *(None,) * len(shape))
    return words.update(
        shape=(*words.shape[:-1], *shape),
        dtype=dtype,
        weak_type=False,
        sharding=jax.sharding.NamedSharding(mesh, spec),
    )


def _batch(arguments: Any, dims: Any, **parameters: Any) -> Any:
    """Return the draw for a batch of keys, and its batch dim: the rule of `jax.vmap`."""
    words = jax.numpy.moveaxis(arguments[0], dims[0], 0)
    return _DRAW.bind(words, **parameters), 0


def _compile_for_cpu(
    ctx: Any, words: Any, *, build: Build, shape: indexing.Dims, dtype: DType, **_: Any
) -> Any:
    """Return a program that calls the kernels, or Python if the initializer has no Source."""
    source = source_of(build(Seed(0)), shape, dtype)
    if source is None:
        return _call_host(ctx, words, build=build, shape=shape, dtype=dtype)
    if ffi.partitioned(ctx) and not getattr(jax.config, "jax_use_shardy_partitioner", True):
        raise NotImplementedError(
            "initfast.jax in a jit over several devices needs the Shardy partitioner: call "
            "jax.config.update('jax_use_shardy_partitioner', True)"
        )
    return ffi.lower(ctx, words, ffi.call_of(source, shape, dtype))


def _call_host(
    ctx: Any, words: Any, *, build: Build, shape: indexing.Dims, dtype: DType, **_: Any
) -> Any:
    """Return a program that calls back to Python, which makes the whole array.

    Raises:
        TypeError: the program is for several devices.
    """
    if ffi.partitioned(ctx):
        raise TypeError(
            "jit over several devices cannot create this array, which initfast makes as a whole on "
            "the host: create it outside of jit, with out_sharding=, and pass it in; received "
            f"{type(build(Seed(0))).__name__.strip('_')} of shape {shape} and {dtype.name}"
        )
    results, _, _ = mlir.emit_python_callback(
        ctx,
        lambda keys: (_on_host(keys, build, shape, dtype),),
        None,
        [words],
        ctx.avals_in,
        ctx.avals_out,
        has_side_effect=False,
        returns_token=False,
    )
    return results


_DRAW.def_impl(_run)
_DRAW.def_abstract_eval(_shaped)
batching.primitive_batchers[_DRAW] = _batch
mlir.register_lowering(_DRAW, _compile_for_cpu, platform="cpu")
mlir.register_lowering(_DRAW, _call_host)
