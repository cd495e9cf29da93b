"""Watch the layers of a Keras model during a call, and restore them afterwards."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from initfast.keras.layers import axis, fans, is_norm, passes
from initfast.keras.snapshots import restore_attributes
from initfast.keras.weights import named_layers
from initfast.signal.activations import ACTIVATIONS, Activation
from initfast.signal.functions import resolve
from initfast.signal.measures import Moments, moments
from initfast.signal.trails import Line, Trail

__all__ = ["Probe", "floats", "matrix", "tensors", "watch_layers"]

Floats = npt.NDArray[np.floating[Any]]

# These call their inner layers in a loop of the backend, where tensors have no values.
_WHOLE = (keras.layers.RNN, keras.layers.TimeDistributed)
_SCOPE = "initfast_place_"


class Probe:
    """The listener of a run, which gets the output of each layer.

    It numbers the outputs, and measures them if there is a trail.

    Args:
        tap: called with the number of each output, in order, and the output; the value that it
            returns replaces the output.
        trail: collects a line for each layer; None: the tensors have no values.
        training: the mode in which the model runs.
    """

    def __init__(
        self, tap: Callable[[int, Any], Any], trail: Trail | None = None, *, training: bool = True
    ) -> None:
        self.tap = tap
        self.trail = trail
        self.training = training
        self.count = 0
        # By line and step, the number of its output.
        self._numbers: dict[tuple[int, int], int] = {}
        # By number, the line of the layer with this output (before normalisation or activation).
        self._lines: dict[int, Line] = {}
        self._noted: set[int] = set()  # lines, by identity
        self._activations: list[list[tuple[Any, Any, Any]]] = []
        self._places: list[str] = []  # all layers of the run, in the order of their calls
        self._inside: list[int] = []

    @contextlib.contextmanager
    def layer_scope(self, name: str) -> Iterator[None]:
        """Assign all operations of the block to a layer.

        JAX keeps the name scope with each operation of a traced program."""
        self._inside.append(len(self._places))
        self._places.append(name)
        try:
            with keras.name_scope(f"{_SCOPE}{self._inside[-1]}"):
                yield
        finally:
            self._inside.pop()

    def current_layer(self, scopes: str | None = None) -> str:
        """Return the name of the current layer, or of the innermost layer in `scopes`."""
        if scopes is None:
            return self._places[self._inside[-1]] if self._inside else ""
        numbers = re.findall(rf"{_SCOPE}(\d+)", scopes)
        return self._places[int(numbers[-1])] if numbers else ""

    def last(self, line: Line) -> int:
        """Return the number of the output of a line."""
        return self._numbers[id(line), line.steps]

    def line(self, number: int) -> Line | None:
        """Return the line of the layer with an output; None for the output of a later step."""
        return self._lines.get(number)

    def _note(self, line: Line, output: Any, number: int) -> None:
        if line.output is not output:
            assert self.trail is not None
            self.trail.pass_through(line.output, output)
            line.output = output
        if id(line) not in self._noted:
            self._noted.add(id(line))
            self._lines[number] = line
        self._numbers[id(line), line.steps] = number

    def number(self, output: Any) -> tuple[int, Any]:
        """Return the number of an output, and the tensor that replaces it."""
        self.count += 1
        return self.count - 1, self.tap(self.count - 1, output)

    def layer(self, layer: Any, name: str, call: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Call a layer and note its output."""
        signal = next(tensors((args, kwargs)), None)
        before = None
        if self.trail is not None and signal is not None and _floating(signal):
            before = moments(matrix(signal, axis(layer, signal)))
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
            line = self._line(self.trail, layer, name, signal, before, out, inner)
            self._note(line, tapped, number)
        return _replace(output, out, tapped)

    def activation(self, owner: Any, call: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Call the activation of a layer and note its input and output."""
        output = call(*args, **kwargs)
        if self._activations and args:
            self._activations[-1].append((args[0], call, output))
        return output

    def activation_layer(self, layer: Any, call: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Call a layer without weights: an activation, or one that only reshapes its input."""
        output = call(*args, **kwargs)
        signal = args[0] if len(args) == 1 else None
        if signal is None or not keras.ops.is_tensor(output) or not _floating(output):
            return output
        if passes(layer):
            if self.trail is not None:
                self.trail.pass_through(signal, output)
            return output
        number, tapped = self.number(output)
        line = None if self.trail is None else self.trail.source(signal)
        if self.trail is not None and line is not None:
            activation = _activation_of(
                getattr(layer, "activation", None) or call, type(layer).__name__
            )
            where = axis(line.owner, output)
            self.trail.activate(
                line, activation, tapped, matrix(signal, where), matrix(output, where)
            )
            self._note(line, tapped, number)
        return tapped

    def _line(
        self,
        trail: Trail,
        layer: Any,
        name: str,
        signal: Any,
        before: Moments | None,
        out: Any,
        inner: Any,
    ) -> Line:
        where = axis(layer, out)
        norm = is_norm(layer, self.training)
        source = (
            trail.source(signal) if all(len(each.shape) < 2 for each in layer.weights) else None
        )
        net, activation_call = next(
            ((net, call) for net, call, gave in inner if gave is out), (out, None)
        )
        if source is not None and activation_call is None:
            trail.normalise(source, out, matrix(out, where), norm=norm)
            source.parts.append(layer)
            return source
        values = matrix(net, where)
        line = trail.layer(layer, name, fans(layer), before, net, values, inputs=signal, norm=norm)
        if (
            activation_call is not None
            and (activation := _activation_of(activation_call)) != ACTIVATIONS["linear"]
        ):
            trail.activate(line, activation, out, values, matrix(out, where))
        return line


@contextlib.contextmanager
def watch_layers(model: Any, probe: Probe) -> Iterator[None]:
    """Send the outputs of all layers through the probe while the block runs, and restore the
    layers' attributes afterwards.
    """
    paths: dict[int, str] = {}
    for layer, path in named_layers(model):
        paths.setdefault(id(layer), path)
    layers = list(model._flatten_layers())
    # A functional graph also has operations, such as `x + y`.
    others = [each for part in layers for each in getattr(part, "_operations", ())]
    everything = list({id(each): each for each in (*layers, *others)}.values())
    with restore_attributes(everything):
        leaves = {id(layer): layer for layer in _leaves(model)}
        for layer in leaves.values():
            _watch(layer, paths, probe)
        for each in everything:
            _scope_calls(each, paths.get(id(each)) or each.name, probe)
        yield


def _leaves(layer: Any) -> Iterator[Any]:
    """Yield the layers to measure, and the activation layers."""
    inner = [each for each in layer._layers if each is not getattr(layer, "activation", None)]
    if isinstance(layer, _WHOLE) or not inner:
        yield layer
        return
    for each in inner:
        yield from _leaves(each)


def _watch(layer: Any, paths: dict[int, str], probe: Probe) -> None:
    # Written to `vars`, because Keras tracks assignments, and refuses new layers in a built model.
    own = vars(layer)
    call = layer.call
    if not layer.weights or isinstance(layer, keras.layers.PReLU):
        own["call"] = lambda *args, **kwargs: probe.activation_layer(layer, call, args, kwargs)
        return
    path = paths.get(id(layer)) or layer.name
    activation = None if isinstance(layer, _WHOLE) else getattr(layer, "activation", None)
    if callable(activation):
        own["activation"] = lambda *args, **kwargs: probe.activation(
            layer, activation, args, kwargs
        )
    own["call"] = lambda *args, **kwargs: probe.layer(layer, path, call, args, kwargs)


def _scope_calls(operation: Any, name: str, probe: Probe) -> None:
    call = operation.call

    def named(*args: Any, **kwargs: Any) -> Any:
        with probe.layer_scope(name):
            return call(*args, **kwargs)

    vars(operation)["call"] = named


def matrix(tensor: Any, axis: int = -1) -> Floats:
    """Return the values as (samples, units), float64."""
    values = np.asarray(keras.ops.convert_to_numpy(tensor)).astype(np.float64)
    return (
        np.moveaxis(values, axis, -1).reshape(-1, values.shape[axis])
        if values.ndim
        else values.reshape(1, 1)
    )


def floats(tensor: Any) -> Floats:
    """Return the values in float32, or in float64 if they have this dtype."""
    values = np.asarray(keras.ops.convert_to_numpy(tensor))
    return values if values.dtype == np.float64 else values.astype(np.float32)


def tensors(value: Any) -> Iterator[Any]:
    """Yield the tensors in nested tuples, lists and dicts."""
    for part in keras.tree.flatten(value):
        if keras.ops.is_tensor(part) or isinstance(part, np.ndarray):
            yield part


def _floating(tensor: Any) -> bool:
    return bool(keras.backend.is_float_dtype(keras.backend.standardize_dtype(tensor.dtype)))


def _replace(output: Any, old: Any, new: Any) -> Any:
    return (
        new
        if output is old
        else keras.tree.map_structure(lambda part: new if part is old else part, output)
    )


def _activation_of(activation: Any, name: str = "") -> Activation | str:
    """Return the activation of a function or layer; only its name if it is not elementwise."""
    try:
        return resolve(activation, name)
    except ValueError:
        kind = name or getattr(activation, "__name__", None) or type(activation).__name__
        return str(kind).lower()
