"""The coordinate check of muP's users, for a model factory in torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import nn

from initfast.core.seeds import Seed, root_seed
from initfast.signal.coordinates import STEPS, WIDTHS, CoordinateCheck, check
from initfast.signal.diagnosis import cotangent
from initfast.torch.layers import is_layer
from initfast.torch.probes import tensors

__all__ = ["coordinate_check"]


def coordinate_check(
    make: Callable[[int], nn.Module],
    batch: Any,
    loss: Callable[[Any], torch.Tensor] | None = None,
    *,
    widths: Sequence[int] = WIDTHS,
    steps: Sequence[int] = STEPS,
    optimizer: Callable[[Iterable[Any]], torch.optim.Optimizer] | None = None,
    learning_rate: float = 0.1,
    seed: int | Seed = 0,
) -> CoordinateCheck:
    """Measure a model at several widths, before and after steps of training on one batch.

    Args:
        make: a function from a width to a new module of that width, which it also initialises.
        batch: what the module is called with: a tensor, a tuple or list of positional or a dict of
            keyword arguments.
        loss: a function of the module's output that gives a scalar tensor. Default: the mean
            squared error of the first floating tensor in it, to standard normal targets.
        widths: of the models. steps: after how many steps to measure.
        optimizer: a function from the parameters to an optimizer; default: SGD with
            `learning_rate`.
        seed: of the targets.

    Returns:
        Sizes of what each layer gives, the mean of its absolute values, by name. A layer that one
        of the widths lacks is left out.

    Raises:
        TypeError: `make` gives no module. ValueError: widths or steps are not what they must be.
    """
    sizes, asked = check(widths, steps)
    root = root_seed(seed)
    how = (optimizer, learning_rate, root)
    found = [_run(make(width), batch, loss, asked, *how) for width in sizes]
    names = [name for name in found[0][0] if all(name in row for rows in found for row in rows)]
    return CoordinateCheck(
        f"{len(names)} layers",
        sizes,
        asked,
        {
            name: tuple(tuple(rows[i][name] for rows in found) for i in range(len(asked)))
            for name in names
        },
    )


def _run(
    module: nn.Module,
    batch: Any,
    loss: Callable[[Any], torch.Tensor] | None,
    asked: tuple[int, ...],
    optimizer: Callable[[Iterable[Any]], torch.optim.Optimizer] | None,
    learning_rate: float,
    seed: Seed,
) -> list[dict[str, float]]:
    """Return the sizes of one model by layer, after each number of steps."""
    if not isinstance(module, nn.Module):
        raise TypeError(f"make must give a torch.nn.Module; received {module!r}")
    parameters = list(module.parameters())
    if optimizer is None:
        made: torch.optim.Optimizer = torch.optim.SGD(parameters, learning_rate)
    else:
        made = optimizer(parameters)
    now: dict[str, float] = {}
    handles = [
        part.register_forward_hook(_note(now, name or type(part).__name__))
        for name, part in module.named_modules()
        if is_layer(part, name)
    ]
    rows = []
    try:
        for step in range(asked[-1] + 1):
            now.clear()
            if isinstance(batch, dict):
                output = module(**batch)
            else:
                output = module(*batch) if isinstance(batch, (tuple, list)) else module(batch)
            if step in asked:
                rows.append(dict(now))
            made.zero_grad()
            value = _squared(output, seed) if loss is None else loss(output)
            torch.autograd.backward(value)
            made.step()
    finally:
        for handle in handles:
            handle.remove()
    return rows


def _note(now: dict[str, float], name: str) -> Callable[[nn.Module, Any, Any], None]:
    def hook(part: nn.Module, args: Any, output: Any) -> None:
        first = next((each for each in tensors(output) if each.is_floating_point()), None)
        if first is not None:
            now[name] = float(first.detach().double().abs().mean())

    return hook


def _squared(output: Any, seed: Seed) -> torch.Tensor:
    first = next(each for each in tensors(output) if each.is_floating_point())
    targets = torch.from_numpy(cotangent(tuple(first.shape), seed)).to(first.device, first.dtype)
    return (first - targets).square().mean()
