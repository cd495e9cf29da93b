"""A sketch of a network in NumPy: its weights drawn by initfast, its signals forward, its gradients
back.
"""

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
    """What came out of a layer, (batch, fan_out): net inputs, and the activations of them."""

    net: Floats
    out: Floats


class Gradient(NamedTuple):
    """Of the loss by a layer's activations (batch, fan_out), weights (fan_in, fan_out) and bias
    (fan_out,).
    """

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
    """Return the layers of a sketch: the float32 weights that the initializers give, in float64.

    Args:
        widths: the number of inputs, then the units of each layer.
        initializer, bias_initializer: what `initfast.get` takes, such as
            'random_normal(stddev=0.01)'. Their own seeds are not used: the weights of layer 2
            are drawn from the stream 'layer_2/kernel' of `seed`, its biases from 'layer_2/bias'.
        activation: of each layer; `output_activation` that of the last, if another.
        seed: integer in [0, 2**64), `Seed`, or None: drawn from Python's `random`.

    Raises:
        ValueError, TypeError: an argument is not what it must be.
    """
    sizes = check_widths(widths)
    shared = resolve(activation)
    last = shared if output_activation is None else resolve(output_activation)
    root = root_seed(seed)
    made = []
    for number, shape in enumerate(itertools.pairwise(sizes), 1):
        name = f"layer_{number}"
        made.append(
            Layer(
                name,
                _draw("initializer", initializer, shape, root.named(f"{name}/kernel")),
                _draw("bias_initializer", bias_initializer, shape[1:], root.named(f"{name}/bias")),
                last if number == len(sizes) - 1 else shared,
            )
        )
    return made


def forward(layers: Sequence[Layer], inputs: Floats) -> list[Passed]:
    """Return what comes out of each layer for inputs (batch, fan_in)."""
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
    """Return the gradients of a loss in each layer, given `cotangent`, its gradient by the last
    activations.
    """
    found = []
    before = [inputs, *(each.out for each in passed[:-1])]
    for number in reversed(range(len(layers))):
        by_net = cotangent * layers[number].activation.slope(passed[number].net)
        found.append(Gradient(cotangent, before[number].T @ by_net, by_net.sum(axis=0)))
        if number:
            cotangent = by_net @ layers[number].weights.T
    return found[::-1]


def check_widths(widths: Any) -> tuple[int, ...]:
    """Return the widths as integers. Raises ValueError."""
    listed = isinstance(widths, (Sequence, np.ndarray)) and not isinstance(widths, (str, bytes))
    sizes = list(widths) if listed else []
    whole = all(
        isinstance(size, (int, np.integer)) and not isinstance(size, bool) and size > 0
        for size in sizes
    )
    if len(sizes) < 2 or not whole:
        raise ValueError(
            "widths must be the number of inputs and then the units of one layer or more, "
            "integers >= 1; "
            f"received {widths!r}"
        )
    return tuple(map(int, sizes))


def _draw(argument: str, initializer: Any, shape: tuple[int, ...], seed: Seed) -> Floats:
    made = registry.get(initializer)
    if made is None:
        raise ValueError(
            f"{argument} must be what initfast.get takes, such as 'he_normal'; received None"
        )
    if isinstance(made, Initializer):
        made = made.with_seed(seed)
    values: Array = np.asarray(made(shape)).astype(np.float64)
    if values.shape != shape:
        raise ValueError(
            f"{argument} must give an array of shape {shape}; received one of shape {values.shape}"
        )
    if not np.isfinite(values).all():
        raise ValueError(
            f"{argument} must give finite values; received {initializer!r}, which does not"
        )
    return values
