"""`ComputedWeight`: a weight that a module computes from its parameters, by
`torch.nn.utils.parametrize` or by the older hooks `weight_norm` and `spectral_norm`.

Such a weight is drawn under its own name and then assigned: its parameters are set through
`right_inverse` of the parametrization, and the vectors of a spectral norm are computed for the new
weight."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from initfast.core.rounding import in_fixed_environment
from initfast.core.seeds import Seed
from initfast.initializers.random import RandomNormal
from initfast.torch import targets
from initfast.torch.materialise import Site

__all__ = ["ComputedWeight", "computed_weights", "shape_of"]

_SPECTRAL: Any = parametrizations._SpectralNorm
_ORTHOGONAL: Any = parametrizations._Orthogonal
_POWER_STEPS = 15  # the same as in torch's constructor


class ComputedWeight(NamedTuple):
    """A weight that `module` computes as its attribute `key`.

    Attributes:
        by: the list of parametrizations, or the hook, that computes it.
        parameters: the parameters that it is computed from.
        buffers: buffers that depend on the weight.
    """

    module: nn.Module
    key: str
    by: Any
    parameters: tuple[Site, ...]
    buffers: tuple[Site, ...]

    @property
    def tensor(self) -> torch.Tensor:
        """Return a meta tensor of the weight's shape and dtype."""
        if isinstance(self.by, nn.Module):
            # On meta copies, because computing the weight may change buffers.
            memory = {
                id(each): torch.empty(each.shape, dtype=each.dtype, device="meta")
                for each in (*self.by.parameters(), *self.by.buffers())
            }
            with torch.no_grad():
                weight: torch.Tensor = copy.deepcopy(self.by, memory).eval()()
                return weight
        like = self.parameters[-1].tensor
        return torch.empty(like.shape, dtype=like.dtype, device="meta")

    @in_fixed_environment
    def write(self, fill: targets.Fill, seed: Seed) -> None:
        """Draw the weight, and set the parameters and buffers that it is computed from."""
        shape_and_dtype, device = self.tensor, targets.local_part(self.parameters[0].tensor).device
        weight = torch.empty(shape_and_dtype.shape, dtype=shape_and_dtype.dtype, device=device)
        whole = targets.Target(weight, tuple(weight.shape), None)
        targets.write(weight, whole, fill, seed)
        with torch.no_grad(), _torch_seeded(seed, device):
            values = self._inverse(weight, seed)
        for site, value in zip(self.parameters, values, strict=True):
            target = targets.find(site.tensor)
            if target is not None:
                targets.assign(site.tensor, target, value)
        if isinstance(self.by, WeightNorm):
            setattr(self.module, self.key, self.by.compute_weight(self.module))
        elif isinstance(self.by, SpectralNorm):
            setattr(self.module, self.key, self.by.compute_weight(self.module, False))

    def _inverse(self, weight: torch.Tensor, seed: Seed) -> tuple[torch.Tensor, ...]:
        """Return the values of the parameters for this weight. Compute the spectral vectors."""
        if isinstance(self.by, WeightNorm):
            return torch.norm_except_dim(weight, 2, self.by.dim), weight
        if isinstance(self.by, SpectralNorm):
            u, v = (_direction(site.tensor, self.by.eps, seed, site.key) for site in self.buffers)
            matrix = self.by.reshape_weight_to_matrix(weight)
            for _ in range(_POWER_STEPS):
                torch.mv(matrix.t(), u, out=v)
                nn.functional.normalize(v, dim=0, eps=self.by.eps, out=v)
                torch.mv(matrix, v, out=u)
                nn.functional.normalize(u, dim=0, eps=self.by.eps, out=u)
            return (weight,)
        value: Any = weight
        for each in reversed(self.by):
            # As in torch's register_parametrization: without an inverse, use the value unchanged.
            if hasattr(each, "right_inverse"):
                with contextlib.suppress(NotImplementedError):
                    value = each.right_inverse(value)
            if isinstance(each, _SPECTRAL) and value.ndim > 1:
                for key in ("_u", "_v"):
                    _direction(getattr(each, key), each.eps, seed, key)
                each._power_method(each._reshape_weight_to_matrix(value), _POWER_STEPS)
        return (value,) if isinstance(value, torch.Tensor) else tuple(value)


def computed_weights(module: nn.Module) -> Iterator[ComputedWeight]:
    """Return every weight that a module itself computes from its parameters."""
    if parametrize.is_parametrized(module):
        lists: Any = module.parametrizations
        for key, by in lists.items():
            if by._parameters:  # otherwise a buffer is parametrized
                parameters = tuple(Site(by._parameters, name) for name in by._parameters)
                buffers = tuple(
                    Site(each._buffers, name)
                    for each in by
                    if isinstance(each, _SPECTRAL | _ORTHOGONAL)
                    for name in each._buffers
                )
                yield ComputedWeight(module, key, by, parameters, buffers)
    hooks: Any = module._forward_pre_hooks.values()
    for hook in hooks:
        if isinstance(hook, WeightNorm | SpectralNorm):
            is_weight_norm = isinstance(hook, WeightNorm)
            parts, vectors = (("_g", "_v"), ()) if is_weight_norm else (("_orig",), ("_u", "_v"))
            yield ComputedWeight(
                module,
                hook.name,
                hook,
                tuple(Site(module._parameters, hook.name + part) for part in parts),
                tuple(Site(module._buffers, hook.name + part) for part in vectors),
            )


def shape_of(module: nn.Module, key: str) -> tuple[int, ...]:
    """Return the shape of a weight, parametrized or not, without computing it."""
    for each in computed_weights(module):
        if each.key == key:
            return tuple(each.tensor.shape)
    return tuple(getattr(module, key).shape)


def _direction(vector: torch.Tensor, eps: float, seed: Seed, key: str) -> torch.Tensor:
    """Give a vector of a spectral norm a random direction that depends only on the seed."""
    target = targets.find(vector)
    if target is not None:
        fill = targets.draw(RandomNormal(0.0, 1.0, seed=0), target.shape, vector.dtype)
        targets.write(vector, target, fill, seed.named(key))
        nn.functional.normalize(vector, dim=0, eps=eps, out=vector)
    return vector


@contextlib.contextmanager
def _torch_seeded(seed: Seed, device: torch.device) -> Iterator[None]:
    """Return a context in which torch's generators are seeded, because an inverse may draw from
    them.
    """
    devices = [] if device.type == "cpu" else [device]
    kind = {"device_type": device.type} if devices else {}
    with torch.random.fork_rng(devices=devices, **kind):
        torch.manual_seed((seed.seed ^ seed.stream) % 2**63)
        yield
