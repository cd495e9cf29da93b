"""Create Dask arrays whose values do not depend on their chunks: `import initfast.dask`."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from initfast._version import STREAM_VERSION
from initfast.core import indexing
from initfast.core.dtypes import resolve_numeric
from initfast.core.threads import threads
from initfast.core.types import Array, DTypeLike, Shape
from initfast.initializers.base import Initializer
from initfast.initializers.blocks import check

try:
    import dask.array as da
    from dask.base import tokenize
except ImportError:
    raise ImportError("initfast.dask needs Dask: pip install 'dask[array]'") from None

__all__ = ["array"]

_da: Any = da  # its functions have no types


def array(
    initializer: Initializer,
    shape: Shape,
    chunks: Any = "auto",
    dtype: DTypeLike = None,
    name: str | None = None,
) -> da.Array:
    """Return a Dask array of logical `shape`. Each chunk is made by the worker that computes it.

    The values are those of `initializer(shape, dtype)`, byte for byte, and do not depend on the
    chunks. A chunk is made on one thread, because Dask computes many chunks in parallel.

    Args:
        initializer: any initializer of initfast. This call fixes the stream: the one drawn for a
            seed of None, or the next one of a SeedGenerator. One task makes an orthogonal matrix as
            a whole, and then splits it into chunks.
        shape: the logical shape, from which fans are computed.
        chunks: as for `dask.array.ones`.
        dtype: default float32.
        name: the name of the array and its keys; default: a token of all other arguments, the same
            in every process.

    Raises:
        TypeError, ValueError: an argument is wrong; no stream has been used.

    >>> import initfast
    >>> table = array(initfast.RandomNormal(seed=42), (1_000_000, 768), chunks=(100_000, -1))
    >>> row = initfast.RandomNormal(seed=42).block((1_000_000, 768), np.s_[-1, :9])
    >>> bool((table[-1, :9].compute() == row).all())
    True
    """
    logical = indexing.normalize_shape(shape)
    native = resolve_numeric(dtype)
    chunk_sizes = _da.core.normalize_chunks(chunks, logical, dtype=native)
    check(initializer, logical, native)
    initializer = initializer.pinned()
    if name is None:
        kind = f"{type(initializer).__module__}.{type(initializer).__qualname__}"
        name = "initfast-" + tokenize(
            STREAM_VERSION, kind, initializer.get_config(), logical, chunk_sizes, native.name
        )
    whole_only = initializer.whole_only
    blocks = _da.map_blocks(
        partial(_chunk, initializer, logical, native),
        chunks=tuple((n,) for n in logical) if whole_only else chunk_sizes,
        dtype=native,
        # Without `meta`, Dask would compute a chunk to find its type.
        meta=np.empty((0,) * len(logical), native),
        name=name,
    )
    result: da.Array = blocks.rechunk(chunk_sizes) if whole_only else blocks
    return result


def _chunk(
    initializer: Initializer, shape: indexing.Dims, dtype: np.dtype[Any], block_info: Any = None
) -> Array:
    """Return the chunk at the location that Dask passes in `block_info`."""
    index = tuple(slice(low, high) for low, high in block_info[None]["array-location"])
    with threads(1):
        return initializer.block(shape, index, dtype)
