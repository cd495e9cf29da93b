"""From an initializer of initfast to a JAX array, made on the host."""

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
    """Return a JAX array of logical `shape`; each process makes the blocks of its own devices, each
    distinct one once.

    Args:
        initializer: any initializer of initfast. A SeedGenerator gives its next stream. An
            initializer of no seed draws another one in each process, so it is refused where there
            are several.
        shape: the logical shape; fans come from it, not from the blocks.
        sharding: a `jax.sharding.Sharding`, a `PartitionSpec` (of the mesh that `jax.set_mesh` has
            set), a device, or None, the default device. JAX wants a dim that is cut to be a
            multiple of the number of pieces.
        dtype: default float32, also where JAX has 64-bit types enabled. A 64-bit dtype is refused
            where it has not.

    Raises:
        TypeError: within `jit`, where a key chooses the values: use an initializer of
            `initfast.jax`, such as `initfast.jax.he_normal()`. `jax.eval_shape` works, and so does
            `jax.ensure_compile_time_eval`, which makes the array a constant of the compiled
            program.

    >>> import initfast, numpy
    >>> weights = array(initfast.HeNormal(seed=42), (64, 32))
    >>> bool((numpy.asarray(weights) == initfast.HeNormal(seed=42)((64, 32))).all())
    True
    """
    logical = indexing.normalize_shape(shape)
    native = enabled(dtype)
    check(initializer, logical, native)
    made: jax.Array = _HOST.bind(
        make=partial(make, initializer, logical, concrete(sharding, logical), native),
        shape=logical,
        dtype=native,
    )
    return made


def enabled(dtype: Any) -> DType:
    """Return the dtype, as wide as JAX has it if it is Python's.

    Raises:
        ValueError: it is not a numeric dtype, or one of 64 bits that JAX has not enabled.
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
    """Make an array of a normalized shape, with a sharding from `concrete`."""
    if sharding is not None and not sharding.is_fully_addressable:
        check_shared_seed(initializer, "an array over several processes")
    blocks = Blocks(initializer.pinned(), shape, dtype)
    if sharding is None:
        single: jax.Array = jax.device_put(blocks(...))
        return single
    return jax.make_array_from_callback(shape, sharding, blocks, dtype)


def concrete(sharding: Any, shape: indexing.Dims) -> jax.sharding.Sharding | None:
    """Return what the caller means, over devices that exist, once JAX agrees that it divides the
    shape.
    """
    if sharding is None:
        return None
    found = sharding
    if isinstance(found, jax.Device):
        found = jax.sharding.SingleDeviceSharding(found)
    spec = found.spec if isinstance(found, jax.sharding.NamedSharding) else found
    abstract = isinstance(getattr(found, "mesh", None), jax.sharding.AbstractMesh)
    if abstract or isinstance(found, jax.sharding.PartitionSpec):
        mesh = jax.sharding.get_mesh()
        if mesh.empty or (abstract and mesh.abstract_mesh != found.mesh):
            raise ValueError(
                "sharding must have a mesh of devices, or be used under jax.set_mesh; received "
                f"{found}"
            )
        found = jax.sharding.NamedSharding(mesh, spec)
    if not isinstance(found, jax.sharding.Sharding):
        raise TypeError(
            f"sharding must be a Sharding, a PartitionSpec, a device or None; received {found!r}"
        )
    found.shard_shape(shape)
    return found


# A primitive has three faces: it runs on the host when called plainly, has a shape when only that
# is asked for (jax.eval_shape, as Flax does to check its parameters), and can say why it cannot be
# compiled.
_HOST: Any = Primitive("initfast_array")


def _run(*, make: Callable[[], jax.Array], shape: indexing.Dims, dtype: np.dtype[Any]) -> jax.Array:
    return make()


def _shaped(*, make: Callable[[], jax.Array], shape: indexing.Dims, dtype: np.dtype[Any]) -> Any:
    return jax.core.ShapedArray(shape, dtype)


def _refuse(*_: Any, **__: Any) -> NoReturn:
    raise TypeError(
        "initfast.jax.array draws on the host, so not within jit: use an initializer with a key "
        "there, such as initfast.jax.he_normal()(key, shape), or make the array outside and pass "
        "it in; received a traced call"
    )


_HOST.def_impl(_run)
_HOST.def_abstract_eval(_shaped)
mlir.register_lowering(_HOST, _refuse)
