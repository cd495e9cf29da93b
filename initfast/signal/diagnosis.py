"""`diagnose`: signals and gradients of a sketch of a network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from initfast.core.seeds import Seed, root_seed
from initfast.initializers import registry
from initfast.initializers.grammar import label
from initfast.initializers.random import RandomNormal, RandomUniform
from initfast.signal import networks
from initfast.signal.measures import Units, measure, moments, rms, with_gradients
from initfast.signal.reports import SignalReport
from initfast.signal.verdicts import judge, notes

__all__ = ["INPUTS", "LOSS", "check_batch", "cotangent", "diagnose"]

Floats = npt.NDArray[np.float64]

INPUTS = ("normal", "bernoulli")
LOSS = "sum of g * output, g standard normal"


def diagnose(
    widths: Sequence[int],
    initializer: Any = "glorot_uniform",
    activation: Any = "tanh",
    bias_initializer: Any = "zeros",
    inputs: Any = "normal",
    seed: int | Seed | None = 0,
    *,
    batch: int = 256,
    output_activation: Any = None,
) -> SignalReport:
    """Measure signals and gradients of a network of dense layers before its training.

    The initializer gives the weights in float32. The signals and gradients are computed in float64,
    once forward and once back. The loss is the sum of g * output over units and samples, with g
    standard normal, so that the gradient in the last layer has RMS 1. Inputs are neither centred
    nor scaled.

    Args:
        widths: the number of inputs, then the units of each layer: [1000, 500, 500, 10] has three
            layers.
        initializer, bias_initializer: initializers as `initfast.get` takes them, such as
            'random_normal(stddev=0.01)'. Their seeds are ignored: each layer draws from separate
            streams of `seed`, such as 'layer_1/kernel' and 'layer_1/bias'.
        activation: of every layer: a name of `initfast.signal.ACTIVATIONS` in any usual spelling,
            or any elementwise function, as `initfast.signal.recommend` takes it.
        inputs: 'normal' (standard normal), 'bernoulli' (0 or 1, each with probability 1/2), or an
            array of finite numbers of shape (batch, widths[0]).
        seed: integer in [0, 2**64), `Seed`, or None for a seed from Python's `random`.
        batch: number of samples if `inputs` is a name.
        output_activation: activation of the last layer, if it is a different one.

    Returns:
        The `SignalReport`; printed, it begins with the verdict.

    Raises:
        ValueError, TypeError: an argument is invalid.

    >>> report = diagnose([1000, 500, 500, 10], "glorot_uniform", "tanh", seed=1)
    >>> report.verdicts["f"].passed, round(report.layers[0].net_std, 2)
    (True, 1.15)
    """
    root = root_seed(seed)
    layers = networks.build(
        widths, initializer, activation, bias_initializer, root, output_activation
    )
    x = _inputs(inputs, batch, layers[0].weights.shape[0], root)
    # An overflow is a result, not an error.
    with np.errstate(all="ignore"):
        passed = networks.forward(layers, x)
        gradients = networks.backward(layers, x, passed, cotangent(passed[-1].out.shape, root))
        before = [x, *(each.out for each in passed[:-1])]
        reports = tuple(
            with_gradients(
                measure(
                    layer.name, layer.activation, layer.weights.shape, moments(values), net, out
                ),
                rms(gradient.out),
                rms(gradient.weights),
                Units(layer.weights, layer.bias, gradient.weights, gradient.bias),
                (rms(layer.weights) * math.sqrt(len(layer.weights)),),
                rms(layer.bias),
            )
            for layer, values, (net, out), gradient in zip(
                layers, before, passed, gradients, strict=True
            )
        )
    name, bias_name = (label(registry.get(each)) for each in (initializer, bias_initializer))
    return SignalReport(
        activation=", ".join(dict.fromkeys(layer.activation for layer in reports)),
        initializer=name,
        bias_initializer=bias_name,
        inputs=inputs if isinstance(inputs, str) else "given",
        loss=LOSS,
        batch=len(x),
        seed=root.seed,
        layers=reports,
        verdicts=judge(reports, name),
        notes=notes(reports),
    )


def cotangent(shape: tuple[int, ...], seed: Seed) -> Floats:
    """Return the g of the loss `sum(g * output)` in float64: standard normal, from the stream
    'cotangent' of the seed."""
    return np.asarray(RandomNormal(0.0, 1.0, seed.named("cotangent"))(shape), np.float64)


def check_batch(values: npt.NDArray[Any]) -> None:
    """Raise ValueError if there is no sample or a value is not finite."""
    if not values.size:
        raise ValueError(
            f"inputs must have at least one sample; received an array of shape {values.shape}"
        )
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ValueError(
            f"inputs must be finite; received {int((~np.isfinite(values)).sum())} values that are "
            "inf or nan"
        )


def _inputs(inputs: Any, batch: int, width: int, seed: Seed) -> Floats:
    if isinstance(inputs, str):
        if isinstance(batch, bool) or not isinstance(batch, (int, np.integer)) or batch < 1:
            raise ValueError(f"batch must be an integer >= 1; received {batch!r}")
        if inputs == "normal":
            return np.asarray(
                RandomNormal(0.0, 1.0, seed.named("inputs"))((batch, width)), np.float64
            )
        if inputs == "bernoulli":
            return np.asarray(
                RandomUniform(0.0, 1.0, seed.named("inputs"))((batch, width)) < 0.5, np.float64
            )
        raise ValueError(
            f"inputs must be one of 'normal', 'bernoulli', or an array; received {inputs!r}"
        )
    array = np.asarray(inputs)
    if array.dtype.kind not in "biuf" or array.ndim != 2 or array.shape[1] != width:
        raise ValueError(
            f"inputs must be an array of numbers of shape (batch, {width}), because widths begins "
            f"with {width}; received {array.dtype.name} of shape {array.shape}"
        )
    values = array.astype(np.float64)
    check_batch(values)
    return values
