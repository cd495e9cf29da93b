"""Watch the layers of a Keras model while it is called, and leave no trace of it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from initfast.keras.layers import axis, fans, is_norm, passes
from initfast.keras.snapshots import attributes_kept
from initfast.keras.weights import named_layers
from initfast.signal.activations import ACTIVATIONS, Activation
from initfast.signal.functions import resolve
from initfast.signal.measures import Moments, moments
from initfast.signal.trails import Line, Trail

__all__ = ["Probe", "floats", "matrix", "tensors", "watched"]

Floats = npt.NDArray[np.floating[Any]]

# They call what is in them within a loop of the backend, where no tensor has values.
_WHOLE = (keras.layers.RNN, keras.layers.TimeDistributed)
_SCOPE = "initfast_place_"


class Probe:
    """What is told of each tensor that a layer gives: a number, and the layer's line if values are
    to be measured.

    Args:
        tap: called with the number of each tensor, in order, and the tensor; what it returns goes
            on in its place.
        trail: where lines are written; None: the tensors have no values.
        training: the mode in which the model runs.
    """

    def __init__(
        self, tap: Callable[[int, Any], Any], trail: Trail | None = None, *, training: bool = True
    ) -> None:
        self.tap = tap
        self.trail = trail
        self.training = training
        self.count = 0
        # By line and step, the number of the tensor that it gave.
        self._numbers: dict[tuple[int, int], int] = {}
        # By number, the line of the layer that gave it: not of what normalised or activated it.
        self._lines: dict[int, Line] = {}
        self._seen: set[int] = set()  # lines, by identity
        self._activations: list[list[tuple[Any, Any, Any]]] = []
        self._places: list[str] = []  # all layers that were entered, by the order of that
        self._inside: list[int] = []

    @contextlib.contextmanager
    def within(self, name: str) -> Iterator[None]:
        """While the block runs, what is computed belongs to a layer. JAX keeps the scope with each
        operation of a traced program."""
        self._inside.append(len(self._places))
        self._places.append(name)
        try:
            with keras.name_scope(f"{_SCOPE}{self._inside[-1]}"):
                yield
        finally:
            self._inside.pop()

    def place(self, scopes: str | None = None) -> str:
        """Return the name of the layer that runs now, or of the innermost of these scopes."""
        if scopes is None:
            return self._places[self._inside[-1]] if self._inside else ""
        found = re.findall(rf"{_SCOPE}(\d+)", scopes)
        return self._places[int(found[-1])] if found else ""

    def last(self, line: Line) -> int:
        """Return the number of the tensor that a line gives."""
        return self._numbers[id(line), line.steps]

    def line(self, number: int) -> Line | None:
        """Return the line of the layer that gave a tensor; None for what a later step made of
        one.
        """
        return self._lines.get(number)

    def _note(self, line: Line, output: Any, number: int) -> None:
        if line.output is not output:
            assert self.trail is not None
            self.trail.passed(line.output, output)
            line.output = output
        if id(line) not in self._seen:
            self._seen.add(id(line))
            self._lines[number] = line
        self._numbers[id(line), line.steps] = number

    def number(self, output: Any) -> tuple[int, Any]:
        """Return the tensor's number, and the tensor that replaces it."""
        self.count += 1
        return self.count - 1, self.tap(self.count - 1, output)

    def layer(self, layer: Any, name: str, call: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Call a layer, note what it gives."""
        given = next(tensors((args, kwargs)), None)
        before = None
        if self.trail is not None and given is not None and _floating(given):
            before = moments(matrix(given, axis(layer, given)))
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
            self._note(line, tapped, number)
        return _replaced(output, out, tapped)

    def activation(self, owner: Any, call: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Call the activation within a layer."""
        output = call(*args, **kwargs)
        if self._activations and args:
            self._activations[-1].append((args[0], call, output))
        return output

    def bare(self, layer: Any, call: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Call a layer without weights: an activation, or one that passes on what it is given."""
        output = call(*args, **kwargs)
        given = args[0] if len(args) == 1 else None
        if given is None or not keras.ops.is_tensor(output) or not _floating(output):
            return output
        if passes(layer):
            if self.trail is not None:
                self.trail.passed(given, output)
            return output
        number, tapped = self.number(output)
        line = None if self.trail is None else self.trail.source(given)
        if self.trail is not None and line is not None:
            known = _known(getattr(layer, "activation", None) or call, type(layer).__name__)
            where = axis(line.owner, output)
            self.trail.activated(line, known, tapped, matrix(given, where), matrix(output, where))
            self._note(line, tapped, number)
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
        where = axis(layer, out)
        norm = is_norm(layer, self.training)
        source = trail.source(given) if all(len(each.shape) < 2 for each in layer.weights) else None
        net, used = next(((net, call) for net, call, gave in inner if gave is out), (out, None))
        if source is not None and used is None:
            trail.normalised(source, out, matrix(out, where), norm=norm)
            source.parts.append(layer)
            return source
        values = matrix(net, where)
        line = trail.layer(layer, name, fans(layer), before, net, values, given=given, norm=norm)
        if used is not None and (known := _known(used)) != ACTIVATIONS["linear"]:
            trail.activated(line, known, out, values, matrix(out, where))
        return line


@contextlib.contextmanager
def watched(model: Any, probe: Probe) -> Iterator[None]:
    """While the block runs, what layers give goes through the probe. Attributes of all layers come
    back afterwards.
    """
    paths: dict[int, str] = {}
    for layer, path in named_layers(model):
        paths.setdefault(id(layer), path)
    layers = list(model._flatten_layers())
    # What a functional graph holds next to layers: an operation such as `x + y`.
    others = [each for part in layers for each in getattr(part, "_operations", ())]
    everything = list({id(each): each for each in (*layers, *others)}.values())
    with attributes_kept(everything):
        leaves = {id(layer): layer for layer in _leaves(model)}
        for layer in leaves.values():
            _watch(layer, paths, probe)
        for each in everything:
            _name(each, paths.get(id(each)) or each.name, probe)
        yield


def _leaves(layer: Any) -> Iterator[Any]:
    """Return the layers that are measured, or are activations."""
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
    if not layer.weights or isinstance(layer, keras.layers.PReLU):
        own["call"] = lambda *args, **kwargs: probe.bare(layer, call, args, kwargs)
        return
    path = paths.get(id(layer)) or layer.name
    activation = None if isinstance(layer, _WHOLE) else getattr(layer, "activation", None)
    if callable(activation):
        own["activation"] = lambda *args, **kwargs: probe.activation(
            layer, activation, args, kwargs
        )
    own["call"] = lambda *args, **kwargs: probe.layer(layer, path, call, args, kwargs)


def _name(operation: Any, name: str, probe: Probe) -> None:
    call = operation.call

    def named(*args: Any, **kwargs: Any) -> Any:
        with probe.within(name):
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
    """Return the values in float32, or float64 if they are."""
    values = np.asarray(keras.ops.convert_to_numpy(tensor))
    return values if values.dtype == np.float64 else values.astype(np.float32)


def tensors(value: Any) -> Iterator[Any]:
    """Return the tensors in nested tuples, lists and dicts."""
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


def _known(activation: Any, name: str = "") -> Activation | str:
    """Return the activation that a function or layer is; its name alone if it is not
    elementwise.
    """
    try:
        return resolve(activation, name)
    except ValueError:
        kind = name or getattr(activation, "__name__", None) or type(activation).__name__
        return str(kind).lower()
