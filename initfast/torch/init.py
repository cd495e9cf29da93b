"""The functions of `torch.nn.init`, drawn by initfast: same names, arguments, fans and in-place
semantics.

All of them write in place outside autograd and return the tensor. They leave tensors on the meta
device unchanged. The random ones also take these keyword arguments:

    seed: an integer in [0, 2**64), `initfast.Seed` or `initfast.SeedGenerator`. The values then do
        not depend on the strides and the device of the tensor. None: a seed is drawn from
        `generator`, or from torch's default generator, so that `torch.manual_seed` determines the
        values; each call advances the generator by one draw.
    name: the stream within the seed, such as the parameter's name. Two tensors with one seed need
        different names; otherwise a ReusedSeedWarning is shown.

Functions that use fans, and `orthogonal_`, also take:

    batch_dims: the number of leading dims that count stacked matrices, such as 1 for experts of
        shape (expert, out, in). Each matrix has its own fans, and is orthogonal by itself. In a
        stack of (in, out), fan_in and fan_out are exchanged. Default 0, as in torch.
    groups: the groups of a convolution, by which fan_out is divided (not in `orthogonal_`).
        Default 1, as in torch, which gives a depthwise kernel a fan_out that is too large.

A DTensor gets its local part of the unsharded tensor, and fans of its global shape. It needs a
seed, or a `generator` that is in the same state on all ranks; otherwise the shards would be parts
of different tensors, without an error. Tensors on other devices are drawn in CPU memory and copied.
Complex tensors are drawn as by torch: the two parts of an element are next to each other in the
stream. `trunc_normal_`, `orthogonal_` and `sparse_` do not accept them. Errors are ValueError or
TypeError, and torch's RuntimeError if a lower bound is above the upper one."""

from __future__ import annotations

import inspect
from typing import Any, TypeAlias

import torch
from torch.nn.init import calculate_gain, constant_, ones_, zeros_

from initfast.core.seeds import AnySeed, Seed, SeedGenerator
from initfast.torch import recipes, streams, tape, targets

__all__ = [
    "calculate_gain", "constant_", "dirac_", "eye_", "kaiming_normal_", "kaiming_uniform_",
    "normal_", "ones_", "orthogonal_", "sparse_", "trunc_normal_", "uniform_", "xavier_normal_",
    "xavier_uniform_", "zeros_",
]  # fmt: skip

Generator: TypeAlias = "torch.Generator | None"


def uniform_(
    tensor: torch.Tensor,
    a: float = 0.0,
    b: float = 1.0,
    generator: Generator = None,
    *,
    seed: AnySeed = None,
    name: str | None = None,
) -> torch.Tensor:
    """Draw from the uniform distribution on the half-open interval [a, b), in every dtype."""
    return _fill("uniform_", tensor, (a, b), generator, seed, name)


def normal_(
    tensor: torch.Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    generator: Generator = None,
    *,
    seed: AnySeed = None,
    name: str | None = None,
) -> torch.Tensor:
    """Draw from the normal distribution: `mean + std * z`, with z standard normal."""
    return _fill("normal_", tensor, (mean, std), generator, seed, name)


def trunc_normal_(
    tensor: torch.Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator = None,
    *,
    seed: AnySeed = None,
    name: str | None = None,
) -> torch.Tensor:
    """Draw from the normal distribution conditioned on [a, b]; no value is outside in any dtype.

    The bounds are values, not standard deviations, and may be infinite. Unlike in torch, the
    distribution is also right if the mean is outside of [a, b], so there is no warning. With
    a == b every element is a. With std == 0 every element is the point of [a, b] nearest to the
    mean. [a, b] must overlap [mean - 38 std, mean + 38 std]."""
    return _fill("trunc_normal_", tensor, (mean, std, a, b), generator, seed, name)


def xavier_uniform_(
    tensor: torch.Tensor,
    gain: float = 1.0,
    generator: Generator = None,
    *,
    groups: int = 1,
    batch_dims: int = 0,
    seed: AnySeed = None,
    name: str | None = None,
) -> torch.Tensor:
    """Draw uniformly from `+-gain * sqrt(6 / (fan_in + fan_out))` (Glorot and Bengio 2010)."""
    return _fill("xavier_uniform_", tensor, (gain, groups, batch_dims), generator, seed, name)


def xavier_normal_(
    tensor: torch.Tensor,
    gain: float = 1.0,
    generator: Generator = None,
    *,
    groups: int = 1,
    batch_dims: int = 0,
    seed: AnySeed = None,
    name: str | None = None,
) -> torch.Tensor:
    """Draw normals of mean 0 and std `gain * sqrt(2 / (fan_in + fan_out))` (Glorot and Bengio
    2010).
    """
    return _fill("xavier_normal_", tensor, (gain, groups, batch_dims), generator, seed, name)


def kaiming_uniform_(
    tensor: torch.Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator = None,
    *,
    groups: int = 1,
    batch_dims: int = 0,
    seed: AnySeed = None,
    name: str | None = None,
) -> torch.Tensor:
    """Draw uniformly from `+-gain * sqrt(3 / fan)`, with gain from `calculate_gain(nonlinearity,
    a)` (He et al. 2015).
    """
    arguments = (a, mode, nonlinearity, groups, batch_dims)
    return _fill("kaiming_uniform_", tensor, arguments, generator, seed, name)


def kaiming_normal_(
    tensor: torch.Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator = None,
    *,
    groups: int = 1,
    batch_dims: int = 0,
    seed: AnySeed = None,
    name: str | None = None,
) -> torch.Tensor:
    """Draw normals of mean 0 and std `gain / sqrt(fan)`, with gain from
    `calculate_gain(nonlinearity, a)` (He et al. 2015).
    """
    arguments = (a, mode, nonlinearity, groups, batch_dims)
    return _fill("kaiming_normal_", tensor, arguments, generator, seed, name)


def orthogonal_(
    tensor: torch.Tensor,
    gain: float = 1,
    generator: Generator = None,
    *,
    batch_dims: int = 0,
    seed: AnySeed = None,
    name: str | None = None,
) -> torch.Tensor:
    """Draw a matrix with orthonormal rows or columns, times gain (Saxe et al. 2014). A tensor of
    more than two dims is seen as a matrix of its first dim by all others.

    LAPACK computes the QR decomposition, so values may differ by rounding between machines and
    numbers of BLAS threads. A shard costs the time and memory of the whole tensor."""
    return _fill("orthogonal_", tensor, (gain, batch_dims), generator, seed, name)


def sparse_(
    tensor: torch.Tensor,
    sparsity: float,
    std: float = 0.01,
    generator: Generator = None,
    *,
    seed: AnySeed = None,
    name: str | None = None,
) -> torch.Tensor:
    """Draw normals of mean 0 and this std, and set `ceil(sparsity * rows)` elements of each column
    to 0 (Martens 2010).
    """
    return _fill("sparse_", tensor, (sparsity, std), generator, seed, name)


def eye_(tensor: torch.Tensor) -> torch.Tensor:
    """Write 1 on the diagonal of `tensor`, a matrix, and 0 elsewhere, and return it. A DTensor
    gets its local part.
    """
    return _fill("eye_", tensor, ())


def dirac_(tensor: torch.Tensor, groups: int = 1) -> torch.Tensor:
    """Write the identity convolution of 1 to 3 dims, for each of `groups`, into `tensor`, and
    return it. A DTensor gets its local part.
    """
    return _fill("dirac_", tensor, (groups,))


_DRAWING = (
    uniform_, normal_, trunc_normal_, xavier_uniform_, xavier_normal_, kaiming_uniform_,
    kaiming_normal_, orthogonal_, sparse_,
)  # fmt: skip
_ARGUMENTS = """

    The positional arguments are those of `torch.nn.init.{name}`. `seed=` (None: drawn from
    `generator`, or from torch's default one) and `name=`, the stream within it, are explained in
    help(initfast.torch.init). Returns the tensor.
    """
_WAY_OUT = "pass each tensor's name=, such as name='layers.0.weight', to give it a separate stream"
for _function in _DRAWING:
    if _function.__doc__:  # python -OO removes docstrings
        _function.__doc__ = _function.__doc__.rstrip() + _ARGUMENTS.format(name=_function.__name__)


def _fill(
    function: str,
    tensor: torch.Tensor,
    arguments: tuple[Any, ...],
    generator: Generator = None,
    seed: AnySeed = None,
    name: str | None = None,
) -> torch.Tensor:
    """Fill a tensor by the recipe of `function`, or record the call if a tape is running."""
    targets.check(tensor)
    targets.check_lasting(tensor)
    recipe = recipes.RECIPES[function]
    fill = recipe(tuple(tensor.shape), tensor.dtype, *arguments)
    recording = tape.current()
    if recording is not None:  # a model's own initialisation may call these functions
        names = list(inspect.signature(recipe).parameters)[2:]
        recording.draw(function, tensor, dict(zip(names, arguments, strict=False)))
        return tensor
    target, stream = targets.find(tensor), Seed(0)
    # A rank whose part is empty draws its seed too, so that the generators of all ranks stay equal.
    if fill.draws and tensor.numel() and targets.has_values(tensor):
        stream = streams.choose(seed, name, generator, targets.is_sharded(tensor))
    if target is not None:
        fixed = seed is not None and not isinstance(seed, SeedGenerator) and stream.name is None
        if fill.draws and fixed and not targets.is_sharded(tensor):
            streams.check_reuse(stream, target.local, _WAY_OUT)
        targets.write(tensor, target, fill, stream)
    return tensor
