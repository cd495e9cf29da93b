"""Call the kernels from XLA programs on the CPU, so that each device computes its own shard."""

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
"""The name of the handler in compiled and exported programs. It contains the version of the stream,
so that a program for another version does not find a handler."""

_kernels.limit_xla_threads(get_num_threads_of_process())
# JAX has no types for these.
_P: Any = jax.sharding.PartitionSpec
_shaped: Any = jax.ShapeDtypeStruct
_custom: Any = custom_partitioning

jax.ffi.register_ffi_target(TARGET, _kernels.xla_handler(), platform="cpu")


class Call(NamedTuple):
    """The arguments of the handler, in a form that later versions of initfast also read."""

    distribution: str
    numbers: tuple[float, ...]
    shape: indexing.Dims
    dtype: DType


def call_of(source: Source, shape: indexing.Dims, dtype: DType) -> Call:
    """Return the arguments that fill a logical array of `shape` from a source.

    Raises:
        ValueError: INITFAST_BACKEND is wrong, which the handler cannot report.
    """
    backends.check()
    numbers, free = source.numbers
    return Call(_kernels.DISTRIBUTIONS[source.distribution], (*numbers, *free), shape, dtype)


def partitioned(ctx: Any) -> bool:
    """Return whether XLA partitions the program that is being lowered over several devices."""
    context = ctx.module_context.axis_context
    if isinstance(context, mlir.SPMDAxisContext):
        return set(context.manual_axes) != set(context.mesh.axis_names)
    return getattr(context, "num_devices", 1) > 1


def lower(ctx: Any, words: Any, call: Call) -> Any:
    """Return the lowered draw of an array for each key of `words`, uint32[..., 2 or 4]."""
    context = ctx.module_context.axis_context
    # In a shard_map over some axes of a mesh, JAX does not know how XLA splits over the other axes:
    # each device makes the whole array of its shard_map, and XLA splits it.
    some = isinstance(context, mlir.SPMDAxisContext) and context.manual_axes
    function: Any = _whole if some else _shards
    return mlir.lower_fun(partial(function, call), multiple_results=False)(ctx, words)


def _whole(call: Call, words: Any) -> Any:
    return _run(call, words, jax.numpy.zeros(2, np.uint32), call.shape)


_shards = _custom(_whole, static_argnums=(0,))


def _run(call: Call, words: Any, start: Any, part: indexing.Dims) -> Any:
    """Return the part of shape `part` that begins at logical element `start`, for each key."""
    handler: Any = jax.ffi.ffi_call(TARGET, _shaped((*words.shape[:-1], *part), call.dtype))
    return handler(
        words,
        start,
        distribution=call.distribution,
        numbers=np.array(call.numbers).view(np.int64),  # as bits, so that no number is rounded
        shape=np.array(call.shape, np.int64),
    )


class _Tiles(NamedTuple):
    """The tiles of a sharding: `counts` for each dim; device i has the tile `places[i]`."""

    devices: list[Any]
    counts: npt.NDArray[np.int64]
    places: npt.NDArray[np.int64]


def _tiles(sharding: Any, dims: int) -> _Tiles:
    """Return the tiles of a sharding, from an array whose lengths every number of tiles divides."""
    size = len(sharding.device_set)
    indices = sharding.devices_indices_map((size,) * dims)
    bounds = np.array([[piece.indices(size)[:2] for piece in index] for index in indices.values()])
    bounds = bounds.reshape(size, dims, 2)
    length = bounds[0, :, 1] - bounds[0, :, 0]
    return _Tiles(list(indices), size // length, bounds[:, :, 0] // length)


def _partition(call: Call, mesh: Any, arguments: Any, result: Any) -> Any:
    """Return how each device makes its own shard: its number selects the start from a table."""
    (keys,) = arguments
    batch = len(keys.shape) - 1
    tiles = _tiles(result.sharding, len(result.shape))
    devices = jax.sharding.Mesh(np.array(tiles.devices), ("devices",))
    size = -(-np.array(result.shape, np.int64) // tiles.counts)
    first = tiles.places * size
    steps = np.array([math.prod(call.shape[d + 1 :]) for d in range(len(call.shape))], np.uint64)
    starts = (first[:, batch:].astype(np.uint64) * steps).sum(1, dtype=np.uint64)
    table = np.stack([starts >> np.uint64(32), starts & np.uint64(2**32 - 1)], 1).astype(np.uint32)
    key_tiles = _tiles(keys.sharding, batch + 1)
    same_split = (
        key_tiles.counts[-1] == 1 and (key_tiles.places[:, :batch] == tiles.places[:, :batch]).all()
    )

    def lower(words: Any) -> Any:
        number = jax.lax.axis_index("devices")
        if not same_split:  # the device has all keys, and selects its own
            for d in range(batch):
                ids = jax.numpy.asarray(first[:, d], np.int32)[number] + np.arange(size[d])
                words = jax.numpy.take(words, ids, axis=d, mode="clip")
        start = jax.numpy.asarray(table)[number]
        return _run(call, words, start, tuple(size[batch:].tolist()))

    whole = jax.sharding.NamedSharding(devices, _P())
    return devices, lower, result.sharding, (keys.sharding if same_split else whole,)


def _rule(call: Call, mesh: Any, values: Any, results: Any) -> Any:
    """Return the sharding rule: any dim of the result may be split, but not the words of a key."""
    dims = [f"d{d}" for d in range(results[0].rank)]
    keys = dims[: len(dims) - len(call.shape)]
    return f"{' '.join(keys)} w -> {' '.join(dims)}", {"need_replication_factors": ("w",)}


_shards.def_partition(_partition, sharding_rule=_rule, decode_shardings=False)

_example = _custom(lambda x: x)
_example.def_partition(None)
NEEDS_DEVICES = jax.make_jaxpr(_example)(_shaped((), np.uint32))
"""A program with a `custom_partitioning`: JAX passes the devices to the lowering of a program only
if a parameter of one of its primitives contains one."""
