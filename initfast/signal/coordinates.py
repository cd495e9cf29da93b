"""The coordinate check of muP's users (Yang et al. 2022): how the size of activations depends on
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
"""A size is stable if it grows or falls with the width by no more than width ** 0.2: a factor of
two over widths from 64 to 2048. Signals of a wrong scale go with width ** 0.5 or 1."""


@dataclass(frozen=True)
class CoordinateCheck:
    """The size of activations by layer, step and width.

    Attributes:
        name: what was measured, in words.
        widths, steps: as asked for.
        sizes: by layer, mean |activation| as one row for each step, one number for each width.
    """

    name: str
    widths: tuple[int, ...]
    steps: tuple[int, ...]
    sizes: Mapping[str, tuple[tuple[float, ...], ...]]

    @property
    def slopes(self) -> dict[str, tuple[float, ...]]:
        """By layer, the exponent p of size ~ width ** p after each number of steps; nan where a
        size is 0 or not finite."""
        return {
            name: tuple(_slope(self.widths, row) for row in rows)
            for name, rows in self.sizes.items()
        }

    @property
    def stable(self) -> bool:
        """Return whether no size depends on the width, at any step."""
        return all(abs(slope) <= STABLE for row in self.slopes.values() for slope in row)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as strict JSON holds it, with the slopes."""
        held = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        found: dict[str, Any] = plain({**held, "slopes": self.slopes, "stable": self.stable})
        return found

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
            f"{word}: {self.name}: the strongest change is width ** {slope:.2f} in {name}, after "
            f"{step} steps (limit {STABLE})",
            "",
            f"{'mean |activation|':<30}{'steps':>6}"
            + "".join(f"{width:>9}" for width in self.widths)
            + f"{'slope':>8}",
        ]
        for layer, rows in self.sizes.items():
            for at, row, slope in zip(self.steps, rows, slopes[layer], strict=True):
                shown = layer if len(layer) < 30 else f"..{layer[-26:]}"
                numbers = "".join(f"{value:>9.3g}" for value in row)
                lines.append(f"{shown:<30}{at:>6}{numbers}{slope:>8.2f}")
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
        initializer: of all weights, what `initfast.get` takes; biases are 0.
        activation: of the hidden layers, as `diagnose` takes it; the output is linear.
        widths: of the hidden layers. steps: after how many steps to measure. hidden: layers.
        learning_rate: the same at every width. features, outputs, batch: of inputs and targets,
            both standard normal.
        seed: of weights, inputs and targets.

    Raises:
        ValueError, TypeError: an argument is not what it must be.

    >>> found = coordinate_check("random_normal(stddev=0.05)", widths=[64, 256, 1024], steps=[0])
    >>> found.stable, round(found.slopes["layer_3"][0], 1)
    (False, 0.8)
    """
    sizes, asked = check(widths, steps)
    root = root_seed(seed)
    x = np.asarray(RandomNormal(0.0, 1.0, root.named("inputs"))((batch, features)), np.float64)
    y = np.asarray(RandomNormal(0.0, 1.0, root.named("targets"))((batch, outputs)), np.float64)
    columns = []
    for width in sizes:
        layers = networks.build(
            [features, *[width] * hidden, outputs], initializer, activation, "zeros", root, "linear"
        )
        column = []
        for step in range(asked[-1] + 1):
            with np.errstate(all="ignore"):
                passed = networks.forward(layers, x)
                if step in asked:
                    column.append([float(np.abs(each.out).mean()) for each in passed])
                error = 2.0 * (passed[-1].out - y) / y.size
                found = networks.backward(layers, x, passed, error)
                for layer, gradient in zip(layers, found, strict=True):
                    layer.weights[...] -= learning_rate * gradient.weights
                    layer.bias[...] -= learning_rate * gradient.bias
        columns.append(column)
    return CoordinateCheck(
        f"MLP of {hidden} hidden layers, {label(get(initializer))}, SGD {learning_rate:g}",
        sizes,
        asked,
        {
            layer.name: tuple(
                tuple(column[i][number] for column in columns) for i in range(len(asked))
            )
            for number, layer in enumerate(layers)
        },
    )


def check(widths: Sequence[int], steps: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return both in ascending order, once each. Raises ValueError."""
    sizes, asked = tuple(sorted(set(widths))), tuple(sorted(set(steps)))
    if len(sizes) < 2 or sizes[0] < 1:
        raise ValueError(f"widths must be two or more integers >= 1; received {widths!r}")
    if not asked or asked[0] < 0:
        raise ValueError(f"steps must be one or more integers >= 0; received {steps!r}")
    return sizes, asked


def _slope(widths: Sequence[int], sizes: Sequence[float]) -> float:
    values = np.asarray(sizes)
    if not (np.isfinite(values) & (values > 0.0)).all():
        return float("nan")
    return float(np.polyfit(np.log(widths), np.log(values), 1)[0])
