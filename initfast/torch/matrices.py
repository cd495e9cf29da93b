"""Fills of matrices that are not one draw per element: identities, orthogonal matrices, sparse
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

_PIECE = 1 << 22  # random words in memory at a time, to choose the zeros of a sparse matrix


def points(places: list[torch.Tensor]) -> Fill:
    """Return a fill that writes 1 at the given coordinates and 0 everywhere else.

    Args:
        places: the coordinates, as one index tensor for each dim.
    """

    def run(target: Target, seed: Seed) -> None:
        local = target.local
        local_places = [place - start for place, start in zip(places, starts(target), strict=True)]
        inside = torch.ones_like(places[0], dtype=torch.bool)
        for place, size in zip(local_places, local.shape, strict=True):
            inside &= (place >= 0) & (place < size)
        local.zero_()
        local[tuple(place[inside].to(local.device) for place in local_places)] = 1

    return Fill(run, draws=False)


def identity(rows: int) -> Fill:
    """Return a fill that writes 1 on the main diagonal of `rows` rows, and 0 elsewhere."""
    return points([torch.arange(rows, device="cpu")] * 2)._replace(equivalent=Identity)


def orthogonal(shape: Dims, gain: float, batch_dims: int = 0) -> Fill:
    """Return a fill that writes an orthogonal matrix, its first dim by all others, at each index of
    the `batch_dims` leading dims. A part of a matrix is cut from the whole and costs as much.
    """
    stacks, matrix_shape = shape[:batch_dims], shape[batch_dims:]
    rows, cols = matrix_shape[0], math.prod(matrix_shape[1:])
    normals = (math.prod(stacks), max(rows, cols), min(rows, cols))

    def run(target: Target, seed: Seed) -> None:
        local, where = target.local, narrow(target, 0, 0, target.local.shape[0]).where
        assert where is not None
        kind = FLOAT64 if local.dtype == torch.float64 else FLOAT32
        for place in np.ndindex(*local.shape[:batch_dims]):
            number = 0
            for size, index, part in zip(stacks, place, where, strict=False):
                number = number * size + part.start + index
            matrix_of_normals = RandomNormal(0.0, 1.0, seed).block(normals, number, kind)
            q = orthonormal(matrix_of_normals, gain)
            matrix = torch.from_numpy(q if rows >= cols else np.ascontiguousarray(q.T)).view(
                matrix_shape
            )
            local[place].copy_(matrix[where[batch_dims:]])

    # initfast.Orthogonal follows Keras: all dims except the last by the last.
    same_matrix = shape[0] == math.prod(shape[:-1]) and not batch_dims
    equivalent = (lambda: Orthogonal(gain, seed=0)) if same_matrix else None
    return Fill(run, equivalent=equivalent, unsplit=batch_dims)


def sparse(initializer: RandomInitializer, shape: Dims, dtype: torch.dtype, zeros: int) -> Fill:
    """Return a fill that draws every element with `initializer`, then sets `zeros` elements of each
    column to 0.

    The zeros are the rows with the smallest words of the stream, counted from word 2 * numel, which
    no element uses. A shard of some rows needs the words of the whole columns."""
    normals = draw(initializer, shape, dtype)

    def run(target: Target, seed: Seed) -> None:
        normals.run(target, seed)
        if not zeros:
            return
        rows, cols = target.shape
        height, width = target.local.shape
        top, first_column = starts(target)
        # masked_fill_ does not accept the one-byte floats.
        bits = target.local.view(torch.uint8) if target.local.element_size() == 1 else target.local
        step = max(1, _PIECE // rows)
        for low in range(0, width, step):
            high = min(low + step, width)
            mask = _zero_mask(seed, (rows, cols), first_column + low, high - low, zeros)[
                top : top + height
            ]
            bits[:, low:high].masked_fill_(torch.from_numpy(mask), 0)

    return Fill(run, unsplit=0)


def _zero_mask(
    seed: Seed, shape: tuple[int, int], first: int, count: int, zeros: int
) -> npt.NDArray[np.bool_]:
    """Return a mask of `count` columns from column `first`: True for the elements to set to 0."""
    rows, cols = shape
    target = new((rows, count), UINT32)
    words = target.owner
    engine.fill(
        distributions.bits(),
        seed,
        target,
        indexing.Part(words.shape, 2 * rows * cols + first, (cols, 1)),
    )
    # The row number in the low bits makes all keys different, so that every machine chooses alike.
    keys = (words.astype(np.uint64) << np.uint64(32)) | np.arange(rows, dtype=np.uint64)[:, None]
    order = np.argpartition(keys, zeros - 1, axis=0)[:zeros]
    mask = np.zeros((rows, count), np.bool_)
    np.put_along_axis(mask, order, True, axis=0)
    return mask
