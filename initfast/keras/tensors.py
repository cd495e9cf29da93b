"""Tensors of the Keras backend from filled arrays, without a copy if the backend allows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import keras

from initfast.core.buffers import ALIGNMENT
from initfast.core.dtypes import bits_of, is_floating, resolve_numeric
from initfast.core.indexing import Dims
from initfast.core.types import Array
from initfast.initializers.base import Initializer

Call = TypeVar("Call", bound=Callable[..., Any])

try:  # private; without it every shape inference would fill an array
    from keras.src.backend.common.symbolic_scope import in_symbolic_scope
except ImportError:  # pragma: no cover

    def in_symbolic_scope() -> bool:
        return False


def dtype_name(dtype: Any) -> str:
    """Return the name of a dtype; None means Keras' `floatx`.

    On JAX without 64-bit values float64 becomes float32, as in JAX."""
    name: str = keras.backend.standardize_dtype(keras.config.floatx() if dtype is None else dtype)
    if name == "float64" and keras.backend.backend() == "jax":
        import jax

        name = jax.dtypes.canonicalize_dtype("float64").name
    return name


def without_autograph(call: Call) -> Call:
    """Return a function that TensorFlow does not convert while it traces a user's function.

    AutoGraph would convert its code, and warn about parts that it cannot convert."""
    if keras.backend.backend() != "tensorflow":
        return call
    import tensorflow as tf

    return cast(Call, tf.autograph.experimental.do_not_convert(call))


def placeholder(shape: Any, dtype: str) -> Any | None:
    """Return a tensor of zeros if Keras only infers shapes, else None.

    A stateless scope is not enough: training on JAX runs in one, and a layer may draw values during
    its call."""
    return keras.ops.zeros(shape, dtype=dtype) if in_symbolic_scope() else None


def adopt(array: Any) -> Any:
    """Return a tensor of the backend over the memory of `array`, to which nobody may write later.

    It is copied if it is not aligned to 64 bytes, or has another than a floating dtype, and on
    TensorFlow if it is float8."""
    make = _ADOPT.get(keras.backend.backend())
    if make is None:
        return array
    if not is_floating(array.dtype) or not array.flags.c_contiguous or _address(array) % ALIGNMENT:
        return keras.ops.convert_to_tensor(array, dtype=array.dtype.name)
    return make(array)


def sharded_array(init: Initializer, shape: Dims, dtype: str, sharding: Any) -> Any:
    """Return a JAX array of `shape` with a sharding; each distinct block is computed once.

    Args:
        init: the initializer, which must give the same values at every call. Its fans come from
            `shape`, not from the shape of a block.
        shape: the logical shape.
        dtype: name of the element type.
        sharding: a JAX sharding. An abstract mesh, as Keras passes it, is replaced by the mesh in
            use.
    """
    import jax

    if isinstance(sharding, jax.sharding.NamedSharding) and isinstance(
        sharding.mesh, jax.sharding.AbstractMesh
    ):
        sharding = jax.sharding.NamedSharding(jax.sharding.get_mesh(), sharding.spec)
    whole = init.block(shape, ..., dtype) if init.whole_only else None
    blocks: dict[tuple[tuple[int, int, int], ...], Array] = {}

    def block(index: Any) -> Any:
        key = tuple(part.indices(length) for part, length in zip(index, shape, strict=True))
        if key not in blocks:
            blocks[key] = init.block(shape, index, dtype) if whole is None else whole[index]
        return blocks[key]

    return jax.make_array_from_callback(shape, sharding, block)


def check_untraced() -> None:
    """Raise TypeError if JAX is tracing a function: assigned weights would be its tracers."""
    if keras.backend.backend() == "jax":
        import jax

        if isinstance(jax.device_put(0), jax.core.Tracer):
            raise TypeError(
                "initialize cannot run in a function that JAX traces: call it before, outside of "
                "jax.jit"
            )


def assign(variable: Any, init: Initializer) -> None:
    """Assign the values of `init` to a built Keras variable, in place or with one temporary
    array.
    """
    shape, dtype = tuple(variable.shape), dtype_name(variable.dtype)
    value = variable.value
    backend = keras.backend.backend()
    if backend == "torch" and value.device.type == "cpu":
        import torch

        if type(value) in (torch.Tensor, torch.nn.Parameter) and is_floating(
            resolve_numeric(dtype)
        ):
            init.fill(value.detach(), shape, ...)  # with an index, so that no array is allocated
            torch.autograd.graph.increment_version(value)
            return
    if backend == "jax" and len(value.sharding.device_set) > 1:
        variable.assign(sharded_array(init, shape, dtype, value.sharding))
        return
    variable.assign(adopt(init.block(shape, ..., dtype)))


def _address(array: Array) -> int:
    return int(array.__array_interface__["data"][0])


def _bits(array: Array) -> Array:
    """Return the array under a dtype that NumPy shares with every backend."""
    # `kind` does not help: that of float8_e5m2 is "f", like that of NumPy's own dtypes.
    return array if array.dtype.isbuiltin == 1 else array.view(bits_of(array.dtype))


def _to_jax(array: Array) -> Any:
    import jax

    return jax.device_put(array)


def _to_torch(array: Array) -> Any:
    import torch

    bits = torch.from_numpy(_bits(array))
    return bits if bits.dtype.is_floating_point else bits.view(getattr(torch, array.dtype.name))


def _to_tensorflow(array: Array) -> Any:
    import tensorflow as tf

    # As a DLPack capsule and aligned to 64 bytes: with other memory TensorFlow aborts the process.
    if array.dtype.itemsize == 1:
        return tf.convert_to_tensor(array)  # there is no bitcast to float8
    bits = tf.experimental.dlpack.from_dlpack(_bits(array).__dlpack__())
    return tf.bitcast(bits, tf.bfloat16) if bits.dtype == tf.uint16 else bits


_ADOPT: dict[str, Callable[[Array], Any]] = {
    "jax": _to_jax,
    "torch": _to_torch,
    "tensorflow": _to_tensorflow,
}
