"""The complex draws of `jax.nn.initializers`: two real draws for each element, from separate
streams.

Moduli, angles and the QR come from NumPy, so that values are the same up to rounding between
machines, and the same on each call on one machine."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from initfast.core.buffers import Buffer, new
from initfast.core.dtypes import DType, resolve_numeric
from initfast.core.indexing import Dims, Part, normalize_shape, whole
from initfast.core.rounding import in_fixed_environment
from initfast.core.seeds import Seed
from initfast.core.types import Array, DTypeLike, Shape
from initfast.initializers.base import Direct, Initializer
from initfast.initializers.random import RandomInitializer, RandomNormal, RandomUniform
from initfast.initializers.validation import number

__all__ = ["ComplexNormal", "Disk", "Unitary"]

# The streams of the two draws are that of the key, with these bits flipped: those of the names.
_FIRST, _SECOND = (Seed(0).named(name).stream for name in ("complex/0", "complex/1"))
_STDDEV_OF_CUT = 0.95311164380491208  # of a complex standard normal with a modulus of at most 2


class _Complex(Direct):
    """Base: a subclass says what the two draws are, and how they make an element."""

    def __init__(self, stddev: Any, seed: Seed | int) -> None:
        self.stddev = number("stddev", stddev)
        self.seed = seed
        fixed = seed if isinstance(seed, Seed) else Seed(seed)
        self._streams = [Seed(fixed.seed, fixed.stream ^ bits) for bits in (_FIRST, _SECOND)]

    def _dtype(self, dtype: DTypeLike) -> DType:
        native = resolve_numeric(dtype)
        if native.kind != "c":
            raise ValueError(f"dtype must be complex; received {native.name!r}")
        return native

    def _two(self, law: RandomInitializer, target: Buffer, shape: Dims, part: Part) -> list[Array]:
        """Return the part twice, as two draws of the law in the dtype of a component."""
        component = np.dtype(f"f{target.dtype.itemsize // 2}")
        drawn = []
        for stream in self._streams:
            made = new(part.shape, component)
            law.with_seed(stream)._write(made, shape, part)
            drawn.append(made.array)
        return drawn


class ComplexNormal(_Complex):
    """Complex normals: real and imaginary parts are normals of variance `stddev**2 / 2`."""

    @in_fixed_environment
    def _write(self, target: Buffer, shape: Dims, part: Part) -> None:
        law = RandomNormal(0.0, self.stddev / math.sqrt(2.0), seed=0)
        target.array.real, target.array.imag = self._two(law, target, shape, part)


class Disk(_Complex):
    """Complex values of standard deviation `stddev`, alike in all directions.

    Args:
        truncated: normals with a modulus of at most 2 standard deviations before the cut; else
            uniform in a disk.
    """

    def __init__(self, stddev: Any, seed: Seed | int, truncated: bool) -> None:
        super().__init__(stddev, seed)
        self.truncated = truncated

    @in_fixed_environment
    def _write(self, target: Buffer, shape: Dims, part: Part) -> None:
        law = RandomUniform(0.0, 1.0, seed=0)
        share, turn = (np.asarray(u, np.float64) for u in self._two(law, target, shape, part))
        if self.truncated:
            square = -np.log1p(share * math.expm1(-4.0)) / _STDDEV_OF_CUT**2
        else:
            square = 2.0 * share
        modulus, angle = self.stddev * np.sqrt(square), 2.0 * math.pi * turn
        target.array.real, target.array.imag = modulus * np.cos(angle), modulus * np.sin(angle)


class Unitary(Initializer):
    """A matrix with orthonormal columns, or rows if there are fewer, times `scale`: the complex
    `Orthogonal`, with the phases that make the diagonal of R positive.
    """

    _config_keys = ()

    def __init__(self, scale: Any, seed: Seed) -> None:
        self.scale = number("scale", scale)
        self._normals = ComplexNormal(1.0, seed)

    def __call__(self, shape: Shape, dtype: DTypeLike = None) -> Array:
        rows, columns = normalize_shape(shape)
        native = self._normals._dtype(dtype)
        if 0 in (rows, columns):
            return np.zeros((rows, columns), native)
        size = (max(rows, columns), min(rows, columns))
        q, r = np.linalg.qr(self._normals._new(size, whole(size), native))
        diagonal = np.diagonal(r)
        q *= self.scale * diagonal / np.abs(diagonal)
        made: Array = (q if rows >= columns else q.T).astype(native)
        return made
