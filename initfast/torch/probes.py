"""Watch the layers of a module, its activations and its residual sums while it runs."""

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

# By the names of torch's functions, in place or not.
_ELEMENTWISE = {
    "celu", "clamp", "clamp_max", "clamp_min", "clip", "elu", "expit", "gelu", "hardshrink",
    "hardsigmoid", "hardswish", "hardtanh", "leaky_relu", "logsigmoid", "log_sigmoid", "mish",
    "prelu", "relu", "relu6", "rrelu", "selu", "sigmoid", "silu", "sin", "softplus", "softshrink",
    "softsign", "tanh", "tanhshrink", "threshold",
}  # fmt: skip
_MIXING = {"glu", "log_softmax", "softmax", "softmin", "gumbel_softmax"}
# They change the form of a signal, or make it coarser, no more.
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
    """Hooks on the layers and on the functions that are activations, while the module runs.

    Attributes: trail: the lines, in order. gradients: RMS of the gradient by each tensor that a
        line gave, by (id of the line, number of the tensor); filled while autograd runs.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.trail = Trail()
        self.gradients: dict[tuple[int, int], float] = {}
        self._given: dict[int, list[Any]] = {}
        self._handles: list[Any] = []
        self._names = {part: name for name, part in module.named_modules()}
        self._layers = {part: name for part, name in self._names.items() if is_layer(part, name)}
        self._stack: list[nn.Module] = []
        self._depth = 0  # of layers that run now
        self._nodes: dict[Any, Line] = {}
        self._known: dict[Any, Activation | str] = {}
        self._pending: list[tuple[Line | None, Floats | None]] = []

    def __enter__(self) -> Any:
        for part in self._names:
            if part in self._layers:
                self._handles.append(part.register_forward_pre_hook(self._before, with_kwargs=True))
                self._handles.append(part.register_forward_hook(self._after))
            elif any(True for _ in part.children()) or any(True for _ in part.parameters()):
                self._handles.append(part.register_forward_pre_hook(self._enters))
                self._handles.append(part.register_forward_hook(self._leaves))
            else:
                self._handles.append(part.register_forward_pre_hook(self._maybe_activation))
                self._handles.append(part.register_forward_hook(self._was_activation))
        return super().__enter__()  # type: ignore[no-untyped-call]

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        for handle in self._handles:
            handle.remove()

    def _enters(self, part: nn.Module, args: Any) -> None:
        self._stack.append(part)

    def _leaves(self, part: nn.Module, args: Any, output: Any) -> None:
        self._stack.pop()

    def _maybe_activation(self, part: nn.Module, args: Any) -> None:
        """A module without parameters or children, called with one tensor, is looked at as a
        whole: a GELU in several steps is a GELU."""
        line = self.trail.source(args[0]) if len(args) == 1 and not self._depth else None
        net = None
        if line is not None:
            net = matrix(args[0], axis(line.owner, args[0]))  # before an activation in place
            self._depth += 1
        self._pending.append((line, net))

    def _was_activation(self, part: nn.Module, args: Any, out: Any) -> None:
        line, net = self._pending.pop()
        if line is None or net is None:
            return
        self._depth -= 1
        name = type(part).__name__
        if not isinstance(out, torch.Tensor):
            return
        if name.endswith(_PASSING_MODULES) or any(each in name for each in _PASSING_MODULES):
            self.trail.passed(args[0], out)
            return
        if part not in self._known:
            try:
                with torch._C.DisableTorchFunction():
                    training, part.training = part.training, False  # RReLU: its mean slope
                    self._known[part] = resolve(part.forward, name)
            except ValueError:  # softmax, GLU, maxout
                self._known[part] = name.lower()
            finally:
                part.training = training
        known = self._known[part]
        self.trail.activated(line, known, out, net, matrix(out, axis(line.owner, out)))
        self._follow(line)

    def _before(self, layer: nn.Module, args: Any, kwargs: Any) -> None:
        given = next(tensors((args, kwargs)), None)
        before = None
        if given is not None and given.is_floating_point():
            # Measured now, because the layer may write into it.
            before = moments(matrix(given, axis(layer, given)))
        shape = None if given is None else tuple(given.shape)
        self._given.setdefault(id(layer), []).append((given, shape, before))
        self._depth += 1

    def _after(self, layer: nn.Module, args: Any, output: Any) -> None:
        self._depth -= 1
        given, shape, before = self._given[id(layer)].pop()
        out = next((each for each in tensors(output) if each.is_floating_point()), None)
        if self._depth or out is None or not out.ndim:
            return
        values = matrix(out, axis(layer, out))
        norm = is_norm(layer)
        if all(each.ndim < 2 for each in layer.parameters(recurse=False)) and not is_composed(
            layer
        ):
            line = self.trail.source(given)
            if line is not None:
                self.trail.normalised(line, out, values, norm=norm)
                line.parts.append(layer)
                self._follow(line)
                return
        name = self._layers[layer] or type(layer).__name__
        line = self.trail.layer(
            layer, name, fans(layer, shape, out), before, out, values, given=given, norm=norm
        )
        if out.grad_fn is not None:
            self._nodes[out.grad_fn] = line
        self._follow(line)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
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
            self.trail.passed(args[0], out)
        return out

    def _activation(self, func: Any, name: str, args: Any, kwargs: Any) -> Any:
        given = args[0]
        line = self.trail.source(given)
        if line is None:
            return func(*args, **kwargs)
        where = axis(line.owner, given)
        net = matrix(given, where)  # before an activation in place
        out = func(*args, **kwargs)
        known = self._elementwise(func, name, args[1:], kwargs) if name in _ELEMENTWISE else name
        self.trail.activated(line, known, out, net, matrix(out, where))
        self._follow(line)
        return out

    def _elementwise(self, func: Any, name: str, args: Any, kwargs: Any) -> Activation | str:
        """Return the activation that a function is with the arguments that it was called with."""
        rest = {key: value for key, value in kwargs.items() if key != "inplace"}
        if name == "rrelu":  # its mean: the slope of evaluation
            rest["training"], args = False, args[:2]
        plain = [_alone(each) for each in args]
        rest = {key: _alone(value) for key, value in rest.items()}
        key = (func, repr(plain), repr(rest))
        if key not in self._known:

            def value(z: Floats) -> Floats:
                with torch.no_grad(), torch._C.DisableTorchFunction():
                    given = torch.tensor(np.asarray(z), dtype=torch.float64)
                    found: Floats = func(given, *plain, **rest).numpy()
                    return found

            self._known[key] = identified(name, value)
        return self._known[key]

    def _sum(self, func: Any, args: Any, kwargs: Any) -> Any:
        a: Any = args[0]
        b: Any = args[1] if len(args) > 1 else None
        if not _comparable(a, b):
            return func(*args, **kwargs)
        found = _stream(a, b)
        before, added = (rms(a), rms(b)) if found is None else (rms(found[0]), rms(found[1]))
        if found is None and (before == 0.0) != (added == 0.0):
            # A projected stream: what is 0 is the branch.
            zero, other = (a, b) if before == 0.0 else (b, a)
            common = _back(other.grad_fn, set())
            self._belong(_back(zero.grad_fn, common) - common, None, silent=True)
        out = func(*args, **kwargs)
        if found is not None:
            top = self._stack[-1] if self._stack else None
            name = "" if top is None else self._names[top] or type(top).__name__
            self.trail.forked(found[0])
            number = self.trail.joined(name, before, added, rms(out))
            self._belong(found[2], number, silent=added == 0.0 < before)
        return out

    def _belong(self, nodes: set[Any], block: int | None, *, silent: bool) -> None:
        for node in nodes:
            if (line := self._nodes.get(node)) is not None:
                self.trail.belongs(line, block, silent=silent)

    def _follow(self, line: Line) -> None:
        """Note the RMS of the gradient by what the layer gives now."""
        key = (id(line), line.steps)
        if line.output.requires_grad:
            line.output.register_hook(
                lambda gradient: self.gradients.__setitem__(key, rms(gradient))
            )


def _comparable(a: Any, b: Any) -> bool:
    """Return whether two summands may be a stream and its branch."""
    for each in (a, b):
        if not isinstance(each, torch.Tensor) or each.grad_fn is None or each.ndim < 2:
            return False
    return a.shape == b.shape and a.grad_fn is not b.grad_fn


def _stream(a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, set[Any]] | None:
    """Return which of two summands the other was computed from: (stream, branch, the branch's nodes
    of autograd); None if neither was.
    """
    for stream, branch in ((a, b), (b, a)):
        start: Any = stream.grad_fn
        # Nodes are numbered as they are made: what is older cannot have come from the stream.
        nodes = _back(branch.grad_fn, {start}, start._sequence_nr())
        if start in nodes:
            return stream, branch, nodes - {start}
    return None


def _back(end: Any, stop: set[Any], oldest: int = 0) -> set[Any]:
    """Return the nodes of autograd on the way back from `end`: up to and with those of `stop` that
    are reached, and none that is older than `oldest`.
    """
    seen: set[Any] = set()
    todo = [end]
    while todo:
        node = todo.pop()
        if node in seen or not node.next_functions or node._sequence_nr() < oldest:
            continue
        seen.add(node)
        if node not in stop:
            todo += [each for each, _ in node.next_functions if each is not None]
    return seen


def _alone(value: Any) -> Any:
    """Return one slope for the slopes that are learnt by channel: their mean."""
    return (
        value.detach().double().mean().reshape(1).cpu()
        if isinstance(value, torch.Tensor)
        else value
    )


def matrix(tensor: torch.Tensor, where: int) -> Floats:
    """Return the values as (samples, units), float64, in separate memory."""
    held = tensor.detach()
    where = where if -held.ndim <= where < held.ndim else -1
    held = (
        held.movedim(where, -1).reshape(-1, held.shape[where]) if held.ndim else held.reshape(1, 1)
    )
    return np.array(held.to("cpu", torch.float64).numpy())


def rms(tensor: torch.Tensor) -> float:
    """Return the root of the mean square."""
    held = tensor.detach().to_dense() if tensor.is_sparse else tensor.detach()
    return float(held.to("cpu", torch.float64).square().mean().sqrt()) if held.numel() else 0.0


def tensors(value: Any) -> Iterator[torch.Tensor]:
    """Return the tensors in tuples, lists and mappings, and in the dataclasses that models
    return.
    """
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
