"""Who writes what: the data of all files in a row, cut into spans for workers, and a span into runs
of one tensor.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

from initfast.files.containers import File, Tensor

# Large enough that Python's work per run (about 0.1 ms) is small beside it, small enough for a
# core's share of cache.
CHUNK_BYTES = 2 << 20


class Run(NamedTuple):
    """Elements of one tensor that follow each other in C order, at most `CHUNK_BYTES` of them.

    Args:
        file: the number of the file.
        tensor: the tensor.
        start: element of the tensor with which it begins.
        size: elements, at least 1.
        position: byte at which it begins, in the data of all files in a row.
    """

    file: int
    tensor: Tensor
    start: int
    size: int
    position: int

    @property
    def offset(self) -> int:
        """Byte of the file at which it begins."""
        return self.tensor.offset + self.start * self.tensor.dtype.itemsize

    @property
    def nbytes(self) -> int:
        return self.size * self.tensor.dtype.itemsize


def cuts(files: Sequence[File], workers: int) -> tuple[int, ...]:
    """Where the data of all files in a row are cut: worker K (from 1) has the bytes from cut K-1 to
    cut K.

    Spans are nearly equal. Cuts lie between elements, and, where a span is long, between the runs
    of a tensor."""
    total = sum(file.data_bytes for file in files)
    # A power of two, so a multiple of every item size; a span is at least 8 of them, but for the
    # smallest files.
    unit = min(CHUNK_BYTES, 1 << max(0, (total // workers // 8).bit_length() - 1))
    tensors = [tensor for file in files for tensor in file.tensors]
    begins = [0, *accumulate(tensor.nbytes for tensor in tensors)]
    found = [0]
    for worker in range(1, workers):
        position = total * worker // workers
        which = min(bisect_right(begins, position), len(tensors)) - 1
        if which >= 0:
            step = max(unit, tensors[which].dtype.itemsize)
            position = begins[which] + (position - begins[which]) // step * step
        found.append(max(found[-1], position))
    return (*found, total)


def owner(position: int, cut: Sequence[int]) -> int:
    """The worker (from 1) whose span holds a byte; of a byte at the very end, the last."""
    return min(bisect_right(cut, position), len(cut) - 1)


def runs(files: Sequence[File], low: int, high: int) -> Iterator[Run]:
    """Cut the bytes from `low` to `high` of the data of all files in a row into runs, in order.

    Both must lie between elements. The limits of runs within do not depend on them: they are those
    of the whole tensor."""
    position = 0
    for number, file in enumerate(files):
        for tensor in file.tensors:
            first, last = max(low - position, 0), min(high - position, tensor.nbytes)
            item = tensor.dtype.itemsize
            while first < last:
                stop = min(last, first - first % CHUNK_BYTES + CHUNK_BYTES)
                yield Run(number, tensor, first // item, (stop - first) // item, position + first)
                first = stop
            position += tensor.nbytes
