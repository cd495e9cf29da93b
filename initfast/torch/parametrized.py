"""Weights that a module computes from its parameters: `torch.nn.utils.parametrize`, and the older
`weight_norm` and `spectral_norm`, which are hooks.

Such a weight is drawn under its own name and assigned: the parameters behind it get what the
parametrization's `right_inverse` makes of it, and the vectors of a spectral norm are computed for
the new weight."""

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

__all__ = ["Computed", "computed", "shape_of"]

_SPECTRAL: Any = parametrizations._SpectralNorm
_ORTHOGONAL: Any = parametrizations._Orthogonal
_POWER_STEPS = 15  # as torch's own constructor takes


class Computed(NamedTuple):
    """A weight `key` that `module` computes from `parameters`, by a list of parametrizations or by
    a hook.

    `buffers` follow from the weight."""

    module: nn.Module
    key: str
    by: Any
    parameters: tuple[Site, ...]
    buffers: tuple[Site, ...]

    @property
    def tensor(self) -> torch.Tensor:
        """Return a tensor without memory, of the weight's logical shape and dtype."""
        if isinstance(self.by, nn.Module):
            # On copies without memory: computing the weight may change buffers.
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
        """Draw the weight, and assign it to the parameters and buffers behind it."""
        like, device = self.tensor, targets.local_part(self.parameters[0].tensor).device
        weight = torch.empty(like.shape, dtype=like.dtype, device=device)
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
            # As torch does where it registers a parametrization: without an inverse, the identity.
            if hasattr(each, "right_inverse"):
                with contextlib.suppress(NotImplementedError):
                    value = each.right_inverse(value)
            if isinstance(each, _SPECTRAL) and value.ndim > 1:
                for key in ("_u", "_v"):
                    _direction(getattr(each, key), each.eps, seed, key)
                each._power_method(each._reshape_weight_to_matrix(value), _POWER_STEPS)
        return (value,) if isinstance(value, torch.Tensor) else tuple(value)


def computed(module: nn.Module) -> Iterator[Computed]:
    """Return every weight that a module itself computes from its parameters."""
    if parametrize.is_parametrized(module):
        lists: Any = module.parametrizations
        for key, by in lists.items():
            if by._parameters:  # else it is a buffer that is parametrized
                parameters = tuple(Site(by._parameters, name) for name in by._parameters)
                buffers = tuple(
                    Site(each._buffers, name)
                    for each in by
                    if isinstance(each, _SPECTRAL | _ORTHOGONAL)
                    for name in each._buffers
                )
                yield Computed(module, key, by, parameters, buffers)
    hooks: Any = module._forward_pre_hooks.values()
    for hook in hooks:
        if isinstance(hook, WeightNorm | SpectralNorm):
            old = isinstance(hook, WeightNorm)
            parts, held = (("_g", "_v"), ()) if old else (("_orig",), ("_u", "_v"))
            yield Computed(
                module,
                hook.name,
                hook,
                tuple(Site(module._parameters, hook.name + part) for part in parts),
                tuple(Site(module._buffers, hook.name + part) for part in held),
            )


def shape_of(module: nn.Module, key: str) -> tuple[int, ...]:
    """Return the shape of a weight, computed or not, without computing it."""
    for each in computed(module):
        if each.key == key:
            return tuple(each.tensor.shape)
    return tuple(getattr(module, key).shape)


def _direction(vector: torch.Tensor, eps: float, seed: Seed, key: str) -> torch.Tensor:
    """Give a vector of a spectral norm a random direction, which depends on the seed alone."""
    target = targets.find(vector)
    if target is not None:
        fill = targets.draw(RandomNormal(0.0, 1.0, seed=0), target.shape, vector.dtype)
        targets.write(vector, target, fill, seed.named(key))
        nn.functional.normalize(vector, dim=0, eps=eps, out=vector)
    return vector


@contextlib.contextmanager
def _torch_seeded(seed: Seed, device: torch.device) -> Iterator[None]:
    """Return a context in which torch's generators, from which an inverse may draw, follow the
    seed.
    """
    devices = [] if device.type == "cpu" else [device]
    kind = {"device_type": device.type} if devices else {}
    with torch.random.fork_rng(devices=devices, **kind):
        torch.manual_seed((seed.seed ^ seed.stream) % 2**63)
        yield
