"""The kernels as XLA programs on the CPU call them, each device for its own shard."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
import numpy.typing as npt
from jax.experimental.custom_partitioning import custom_partitioning
from jax.interpreters import mlir

from initfast import _kernels, backends
from initfast._kernels import Source
from initfast._version import STREAM_VERSION
from initfast.core import indexing
from initfast.core.dtypes import DType
from initfast.core.threads import get_num_threads_of_process

TARGET = f"initfast_fill_{STREAM_VERSION}"
"""The name under which compiled and exported programs know the handler: the stream's version is
part of it, so that a program of another version finds none."""

_kernels.limit_xla_threads(get_num_threads_of_process())
# Without types in JAX.
_P: Any = jax.sharding.PartitionSpec
_shaped: Any = jax.ShapeDtypeStruct
_custom: Any = custom_partitioning

jax.ffi.register_ffi_target(TARGET, _kernels.xla_handler(), platform="cpu")


class Call(NamedTuple):
    """What the handler is told, in words that later versions of initfast understand too."""

    distribution: str
    numbers: tuple[float, ...]
    shape: indexing.Dims
    dtype: DType


def call_of(source: Source, shape: indexing.Dims, dtype: DType) -> Call:
    """Return how to fill a logical array of `shape` from a source.

    Raises:
        ValueError: if INITFAST_BACKEND is wrong, which the handler does not see.
    """
    backends.check()
    numbers, free = source.numbers
    return Call(_kernels.DISTRIBUTIONS[source.distribution], (*numbers, *free), shape, dtype)


def partitioned(ctx: Any) -> bool:
    """Return whether a program that is being lowered is cut up by XLA for several devices."""
    context = ctx.module_context.axis_context
    if isinstance(context, mlir.SPMDAxisContext):
        return set(context.manual_axes) != set(context.mesh.axis_names)
    return getattr(context, "num_devices", 1) > 1


def lower(ctx: Any, words: Any, call: Call) -> Any:
    """Lower the draw of an array for each key of `words`, uint32[..., 2 or 4]."""
    context = ctx.module_context.axis_context
    # Within a shard_map over some axes of a mesh, JAX cannot say how XLA cuts over the others: each
    # device makes what its shard_map asks for, and XLA cuts that.
    some = isinstance(context, mlir.SPMDAxisContext) and context.manual_axes
    function: Any = _whole if some else _shards
    return mlir.lower_fun(partial(function, call), multiple_results=False)(ctx, words)


def _whole(call: Call, words: Any) -> Any:
    return _run(call, words, jax.numpy.zeros(2, np.uint32), call.shape)


_shards = _custom(_whole, static_argnums=(0,))


def _run(call: Call, words: Any, start: Any, part: indexing.Dims) -> Any:
    """Return the part of `part` dims that begins at logical element `start`, for each key."""
    handler: Any = jax.ffi.ffi_call(TARGET, _shaped((*words.shape[:-1], *part), call.dtype))
    return handler(
        words,
        start,
        distribution=call.distribution,
        numbers=np.array(call.numbers).view(np.int64),  # their bits: nothing is printed and read
        shape=np.array(call.shape, np.int64),
    )


class _Tiles(NamedTuple):
    """How a sharding cuts an array: into `counts` tiles, of which device i has tile `places[i]`."""

    devices: list[Any]
    counts: npt.NDArray[np.int64]
    places: npt.NDArray[np.int64]


def _tiles(sharding: Any, dims: int) -> _Tiles:
    """Ask with a size that every number of tiles divides."""
    size = len(sharding.device_set)
    cuts = sharding.devices_indices_map((size,) * dims)
    bounds = np.array([[piece.indices(size)[:2] for piece in cut] for cut in cuts.values()])
    bounds = bounds.reshape(size, dims, 2)
    length = bounds[0, :, 1] - bounds[0, :, 0]
    return _Tiles(list(cuts), size // length, bounds[:, :, 0] // length)


def _partition(call: Call, mesh: Any, arguments: Any, result: Any) -> Any:
    """Return how each device makes its own shard: it finds the start of it in a table, by its
    number.
    """
    (keys,) = arguments
    batch = len(keys.shape) - 1
    tiles = _tiles(result.sharding, len(result.shape))
    devices = jax.sharding.Mesh(np.array(tiles.devices), ("devices",))
    size = -(-np.array(result.shape, np.int64) // tiles.counts)
    first = tiles.places * size
    steps = np.array([math.prod(call.shape[d + 1 :]) for d in range(len(call.shape))], np.uint64)
    starts = (first[:, batch:].astype(np.uint64) * steps).sum(1, dtype=np.uint64)
    table = np.stack([starts >> np.uint64(32), starts & np.uint64(2**32 - 1)], 1).astype(np.uint32)
    cut = _tiles(keys.sharding, batch + 1)
    alike = cut.counts[-1] == 1 and (cut.places[:, :batch] == tiles.places[:, :batch]).all()

    def lower(words: Any) -> Any:
        number = jax.lax.axis_index("devices")
        if not alike:  # the device has all keys, and takes its own
            for d in range(batch):
                ids = jax.numpy.asarray(first[:, d], np.int32)[number] + np.arange(size[d])
                words = jax.numpy.take(words, ids, axis=d, mode="clip")
        start = jax.numpy.asarray(table)[number]
        return _run(call, words, start, tuple(size[batch:].tolist()))

    whole = jax.sharding.NamedSharding(devices, _P())
    return devices, lower, result.sharding, (keys.sharding if alike else whole,)


def _rule(call: Call, mesh: Any, values: Any, results: Any) -> Any:
    """Any dim of the result may be cut, and keys with the dims that they bring, but not one key."""
    dims = [f"d{d}" for d in range(results[0].rank)]
    keys = dims[: len(dims) - len(call.shape)]
    return f"{' '.join(keys)} w -> {' '.join(dims)}", {"need_replication_factors": ("w",)}


_shards.def_partition(_partition, sharding_rule=_rule, decode_shardings=False)

_example = _custom(lambda x: x)
_example.def_partition(None)
NEEDS_DEVICES = jax.make_jaxpr(_example)(_shaped((), np.uint32))
"""JAX passes the devices to the lowering of a program only if it finds a `custom_partitioning` in a
parameter of one of its primitives."""
