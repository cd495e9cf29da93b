"""`Watch`: measure the layers of a module, its activations and its residual sums while it runs, by
module hooks and by a mode that sees every function of torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from initfast.signal.activations import Activation
from initfast.signal.functions import identified, resolve
from initfast.signal.measures import moments
from initfast.signal.trails import Line, Trail
from initfast.torch.layers import axis, fans, is_composed, is_layer, is_norm

__all__ = ["Watch", "matrix", "rms", "tensors"]

Floats = npt.NDArray[np.floating[Any]]

# Names of torch's functions, without the underscore of in-place versions.
_ELEMENTWISE = {
    "celu", "clamp", "clamp_max", "clamp_min", "clip", "elu", "expit", "gelu", "hardshrink",
    "hardsigmoid", "hardswish", "hardtanh", "leaky_relu", "logsigmoid", "log_sigmoid", "mish",
    "prelu", "relu", "relu6", "rrelu", "selu", "sigmoid", "silu", "sin", "softplus", "softshrink",
    "softsign", "tanh", "tanhshrink", "threshold",
}  # fmt: skip
_MIXING = {"glu", "log_softmax", "softmax", "softmin", "gumbel_softmax"}
# They reshape or pool a signal, and do not transform its values otherwise.
_PASSING = {
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool2d",
    "alpha_dropout", "avg_pool1d", "avg_pool2d", "avg_pool3d", "contiguous", "dropout",
    "dropout1d", "dropout2d", "dropout3d", "flatten", "feature_dropout", "float", "max_pool1d",
    "max_pool2d", "max_pool3d", "movedim", "pad", "permute", "reshape", "squeeze", "to",
    "transpose", "unsqueeze", "view",
}  # fmt: skip
_SUMS = {"__add__", "__iadd__", "__radd__", "add", "add_"}
_PASSING_MODULES = ("Dropout", "Pool", "Flatten", "Identity", "DropPath", "StochasticDepth")


class Watch(TorchFunctionMode):
    """A context that measures a module while it runs.

    Attributes:
        trail: the lines of the report, in the order of the run.
        gradients: the RMS of the gradient by each output of a line, by (id of the line, number of
            its steps). It is filled while autograd runs.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.trail = Trail()
        self.gradients: dict[tuple[int, int], float] = {}
        self._inputs: dict[int, list[Any]] = {}
        self._handles: list[Any] = []
        self._names = {part: name for name, part in module.named_modules()}
        self._layers = {part: name for part, name in self._names.items() if is_layer(part, name)}
        self._stack: list[nn.Module] = []
        self._depth = 0  # number of nested layers that run now
        self._nodes: dict[Any, Line] = {}
        self._activations: dict[Any, Activation | str] = {}
        self._pending: list[tuple[Line | None, Floats | None]] = []

    def __enter__(self) -> Any:
        for part in self._names:
            if part in self._layers:
                self._handles.append(
                    part.register_forward_pre_hook(self._before_layer, with_kwargs=True)
                )
                self._handles.append(part.register_forward_hook(self._after_layer))
            elif any(True for _ in part.children()) or any(True for _ in part.parameters()):
                self._handles.append(part.register_forward_pre_hook(self._before_container))
                self._handles.append(part.register_forward_hook(self._after_container))
            else:
                self._handles.append(part.register_forward_pre_hook(self._before_leaf))
                self._handles.append(part.register_forward_hook(self._after_leaf))
        return super().__enter__()  # type: ignore[no-untyped-call]

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        for handle in self._handles:
            handle.remove()

    def _before_container(self, part: nn.Module, args: Any) -> None:
        self._stack.append(part)

    def _after_container(self, part: nn.Module, args: Any, output: Any) -> None:
        self._stack.pop()

    def _before_leaf(self, part: nn.Module, args: Any) -> None:
        """Begin to observe a module without parameters and children, called with one tensor. It is
        observed as a whole, so that a GELU in several steps is still a GELU."""
        line = self.trail.source(args[0]) if len(args) == 1 and not self._depth else None
        net = None
        if line is not None:
            # Copied now, because the activation may be in place.
            net = matrix(args[0], axis(line.owner, args[0]))
            self._depth += 1
        self._pending.append((line, net))

    def _after_leaf(self, part: nn.Module, args: Any, out: Any) -> None:
        """Record the module as the activation of the line that gave its input."""
        line, net = self._pending.pop()
        if line is None or net is None:
            return
        self._depth -= 1
        name = type(part).__name__
        if not isinstance(out, torch.Tensor):
            return
        if name.endswith(_PASSING_MODULES) or any(each in name for each in _PASSING_MODULES):
            self.trail.pass_through(args[0], out)
            return
        if part not in self._activations:
            try:
                with torch._C.DisableTorchFunction():
                    # RReLU has its mean slope in evaluation mode.
                    training, part.training = part.training, False
                    self._activations[part] = resolve(part.forward, name)
            except ValueError:  # softmax, GLU, maxout
                self._activations[part] = name.lower()
            finally:
                part.training = training
        activation = self._activations[part]
        self.trail.activate(line, activation, out, net, matrix(out, axis(line.owner, out)))
        self._record_gradient(line)

    def _before_layer(self, layer: nn.Module, args: Any, kwargs: Any) -> None:
        layer_input = next(tensors((args, kwargs)), None)
        input_moments = None
        if layer_input is not None and layer_input.is_floating_point():
            # Measured now, because the layer may change its input in place.
            input_moments = moments(matrix(layer_input, axis(layer, layer_input)))
        shape = None if layer_input is None else tuple(layer_input.shape)
        self._inputs.setdefault(id(layer), []).append((layer_input, shape, input_moments))
        self._depth += 1

    def _after_layer(self, layer: nn.Module, args: Any, output: Any) -> None:
        """Add a line to the trail, or a normalisation to the line that gave its input."""
        self._depth -= 1
        layer_input, shape, input_moments = self._inputs[id(layer)].pop()
        out = next((each for each in tensors(output) if each.is_floating_point()), None)
        if self._depth or out is None or not out.ndim:
            return
        values = matrix(out, axis(layer, out))
        norm = is_norm(layer)
        if all(each.ndim < 2 for each in layer.parameters(recurse=False)) and not is_composed(
            layer
        ):
            line = self.trail.source(layer_input)
            if line is not None:
                self.trail.normalise(line, out, values, norm=norm)
                line.parts.append(layer)
                self._record_gradient(line)
                return
        name = self._layers[layer] or type(layer).__name__
        line = self.trail.layer(
            layer,
            name,
            fans(layer, shape, out),
            input_moments,
            out,
            values,
            inputs=layer_input,
            norm=norm,
        )
        if out.grad_fn is not None:
            self._nodes[out.grad_fn] = line
        self._record_gradient(line)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call a function of torch, and record sums, activations and reshapes outside of layers."""
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if self._depth or not args or not isinstance(args[0], torch.Tensor):
            return func(*args, **kwargs)
        if name in _SUMS:
            return self._sum(func, args, kwargs)
        plain = name.rstrip("_")
        if plain in _ELEMENTWISE or plain in _MIXING:
            return self._activation(func, plain, args, kwargs)
        out = func(*args, **kwargs)
        if plain in _PASSING and isinstance(out, torch.Tensor):
            self.trail.pass_through(args[0], out)
        return out

    def _activation(self, func: Any, name: str, args: Any, kwargs: Any) -> Any:
        net_input = args[0]
        line = self.trail.source(net_input)
        if line is None:
            return func(*args, **kwargs)
        unit_axis = axis(line.owner, net_input)
        net = matrix(net_input, unit_axis)  # copied now, because the activation may be in place
        out = func(*args, **kwargs)
        elementwise = name in _ELEMENTWISE
        activation = self._elementwise(func, name, args[1:], kwargs) if elementwise else name
        self.trail.activate(line, activation, out, net, matrix(out, unit_axis))
        self._record_gradient(line)
        return out

    def _elementwise(self, func: Any, name: str, args: Any, kwargs: Any) -> Activation | str:
        """Return the activation of a function with the other arguments of this call."""
        keywords = {key: value for key, value in kwargs.items() if key != "inplace"}
        if name == "rrelu":  # with its mean slope, as in evaluation mode
            keywords["training"], args = False, args[:2]
        positional = [_scalar(each) for each in args]
        keywords = {key: _scalar(value) for key, value in keywords.items()}
        key = (func, repr(positional), repr(keywords))
        if key not in self._activations:

            def value(z: Floats) -> Floats:
                with torch.no_grad(), torch._C.DisableTorchFunction():
                    z_tensor = torch.tensor(np.asarray(z), dtype=torch.float64)
                    values: Floats = func(z_tensor, *positional, **keywords).numpy()
                    return values

            self._activations[key] = identified(name, value)
        return self._activations[key]

    def _sum(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Call an addition, and record it if it is a residual connection."""
        a: Any = args[0]
        b: Any = args[1] if len(args) > 1 else None
        if not _can_be_residual(a, b):
            return func(*args, **kwargs)
        residual = _stream_and_branch(a, b)
        stream_rms, branch_rms = (
            (rms(a), rms(b)) if residual is None else (rms(residual[0]), rms(residual[1]))
        )
        if residual is None and (stream_rms == 0.0) != (branch_rms == 0.0):
            # Neither was computed from the other: the stream is projected, and the zero tensor is
            # the branch.
            zero, other = (a, b) if stream_rms == 0.0 else (b, a)
            common = _ancestors(other.grad_fn, set())
            self._assign(_ancestors(zero.grad_fn, common) - common, None, silent=True)
        out = func(*args, **kwargs)
        if residual is not None:
            top = self._stack[-1] if self._stack else None
            name = "" if top is None else self._names[top] or type(top).__name__
            self.trail.fork(residual[0])
            number = self.trail.join(name, stream_rms, branch_rms, rms(out))
            self._assign(residual[2], number, silent=branch_rms == 0.0 < stream_rms)
        return out

    def _assign(self, nodes: set[Any], block: int | None, *, silent: bool) -> None:
        for node in nodes:
            if (line := self._nodes.get(node)) is not None:
                self.trail.assign(line, block, silent=silent)

    def _record_gradient(self, line: Line) -> None:
        """Record the RMS of the gradient by the current output of a layer, when autograd runs."""
        key = (id(line), line.steps)
        if line.output.requires_grad:
            line.output.register_hook(
                lambda gradient: self.gradients.__setitem__(key, rms(gradient))
            )


def _can_be_residual(a: Any, b: Any) -> bool:
    """Return whether two summands may be a residual stream and its branch."""
    for each in (a, b):
        if not isinstance(each, torch.Tensor) or each.grad_fn is None or each.ndim < 2:
            return False
    return a.shape == b.shape and a.grad_fn is not b.grad_fn


def _stream_and_branch(
    a: torch.Tensor, b: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, set[Any]] | None:
    """Return (stream, branch, the autograd nodes of the branch) if one summand, the branch, was
    computed from the other, else None.
    """
    for stream, branch in ((a, b), (b, a)):
        start: Any = stream.grad_fn
        # Nodes are numbered in the order of creation: an older node cannot depend on the stream.
        nodes = _ancestors(branch.grad_fn, {start}, start._sequence_nr())
        if start in nodes:
            return stream, branch, nodes - {start}
    return None


def _ancestors(end: Any, stop: set[Any], oldest: int = 0) -> set[Any]:
    """Return the autograd nodes that `end` was computed from, itself included. The search ends at
    nodes of `stop`, which are included, and at nodes older than `oldest`, which are not.
    """
    visited: set[Any] = set()
    queue = [end]
    while queue:
        node = queue.pop()
        if node in visited or not node.next_functions or node._sequence_nr() < oldest:
            continue
        visited.add(node)
        if node not in stop:
            queue += [each for each, _ in node.next_functions if each is not None]
    return visited


def _scalar(value: Any) -> Any:
    """Return the mean of a tensor of slopes, such as PReLU's per channel. Return other values
    unchanged.
    """
    return (
        value.detach().double().mean().reshape(1).cpu()
        if isinstance(value, torch.Tensor)
        else value
    )


def matrix(tensor: torch.Tensor, unit_axis: int) -> Floats:
    """Return a copy of the values as a float64 array of shape (samples, units)."""
    values = tensor.detach()
    unit_axis = unit_axis if -values.ndim <= unit_axis < values.ndim else -1
    values = (
        values.movedim(unit_axis, -1).reshape(-1, values.shape[unit_axis])
        if values.ndim
        else values.reshape(1, 1)
    )
    return np.array(values.to("cpu", torch.float64).numpy())


def rms(tensor: torch.Tensor) -> float:
    """Return the root mean square of a tensor; 0.0 if it has no elements."""
    values = tensor.detach().to_dense() if tensor.is_sparse else tensor.detach()
    return float(values.to("cpu", torch.float64).square().mean().sqrt()) if values.numel() else 0.0


def tensors(value: Any) -> Iterator[torch.Tensor]:
    """Return the tensors in a value, also in nested tuples, lists, mappings and dataclasses."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from tensors(part)
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from tensors(part)
    elif hasattr(value, "__dataclass_fields__"):
        yield from tensors([getattr(value, name) for name in value.__dataclass_fields__])
