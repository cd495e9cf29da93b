"""Measure how signals and gradients go through a real module, and leave it as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode

from initfast.core.seeds import Seed, root_seed
from initfast.initializers.fans import AXES
from initfast.signal.diagnosis import LOSS, cotangent
from initfast.signal.measures import Units, moments, with_gradients
from initfast.signal.reports import SignalReport
from initfast.signal.trails import Line, Trail
from initfast.signal.verdicts import judge, notes
from initfast.torch.preserving import preserved

__all__ = ["diagnose"]

Floats = npt.NDArray[np.floating[Any]]

_NAMES = ("sigmoid", "tanh", "relu", "leaky_relu", "elu", "selu", "gelu", "silu", "softplus")
_PLACES = (functional, torch, torch.Tensor)
# Every way to call an activation, in place or not; PReLU is a leaky ReLU whose slope is learnt.
_ACTIVATIONS: dict[Any, str] = {
    getattr(place, each): name
    for name in _NAMES
    for place in _PLACES
    for each in (name, f"{name}_")
    if hasattr(place, each)
} | {functional.prelu: "leaky_relu", torch.prelu: "leaky_relu", torch.special.expit: "sigmoid"}
_BY_CHANNEL = (nn.modules.batchnorm._NormBase, nn.GroupNorm)
_TRANSPOSED = nn.modules.conv._ConvTransposeNd


def diagnose(
    module: nn.Module,
    batch: Any,
    loss: Callable[[Any], torch.Tensor] | None = None,
    *,
    seed: int | Seed = 0,
) -> SignalReport:
    """Measure how signals and gradients go through a module on a batch: one run forward, one back.

    A layer is a leaf module with parameters, in the order of the run, with the normalisation and
    the activation that were given its very output, be they modules or functions such as
    `torch.relu`. An activation after anything else, such as a sum, belongs to no layer.

    The module runs in the mode that it is in, training or not. Parameters, gradients, buffers,
    modes, attributes, hooks and torch's random state are afterwards what they were, also if it
    fails. What a forward method does to Python objects behind its attributes stays done.

    Args:
        module: any module with parameters that are on a device and have a shape. Frozen parameters
            count too.
        batch: what it is called with: a tensor, or a tuple or list of positional or a dict of
            keyword arguments. Taken as it is; floating values must be finite.
        loss: a function of the module's output that gives a scalar tensor. Default: the sum of g *
            output, with g standard normal, of the first floating tensor in the output.
        seed: integer in [0, 2**64) or `Seed`, for that g.

    Raises:
        TypeError: the module is none, or the loss no tensor.
        ValueError: there are no parameters, or they have no values; the batch is empty or not
            finite; the loss is not scalar or does not depend on the parameters.
    """
    _check(module, batch)
    with preserved(module), torch.enable_grad():
        for parameter in module.parameters():
            if parameter.is_floating_point():
                parameter.requires_grad_(True)
        watch = _Watch(module)
        with watch:
            output = _call(module, batch)
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
        layers = tuple(_line(line, watch.gradients, by_parameter) for line in watch.trail.lines)
    names = [each.activation for each in layers if each.activation != "linear"] or ["linear"]
    return SignalReport(
        activation=", ".join(dict.fromkeys(names)),
        initializer=f"as in {type(module).__name__}",
        bias_initializer="likewise",
        inputs="given",
        loss=LOSS if loss is None else "given",
        batch=_samples(batch),
        seed=None,
        layers=layers,
        verdicts=judge(layers),
        notes=notes(layers),
    )


class _Watch(TorchFunctionMode):
    """Hooks on the layers and on the functions that are activations, while the module runs."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.trail = Trail()
        self.gradients: dict[tuple[int, int], float] = {}
        self._given: dict[int, Any] = {}
        self._handles: list[Any] = []
        self._layers = {
            layer: name for name, layer in module.named_modules() if _is_layer(layer, name)
        }

    def __enter__(self) -> Any:
        for layer in self._layers:
            self._handles.append(layer.register_forward_pre_hook(self._before, with_kwargs=True))
            self._handles.append(layer.register_forward_hook(self._after))
        return super().__enter__()  # type: ignore[no-untyped-call]

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        for handle in self._handles:
            handle.remove()

    def _before(self, layer: nn.Module, args: Any, kwargs: Any) -> None:
        given = next(_tensors((args, kwargs)), None)
        before = None
        if given is not None and given.is_floating_point():
            # Measured now, because the layer may write into it.
            before = moments(_matrix(given, _axis(layer, given)))
        self._given[id(layer)] = (given, None if given is None else tuple(given.shape), before)

    def _after(self, layer: nn.Module, args: Any, output: Any) -> None:
        given, shape, before = self._given.pop(id(layer))
        out = next((each for each in _tensors(output) if each.is_floating_point()), None)
        if out is None or not out.ndim:
            return
        values = _matrix(out, _axis(layer, out))
        if all(each.ndim < 2 for each in layer.parameters(recurse=False)) and not _composed(layer):
            line = self.trail.source(given)
            if line is not None:
                self.trail.normalised(line, out, values)
                self._follow(line)
                return
        name = self._layers[layer] or type(layer).__name__
        self._follow(self.trail.layer(layer, name, _fans(layer, shape, out), before, out, values))

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = _ACTIVATIONS.get(func)
        given: Any = args[0] if args else None
        line = None if name is None or given is None else self.trail.source(given)
        if line is None:
            return func(*args, **(kwargs or {}))
        axis = _axis(line.owner, given)
        net = _matrix(given, axis)  # before an activation in place
        out = func(*args, **(kwargs or {}))
        assert name is not None
        self.trail.activated(line, name, out, net, _matrix(out, axis))
        self._follow(line)
        return out

    def _follow(self, line: Line) -> None:
        """Note the RMS of the gradient by what the layer gives now."""
        key = (id(line), line.steps)
        if line.output.requires_grad:
            line.output.register_hook(
                lambda gradient: self.gradients.__setitem__(key, _rms(gradient))
            )


def _line(
    line: Line, gradients: Mapping[tuple[int, int], float], by_parameter: Mapping[int, Any]
) -> Any:
    """The line of the report, complete."""
    layer = line.owner
    own = list(layer.parameters(recurse=_composed(layer)))
    weight = next((each for each in own if each.ndim >= 2), own[0])
    gradient = by_parameter.get(id(weight))
    units = None
    if isinstance(layer, (nn.Linear, nn.modules.conv._ConvNd)) and not isinstance(
        layer, _TRANSPOSED
    ):
        bias = layer.bias
        bias_gradient = None if bias is None else by_parameter.get(id(bias))
        if (
            id(layer.weight) in by_parameter
            and gradient is not None
            and (bias is None or bias_gradient is not None)
        ):
            units = Units(
                _rows(layer.weight).T,
                None if bias is None else _rows(bias)[:, 0],
                _rows(gradient).T,
                None if bias_gradient is None else _rows(bias_gradient)[:, 0],
            )
    # A weight that the loss does not depend on has the gradient 0.
    weight_rms = (
        (0.0 if gradient is None else _rms(gradient)) if id(weight) in by_parameter else None
    )
    return with_gradients(
        line.report, gradients.get((id(line), line.steps), 0.0), weight_rms, units
    )


def _is_layer(module: nn.Module, name: str) -> bool:
    if isinstance(
        module, (nn.PReLU, nn.ParameterList, nn.ParameterDict)
    ) or "parametrizations" in name.split("."):
        return False
    if _composed(module):
        return True
    return (
        next(module.parameters(recurse=False), None) is not None
        and next(module.children(), None) is None
    )


def _composed(module: nn.Module) -> bool:
    """Whether a module with children is a layer all the same: they are called as functions, or are
    parametrisations.
    """
    return isinstance(module, nn.MultiheadAttention) or nn.utils.parametrize.is_parametrized(module)


def _fans(
    layer: nn.Module, given: tuple[int, ...] | None, out: torch.Tensor
) -> tuple[int, int] | None:
    if isinstance(layer, nn.modules.conv._ConvNd):
        kind = "torch transposed" if isinstance(layer, _TRANSPOSED) else "torch"
        return AXES[kind].fans(tuple(layer.weight.shape), layer.groups)
    if given is None or isinstance(layer, (nn.Embedding, nn.MultiheadAttention)):
        return None
    # Weights of a custom dense layer may be (in, out) or (out, in).
    sizes = (given[-1], out.shape[-1]) if given else None
    shapes = (tuple(each.shape) for each in layer.parameters(recurse=_composed(layer)))
    return sizes if any(sizes in (shape, shape[::-1]) for shape in shapes) else None


def _axis(layer: nn.Module, tensor: torch.Tensor) -> int:
    """Where the units are: the channels of a convolution, else the last dimension."""
    if isinstance(layer, nn.modules.conv._ConvNd):
        return 1 - layer.weight.ndim
    return 1 if isinstance(layer, _BY_CHANNEL) and tensor.ndim > 1 else -1


def _matrix(tensor: torch.Tensor, axis: int) -> Floats:
    """The values as (samples, units), float64, in memory of their own."""
    held = tensor.detach()
    held = held.movedim(axis, -1).reshape(-1, held.shape[axis]) if held.ndim else held.reshape(1, 1)
    return np.array(held.to("cpu", torch.float64).numpy())


def _rows(tensor: torch.Tensor) -> Floats:
    held = tensor.detach().reshape(tensor.shape[0], -1)
    found: Floats = held.to(
        "cpu", torch.float64 if held.dtype == torch.float64 else torch.float32
    ).numpy()
    return found


def _rms(tensor: torch.Tensor) -> float:
    held = tensor.detach().to_dense() if tensor.is_sparse else tensor.detach()
    return float(held.to("cpu", torch.float64).square().mean().sqrt()) if held.numel() else 0.0


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    """The tensors in tuples, lists and mappings, and in the dataclasses that models return."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _tensors(part)
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from _tensors(part)
    elif hasattr(value, "__dataclass_fields__"):
        yield from _tensors([getattr(value, name) for name in value.__dataclass_fields__])


def _call(module: nn.Module, batch: Any) -> Any:
    """The module on copies of the batch, into which it may write."""
    if isinstance(batch, Mapping):
        return module(**{name: _copy(part) for name, part in batch.items()})
    return module(*map(_copy, batch)) if isinstance(batch, (tuple, list)) else module(_copy(batch))


def _copy(value: Any) -> Any:
    return value.detach().clone() if isinstance(value, torch.Tensor) else value


def _samples(batch: Any) -> int:
    first = next(_tensors(batch))
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
    for name, parameter in parameters.items():
        if is_lazy(parameter) or parameter.is_meta:
            raise ValueError(
                f"parameters must have values; received {name!r}, which is lazy or on the meta "
                "device"
            )
    found = list(_tensors(batch))
    if not found or not all(each.numel() for each in found):
        raise ValueError(
            "batch must be or hold tensors with at least one element; received none, or an empty "
            "one"
        )
    for each in found:
        if each.is_floating_point() and not torch.isfinite(each).all():
            raise ValueError(
                f"batch must be finite; received {int((~torch.isfinite(each)).sum())} values that "
                "are not"
            )


def _default_loss(output: Any, seed: Seed) -> torch.Tensor:
    floating = next((each for each in _tensors(output) if each.is_floating_point()), None)
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
