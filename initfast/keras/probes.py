"""Watch the layers of a Keras model while it is called, and leave no trace of it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from initfast.initializers.fans import AXES
from initfast.keras.weights import weights
from initfast.signal.measures import Moments, moments
from initfast.signal.trails import Line, Trail

__all__ = ["Probe", "attributes_kept", "matrix", "tensors", "watched"]

Floats = npt.NDArray[np.floating[Any]]

# Layers that are one activation; PReLU is a leaky ReLU whose slope is learnt.
_ACTIVATION_LAYERS = {
    "ReLU": "relu",
    "LeakyReLU": "leaky_relu",
    "PReLU": "leaky_relu",
    "ELU": "elu",
}
# Layers by the row of `AXES` that their kernel has.
_FANS: dict[str, tuple[Any, ...]] = {
    "keras": (
        keras.layers.Dense,
        keras.layers.Conv1D,
        keras.layers.Conv2D,
        keras.layers.Conv3D,
    ),
    "keras transposed": (
        keras.layers.Conv1DTranspose,
        keras.layers.Conv2DTranspose,
        keras.layers.Conv3DTranspose,
    ),
    "keras depthwise": (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D),
}
# They call what is in them within a loop of the backend, where no tensor has values.
_WHOLE = (keras.layers.RNN, keras.layers.TimeDistributed)


class Probe:
    """What is told of each tensor that a layer gives: a number, and the layer's line if values are
    to be measured.

    Args:
        tap: called with the number of each tensor, in order, and the tensor; what it returns goes
            on in its place.
        trail: where lines are written; None: the tensors have no values.
    """

    def __init__(self, tap: Callable[[int, Any], Any], trail: Trail | None = None) -> None:
        self.tap = tap
        self.trail = trail
        self.count = 0
        self.last: dict[int, int] = {}  # of each line, the number of the tensor that it gives now
        self._activations: list[list[tuple[Any, str, Any]]] = []

    def number(self, output: Any) -> tuple[int, Any]:
        """The tensor's number, and what goes on in its place."""
        self.count += 1
        return self.count - 1, self.tap(self.count - 1, output)

    def layer(self, layer: Any, name: str, call: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Call a layer, note what it gives."""
        given = next(tensors((args, kwargs)), None)
        before = None
        if self.trail is not None and given is not None and _floating(given):
            before = moments(matrix(given, _axis(layer, given)))
        self._activations.append([])
        try:
            output = call(*args, **kwargs)
        finally:
            inner = self._activations.pop()
        out = next(tensors(output), None)
        if out is None or not _floating(out):
            return output
        number, tapped = self.number(out)
        if self.trail is not None:
            line = self._line(self.trail, layer, name, given, before, out, inner)
            line.output = tapped
            self.last[id(line)] = number
        return _replaced(output, out, tapped)

    def activation(self, owner: Any, call: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Call the activation within a layer."""
        output = call(*args, **kwargs)
        if self._activations and args:
            self._activations[-1].append((args[0], _name(call), output))
        return output

    def activation_layer(
        self, layer: Any, name: str, call: Callable[..., Any], args: Any, kwargs: Any
    ) -> Any:
        """Call a layer that is an activation and nothing else."""
        output = call(*args, **kwargs)
        number, tapped = self.number(output)
        line = None if self.trail is None or not args else self.trail.source(args[0])
        if self.trail is not None and line is not None:
            axis = _axis(line.owner, output)
            self.trail.activated(line, name, tapped, matrix(args[0], axis), matrix(output, axis))
            self.last[id(line)] = number
        return tapped

    def _line(
        self,
        trail: Trail,
        layer: Any,
        name: str,
        given: Any,
        before: Moments | None,
        out: Any,
        inner: Any,
    ) -> Line:
        axis = _axis(layer, out)
        source = trail.source(given) if all(len(each.shape) < 2 for each in layer.weights) else None
        net, activation = next(
            ((net, found) for net, found, gave in inner if gave is out), (out, "linear")
        )
        if source is not None and activation == "linear":
            trail.normalised(source, out, matrix(out, axis))
            return source
        line = trail.layer(layer, name, _fans(layer), before, net, matrix(net, axis))
        if activation != "linear":
            trail.activated(line, activation, out, matrix(net, axis), matrix(out, axis))
        return line


@contextlib.contextmanager
def watched(model: Any, probe: Probe) -> Iterator[None]:
    """While the block runs, what layers give goes through the probe. Attributes of all layers come
    back afterwards.
    """
    paths: dict[int, str] = {}
    for weight in weights(model):
        paths.setdefault(id(weight.layer), weight.path.rpartition("/")[0])
    with attributes_kept(list(model._flatten_layers())):
        for layer in {id(layer): layer for layer in _leaves(model)}.values():
            _watch(layer, paths, probe)
        yield


@contextlib.contextmanager
def attributes_kept(things: list[Any]) -> Iterator[None]:
    """Put back what the block assigns to attributes, and into plain lists and sets that are
    attributes.
    """
    held = [(vars(each), dict(vars(each)), _contents(vars(each))) for each in things]
    try:
        yield
    finally:
        for current, before, contents in held:
            if current.keys() != before.keys() or any(
                current[name] is not value for name, value in before.items()
            ):
                current.clear()
                current.update(before)
            for container, copy in contents:
                if len(container) != len(copy) or any(
                    a is not b for a, b in zip(container, copy, strict=True)
                ):
                    container.clear()
                    (container.extend if isinstance(container, list) else container.update)(copy)


def _contents(attributes: dict[str, Any]) -> list[tuple[Any, Any]]:
    """Plain containers with copies of them, such as the losses that a call collects."""
    return [(each, each.copy()) for each in attributes.values() if type(each) in (list, set)]


def _leaves(layer: Any) -> Iterator[Any]:
    """The layers that are measured, or are activations."""
    inner = [each for each in layer._layers if each is not getattr(layer, "activation", None)]
    if isinstance(layer, _WHOLE) or not inner:
        yield layer
        return
    for each in inner:
        yield from _leaves(each)


def _watch(layer: Any, paths: dict[int, str], probe: Probe) -> None:
    # Straight into the attributes: Keras tracks what is assigned, and refuses layers once all is
    # built.
    own = vars(layer)
    call = layer.call
    kind = type(layer).__name__
    if kind == "Activation" or kind in _ACTIVATION_LAYERS:
        name = _ACTIVATION_LAYERS.get(kind) or _name(layer.activation)
        own["call"] = lambda *args, **kwargs: probe.activation_layer(
            layer, name, call, args, kwargs
        )
        return
    if not layer.weights:
        return
    path = paths.get(id(layer)) or layer.name
    activation = None if isinstance(layer, _WHOLE) else getattr(layer, "activation", None)
    if callable(activation):
        own["activation"] = lambda *args, **kwargs: probe.activation(
            layer, activation, args, kwargs
        )
    own["call"] = lambda *args, **kwargs: probe.layer(layer, path, call, args, kwargs)


def matrix(tensor: Any, axis: int = -1) -> Floats:
    """The values as (samples, units), float64."""
    values = np.asarray(keras.ops.convert_to_numpy(tensor)).astype(np.float64)
    return (
        np.moveaxis(values, axis, -1).reshape(-1, values.shape[axis])
        if values.ndim
        else values.reshape(1, 1)
    )


def tensors(value: Any) -> Iterator[Any]:
    """The tensors in nested tuples, lists and dicts."""
    for part in keras.tree.flatten(value):
        if keras.ops.is_tensor(part) or isinstance(part, np.ndarray):
            yield part


def _floating(tensor: Any) -> bool:
    return bool(keras.backend.is_float_dtype(keras.backend.standardize_dtype(tensor.dtype)))


def _replaced(output: Any, old: Any, new: Any) -> Any:
    return (
        new
        if output is old
        else keras.tree.map_structure(lambda part: new if part is old else part, output)
    )


def _axis(layer: Any, tensor: Any) -> int:
    """Where the units are: the last dimension unless the layer says otherwise."""
    axis = getattr(layer, "axis", None)
    first = getattr(layer, "data_format", None) == "channels_first"
    return (
        axis
        if isinstance(axis, int) and axis < len(tensor.shape)
        else 1
        if first and len(tensor.shape) > 2
        else -1
    )


def _fans(layer: Any) -> tuple[int, int] | None:
    for row, kinds in _FANS.items():
        if isinstance(layer, kinds):
            return AXES[row].fans(tuple(layer.kernel.shape), getattr(layer, "groups", 1))
    return None


def _name(activation: Any) -> str:
    """An activation's name; that of a layer used as one is translated."""
    kind = type(activation).__name__
    return _ACTIVATION_LAYERS.get(kind) or str(getattr(activation, "__name__", kind))
