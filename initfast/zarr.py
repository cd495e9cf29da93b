"""Zarr arrays filled in place, region by region, by any number of threads and processes: `import
initfast.zarr`.
"""

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

# Small chunks are written several at a time: a write costs Zarr about 1 ms, whatever its size.
_REGION_BYTES = 8 << 20


def fill(
    array: AnyArray,
    initializer: Initializer,
    *,
    part: tuple[int, int] = (1, 1),
    index: Index = None,
) -> AnyArray:
    """Fill a Zarr array in place, through Zarr itself, and return it.

    The values are those of `initializer(array.shape, array.dtype)`, byte for byte. Chunks (shards,
    where the array has them) are written whole and by nobody else, so that threads and processes
    need no locks.

    Args:
        array: an open `zarr.Array` of a dtype that initfast draws and Zarr has, which are float64,
            float32 and float16; of other numbers for constants.
        initializer: any initializer of initfast, of a fixed seed where several processes write.
        part: (K, N): write the K-th of N parts of nearly equal size, for N processes or hosts.
        index: slices that begin and end where chunks (shards) do, which alone are written; not with
            `part`.

    Uses `get_num_threads()` threads, each with memory for one chunk or shard, or a few small ones.
    Orthogonal is made as a whole first.

    Raises:
        TypeError, ValueError: nothing has been written then.

    >>> import initfast as ift
    >>> table = zarr.create_array({}, shape=(1000, 64), chunks=(100, 64), dtype="float32")
    >>> row = ift.HeNormal(seed=42).block((1000, 64), np.s_[-1, :3])
    >>> fill(table, ift.HeNormal(seed=42))[-1, :3] == row
    array([ True,  True,  True])
    """
    opened, shape, dtype = _checked(array)
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
        fixed = initializer.pinned()
    else:  # several parts of one array are not several arrays, of which `pinned` would warn
        fixed = initializer.with_seed(seed)
    grid = _grid(shape, opened.shards or opened.chunks, dtype.itemsize, index)
    first, last = _share(part, grid.regions)
    whole = np.asarray(fixed(shape, dtype)) if fixed.whole_only and first < last else None

    def write(number: int) -> None:
        region = grid.region(number)
        with threads(1):
            opened[region] = fixed.block(shape, region, dtype) if whole is None else whole[region]

    _on_threads(write, range(first, last))
    return array


class _Grid(NamedTuple):
    """A window of an array, cut into regions that hold whole chunks."""

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
        found = []
        for start, stop, step, n in reversed(list(zip(*self, self.dims, strict=True))):
            number, place = divmod(number, n)
            low = start + place * step
            found.append(slice(low, min(low + step, stop)))
        return tuple(found[::-1])


def _checked(array: Any) -> tuple[Any, Dims, np.dtype[Any]]:
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
        native = np.dtype(
            native.type
        )  # Zarr's own differ from NumPy's in nothing but that they are no built-in ones
    return array, indexing.normalize_shape(array.shape), resolve_numeric(native)


def _grid(shape: Dims, unit: Dims, itemsize: int, index: Index) -> _Grid:
    """Regions of whole units (chunks or shards), several where these are small, that follow each
    other in the array.
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
    items = () if index is None else index if isinstance(index, tuple) else (index,)
    if not all(isinstance(item, slice) and item.step in (None, 1) for item in items) or len(
        items
    ) > len(shape):
        raise ValueError(
            f"index must be slices without steps, at most {len(shape)}; received {index!r}"
        )
    found = []
    for n, size, item in zip(
        shape, unit, [*items, *[slice(None)] * (len(shape) - len(items))], strict=True
    ):
        start, stop, _ = item.indices(n)
        if start < stop and (start % size or (stop % size and stop != n)):
            raise ValueError(
                f"index must begin and end where chunks or shards do, here every {size} of {n}; "
                f"received {index!r}"
            )
        found.append(slice(start, max(start, stop)))
    return tuple(found)


def _share(part: Any, count: int) -> tuple[int, int]:
    try:
        k, n = map(operator.index, part)
    except (TypeError, ValueError):
        k, n = 0, 0
    if not 1 <= k <= n:
        raise ValueError(f"part must be (K, N) with K from 1 to N; received {part!r}")
    return (k - 1) * count // n, k * count // n


def _on_threads(write: Any, numbers: range) -> None:
    """Call `write` for each number, on several threads that take the next one each; after an error,
    for no more.
    """
    todo, lock, stop = iter(numbers), threading.Lock(), threading.Event()

    def work() -> None:
        while not stop.is_set():
            with lock:
                number = next(todo, None)
            if number is None:
                return
            write(number)

    workers = min(get_num_threads(), len(numbers))
    if workers <= 1:
        work()
        return
    with ThreadPoolExecutor(workers, thread_name_prefix="initfast-zarr") as pool:
        made = [pool.submit(work) for _ in range(workers)]
        try:
            wait(made, return_when=FIRST_EXCEPTION)
        finally:
            stop.set()
        for each in made:
            each.result()
