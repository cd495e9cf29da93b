"""From the name of a function of `torch.nn.init` to a fill: `RECIPES[name](shape, dtype,
**arguments)` checks the arguments and returns how to write such a tensor.

No tensor is needed, so that a whole model can be checked before the first tensor is written."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache, partial
from typing import Any

import torch
from torch.nn.init import calculate_gain

from initfast.core.dtypes import DType, resolve
from initfast.core.indexing import Dims
from initfast.core.rounding import GRIDS, in_fixed_environment
from initfast.core.seeds import Seed
from initfast.core.warn import warn
from initfast.initializers import blocks
from initfast.initializers.bounds import in_stddevs
from initfast.initializers.constant import Constant, Ones, Zeros
from initfast.initializers.fans import torch_fans
from initfast.initializers.random import (
    RandomInitializer,
    RandomNormal,
    RandomUniform,
    TruncatedNormal,
)
from initfast.initializers.validation import number
from initfast.torch import matrices
from initfast.torch.fills import Fill, Target
from initfast.torch.targets import draw

NOTHING = Fill(lambda target, seed: None, draws=False, equivalent=Zeros)


def uniform(shape: Dims, dtype: torch.dtype, a: float = 0.0, b: float = 1.0) -> Fill:
    low, high = number("a", a), number("b", b)
    if low > high:
        raise RuntimeError(
            f"uniform_ expects to return a [from, to) range, but found from={a} > to={b}"
        )
    return _draw(RandomUniform(low, high, seed=0), shape, dtype)


def normal(shape: Dims, dtype: torch.dtype, mean: float = 0.0, std: float = 1.0) -> Fill:
    mean, std = number("mean", mean), _stddev(std)
    if dtype.is_complex:  # the variance is that of both parts together, and the mean is real
        return _draw(RandomNormal(0.0, std * math.sqrt(0.5), seed=0), shape, dtype, mean)
    return _draw(RandomNormal(mean, std, seed=0), shape, dtype)


def trunc_normal(
    shape: Dims,
    dtype: torch.dtype,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
) -> Fill:
    low, high = _bound("a", a), _bound("b", b)
    if low > high:
        raise RuntimeError(
            f"trunc_normal_ expects to return values in [a, b], but found a={a} > b={b}"
        )
    return draw(
        _trunc_normal(number("mean", mean), _stddev(std), low, high, resolve(dtype)), shape, dtype
    )


def constant(shape: Dims, dtype: torch.dtype, val: Any) -> Fill:
    return Fill(
        lambda target, seed: _same(target, val), draws=False, equivalent=partial(Constant, val)
    )


def ones(shape: Dims, dtype: torch.dtype) -> Fill:
    return constant(shape, dtype, 1.0)._replace(equivalent=Ones)


def zeros(shape: Dims, dtype: torch.dtype) -> Fill:
    return constant(shape, dtype, 0.0)._replace(equivalent=Zeros)


def eye(shape: Dims, dtype: torch.dtype) -> Fill:
    if len(shape) != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    return matrices.identity(min(shape))


def dirac(shape: Dims, dtype: torch.dtype, groups: int = 1) -> Fill:
    if len(shape) not in (3, 4, 5):
        raise ValueError("Only tensors with 3, 4, or 5 dimensions are supported")
    if groups < 1 or shape[0] % groups != 0:
        raise ValueError("dim 0 must be divisible by groups")
    rows = shape[0] // groups
    taps = torch.arange(min(rows, shape[1]), device="cpu")
    filters = torch.arange(groups, device="cpu")[:, None] * rows + taps
    middle = [torch.full_like(filters, size // 2).flatten() for size in shape[2:]]
    return matrices.points([filters.flatten(), taps.repeat(groups), *middle])


def xavier_uniform(
    shape: Dims, dtype: torch.dtype, gain: float = 1.0, groups: int = 1, batch_dims: int = 0
) -> Fill:
    bound = math.sqrt(3.0) * _xavier_stddev(shape, gain, groups, batch_dims)
    return uniform(shape, dtype, -bound, bound)


def xavier_normal(
    shape: Dims, dtype: torch.dtype, gain: float = 1.0, groups: int = 1, batch_dims: int = 0
) -> Fill:
    return normal(shape, dtype, 0.0, _xavier_stddev(shape, gain, groups, batch_dims))


def kaiming_uniform(
    shape: Dims,
    dtype: torch.dtype,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    groups: int = 1,
    batch_dims: int = 0,
) -> Fill:
    if _no_elements(shape):
        return NOTHING
    bound = math.sqrt(3.0) * _kaiming_stddev(shape, a, mode, nonlinearity, groups, batch_dims)
    return uniform(shape, dtype, -bound, bound)


def kaiming_normal(
    shape: Dims,
    dtype: torch.dtype,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    groups: int = 1,
    batch_dims: int = 0,
) -> Fill:
    if _no_elements(shape):
        return NOTHING
    stddev = _kaiming_stddev(shape, a, mode, nonlinearity, groups, batch_dims)
    return normal(shape, dtype, 0.0, stddev)


def orthogonal(shape: Dims, dtype: torch.dtype, gain: float = 1, batch_dims: int = 0) -> Fill:
    if len(_unstacked(shape, batch_dims)) < 2:
        raise ValueError("Only tensors with 2 or more dimensions are supported")
    resolve(dtype)
    gain = number("gain", gain)
    if abs(gain) > torch.finfo(dtype).max:
        raise ValueError(f"gain must be a number that {dtype} can hold; received {gain}")
    return matrices.orthogonal(shape, gain, batch_dims)


def sparse(shape: Dims, dtype: torch.dtype, sparsity: float, std: float = 0.01) -> Fill:
    if len(shape) != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    if not 0.0 <= sparsity <= 1.0:
        raise ValueError(f"sparsity must lie in [0, 1]; received {sparsity}")
    normals = RandomNormal(0.0, _stddev(std), seed=0)
    return matrices.sparse(normals, shape, dtype, math.ceil(sparsity * shape[0]))


RECIPES: dict[str, Callable[..., Fill]] = {
    f"{recipe.__name__}_": in_fixed_environment(recipe)
    for recipe in (
        uniform, normal, trunc_normal, constant, ones, zeros, eye, dirac, xavier_uniform,
        xavier_normal, kaiming_uniform, kaiming_normal, orthogonal, sparse,
    )
}  # fmt: skip
"""The functions above by their names in `torch.nn.init`, such as "uniform_"."""


@lru_cache(1024)
def _trunc_normal(mean: float, std: float, a: float, b: float, dtype: DType) -> RandomInitializer:
    """Return the initializer for torch's bounds, which are values. The kernels count bounds in
    standard deviations from the mean.
    """
    if math.isinf(a) and a == b:
        raise ValueError(f"[a, b] must contain a finite number; received a={a}, b={b}")
    if std and a < b:
        lower, upper = in_stddevs(mean, std, a, b)
        if lower < upper:
            initializer = TruncatedNormal(mean, std, seed=0, lower=lower, upper=upper)
            try:
                blocks.check(initializer, (), dtype)
            except ValueError as error:
                raise ValueError(
                    f"{error}, for trunc_normal_ with mean={mean}, std={std}, a={a}, b={b}"
                ) from None
            return initializer
    # The interval has no width: every element is the point of [a, b] nearest to the mean.
    grid, exact = GRIDS[dtype.name], Fraction(min(max(mean, a), b))
    value = grid.nearest(exact)
    if a < b:
        value = grid.up(exact) if value < a else grid.down(exact) if value > b else value
        if not a <= value <= b:
            raise ValueError(f"[a, b] must contain a {dtype.name} number; received a={a}, b={b}")
    return RandomUniform(float(value), float(value), seed=0)


def _draw(initializer: RandomInitializer, shape: Dims, dtype: torch.dtype, mean: float = 0) -> Fill:
    """Return a fill that draws every element. The two parts of a complex element are drawn as an
    additional last dim.
    """
    if not dtype.is_complex:
        return draw(initializer, shape, dtype)
    parts = draw(initializer, (*shape, 2), dtype.to_real())

    def run(target: Target, seed: Seed) -> None:
        where = None if target.where is None else (*target.where, slice(0, 2))
        parts.run(Target(torch.view_as_real(target.local), (*target.shape, 2), where), seed)
        if mean:
            target.local.add_(mean)

    return Fill(run)


def _bound(name: str, value: float) -> float:
    return float(value) if value in (math.inf, -math.inf) else number(name, value)


def _stddev(std: float) -> float:
    stddev = number("std", std)
    if stddev < 0.0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std}")
    return stddev


def _xavier_stddev(shape: Dims, gain: float, groups: int, batch_dims: int) -> float:
    fan_in, fan_out = _fans(shape, groups, batch_dims)
    return gain * math.sqrt(2.0 / float(fan_in + fan_out))


def _kaiming_stddev(
    shape: Dims, a: float, mode: str, nonlinearity: Any, groups: int, batch_dims: int
) -> float:
    mode = mode.lower()
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"Mode {mode} not supported, please use one of ['fan_in', 'fan_out']")
    fan_in, fan_out = _fans(shape, groups, batch_dims)
    gain = float(calculate_gain(nonlinearity, a))
    return gain / math.sqrt(fan_in if mode == "fan_in" else fan_out)


def _fans(shape: Dims, groups: int, batch_dims: int) -> tuple[int, int]:
    one = _unstacked(shape, batch_dims)
    if type(groups) is not int or groups < 1 or (one and one[0] % groups):
        raise ValueError(
            f"groups must be a positive integer that divides the {one[0] if one else 0} outputs;"
            f" received {groups!r}"
        )
    return torch_fans(one, groups)


def _unstacked(shape: Dims, batch_dims: int) -> Dims:
    """Return the shape of one of the arrays that are stacked along the leading dims."""
    if type(batch_dims) is not int or not 0 <= batch_dims <= len(shape):
        raise ValueError(
            f"batch_dims must be an integer in [0, {len(shape)}]; received {batch_dims!r}"
        )
    return shape[batch_dims:]


def _no_elements(shape: Dims) -> bool:
    if 0 in shape:
        warn("Initializing zero-element tensors is a no-op", UserWarning)
    return 0 in shape


def _same(target: Target, val: Any) -> None:
    target.local.fill_(val)
