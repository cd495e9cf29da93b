"""From an initializer of initfast to a JAX array, and from a JAX key to a seed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn

import jax
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import mlir

from initfast.core import indexing
from initfast.core.dtypes import resolve_numeric
from initfast.core.seeds import Seed
from initfast.core.types import DTypeLike, Shape
from initfast.initializers.base import Initializer
from initfast.initializers.blocks import Blocks, check, check_shared_seed


def array(
    initializer: Initializer, shape: Shape, sharding: Any = None, dtype: DTypeLike = None
) -> jax.Array:
    """A JAX array of logical `shape`; each process makes the blocks of its own devices, each
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
        TypeError: within `jit`, `vmap` or `grad`, for which nothing can be drawn on the host.
            `jax.eval_shape` works, and so does `jax.ensure_compile_time_eval`, which makes the
            array a constant of the compiled program.

    >>> import initfast, numpy
    >>> weights = array(initfast.HeNormal(seed=42), (64, 32))
    >>> bool((numpy.asarray(weights) == initfast.HeNormal(seed=42)((64, 32))).all())
    True
    """
    return place(initializer, indexing.normalize_shape(shape), sharding, dtype)


def seed_of(key: Any) -> Seed:
    """The seed and stream that a JAX key means, one to one, in every process: its words, high
    before low.

    Two words (threefry) are the seed: `seed_of(jax.random.key(42)) == Seed(42)`. Of four (rbg), the
    last two are the stream.

    Args:
        key: one key, new style or old (uint32 words).

    Raises:
        TypeError, ValueError: it is something else, several keys, or a key of another size.
    """
    if hasattr(key, "dtype") and jax.numpy.issubdtype(key.dtype, jax.dtypes.prng_key):
        with jax.ensure_compile_time_eval():  # a key from outside has its words within jit too
            key = jax.random.key_data(key)
    words = np.asarray(key)
    if words.dtype != np.uint32:
        raise TypeError(f"key must be a key of jax.random; received {key!r}")
    if words.shape not in ((2,), (4,)):
        raise ValueError(
            f"key must be one key of 2 or 4 words; received words of shape {words.shape}"
        )
    numbers = [high << 32 | low for high, low in words.reshape(-1, 2).tolist()]
    return Seed(*numbers)


def place(
    initializer: Initializer,
    shape: indexing.Dims,
    sharding: Any,
    dtype: Any,
    traced_key: bool = False,
) -> jax.Array:
    """`array` of a normalized shape; with `traced_key` it has a shape and a dtype, but cannot be
    made.
    """
    if any(dtype is plain for plain in (bool, int, float, complex)):
        dtype = jax.numpy.result_type(dtype)  # as wide as JAX has them
    native = resolve_numeric(dtype)
    if jax.dtypes.canonicalize_dtype(native) != native:
        raise ValueError(
            f"dtype must be one that JAX has enabled; received {native.name!r}, "
            "which needs jax.config.update('jax_enable_x64', True)"
        )
    check(initializer, shape, native)
    make = (
        _refuse
        if traced_key
        else partial(_make, initializer, shape, _concrete(sharding, shape), native)
    )
    made: jax.Array = _HOST.bind(make=make, shape=shape, dtype=native)
    return made


def _make(
    initializer: Initializer,
    shape: indexing.Dims,
    sharding: jax.sharding.Sharding | None,
    dtype: np.dtype[Any],
) -> jax.Array:
    if sharding is not None and not sharding.is_fully_addressable:
        check_shared_seed(initializer, "an array over several processes")
    blocks = Blocks(initializer.pinned(), shape, dtype)
    if sharding is None:
        single: jax.Array = jax.device_put(blocks(...))
        return single
    return jax.make_array_from_callback(shape, sharding, blocks, dtype)


def _concrete(sharding: Any, shape: indexing.Dims) -> jax.sharding.Sharding | None:
    """What the caller means, over devices that exist, once JAX agrees that it divides the shape."""
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
_HOST: Any = Primitive("initfast")


def _run(*, make: Callable[[], jax.Array], shape: indexing.Dims, dtype: np.dtype[Any]) -> jax.Array:
    return make()


def _shaped(*, make: Callable[[], jax.Array], shape: indexing.Dims, dtype: np.dtype[Any]) -> Any:
    return jax.core.ShapedArray(shape, dtype)


def _refuse(*_: Any, **__: Any) -> NoReturn:
    raise TypeError(
        "initfast draws on the host, so not within jit, vmap or grad: make the array outside, one "
        "for each key, and "
        "pass it in; received a traced call"
    )


_HOST.def_impl(_run)
_HOST.def_abstract_eval(_shaped)
mlir.register_lowering(_HOST, _refuse)
