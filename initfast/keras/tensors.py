"""From the arrays that initfast fills to tensors of the Keras backend, which adopts their memory
where it can.
"""

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

try:  # private, and worth it: without it every shape inference fills the array once more
    from keras.src.backend.common.symbolic_scope import in_symbolic_scope
except ImportError:  # pragma: no cover

    def in_symbolic_scope() -> bool:
        return False


def named_dtype(dtype: Any) -> str:
    """Return the name of a dtype, Keras' `floatx` for None; on JAX without 64 bits float32 for
    float64, as JAX has it.
    """
    name: str = keras.backend.standardize_dtype(keras.config.floatx() if dtype is None else dtype)
    if name == "float64" and keras.backend.backend() == "jax":
        import jax

        name = jax.dtypes.canonicalize_dtype("float64").name
    return name


def unconverted(call: Call) -> Call:
    """Return a function that TensorFlow runs as it is while it traces one of the user's: AutoGraph
    would convert its code, and warn of what it cannot.
    """
    if keras.backend.backend() != "tensorflow":
        return call
    import tensorflow as tf

    return cast(Call, tf.autograph.experimental.do_not_convert(call))


def placeholder(shape: Any, dtype: str) -> Any | None:
    """Zeros of the backend's kind where Keras infers shapes and drops the values, else None.

    Not in every stateless scope: training on JAX is one too, and a layer may draw from an
    initializer as it runs."""
    return keras.ops.zeros(shape, dtype=dtype) if in_symbolic_scope() else None


def adopt(array: Any) -> Any:
    """Return a tensor of the backend over the memory of `array`, which nobody else writes to from
    now on.

    Copied is memory that is not aligned to 64 bytes or holds no floating dtype, and float8 on
    TensorFlow."""
    make = _ADOPT.get(keras.backend.backend())
    if make is None:
        return array
    if not is_floating(array.dtype) or not array.flags.c_contiguous or _address(array) % ALIGNMENT:
        return keras.ops.convert_to_tensor(array, dtype=array.dtype.name)
    return make(array)


def sharded(init: Initializer, shape: Dims, dtype: str, sharding: Any) -> Any:
    """Return a JAX array of `shape` under a `NamedSharding`, each distinct block of it computed
    once, by its own index.

    Args:
        init: draws the same values at every call; fans come from `shape`, not from the block.
        shape: the logical shape.
        dtype: name of the element type.
        sharding: with the abstract mesh that Keras passes, the mesh in use replaces it.
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
    """Refuse to assign weights while JAX traces a function: they would hold its tracers.

    Raises:
        TypeError: it does.
    """
    if keras.backend.backend() == "jax":
        import jax

        if isinstance(jax.device_put(0), jax.core.Tracer):
            raise TypeError(
                "initialize cannot keep weights that it draws while JAX traces a function: call it "
                "before, outside of jax.jit"
            )


def assign(variable: Any, init: Initializer) -> None:
    """Give a built Keras variable the values of `init`, in its own memory or with one array more
    and no other copy.
    """
    shape, dtype = tuple(variable.shape), named_dtype(variable.dtype)
    value = variable.value
    backend = keras.backend.backend()
    if backend == "torch" and value.device.type == "cpu":
        import torch

        if type(value) in (torch.Tensor, torch.nn.Parameter) and is_floating(
            resolve_numeric(dtype)
        ):
            init.fill(value.detach(), shape, ...)  # with an index: not a separate array
            torch.autograd.graph.increment_version(value)
            return
    if backend == "jax" and len(value.sharding.device_set) > 1:
        variable.assign(sharded(init, shape, dtype, value.sharding))
        return
    variable.assign(adopt(init.block(shape, ..., dtype)))


def _address(array: Array) -> int:
    return int(array.__array_interface__["data"][0])


def _bits(array: Array) -> Array:
    """Return the array under a dtype that NumPy shares with every backend."""
    # Not by its kind: that of float8_e5m2 is "f", as if it were NumPy's own.
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

    # Through its capsule, and aligned to 64 bytes: TensorFlow ends the process over any other
    # memory.
    if array.dtype.itemsize == 1:
        return tf.convert_to_tensor(array)  # it has no bitcast to float8
    bits = tf.experimental.dlpack.from_dlpack(_bits(array).__dlpack__())
    return tf.bitcast(bits, tf.bfloat16) if bits.dtype == tf.uint16 else bits


_ADOPT: dict[str, Callable[[Array], Any]] = {
    "jax": _to_jax,
    "torch": _to_torch,
    "tensorflow": _to_tensorflow,
}
