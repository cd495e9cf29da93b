"""Fill Zarr arrays in place, with any number of threads and processes: `import initfast.zarr`."""

from __future__ import annotations

import math
import operator
import threading
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import Any, NamedTuple, TypeVar

import numpy as np

from initfast.core import indexing
from initfast.core.dtypes import resolve_numeric
from initfast.core.indexing import Dims
from initfast.core.seeds import Seed
from initfast.core.threads import get_num_threads, threads
from initfast.core.types import Index
from initfast.initializers.base import Initializer
from initfast.initializers.blocks import check, check_shared_seed

_NEEDED = "initfast.zarr needs Zarr 3: pip install 'zarr>=3'"

try:
    import zarr
except ImportError:
    raise ImportError(_NEEDED) from None
if int(zarr.__version__.split(".")[0]) < 3:
    raise ImportError(f"{_NEEDED}; received Zarr {zarr.__version__}")

__all__ = ["fill"]

AnyArray = TypeVar("AnyArray")

# Several small chunks are written at a time, because each write costs Zarr about 1 ms.
_REGION_BYTES = 8 << 20


def fill(
    array: AnyArray,
    initializer: Initializer,
    *,
    part: tuple[int, int] = (1, 1),
    index: Index = None,
) -> AnyArray:
    """Fill a Zarr array in place, through Zarr, and return it.

    The values are those of `initializer(array.shape, array.dtype)`, byte for byte. Each chunk (or
    shard, if the array has shards) is written as a whole by one thread, so that threads and
    processes need no locks.

    Args:
        array: an open `zarr.Array` of dtype float64, float32 or float16; constants can have any
            numeric dtype of Zarr.
        initializer: any initializer of initfast. If several processes write, it needs a seed.
        part: (K, N): write the K-th of N parts of nearly equal size, for N processes or hosts.
        index: write only these slices, which must begin and end at the edges of chunks (shards);
            not with `part`.

    The call uses `get_num_threads()` threads, each with memory for one chunk or shard, or for a few
    small ones. An orthogonal matrix is made as a whole first.

    Raises:
        TypeError, ValueError: an argument is wrong; nothing has been written.

    >>> import initfast as ift
    >>> table = zarr.create_array({}, shape=(1000, 64), chunks=(100, 64), dtype="float32")
    >>> row = ift.HeNormal(seed=42).block((1000, 64), np.s_[-1, :3])
    >>> fill(table, ift.HeNormal(seed=42))[-1, :3] == row
    array([ True,  True,  True])
    """
    target, shape, dtype = _validate(array)
    check(initializer, shape, dtype)
    if index is not None and part != (1, 1):
        raise ValueError(
            f"part cannot be combined with index; received part={part!r} and index={index!r}"
        )
    alone = index is None and part == (1, 1)
    if not alone:
        check_shared_seed(initializer, "a part")
    seed = getattr(initializer, "seed", None)
    if alone or not isinstance(seed, (int, Seed)):
        initializer = initializer.pinned()
    else:  # without the warning of `pinned`, because several parts are one array
        initializer = initializer.with_seed(seed)
    grid = _grid(shape, target.shards or target.chunks, dtype.itemsize, index)
    first, last = _share(part, grid.regions)
    whole = (
        np.asarray(initializer(shape, dtype)) if initializer.whole_only and first < last else None
    )

    def write(number: int) -> None:
        region = grid.region(number)
        with threads(1):
            target[region] = (
                initializer.block(shape, region, dtype) if whole is None else whole[region]
            )

    _on_threads(write, range(first, last))
    return array


class _Grid(NamedTuple):
    """A window of an array, divided into regions of whole chunks."""

    starts: Dims
    stops: Dims
    steps: Dims

    @property
    def dims(self) -> Dims:
        return tuple(-(-(stop - start) // step) for start, stop, step in zip(*self, strict=True))

    @property
    def regions(self) -> int:
        return math.prod(self.dims)

    def region(self, number: int) -> tuple[slice, ...]:
        """Return the index of a region, counted in C order."""
        slices = []
        for start, stop, step, n in reversed(list(zip(*self, self.dims, strict=True))):
            number, place = divmod(number, n)
            low = start + place * step
            slices.append(slice(low, min(low + step, stop)))
        return tuple(slices[::-1])


def _validate(array: Any) -> tuple[Any, Dims, np.dtype[Any]]:
    """Return the array with its shape and dtype; raise an error if it cannot be filled."""
    if not isinstance(array, zarr.Array):
        raise TypeError(
            "array must be an open zarr.Array, as zarr.create_array and zarr.open_array return; "
            "received "
            f"{type(array).__module__}.{type(array).__qualname__}"
        )
    if array.read_only:
        raise ValueError(
            f"array must be open for writing, such as with mode='r+'; received {array!r}"
        )
    native = array.dtype
    if native.isnative:
        native = np.dtype(native.type)  # the built-in dtype, which equals Zarr's
    return array, indexing.normalize_shape(array.shape), resolve_numeric(native)


def _grid(shape: Dims, unit: Dims, itemsize: int, index: Index) -> _Grid:
    """Return a grid whose regions are one unit (chunk or shard), or adjacent units if they are
    small.
    """
    window = _window(index, shape, unit)
    steps = list(unit)
    room = _REGION_BYTES // (math.prod(unit) * itemsize)
    for axis in reversed(range(len(shape))):
        across = -(-(window[axis].stop - window[axis].start) // unit[axis])
        steps[axis] *= max(1, min(room, across))
        room //= max(1, across)
    return _Grid(
        tuple(part.start for part in window), tuple(part.stop for part in window), tuple(steps)
    )


def _window(index: Any, shape: Dims, unit: Dims) -> tuple[slice, ...]:
    """Return one slice for each dim; raise ValueError if one does not end at the edge of a unit."""
    items = () if index is None else index if isinstance(index, tuple) else (index,)
    if not all(isinstance(item, slice) and item.step in (None, 1) for item in items) or len(
        items
    ) > len(shape):
        raise ValueError(
            f"index must be at most {len(shape)} slices without steps; received {index!r}"
        )
    slices = []
    for n, size, item in zip(
        shape, unit, [*items, *[slice(None)] * (len(shape) - len(items))], strict=True
    ):
        start, stop, _ = item.indices(n)
        if start < stop and (start % size or (stop % size and stop != n)):
            raise ValueError(
                f"index must begin and end at multiples of the chunk or shard length {size}, or at "
                f"the end of the dim, {n}; "
                f"received {index!r}"
            )
        slices.append(slice(start, max(start, stop)))
    return tuple(slices)


def _share(part: Any, count: int) -> tuple[int, int]:
    """Return the first and the last (exclusive) of `count` regions that belong to part (K, N)."""
    try:
        k, n = map(operator.index, part)
    except (TypeError, ValueError):
        k, n = 0, 0
    if not 1 <= k <= n:
        raise ValueError(f"part must be (K, N) with K from 1 to N; received {part!r}")
    return (k - 1) * count // n, k * count // n


def _on_threads(write: Any, numbers: range) -> None:
    """Call `write` for each number, on several threads; an error stops all threads."""
    pending, lock, stop = iter(numbers), threading.Lock(), threading.Event()

    def work() -> None:
        while not stop.is_set():
            with lock:
                number = next(pending, None)
            if number is None:
                return
            write(number)

    workers = min(get_num_threads(), len(numbers))
    if workers <= 1:
        work()
        return
    with ThreadPoolExecutor(workers, thread_name_prefix="initfast-zarr") as pool:
        futures = [pool.submit(work) for _ in range(workers)]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            stop.set()
        for each in futures:
            each.result()
