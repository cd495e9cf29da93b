"""A sketch of a network in NumPy: its weights, its signals forward and its gradients back."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from initfast.core.seeds import Seed, root_seed
from initfast.core.types import Array
from initfast.initializers import registry
from initfast.initializers.base import Initializer
from initfast.signal.activations import Activation
from initfast.signal.functions import resolve

__all__ = ["Gradient", "Layer", "Passed", "backward", "build", "check_widths", "forward"]

Floats = npt.NDArray[np.float64]


class Layer(NamedTuple):
    """A dense layer: weights (fan_in, fan_out), bias (fan_out,), both float64."""

    name: str
    weights: Floats
    bias: Floats
    activation: Activation


class Passed(NamedTuple):
    """The outputs of a layer, both (batch, fan_out): net inputs `net` and activations `out`."""

    net: Floats
    out: Floats


class Gradient(NamedTuple):
    """The gradients of the loss with respect to a layer's activations (batch, fan_out), weights
    (fan_in, fan_out) and bias (fan_out,)."""

    out: Floats
    weights: Floats
    bias: Floats


def build(
    widths: Sequence[int],
    initializer: Any,
    activation: Any,
    bias_initializer: Any = "zeros",
    seed: int | Seed | None = 0,
    output_activation: Any = None,
) -> list[Layer]:
    """Return the layers of a sketch; the initializers give their weights in float32.

    Args:
        widths: the number of inputs, then the units of each layer.
        initializer, bias_initializer: initializers as `initfast.get` takes them, such as
            'random_normal(stddev=0.01)'. Their seeds are ignored: the weights of layer 2 come from
            the stream 'layer_2/kernel' of `seed`, its biases from 'layer_2/bias'.
        activation: of each layer.
        seed: integer in [0, 2**64), `Seed`, or None for a seed from Python's `random`.
        output_activation: activation of the last layer, if it is a different one.

    Raises:
        ValueError, TypeError: an argument is invalid.
    """
    sizes = check_widths(widths)
    shared = resolve(activation)
    last = shared if output_activation is None else resolve(output_activation)
    root = root_seed(seed)
    layers = []
    for number, shape in enumerate(itertools.pairwise(sizes), 1):
        name = f"layer_{number}"
        layers.append(
            Layer(
                name,
                _draw("initializer", initializer, shape, root.named(f"{name}/kernel")),
                _draw("bias_initializer", bias_initializer, shape[1:], root.named(f"{name}/bias")),
                last if number == len(sizes) - 1 else shared,
            )
        )
    return layers


def forward(layers: Sequence[Layer], inputs: Floats) -> list[Passed]:
    """Return the outputs of each layer for inputs (batch, fan_in)."""
    passed = []
    for layer in layers:
        net = inputs @ layer.weights
        net += layer.bias
        inputs = np.asarray(layer.activation.value(net))
        passed.append(Passed(net, inputs))
    return passed


def backward(
    layers: Sequence[Layer], inputs: Floats, passed: Sequence[Passed], cotangent: Floats
) -> list[Gradient]:
    """Return the gradients of the loss in each layer, in the order of the layers.

    `cotangent` is the gradient of the loss with respect to the last activations."""
    gradients = []
    before = [inputs, *(each.out for each in passed[:-1])]
    for number in reversed(range(len(layers))):
        by_net = cotangent * layers[number].activation.slope(passed[number].net)
        gradients.append(Gradient(cotangent, before[number].T @ by_net, by_net.sum(axis=0)))
        if number:
            cotangent = by_net @ layers[number].weights.T
    return gradients[::-1]


def check_widths(widths: Any) -> tuple[int, ...]:
    """Return the widths as integers; raise ValueError if they are invalid."""
    listed = isinstance(widths, (Sequence, np.ndarray)) and not isinstance(widths, (str, bytes))
    sizes = list(widths) if listed else []
    whole = all(
        isinstance(size, (int, np.integer)) and not isinstance(size, bool) and size > 0
        for size in sizes
    )
    if len(sizes) < 2 or not whole:
        raise ValueError(
            "widths must be at least two integers >= 1, the number of inputs and then the units of "
            f"each layer; received {widths!r}"
        )
    return tuple(map(int, sizes))


def _draw(argument: str, initializer: Any, shape: tuple[int, ...], seed: Seed) -> Floats:
    source = registry.get(initializer)
    if source is None:
        raise ValueError(
            f"{argument} must be an initializer or a name such as 'he_normal'; received None"
        )
    if isinstance(source, Initializer):
        source = source.with_seed(seed)
    values: Array = np.asarray(source(shape)).astype(np.float64)
    if values.shape != shape:
        raise ValueError(
            f"{argument} must return an array of shape {shape}; received shape {values.shape}"
        )
    if not np.isfinite(values).all():
        raise ValueError(
            f"{argument} must return finite values; {initializer!r} returned inf or nan"
        )
    return values
