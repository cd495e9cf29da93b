"""`coordinate_check`: the coordinate check of muP for torch models, which compares the sizes of
activations between widths before and after steps of training.
"""

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
        make: a function from a width to a new, initialised module of that width.
        batch: the input: a tensor, a tuple or list of positional arguments, or a dict of keyword
            arguments.
        loss: a function from the module's output to a scalar tensor. Default: the mean squared
            error between the first floating tensor in the output and standard normal targets.
        widths: the widths of the models.
        steps: the numbers of training steps after which to measure.
        optimizer: a function from the parameters to an optimizer. Default: SGD with
            `learning_rate`.
        learning_rate: the learning rate of the default optimizer.
        seed: the seed of the default targets.

    Returns:
        The size of each layer's output, which is the mean of the absolute values, by name. Layers
        that do not exist at all widths are left out.

    Raises:
        TypeError: `make` does not return a torch.nn.Module.
        ValueError: widths are not two or more integers >= 1, or steps not one or more >= 0.
    """
    checked_widths, checked_steps = check(widths, steps)
    root = root_seed(seed)
    options = (optimizer, learning_rate, root)
    runs = [_run(make(width), batch, loss, checked_steps, *options) for width in checked_widths]
    names = [name for name in runs[0][0] if all(name in row for rows in runs for row in rows)]
    return CoordinateCheck(
        f"{len(names)} layers",
        checked_widths,
        checked_steps,
        {
            name: tuple(tuple(rows[i][name] for rows in runs) for i in range(len(checked_steps)))
            for name in names
        },
    )


def _run(
    module: nn.Module,
    batch: Any,
    loss: Callable[[Any], torch.Tensor] | None,
    steps_to_measure: tuple[int, ...],
    optimizer: Callable[[Iterable[Any]], torch.optim.Optimizer] | None,
    learning_rate: float,
    seed: Seed,
) -> list[dict[str, float]]:
    """Train one model, and return its sizes by layer after each number of steps to measure."""
    if not isinstance(module, nn.Module):
        raise TypeError(f"make must give a torch.nn.Module; received {module!r}")
    parameters = list(module.parameters())
    if optimizer is None:
        torch_optimizer: torch.optim.Optimizer = torch.optim.SGD(parameters, learning_rate)
    else:
        torch_optimizer = optimizer(parameters)
    sizes: dict[str, float] = {}
    handles = [
        part.register_forward_hook(_record_size(sizes, name or type(part).__name__))
        for name, part in module.named_modules()
        if is_layer(part, name)
    ]
    rows = []
    try:
        for step in range(steps_to_measure[-1] + 1):
            sizes.clear()
            if isinstance(batch, dict):
                output = module(**batch)
            else:
                output = module(*batch) if isinstance(batch, (tuple, list)) else module(batch)
            if step in steps_to_measure:
                rows.append(dict(sizes))
            torch_optimizer.zero_grad()
            value = _default_loss(output, seed) if loss is None else loss(output)
            torch.autograd.backward(value)
            torch_optimizer.step()
    finally:
        for handle in handles:
            handle.remove()
    return rows


def _record_size(sizes: dict[str, float], name: str) -> Callable[[nn.Module, Any, Any], None]:
    """Return a forward hook that stores the size of a layer's output in `sizes[name]`."""

    def hook(part: nn.Module, args: Any, output: Any) -> None:
        tensor = next((each for each in tensors(output) if each.is_floating_point()), None)
        if tensor is not None:
            sizes[name] = float(tensor.detach().double().abs().mean())

    return hook


def _default_loss(output: Any, seed: Seed) -> torch.Tensor:
    """Return the mean squared error to standard normal targets."""
    first = next(each for each in tensors(output) if each.is_floating_point())
    targets = torch.from_numpy(cotangent(tuple(first.shape), seed)).to(first.device, first.dtype)
    return (first - targets).square().mean()
