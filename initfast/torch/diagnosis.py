"""Measure how signals and gradients go through a real module, and leave it as it was."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from initfast.core.seeds import Seed, root_seed
from initfast.signal.diagnosis import LOSS, cotangent
from initfast.signal.layers import LayerReport
from initfast.signal.measures import Units
from initfast.signal.models import completed, report
from initfast.signal.reports import SignalReport
from initfast.signal.trails import Line
from initfast.signal.verdicts import not_seen
from initfast.torch.layers import kernels, unit_rows
from initfast.torch.probes import Watch, rms, tensors
from initfast.torch.snapshots import preserved
from initfast.torch.targets import is_sharded
from initfast.torch.unsharded import is_flat, placeholder_of

__all__ = ["diagnose"]

_SHARDING = {"FSDPModule", "FullyShardedDataParallel"}
_BEFORE = "diagnose the module before it is sharded"


def diagnose(
    module: nn.Module,
    batch: Any,
    loss: Callable[[Any], torch.Tensor] | None = None,
    *,
    seed: int | Seed = 0,
) -> SignalReport:
    """Measure how signals and gradients go through a module on a batch: one run forward, one back.

    A layer is a module with parameters of which no child has any, in the order of the run, with the
    normalisation and the activation that were given its very output, be they modules or functions
    such as `torch.relu`. An activation after anything else, such as a sum, belongs to no layer. A
    sum of a tensor and what was computed from it is a residual connection; with any, the model is
    judged by its residual stream. What belongs to no layer is named in the notes.

    The module runs in the mode that it is in, training or not. Parameters, gradients, buffers,
    modes, attributes, hooks and torch's random state are afterwards what they were, also if it
    fails. What a forward method does to Python objects behind its attributes stays done.

    Args:
        module: any module with parameters that are on a device and have a shape. Frozen parameters
            count too. A compiled or DDP-wrapped module, or part of one, is run without that: each
            rank measures its own, and need not wait for the others.
        batch: what it is called with: a tensor, or a tuple or list of positional or a dict of
            keyword arguments. Taken as it is; floating values must be finite.
        loss: a function of the module's output that gives a scalar tensor. Default: the sum of g *
            output, with g standard normal, of the first floating tensor in the output.
        seed: integer in [0, 2**64) or `Seed`, for that g.

    Raises:
        TypeError: the module is none, is scripted or sharded (FSDP, DTensor, DeepSpeed ZeRO-3), or
            a part of it is; or the loss is not a tensor.
        ValueError: there are no parameters, or they have no values; the batch is empty or not
            finite; the loss is not scalar or does not depend on the parameters.
    """
    module = _unwrapped(module)
    _check(module, batch)
    with preserved(module), torch.enable_grad(), torch.compiler.set_stance("force_eager"):
        for part in module.modules():
            if isinstance(part, nn.parallel.DistributedDataParallel):
                # Without its wrapper: no words between the ranks, and no backward pass awaited.
                vars(part)["forward"] = part.module
        for parameter in module.parameters():
            if parameter.is_floating_point():
                parameter.requires_grad_(True)
        watch = Watch(module)
        with watch:
            output = _call(module, batch)
        for each in tensors(output):
            watch.trail.ended(each)
        if not watch.trail.lines:
            raise ValueError(
                f"a leaf module with parameters must run; received {type(module).__name__}, where "
                "none did"
            )
        value = _default_loss(output, root_seed(seed)) if loss is None else loss(output)
        _check_loss(value)
        trained = {id(each): each for each in module.parameters() if each.is_floating_point()}
        found = torch.autograd.grad(value, list(trained.values()), allow_unused=True)
        by_parameter = dict(zip(trained, found, strict=True))
        samples = _samples(batch)
        layers = [_line(line, watch.gradients, by_parameter, samples) for line in watch.trail.lines]
        unseen = _unseen(module, watch.trail.lines)
    words = LOSS if loss is None else "given"
    return report(module, watch.trail, layers, unseen, loss=words, samples=samples)


def _line(
    line: Line,
    gradients: Mapping[tuple[int, int], float],
    by_parameter: Mapping[int, Any],
    samples: int,
) -> LayerReport:
    """Return the line of the report, complete."""
    layer = line.owner
    own = list(layer.parameters(recurse=True))
    weight = next((each for each in own if each.ndim >= 2), own[0])
    gradient = by_parameter.get(id(weight))
    # A weight that the loss does not depend on has the gradient 0.
    weight_rms = 0.0 if gradient is None and id(weight) in by_parameter else None
    fan_in = line.report.fan_in
    bias = getattr(layer, "bias", None)
    return completed(
        line,
        gradient_rms=gradients.get((id(line), line.steps), 0.0),
        weight_gradient_rms=weight_rms if gradient is None else rms(gradient),
        units=_units(layer, fan_in, by_parameter),
        weight_scales=tuple(rms(each) * math.sqrt(fan) for each, fan in kernels(layer, fan_in)),
        bias_rms=rms(bias) if isinstance(bias, torch.Tensor) else 0.0,
        samples=samples,
        reached=any(by_parameter.get(id(each)) is not None for each in own),
    )


def _units(layer: nn.Module, fan_in: int | None, by_parameter: Mapping[int, Any]) -> Units | None:
    read = unit_rows(layer, fan_in)
    if read is None:
        return None
    weight, bias, rows = read
    gradient = by_parameter.get(id(weight))
    bias_gradient = None if bias is None else by_parameter.get(id(bias))
    if gradient is None or (bias is not None and bias_gradient is None):
        return None
    return Units(
        _numpy(rows(weight.detach())).T,
        None if bias is None else _numpy(bias.detach()),
        _numpy(rows(gradient)).T,
        None if bias_gradient is None else _numpy(bias_gradient),
    )


def _numpy(tensor: torch.Tensor) -> Any:
    kept = torch.float64 if tensor.dtype == torch.float64 else torch.float32
    return tensor.to("cpu", kept).numpy()


def _unseen(module: nn.Module, lines: list[Line]) -> list[str]:
    """Return a note on the parameters that belong to no line: layers alike are named once."""
    seen = {
        id(each)
        for line in lines
        for part in (line.owner, *line.parts)
        for each in part.parameters()
    }
    slopes = [part for part in module.modules() if isinstance(part, nn.PReLU)]
    seen |= {id(each) for part in slopes for each in part.parameters()}
    return not_seen(
        name for name, parameter in module.named_parameters() if id(parameter) not in seen
    )


def _unwrapped(module: Any) -> Any:
    """Return the module in a compiled or data-parallel one."""
    for _ in range(8):
        if isinstance(module, (nn.parallel.DistributedDataParallel, nn.DataParallel)):
            module = module.module
        elif hasattr(module, "_orig_mod"):
            module = module._orig_mod
        else:
            break
    return module


def _call(module: nn.Module, batch: Any) -> Any:
    """Return the module on copies of the batch, into which it may write."""
    if isinstance(batch, Mapping):
        return module(**{name: _copy(part) for name, part in batch.items()})
    return module(*map(_copy, batch)) if isinstance(batch, (tuple, list)) else module(_copy(batch))


def _copy(value: Any) -> Any:
    return value.detach().clone() if isinstance(value, torch.Tensor) else value


def _samples(batch: Any) -> int:
    first = next(tensors(batch))
    return first.shape[0] if first.ndim else 1


def _check(module: Any, batch: Any) -> None:
    if not isinstance(module, nn.Module):
        raise TypeError(f"module must be a torch.nn.Module; received {module!r}")
    parameters = dict(module.named_parameters())
    if not parameters:
        raise ValueError(
            f"a module must have parameters to be diagnosed; received {type(module).__name__} "
            "without any"
        )
    _check_whole(module)
    for name, parameter in parameters.items():
        if is_lazy(parameter) or parameter.is_meta:
            raise ValueError(
                f"parameters must have values; received {name!r}, which is lazy or on the meta "
                "device"
            )
    found = list(tensors(batch))
    if not found or not all(each.numel() for each in found):
        raise ValueError("batch must be a tensor or hold tensors, each with at least one element")
    for each in found:
        if each.is_floating_point() and not torch.isfinite(each).all():
            raise ValueError(
                f"batch must be finite; received {int((~torch.isfinite(each)).sum())} values that "
                "are not"
            )


def _check_whole(module: nn.Module) -> None:
    """Raise TypeError where layers or values are out of sight."""
    for name, part in module.named_modules():
        shown = f"{name} ({type(part).__name__})" if name else type(part).__name__
        if isinstance(part, torch.jit.ScriptModule):
            raise TypeError(
                f"{shown} is scripted or traced, which hides its layers; pass the module that it "
                "was made from"
            )
        if not _SHARDING.isdisjoint(kind.__name__ for kind in type(part).__mro__):
            raise TypeError(f"{shown} is sharded by FSDP; {_BEFORE}")
    for name, parameter in module.named_parameters():
        if is_sharded(parameter) or is_flat(parameter) or placeholder_of(parameter) is not None:
            raise TypeError(f"parameter {name!r} is sharded; {_BEFORE}")


def _default_loss(output: Any, seed: Seed) -> torch.Tensor:
    floating = next((each for each in tensors(output) if each.is_floating_point()), None)
    if floating is None:
        raise ValueError(
            "the output must hold a floating tensor, or loss= be given; received "
            f"{type(output).__name__}"
        )
    g = torch.from_numpy(cotangent(tuple(floating.shape), seed))
    return (floating * g.to(floating.device, floating.dtype)).sum()


def _check_loss(value: Any) -> None:
    if not isinstance(value, torch.Tensor):
        raise TypeError(f"loss must give a scalar tensor; received {value!r}")
    if value.numel() != 1:
        raise ValueError(
            f"loss must give a scalar tensor; received one of shape {tuple(value.shape)}"
        )
    if not value.requires_grad:
        raise ValueError(
            "loss must depend on the parameters; received a tensor that requires no gradient"
        )
