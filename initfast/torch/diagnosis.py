"""`diagnose`: measure how signals and gradients go through a module, and leave it unchanged."""

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
from initfast.signal.verdicts import unmeasured_note
from initfast.torch.layers import kernels, unit_rows
from initfast.torch.probes import Watch, rms, tensors
from initfast.torch.snapshots import preserved
from initfast.torch.targets import is_sharded
from initfast.torch.unsharded import is_flat, placeholder_of

__all__ = ["diagnose"]

_SHARDING = {"FSDPModule", "FullyShardedDataParallel"}
_REMEDY = "diagnose the module before it is sharded"


def diagnose(
    module: nn.Module,
    batch: Any,
    loss: Callable[[Any], torch.Tensor] | None = None,
    *,
    seed: int | Seed = 0,
) -> SignalReport:
    """Measure how signals and gradients go through a module on one batch, by one forward pass and
    one backward pass.

    A layer of the report is a module with parameters whose children have none. It includes the
    normalisation and the activation, modules or functions such as `torch.relu`, that are applied
    directly to its output. An activation after something else, such as a sum, belongs to no layer.
    The sum of a tensor and a tensor that was computed from it is a residual connection. A model
    with residual connections is judged by its residual stream. The notes of the report name the
    parameters that belong to no layer.

    The module runs in its current mode, training or evaluation. Parameters, gradients, buffers,
    modes, attributes, hooks and torch's random state are restored afterwards, also after an error.
    Changes that a forward method makes inside of other Python objects are not undone.

    Args:
        module: any module with parameters that have values. Frozen parameters are included. A
            compiled or DDP-wrapped module, or part, runs without the wrapper: each rank measures
            by itself and does not wait for the others.
        batch: the input: a tensor, a tuple or list of positional arguments, or a dict of keyword
            arguments. It is not normalised. Floating values must be finite.
        loss: a function from the module's output to a scalar tensor. Default: the sum of g *
            output, with g standard normal, for the first floating tensor in the output.
        seed: an integer in [0, 2**64) or a `Seed`, for this g.

    Returns:
        The report: `print(report)` shows it, `report.summary` has the verdict in one sentence.

    Raises:
        TypeError: the module is not a torch.nn.Module; it or a part of it is scripted or sharded
            (FSDP, DTensor, DeepSpeed ZeRO-3); or the loss is not a tensor.
        ValueError: there are no parameters, or they have no values; the batch is empty or not
            finite; the loss is not scalar or does not depend on the parameters.
    """
    module = _unwrapped(module)
    _check(module, batch)
    with preserved(module), torch.enable_grad(), torch.compiler.set_stance("force_eager"):
        for part in module.modules():
            if isinstance(part, nn.parallel.DistributedDataParallel):
                # Run the module inside, so that the ranks do not communicate.
                vars(part)["forward"] = part.module
        for parameter in module.parameters():
            if parameter.is_floating_point():
                parameter.requires_grad_(True)
        watch = Watch(module)
        with watch:
            output = _call(module, batch)
        for each in tensors(output):
            watch.trail.end(each)
        if not watch.trail.lines:
            raise ValueError(
                f"a module with parameters must run to be measured; none did in "
                f"{type(module).__name__}"
            )
        value = _default_loss(output, root_seed(seed)) if loss is None else loss(output)
        _check_loss(value)
        trained = {id(each): each for each in module.parameters() if each.is_floating_point()}
        gradients = torch.autograd.grad(value, list(trained.values()), allow_unused=True)
        by_parameter = dict(zip(trained, gradients, strict=True))
        samples = _samples(batch)
        layers = [_line(line, watch.gradients, by_parameter, samples) for line in watch.trail.lines]
        unseen = _unseen(module, watch.trail.lines)
    loss_name = LOSS if loss is None else "given"
    return report(module, watch.trail, layers, unseen, loss=loss_name, samples=samples)


def _line(
    line: Line,
    gradients: Mapping[tuple[int, int], float],
    by_parameter: Mapping[int, Any],
    samples: int,
) -> LayerReport:
    """Return the complete line of the report for one layer."""
    layer = line.owner
    own = list(layer.parameters(recurse=True))
    weight = next((each for each in own if each.ndim >= 2), own[0])
    gradient = by_parameter.get(id(weight))
    # autograd returns None for a weight that the loss does not depend on: its gradient is 0.
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
    """Return weights and gradients by unit, to find equal units, or None if unknown."""
    weight_bias_rows = unit_rows(layer, fan_in)
    if weight_bias_rows is None:
        return None
    weight, bias, rows = weight_bias_rows
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
    dtype = torch.float64 if tensor.dtype == torch.float64 else torch.float32
    return tensor.to("cpu", dtype).numpy()


def _unseen(module: nn.Module, lines: list[Line]) -> list[str]:
    """Return notes on the parameters that belong to no line. Similar layers share one note."""
    seen_ids = {
        id(each)
        for line in lines
        for part in (line.owner, *line.parts)
        for each in part.parameters()
    }
    slopes = [part for part in module.modules() if isinstance(part, nn.PReLU)]
    seen_ids |= {id(each) for part in slopes for each in part.parameters()}
    return unmeasured_note(
        name for name, parameter in module.named_parameters() if id(parameter) not in seen_ids
    )


def _unwrapped(module: Any) -> Any:
    """Return the module inside of compiled and data-parallel wrappers."""
    for _ in range(8):
        if isinstance(module, (nn.parallel.DistributedDataParallel, nn.DataParallel)):
            module = module.module
        elif hasattr(module, "_orig_mod"):
            module = module._orig_mod
        else:
            break
    return module


def _call(module: nn.Module, batch: Any) -> Any:
    """Call the module on copies of the batch, because it may change its inputs in place."""
    if isinstance(batch, Mapping):
        return module(**{name: _copy(part) for name, part in batch.items()})
    return module(*map(_copy, batch)) if isinstance(batch, (tuple, list)) else module(_copy(batch))


def _copy(value: Any) -> Any:
    return value.detach().clone() if isinstance(value, torch.Tensor) else value


def _samples(batch: Any) -> int:
    first = next(tensors(batch))
    return first.shape[0] if first.ndim else 1


def _check(module: Any, batch: Any) -> None:
    """Raise TypeError or ValueError if the module or the batch cannot be measured."""
    if not isinstance(module, nn.Module):
        raise TypeError(f"module must be a torch.nn.Module; received {module!r}")
    parameters = dict(module.named_parameters())
    if not parameters:
        raise ValueError(
            f"module must have parameters; received {type(module).__name__} without any"
        )
    _check_whole(module)
    for name, parameter in parameters.items():
        if is_lazy(parameter) or parameter.is_meta:
            raise ValueError(
                f"parameters must have values; {name!r} is lazy or on the meta device: "
                "initialise the module first"
            )
    batch_tensors = list(tensors(batch))
    if not batch_tensors or not all(each.numel() for each in batch_tensors):
        raise ValueError("batch must be a tensor or hold tensors, each with at least one element")
    for each in batch_tensors:
        if each.is_floating_point() and not torch.isfinite(each).all():
            raise ValueError(
                f"batch must be finite; received {int((~torch.isfinite(each)).sum())} values that "
                "are not"
            )


def _check_whole(module: nn.Module) -> None:
    """Raise TypeError if layers or values cannot be observed."""
    for name, part in module.named_modules():
        label = f"{name} ({type(part).__name__})" if name else type(part).__name__
        if isinstance(part, torch.jit.ScriptModule):
            raise TypeError(
                f"{label} is scripted or traced, which hides its layers; pass the module that it "
                "was made from"
            )
        if not _SHARDING.isdisjoint(kind.__name__ for kind in type(part).__mro__):
            raise TypeError(f"{label} is sharded by FSDP; {_REMEDY}")
    for name, parameter in module.named_parameters():
        if is_sharded(parameter) or is_flat(parameter) or placeholder_of(parameter) is not None:
            raise TypeError(f"parameter {name!r} is sharded; {_REMEDY}")


def _default_loss(output: Any, seed: Seed) -> torch.Tensor:
    floating = next((each for each in tensors(output) if each.is_floating_point()), None)
    if floating is None:
        raise ValueError(
            "the module's output must contain a floating tensor; pass loss= for other outputs; "
            f"received {type(output).__name__}"
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
