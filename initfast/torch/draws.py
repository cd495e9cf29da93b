"""Replay the random operations of a tape with initfast's generator, on tensors with memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from initfast.core.seeds import Seed
from initfast.torch import rules, targets
from initfast.torch.defaults import Spec
from initfast.torch.tape import Event


def check(event: Event) -> None:
    """Raise ValueError if initfast cannot replay this random operation."""
    if not (
        isinstance(event.function, str)
        or event.function in _NEW
        or (event.name in IN_PLACE and not str(event.function).endswith(_TENSORS))
    ):
        raise ValueError(f"initfast cannot replay the operation {event.function} that draws it")


def replay(event: Event, args: Any, kwargs: dict[str, Any], seed: Seed) -> Any:
    """Do what a random event did, with values from the stream `seed`, and return its result."""
    if isinstance(event.function, str):
        return write_spec(args[0], Spec(event.name, kwargs), seed)
    if event.function in _NEW:
        return _NEW[event.function](seed, *args, **kwargs)
    tensor, *arguments = args
    names = {"from": "low", "to": "high", "lambd": "rate"}
    return IN_PLACE[event.name](
        tensor, seed, *arguments, **{names.get(name, name): value for name, value in kwargs.items()}
    )


def write_spec(tensor: torch.Tensor, spec: Spec, seed: Seed) -> torch.Tensor:
    """Write a tensor as a function of `torch.nn.init` does, and return it."""
    target = targets.find(tensor)
    if target is not None:
        fill = rules.make_fill(spec, tuple(tensor.shape), tensor.dtype)
        targets.write(tensor, target, fill, seed)
    return tensor


def _uniform(tensor: torch.Tensor, seed: Seed, low: float = 0.0, high: float = 1.0) -> torch.Tensor:
    return write_spec(tensor, Spec("uniform_", {"a": low, "b": high}), seed)


def _normal(tensor: torch.Tensor, seed: Seed, mean: float = 0.0, std: float = 1.0) -> torch.Tensor:
    return write_spec(tensor, Spec("normal_", {"mean": mean, "std": std}), seed)


def _bernoulli(tensor: torch.Tensor, seed: Seed, p: float = 0.5) -> torch.Tensor:
    return tensor.copy_(_uniform(torch.empty(tensor.shape), seed) < p)


def _exponential(tensor: torch.Tensor, seed: Seed, rate: float = 1.0) -> torch.Tensor:
    words = _uniform(torch.empty(tensor.shape, dtype=torch.float64), seed)
    return tensor.copy_(-torch.log1p(-words) / rate)


def _permutation(tensor: torch.Tensor, seed: Seed) -> torch.Tensor:
    words = _uniform(torch.empty(tensor.shape, dtype=torch.float64), seed)
    return tensor.copy_(torch.argsort(words, stable=True))


def _like(draw: Callable[..., Any]) -> Callable[..., Any]:
    return lambda seed, like, **_: draw(torch.empty_like(like), seed)


def _sized(draw: Callable[..., Any]) -> Callable[..., Any]:
    def make(seed: Seed, size: Any, *, dtype: Any = None, **_: Any) -> torch.Tensor:
        tensor: torch.Tensor = draw(torch.empty(size, dtype=dtype), seed)
        return tensor

    return make


IN_PLACE: dict[str, Callable[..., Any]] = {
    "uniform_": _uniform,
    "normal_": _normal,
    "bernoulli_": _bernoulli,
    "exponential_": _exponential,
}
_aten = torch.ops.aten
_NEW: dict[Any, Callable[..., Any]] = {
    _aten.rand.default: _sized(_uniform),
    _aten.randn.default: _sized(_normal),
    _aten.rand_like.default: _like(_uniform),
    _aten.randn_like.default: _like(_normal),
    _aten.normal.float_float: lambda seed, mean, std, size, *, dtype=None, **_: _normal(
        torch.empty(size, dtype=dtype), seed, mean, std
    ),
    _aten.normal_functional.default: lambda seed, like, mean=0.0, std=1.0: _normal(
        torch.empty_like(like), seed, mean, std
    ),
    _aten.bernoulli.p: lambda seed, like, p: _bernoulli(torch.empty_like(like), seed, p),
    _aten.randperm.default: lambda seed, count, *, dtype=torch.int64, **_: _permutation(
        torch.empty(count, dtype=dtype or torch.int64), seed
    ),
}
_TENSORS = ("bernoulli_.Tensor",)  # an overload with other arguments, which is not supported
