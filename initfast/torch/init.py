"""The functions of `torch.nn.init`, drawn by initfast: same names, arguments, fans and in-place
semantics.

All of them write in place outside autograd, return the tensor and leave tensors on the meta device
alone. Those that draw also take, by keyword:

    seed: an integer in [0, 2**64), `initfast.Seed` or `initfast.SeedGenerator`. The tensor then
        holds the same values whatever its strides and device. None: a seed is drawn from
        `generator`, or from torch's default one, so that `torch.manual_seed` governs; each call
        moves that on by one draw.
    name: the stream within the seed, such as the parameter's name. Two tensors of one seed need two
        names; a ReusedSeedWarning says if a second one is drawn without.

Those that use fans, and `orthogonal_`, also take:

    batch_dims: how many leading dims count stacked arrays, such as the experts of (expert, out,
        in). Each has its own fans and is orthogonal in itself. In a stack of (in, out) the fan_in
        of torch's names is the fan_out here. Default 0, torch's.
    groups: the groups of a convolution, by which its fan_out is divided (not in `orthogonal_`).
        Default 1, torch's, which gives a depthwise kernel a fan_out that is too large.

A DTensor gets its local part of the tensor that would be drawn in one piece, and fans of its global
shape. It needs a seed, or a `generator` that is in the same state on all ranks; were that not so,
shards would belong to different tensors and replicas would differ, and nobody would notice. Tensors
elsewhere than on the CPU are drawn in CPU memory and copied. Complex tensors are drawn as by torch,
the parts of each element next to each other in the stream; only `trunc_normal_`, `orthogonal_` and
`sparse_` refuse them. Errors are ValueError or TypeError, and torch's own RuntimeError for ranges
turned around."""

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
    """Uniform in the half-open [a, b), in every dtype."""
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
    """Normal: `mean + std * z`."""
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
    """Normal, conditioned on the values a to b, which nothing leaves in any dtype.

    The bounds are values, not standard deviations, and may be infinite. Unlike torch's, the
    distribution is right also where the mean lies outside of them, so nothing warns of that. With a
    == b every element is a, and with std == 0 every element is the point of [a, b] nearest to the
    mean. [a, b] must come within 38 standard deviations."""
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
    """Uniform in `+-gain * sqrt(6 / (fan_in + fan_out))` (Glorot and Bengio 2010)."""
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
    """Normal of std `gain * sqrt(2 / (fan_in + fan_out))` (Glorot and Bengio 2010)."""
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
    """Uniform in `+-gain * sqrt(3 / fan)`, gain from `calculate_gain(nonlinearity, a)` (He et al.
    2015).
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
    """Normal of std `gain / sqrt(fan)`, gain from `calculate_gain(nonlinearity, a)` (He et al.
    2015).
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
    """Orthonormal rows or columns times gain, the tensor seen as its first dim by all others (Saxe
    et al. 2014).

    The QR decomposition is LAPACK's, so values are the same up to rounding between machines and
    numbers of BLAS threads. A shard costs the time and memory of the whole."""
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
    """Normal of this std, with `ceil(sparsity * rows)` elements of each column set to 0 (Martens
    2010).
    """
    return _fill("sparse_", tensor, (sparsity, std), generator, seed, name)


def eye_(tensor: torch.Tensor) -> torch.Tensor:
    """1 on the diagonal of `tensor`, a matrix, and 0 elsewhere; of a DTensor, the local part of
    that. Returns it.
    """
    return _fill("eye_", tensor, ())


def dirac_(tensor: torch.Tensor, groups: int = 1) -> torch.Tensor:
    """Write the identity as a convolution of 1 to 3 dims, in each of `groups`, in `tensor`; of a
    DTensor, its local part.
    """
    return _fill("dirac_", tensor, (groups,))


_DRAWING = (
    uniform_, normal_, trunc_normal_, xavier_uniform_, xavier_normal_, kaiming_uniform_,
    kaiming_normal_, orthogonal_, sparse_,
)  # fmt: skip
_ARGUMENTS = """

    Arguments are those of `torch.nn.init.{name}`, and, by keyword, `seed` (None: one is drawn from
    `generator`, or from torch's default one) and `name`, the stream within it: see
    help(initfast.torch.init). Returns the tensor.
    """
_NAME_IT = "pass each tensor's name=, such as name='layers.0.weight', to give it a separate stream"
for _function in _DRAWING:
    if _function.__doc__:  # none under -OO
        _function.__doc__ = _function.__doc__.rstrip() + _ARGUMENTS.format(name=_function.__name__)


def _fill(
    function: str,
    tensor: torch.Tensor,
    arguments: tuple[Any, ...],
    generator: Generator = None,
    seed: AnySeed = None,
    name: str | None = None,
) -> torch.Tensor:
    targets.check(tensor)
    targets.check_lasting(tensor)
    recipe = recipes.RECIPES[function]
    fill = recipe(tuple(tensor.shape), tensor.dtype, *arguments)
    recording = tape.current()
    if recording is not None:  # a model's own initialisation may be written with these functions
        names = list(inspect.signature(recipe).parameters)[2:]
        recording.draw(function, tensor, dict(zip(names, arguments, strict=False)))
        return tensor
    target, stream = targets.find(tensor), Seed(0)
    # A rank whose part is empty draws its seed as well, so that all ranks go on alike.
    if fill.draws and tensor.numel() and targets.has_values(tensor):
        stream = streams.choose(seed, name, generator, targets.is_sharded(tensor))
    if target is not None:
        fixed = seed is not None and not isinstance(seed, SeedGenerator) and stream.name is None
        if fill.draws and fixed and not targets.is_sharded(tensor):
            streams.note(stream, target.local, _NAME_IT)
        targets.write(tensor, target, fill, stream)
    return tensor
