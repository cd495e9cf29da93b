"""Fills that are more than one draw an element: places that hold 1, orthogonal matrices, sparse
columns.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch

from initfast.core import distributions, engine, indexing
from initfast.core.buffers import new
from initfast.core.dtypes import FLOAT32, FLOAT64, UINT32
from initfast.core.indexing import Dims
from initfast.core.seeds import Seed
from initfast.initializers.constant import Identity
from initfast.initializers.orthogonal import Orthogonal, orthonormal
from initfast.initializers.random import RandomInitializer, RandomNormal
from initfast.torch.fills import Fill, Target, narrow, starts
from initfast.torch.targets import draw

_PIECE = 1 << 22  # words that choose the zeros of a sparse matrix, held at a time


def points(places: list[torch.Tensor]) -> Fill:
    """1 at the places whose coordinates these index tensors hold, one for each dim, and 0
    everywhere else.
    """

    def run(target: Target, seed: Seed) -> None:
        local = target.local
        moved = [place - start for place, start in zip(places, starts(target), strict=True)]
        inside = torch.ones_like(places[0], dtype=torch.bool)
        for place, size in zip(moved, local.shape, strict=True):
            inside &= (place >= 0) & (place < size)
        local.zero_()
        local[tuple(place[inside].to(local.device) for place in moved)] = 1

    return Fill(run, draws=False)


def identity(rows: int) -> Fill:
    """1 on the main diagonal of a matrix, for as many rows, and 0 everywhere else."""
    return points([torch.arange(rows, device="cpu")] * 2)._replace(says=Identity)


def orthogonal(shape: Dims, gain: float, batch_dims: int = 0) -> Fill:
    """Return an orthogonal matrix of the first dim by all others, for each place of `batch_dims`
    dims before them. A part of a matrix costs as much as the whole, from which it is cut.
    """
    stacks, one = shape[:batch_dims], shape[batch_dims:]
    rows, cols = one[0], math.prod(one[1:])
    normals = (math.prod(stacks), max(rows, cols), min(rows, cols))

    def run(target: Target, seed: Seed) -> None:
        local, where = target.local, narrow(target, 0, 0, target.local.shape[0]).where
        assert where is not None
        kind = FLOAT64 if local.dtype == torch.float64 else FLOAT32
        for place in np.ndindex(*local.shape[:batch_dims]):
            number = 0
            for size, index, part in zip(stacks, place, where, strict=False):
                number = number * size + part.start + index
            drawn = RandomNormal(0.0, 1.0, seed).block(normals, number, kind)
            q = orthonormal(drawn, gain)
            matrix = torch.from_numpy(q if rows >= cols else np.ascontiguousarray(q.T)).view(one)
            local[place].copy_(matrix[where[batch_dims:]])

    # Our own matrix is Keras', of all dims but the last by the last.
    alike = shape[0] == math.prod(shape[:-1]) and not batch_dims
    said = (lambda: Orthogonal(gain, seed=0)) if alike else None
    return Fill(run, says=said, unsplit=batch_dims)


def sparse(initializer: RandomInitializer, shape: Dims, dtype: torch.dtype, zeros: int) -> Fill:
    """Return every element as `initializer` draws it, then `zeros` of each column set to 0.

    These are the rows with the least of the stream's words from word 2 * numel on, which no element
    of its own uses. A shard of some rows costs the words of the whole columns."""
    drawn = draw(initializer, shape, dtype)

    def run(target: Target, seed: Seed) -> None:
        drawn.run(target, seed)
        if not zeros:
            return
        rows, cols = target.shape
        height, width = target.local.shape
        top, left = starts(target)
        bits = (
            target.local.view(torch.uint8) if target.local.element_size() == 1 else target.local
        )  # masked_fill_
        step = max(1, _PIECE // rows)
        for low in range(0, width, step):
            high = min(low + step, width)
            chosen = _chosen(seed, (rows, cols), left + low, high - low, zeros)[top : top + height]
            bits[:, low:high].masked_fill_(torch.from_numpy(chosen), 0)

    return Fill(run, unsplit=0)


def _chosen(
    seed: Seed, shape: tuple[int, int], first: int, count: int, zeros: int
) -> npt.NDArray[np.bool_]:
    """Return whether each element of these columns is one of its column's zeros."""
    rows, cols = shape
    target = new((rows, count), UINT32)
    words = target.owner
    engine.fill(
        distributions.bits(),
        seed,
        target,
        indexing.Part(words.shape, 2 * rows * cols + first, (cols, 1)),
    )
    # The row below the word makes all keys different, so that every machine chooses the same.
    keys = (words.astype(np.uint64) << np.uint64(32)) | np.arange(rows, dtype=np.uint64)[:, None]
    order = np.argpartition(keys, zeros - 1, axis=0)[:zeros]
    found = np.zeros((rows, count), np.bool_)
    np.put_along_axis(found, order, True, axis=0)
    return found
