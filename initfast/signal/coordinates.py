"""The coordinate check of muP (Yang et al. 2022): measure how the size of activations depends on
the width, at initialisation and after a few steps of training."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from initfast.core.seeds import Seed, root_seed
from initfast.initializers.grammar import label
from initfast.initializers.random import RandomNormal
from initfast.initializers.registry import get
from initfast.signal import networks
from initfast.signal.plain import plain

__all__ = ["STABLE", "STEPS", "WIDTHS", "CoordinateCheck", "coordinate_check"]

WIDTHS = (64, 128, 256, 512, 1024, 2048)
STEPS = (0, 1, 3)
STABLE = 0.2
"""Limit of the exponent: a size is stable if it changes at most like width ** 0.2, a factor of two
over widths from 64 to 2048. Signals of a wrong scale change like width ** 0.5 or width ** 1."""


@dataclass(frozen=True)
class CoordinateCheck:
    """The size of activations for each layer, step and width.

    Attributes:
        name: the measured network, in words.
        widths, steps: the measured widths and numbers of steps.
        sizes: for each layer, mean |activation| with one row per step and one number per width.
    """

    name: str
    widths: tuple[int, ...]
    steps: tuple[int, ...]
    sizes: Mapping[str, tuple[tuple[float, ...], ...]]

    @property
    def slopes(self) -> dict[str, tuple[float, ...]]:
        """Return for each layer the exponent p of size ~ width ** p, after each number of steps;
        nan if a size is 0 or not finite."""
        return {
            name: tuple(_slope(self.widths, row) for row in rows)
            for name, rows in self.sizes.items()
        }

    @property
    def stable(self) -> bool:
        """Return whether every exponent is at most STABLE in absolute value."""
        return all(abs(slope) <= STABLE for row in self.slopes.values() for slope in row)

    def to_dict(self) -> dict[str, Any]:
        """Return the check as a dict for strict JSON, with the slopes."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        result: dict[str, Any] = plain({**values, "slopes": self.slopes, "stable": self.stable})
        return result

    def __str__(self) -> str:
        slopes = self.slopes
        pairs = [
            (abs(slope) if slope == slope else np.inf, slope, name, step)
            for name, row in slopes.items()
            for step, slope in zip(self.steps, row, strict=True)
        ]
        _, slope, name, step = max(pairs)
        word = "STABLE" if self.stable else "NOT STABLE"
        lines = [
            f"{word}: {self.name}: the largest change of mean |activation| is like width ** "
            f"{slope:.2f}, in {name} after {step} steps (limit of the exponent: {STABLE})",
            "",
            f"{'mean |activation|':<30}{'steps':>6}"
            + "".join(f"{width:>9}" for width in self.widths)
            + f"{'slope':>8}",
        ]
        for layer, rows in self.sizes.items():
            for step, row, slope in zip(self.steps, rows, slopes[layer], strict=True):
                title = layer if len(layer) < 30 else f"..{layer[-26:]}"
                numbers = "".join(f"{value:>9.3g}" for value in row)
                lines.append(f"{title:<30}{step:>6}{numbers}{slope:>8.2f}")
        return "\n".join(lines)


def coordinate_check(
    initializer: Any = "lecun_normal",
    activation: Any = "tanh",
    *,
    widths: Sequence[int] = WIDTHS,
    steps: Sequence[int] = STEPS,
    hidden: int = 3,
    learning_rate: float = 0.1,
    features: int = 64,
    outputs: int = 10,
    batch: int = 64,
    seed: int | Seed = 0,
) -> CoordinateCheck:
    """Measure an MLP at several widths, before and after steps of SGD on squared errors.

    Args:
        initializer: of all weights, as `initfast.get` takes it; biases are 0.
        activation: of the hidden layers, as `diagnose` takes it; the output layer is linear.
        widths: the widths of the hidden layers to compare, at least two.
        steps: the numbers of steps after which to measure.
        hidden: number of hidden layers.
        learning_rate: of SGD, the same for every width.
        features, outputs, batch: shape of inputs (batch, features) and targets (batch, outputs),
            both standard normal.
        seed: of weights, inputs and targets.

    Returns:
        The `CoordinateCheck`; printed, it begins with STABLE or NOT STABLE.

    Raises:
        ValueError, TypeError: an argument is invalid.

    >>> result = coordinate_check("random_normal(stddev=0.05)", widths=[64, 256, 1024], steps=[0])
    >>> result.stable, round(result.slopes["layer_3"][0], 1)
    (False, 0.8)
    """
    sizes, counts = check(widths, steps)
    root = root_seed(seed)
    x = np.asarray(RandomNormal(0.0, 1.0, root.named("inputs"))((batch, features)), np.float64)
    y = np.asarray(RandomNormal(0.0, 1.0, root.named("targets"))((batch, outputs)), np.float64)
    columns = []
    for width in sizes:
        layers = networks.build(
            [features, *[width] * hidden, outputs], initializer, activation, "zeros", root, "linear"
        )
        column = []
        for step in range(counts[-1] + 1):
            with np.errstate(all="ignore"):
                passed = networks.forward(layers, x)
                if step in counts:
                    column.append([float(np.abs(each.out).mean()) for each in passed])
                error = 2.0 * (passed[-1].out - y) / y.size
                gradients = networks.backward(layers, x, passed, error)
                for layer, gradient in zip(layers, gradients, strict=True):
                    layer.weights[...] -= learning_rate * gradient.weights
                    layer.bias[...] -= learning_rate * gradient.bias
        columns.append(column)
    return CoordinateCheck(
        f"MLP of {hidden} hidden layers, {label(get(initializer))}, SGD {learning_rate:g}",
        sizes,
        counts,
        {
            layer.name: tuple(
                tuple(column[i][number] for column in columns) for i in range(len(counts))
            )
            for number, layer in enumerate(layers)
        },
    )


def check(widths: Sequence[int], steps: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return widths and steps, sorted and without duplicates; raise ValueError if invalid."""
    sizes, counts = tuple(sorted(set(widths))), tuple(sorted(set(steps)))
    if len(sizes) < 2 or sizes[0] < 1:
        raise ValueError(f"widths must be two or more integers >= 1; received {widths!r}")
    if not counts or counts[0] < 0:
        raise ValueError(f"steps must be one or more integers >= 0; received {steps!r}")
    return sizes, counts


def _slope(widths: Sequence[int], sizes: Sequence[float]) -> float:
    values = np.asarray(sizes)
    if not (np.isfinite(values) & (values > 0.0)).all():
        return float("nan")
    return float(np.polyfit(np.log(widths), np.log(values), 1)[0])
