"""The random initializers of `jax.nn.initializers`, with the same names, arguments, defaults and
fans, drawn by initfast.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np

from initfast.core import indexing
from initfast.core.buffers import empty
from initfast.core.dtypes import resolve_numeric
from initfast.core.rounding import in_fixed_environment
from initfast.core.seeds import Seed
from initfast.core.types import Array, DTypeLike, Shape
from initfast.initializers.base import Initializer
from initfast.initializers.constant import Zeros
from initfast.initializers.fans import jax_fans
from initfast.initializers.orthogonal import Orthogonal
from initfast.initializers.random import RandomNormal, RandomUniform, TruncatedNormal
from initfast.initializers.variance_scaling import MODES, TRUNCATED_STDDEV
from initfast.jax.complex_values import ComplexNormal, Disk, Unitary
from initfast.jax.draws import draw

Axes = int | Sequence[int]
Init = Callable[..., jax.Array]


def uniform(scale: Any = 1e-2, dtype: Any = None) -> Init:
    """Return an initializer of uniform values in [0, scale). The arguments are those of
    `jax.nn.initializers.uniform`.
    """
    return _initializer(lambda shape, seed: RandomUniform(0.0, scale, seed), dtype)


def normal(stddev: Any = 1e-2, dtype: Any = None) -> Init:
    """Return an initializer of normal values of mean 0, real or complex. The arguments are those of
    `jax.nn.initializers.normal`.

    >>> import initfast
    >>> weights = normal(0.02)(jax.random.key(42), (64, 32))
    >>> bool((np.asarray(weights) == initfast.RandomNormal(0.0, 0.02, seed=42)((64, 32))).all())
    True
    """
    return _initializer(
        lambda shape, seed: RandomNormal(0.0, stddev, seed),
        dtype,
        lambda shape, seed: ComplexNormal(stddev, seed),
    )


def truncated_normal(
    stddev: Any = 1e-2, dtype: Any = None, lower: Any = -2.0, upper: Any = 2.0
) -> Init:
    """Return an initializer of truncated normal values. The arguments are those of
    `jax.nn.initializers.truncated_normal`: `stddev` is the standard deviation before truncation,
    and the unit of the bounds.
    """
    return _initializer(lambda shape, seed: TruncatedNormal(0.0, stddev, seed, lower, upper), dtype)


def variance_scaling(
    scale: Any,
    mode: str,
    distribution: str,
    in_axis: Axes = -2,
    out_axis: Axes = -1,
    batch_axis: Axes = (),
    dtype: Any = None,
) -> Init:
    """Return an initializer of values of mean 0 and variance `scale / n`, as
    `jax.nn.initializers.variance_scaling` does.

    Args:
        scale: a finite number >= 0.
        mode: n is 'fan_in', 'fan_out', their mean 'fan_avg' or their geometric mean 'fan_geo_avg';
            unlike in Keras it may be less than 1.
        distribution: 'truncated_normal', 'normal' (not truncated, unlike in Keras) or 'uniform'.
            Complex values are truncated by their modulus, or uniform in a disk.
        in_axis, out_axis, batch_axis: an axis or several. All other axes are the receptive field,
            which multiplies both fans; batch axes multiply neither.
        dtype: the default dtype of the initializer; None: JAX's default.

    Raises:
        ValueError: `mode` or `distribution` is unknown.

    >>> init = variance_scaling(2.0, "fan_in", "normal")
    >>> init(jax.random.key(42), (64, 32)).shape
    (64, 32)
    """
    modes, distributions = (*MODES, "fan_geo_avg"), ("truncated_normal", "normal", "uniform")
    for name, value, choices in (
        ("mode", mode, modes),
        ("distribution", distribution, distributions),
    ):
        if value not in choices:
            raise ValueError(
                f"{name} must be one of {', '.join(map(repr, choices))}; received {value!r}"
            )

    @in_fixed_environment
    def build(shape: indexing.Dims, seed: Seed, of_complex: bool = False) -> Initializer:
        if 0 in shape:  # without elements the variance has no meaning
            return ComplexNormal(0.0, seed) if of_complex else RandomNormal(seed=seed)
        fan_in, fan_out = jax_fans(shape, in_axis, out_axis, batch_axis)
        fans = (fan_in, fan_out, (fan_in + fan_out) / 2, math.sqrt(fan_in * fan_out))
        variance = float(scale) / dict(zip(modes, fans, strict=True))[mode]
        if not variance >= 0.0:
            raise ValueError(f"scale must be a finite number >= 0; received {scale!r}")
        stddev = math.sqrt(variance)
        if of_complex and distribution == "normal":
            return ComplexNormal(stddev, seed)
        if of_complex:
            return Disk(stddev, seed, distribution == "truncated_normal")
        if distribution == "uniform":
            limit = math.sqrt(3.0 * variance)
            return RandomUniform(-limit, limit, seed)
        if distribution == "normal":
            return RandomNormal(0.0, stddev, seed)
        return TruncatedNormal(0.0, stddev / TRUNCATED_STDDEV, seed)

    return _initializer(build, dtype, partial(build, of_complex=True))


def _preset(name: str, scale: float, mode: str, distribution: str) -> Callable[..., Init]:
    def factory(
        in_axis: Axes = -2, out_axis: Axes = -1, batch_axis: Axes = (), dtype: Any = None
    ) -> Init:
        return variance_scaling(scale, mode, distribution, in_axis, out_axis, batch_axis, dtype)

    factory.__name__ = factory.__qualname__ = name
    factory.__doc__ = (
        f"Return `variance_scaling{scale, mode, distribution}`. The arguments are those of "
        f"`jax.nn.initializers.{name}`."
    )
    return factory


glorot_uniform = xavier_uniform = _preset("glorot_uniform", 1.0, "fan_avg", "uniform")
glorot_normal = xavier_normal = _preset("glorot_normal", 1.0, "fan_avg", "truncated_normal")
lecun_uniform = _preset("lecun_uniform", 1.0, "fan_in", "uniform")
lecun_normal = _preset("lecun_normal", 1.0, "fan_in", "truncated_normal")
he_uniform = kaiming_uniform = _preset("he_uniform", 2.0, "fan_in", "uniform")
he_normal = kaiming_normal = _preset("he_normal", 2.0, "fan_in", "truncated_normal")


def orthogonal(scale: Any = 1.0, column_axis: int = -1, dtype: Any = None) -> Init:
    """Return an initializer of orthogonal matrices. The arguments are those of
    `jax.nn.initializers.orthogonal`. With `out_sharding=`, every process makes the whole matrix
    once.
    """
    return _initializer(
        partial(_OrthogonalColumns, Orthogonal, scale, column_axis),
        dtype,
        partial(_OrthogonalColumns, Unitary, scale, column_axis),
    )


def delta_orthogonal(scale: Any = 1.0, column_axis: int = -1, dtype: Any = None) -> Init:
    """Return an initializer of kernels with an orthogonal matrix in the middle, and 0 around it.
    The arguments are those of `jax.nn.initializers.delta_orthogonal`.
    """
    return _initializer(
        partial(_OrthogonalCentre, Orthogonal, scale, column_axis),
        dtype,
        partial(_OrthogonalCentre, Unitary, scale, column_axis),
    )


class _OrthogonalColumns(Initializer):
    """`Orthogonal` or `Unitary` with the columns along any axis."""

    _config_keys = ()

    def __init__(
        self, kind: Any, scale: Any, column_axis: int, shape: indexing.Dims, seed: Seed
    ) -> None:
        if len(shape) < 2:
            raise ValueError(
                f"orthogonal initializer requires at least a 2D shape; received {shape}"
            )
        self._axis = range(len(shape))[column_axis]
        self._matrix = kind(scale, seed)

    def __call__(self, shape: Shape, dtype: DTypeLike = None) -> Array:
        shape = indexing.normalize_shape(shape)
        others = shape[: self._axis] + shape[self._axis + 1 :]
        matrix = self._matrix((math.prod(others), shape[self._axis]), dtype)
        result = empty(shape, resolve_numeric(dtype))
        result[...] = np.moveaxis(matrix.reshape(*others, shape[self._axis]), -1, self._axis)
        return result


class _OrthogonalCentre(Initializer):
    """`_OrthogonalColumns` in the middle of zeros."""

    _config_keys = ()

    def __init__(
        self, kind: Any, scale: Any, column_axis: int, shape: indexing.Dims, seed: Seed
    ) -> None:
        if len(shape) not in (3, 4, 5):
            raise ValueError(
                f"Delta orthogonal initializer requires a 3D, 4D or 5D shape; received {shape}"
            )
        if shape[-1] < shape[-2]:
            raise ValueError(f"`fan_in` must be less or equal than `fan_out`; received {shape}")
        self._middle = _OrthogonalColumns(kind, scale, column_axis, shape[-2:], seed)

    def __call__(self, shape: Shape, dtype: DTypeLike = None) -> Array:
        shape = indexing.normalize_shape(shape)
        result = Zeros()(shape, dtype)
        if result.size:
            result[tuple((n - 1) // 2 for n in shape[:-2])] = self._middle(shape[-2:], dtype)
        return result


Build = Callable[[indexing.Dims, Seed], Initializer]


def _initializer(build: Build, default: Any, build_complex: Build | None = None) -> Init:
    """Return an initializer with JAX's signature, which draws from the initializer that `build`
    returns for a shape and a seed. A complex dtype needs `build_complex`.
    """

    def init(key: Any, shape: Shape, dtype: Any = default, out_sharding: Any = None) -> jax.Array:
        builder = build if build_complex is None or not _is_complex(dtype) else build_complex
        return draw(builder, key, shape, float if dtype is None else dtype, out_sharding)

    return init


def _is_complex(dtype: Any) -> bool:
    if any(dtype is plain for plain in (None, bool, int, float, complex)):  # any width
        return dtype is complex
    return resolve_numeric(dtype).kind == "c"
