"""The complex draws of `jax.nn.initializers`: two real draws for each element, from separate
streams.

NumPy computes moduli, angles and the QR, so values are the same for each call on one machine, and
equal up to rounding on other machines."""

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

# Each draw uses the stream of the key, XORed with the stream of one of these names.
_FIRST, _SECOND = (Seed(0).named(name).stream for name in ("complex/0", "complex/1"))
# Standard deviation of a complex standard normal truncated at a modulus of 2.
_TRUNCATED_STDDEV = 0.95311164380491208


class _Complex(Direct):
    """Base class of initializers that compute each element from two draws."""

    def __init__(self, stddev: Any, seed: Seed | int) -> None:
        self.stddev = number("stddev", stddev)
        self.seed = seed
        base = seed if isinstance(seed, Seed) else Seed(seed)
        self._streams = [Seed(base.seed, base.stream ^ bits) for bits in (_FIRST, _SECOND)]

    def _dtype(self, dtype: DTypeLike) -> DType:
        native = resolve_numeric(dtype)
        if native.kind != "c":
            raise ValueError(f"dtype must be complex; received {native.name!r}")
        return native

    def _draw_twice(
        self, initializer: RandomInitializer, target: Buffer, shape: Dims, part: Part
    ) -> list[Array]:
        """Return two draws of the part, in the dtype of the real and imaginary parts."""
        component = np.dtype(f"f{target.dtype.itemsize // 2}")
        components = []
        for stream in self._streams:
            buffer = new(part.shape, component)
            initializer.with_seed(stream)._write(buffer, shape, part)
            components.append(buffer.array)
        return components


class ComplexNormal(_Complex):
    """Complex normals, whose real and imaginary parts are normals of variance `stddev**2 / 2`."""

    @in_fixed_environment
    def _write(self, target: Buffer, shape: Dims, part: Part) -> None:
        initializer = RandomNormal(0.0, self.stddev / math.sqrt(2.0), seed=0)
        target.array.real, target.array.imag = self._draw_twice(initializer, target, shape, part)


class Disk(_Complex):
    """Complex values of standard deviation `stddev`, equally likely in all directions.

    Args:
        truncated: True for normals truncated at a modulus of 2 standard deviations, False for
            values that are uniform in a disk.
    """

    def __init__(self, stddev: Any, seed: Seed | int, truncated: bool) -> None:
        super().__init__(stddev, seed)
        self.truncated = truncated

    @in_fixed_environment
    def _write(self, target: Buffer, shape: Dims, part: Part) -> None:
        initializer = RandomUniform(0.0, 1.0, seed=0)
        uniforms = self._draw_twice(initializer, target, shape, part)
        share, turn = (np.asarray(values, np.float64) for values in uniforms)
        if self.truncated:
            square = -np.log1p(share * math.expm1(-4.0)) / _TRUNCATED_STDDEV**2
        else:
            square = 2.0 * share
        modulus, angle = self.stddev * np.sqrt(square), 2.0 * math.pi * turn
        target.array.real, target.array.imag = modulus * np.cos(angle), modulus * np.sin(angle)


class Unitary(Initializer):
    """A complex matrix with orthonormal columns, or rows if there are fewer rows, times `scale`. As
    in `Orthogonal`, it is a Q with the phases that make the diagonal of R positive.
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
        matrix: Array = (q if rows >= columns else q.T).astype(native)
        return matrix
