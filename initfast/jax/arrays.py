"""Create a JAX array from an initializer of initfast, on the host."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn

import jax
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import mlir

from initfast.core import indexing
from initfast.core.dtypes import DType, resolve_numeric
from initfast.core.types import DTypeLike, Shape
from initfast.initializers.base import Initializer
from initfast.initializers.blocks import Blocks, check, check_shared_seed


def array(
    initializer: Initializer, shape: Shape, sharding: Any = None, dtype: DTypeLike = None
) -> jax.Array:
    """Return a JAX array of logical `shape`. Each process computes the blocks of its own devices,
    each distinct block once.

    Args:
        initializer: any initializer of initfast. A SeedGenerator gives its next stream. With
            several processes, an initializer without a seed is refused, because each process
            would draw another seed.
        shape: the logical shape, from which fans are computed.
        sharding: a `jax.sharding.Sharding`, a `PartitionSpec` (of the mesh that `jax.set_mesh` has
            set), a device, or None, the default device. JAX requires the length of a split dim to
            be a multiple of the number of pieces.
        dtype: default float32, even if JAX has 64-bit types enabled. A 64-bit dtype is refused
            unless they are enabled.

    Raises:
        TypeError: the call is within `jit`. Use an initializer with a key there, such as
            `initfast.jax.he_normal()`. `jax.eval_shape` works, and so does
            `jax.ensure_compile_time_eval`, which makes the array a constant of the compiled
            program.
        ValueError: the shape, the dtype or the sharding is wrong.

    >>> import initfast, numpy
    >>> weights = array(initfast.HeNormal(seed=42), (64, 32))
    >>> bool((numpy.asarray(weights) == initfast.HeNormal(seed=42)((64, 32))).all())
    True
    """
    logical = indexing.normalize_shape(shape)
    native = enabled(dtype)
    check(initializer, logical, native)
    result: jax.Array = _HOST.bind(
        make=partial(make, initializer, logical, concrete(sharding, logical), native),
        shape=logical,
        dtype=native,
    )
    return result


def enabled(dtype: Any) -> DType:
    """Return a NumPy dtype; Python's types have the width that JAX uses.

    Raises:
        ValueError: it is not a numeric dtype, or has 64 bits and JAX has not enabled them.
    """
    if any(dtype is plain for plain in (bool, int, float, complex)):
        dtype = jax.numpy.result_type(dtype)
    native = resolve_numeric(dtype)
    if jax.dtypes.canonicalize_dtype(native) != native:
        raise ValueError(
            f"dtype must be one that JAX has enabled; received {native.name!r}, "
            "which needs jax.config.update('jax_enable_x64', True)"
        )
    return native


def make(
    initializer: Initializer,
    shape: indexing.Dims,
    sharding: jax.sharding.Sharding | None,
    dtype: DType,
) -> jax.Array:
    """Return an array of a normalized shape, with a sharding from `concrete`."""
    if sharding is not None and not sharding.is_fully_addressable:
        check_shared_seed(initializer, "an array over several processes")
    blocks = Blocks(initializer.pinned(), shape, dtype)
    if sharding is None:
        single: jax.Array = jax.device_put(blocks(...))
        return single
    return jax.make_array_from_callback(shape, sharding, blocks, dtype)


def concrete(sharding: Any, shape: indexing.Dims) -> jax.sharding.Sharding | None:
    """Return the caller's sharding over devices that exist, or None.

    Raises:
        TypeError, ValueError: it is not a sharding, has no mesh, or does not divide the shape.
    """
    if sharding is None:
        return None
    result = sharding
    if isinstance(result, jax.Device):
        result = jax.sharding.SingleDeviceSharding(result)
    spec = result.spec if isinstance(result, jax.sharding.NamedSharding) else result
    abstract = isinstance(getattr(result, "mesh", None), jax.sharding.AbstractMesh)
    if abstract or isinstance(result, jax.sharding.PartitionSpec):
        mesh = jax.sharding.get_mesh()
        if mesh.empty or (abstract and mesh.abstract_mesh != result.mesh):
            raise ValueError(
                "sharding must have a mesh of devices, or be used under jax.set_mesh; received "
                f"{result}"
            )
        result = jax.sharding.NamedSharding(mesh, spec)
    if not isinstance(result, jax.sharding.Sharding):
        raise TypeError(
            f"sharding must be a Sharding, a PartitionSpec, a device or None; received {result!r}"
        )
    result.shard_shape(shape)
    return result


# A primitive has three rules: `_run` for a plain call, `_shaped` for the shape alone (Flax checks
# its parameters with jax.eval_shape), and `_refuse`, which explains why it cannot be compiled.
_HOST: Any = Primitive("initfast_array")


def _run(*, make: Callable[[], jax.Array], shape: indexing.Dims, dtype: np.dtype[Any]) -> jax.Array:
    return make()


def _shaped(*, make: Callable[[], jax.Array], shape: indexing.Dims, dtype: np.dtype[Any]) -> Any:
    return jax.core.ShapedArray(shape, dtype)


def _refuse(*_: Any, **__: Any) -> NoReturn:
    raise TypeError(
        "initfast.jax.array cannot be called within jit, because it draws on the host: use an "
        "initializer with a key there, such as initfast.jax.he_normal()(key, shape), or create the "
        "array outside of jit and pass it in"
    )


_HOST.def_impl(_run)
_HOST.def_abstract_eval(_shaped)
mlir.register_lowering(_HOST, _refuse)
