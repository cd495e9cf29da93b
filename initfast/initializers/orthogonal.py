"""Orthogonal matrices: the Q of the QR decomposition of normals."""

from __future__ import annotations

import math

import numpy as np

from initfast.core import indexing
from initfast.core.buffers import Buffer
from initfast.core.dtypes import FLOAT32, FLOAT64, DType, resolve
from initfast.core.seeds import AnySeed, Seed
from initfast.core.types import Array
from initfast.initializers.base import Initializer
from initfast.initializers.random import RandomInitializer, RandomNormal
from initfast.initializers.validation import cast, number

__all__ = ["Orthogonal", "orthonormal"]


class Orthogonal(RandomInitializer):
    """An orthogonal matrix times `gain`: orthonormal columns, or rows if there are fewer rows.

    The logical array is treated as a matrix of `prod(shape[:-1])` rows. It is the Q of the QR
    decomposition of standard normals, in float64 for float64 and in float32 for all other dtypes,
    with the signs that make the diagonal of R positive.

    Args:
        gain: a finite number that the dtype can hold.
        seed: None, an integer in [0, 2**64), `Seed` or `SeedGenerator`.

    `fill`, `block` and `rows` cost as much time and memory as the whole matrix, from which they
    copy. LAPACK computes the QR: values are the same for each call on one machine, and equal up to
    rounding on other machines and LAPACK builds. Unlike all other values, they depend on the
    rounding mode of the CPU.

    Source: Saxe, McClelland and Ganguli 2014, Exact solutions to the nonlinear dynamics of
    learning.

    >>> import numpy as np
    >>> w = Orthogonal(seed=7)((3, 2), dtype="float64")
    >>> bool(np.allclose(w.T @ w, np.eye(2)))
    True
    """

    _config_keys = ("gain",)
    whole_only = True

    def __init__(self, gain: float = 1.0, seed: AnySeed = None) -> None:
        self.gain = number("gain", gain)
        super().__init__(seed)

    def _write(self, target: Buffer, shape: indexing.Dims, part: indexing.Part) -> None:
        wide = resolve(target.dtype) == FLOAT64
        _check_rank(shape)
        cast("gain", np.asarray(self.gain), target.dtype)
        if 0 not in part.shape:
            target.array[...] = indexing.cut(
                self._matrix(shape, self._next_seed(), FLOAT64 if wide else FLOAT32), part
            )

    # The kernels do not draw these values, so they cannot measure them either.
    _write_measured = Initializer._write_measured

    def _matrix(self, shape: indexing.Dims, seed: Seed, dtype: DType) -> Array:
        rows, cols = math.prod(shape[:-1]), shape[-1]
        normals = RandomNormal(0.0, 1.0, seed)((max(rows, cols), min(rows, cols)), dtype)
        q = orthonormal(normals, self.gain)
        return np.reshape(q if rows >= cols else q.T, shape)


def orthonormal(normals: Array, gain: float) -> Array:
    """Return `gain` times the Q of a matrix with at least as many rows as columns, with the signs
    that make the diagonal of R positive.
    """
    q, r = np.linalg.qr(normals)
    q *= np.where(np.diagonal(r) < 0.0, -gain, gain).astype(q.dtype)
    return q


def _check_rank(shape: indexing.Dims) -> None:
    if len(shape) < 2:
        raise ValueError(
            f"The tensor to initialize must be at least two-dimensional. Received: shape={shape} "
            f"of rank {len(shape)}."
        )
