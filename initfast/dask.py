"""Dask arrays whose values do not depend on their chunks: `import initfast.dask`."""

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

_da: Any = da  # whose functions have no types


def array(
    initializer: Initializer,
    shape: Shape,
    chunks: Any = "auto",
    dtype: DTypeLike = None,
    name: str | None = None,
) -> da.Array:
    """Return a Dask array of logical `shape`, each chunk of which is made where and when it is
    computed.

    Values are those of `initializer(shape, dtype)`, byte for byte, and do not depend on the chunks.
    A chunk is made on one thread, as Dask runs many at once.

    Args:
        initializer: any initializer of initfast. Its stream is fixed here: the one drawn for a seed
            of None, or the next one of a SeedGenerator. Orthogonal is made as a whole, by one task,
            and cut into chunks after that.
        shape: the logical shape; fans come from it, not from the chunks.
        chunks: as for `dask.array.ones`.
        dtype: default float32.
        name: of the keys; default: a token of all of the above, the same in every process.

    >>> import initfast
    >>> table = array(initfast.RandomNormal(seed=42), (1_000_000, 768), chunks=(100_000, -1))
    >>> row = initfast.RandomNormal(seed=42).block((1_000_000, 768), np.s_[-1, :9])
    >>> bool((table[-1, :9].compute() == row).all())
    True
    """
    logical = indexing.normalize_shape(shape)
    native = resolve_numeric(dtype)
    cut = _da.core.normalize_chunks(chunks, logical, dtype=native)
    check(initializer, logical, native)
    fixed = initializer.pinned()
    if name is None:
        kind = f"{type(fixed).__module__}.{type(fixed).__qualname__}"
        name = "initfast-" + tokenize(
            STREAM_VERSION, kind, fixed.get_config(), logical, cut, native.name
        )
    whole = fixed.whole_only
    made = _da.map_blocks(
        partial(_chunk, fixed, logical, native),
        chunks=tuple((n,) for n in logical) if whole else cut,
        dtype=native,
        meta=np.empty(
            (0,) * len(logical), native
        ),  # without it Dask would compute a chunk to find its type
        name=name,
    )
    found: da.Array = made.rechunk(cut) if whole else made
    return found


def _chunk(
    initializer: Initializer, shape: indexing.Dims, dtype: np.dtype[Any], block_info: Any = None
) -> Array:
    where = tuple(slice(low, high) for low, high in block_info[None]["array-location"])
    with threads(1):
        return initializer.block(shape, where, dtype)
