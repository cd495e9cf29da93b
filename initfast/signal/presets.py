"""What introductions to weight initialisation claim, each measured by name:
`initfast diagnose --preset standard-normal`."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from initfast.signal.diagnosis import diagnose
from initfast.signal.layers import LayerReport

__all__ = ["PRESETS", "Claim", "measure"]

ERRORS = 4.0  # standard errors that a measured number may be from the expected one
STANDARD = "random_normal(stddev=1)"
WIDTH, DEPTH = 512, 10
DEEP = [WIDTH] * (DEPTH + 1)
HALF_ON = np.arange(1000)[None, :] < 500


class Claim(NamedTuple):
    """A claim: what is said, what was measured, whether it holds; and why, if it does not."""

    name: str
    claim: str
    measured: str
    holds: bool
    why: str = ""

    def __str__(self) -> str:
        lines = {"claim": self.claim, "measured": self.measured}
        if self.why:
            lines["why"] = self.why
        word = "holds" if self.holds else "DOES NOT HOLD"
        return "\n".join(
            [f"{self.name}: {word}", *(f"  {key + ':':<9} {text}" for key, text in lines.items())]
        )


def _zeros(seed: int) -> tuple[str, bool]:
    return _equal("zeros", seed)


def _constants(seed: int) -> tuple[str, bool]:
    return _equal("constant(value=0.1)", seed)


def _equal(initializer: str, seed: int) -> tuple[str, bool]:
    report = diagnose([100, 50, 40, 10], initializer, "sigmoid", seed=seed)
    hidden = report.layers[:-1]
    shown = ", ".join(f"{each.symmetric} of {each.units} in {each.name}" for each in hidden)
    return f"units that stay equal: {shown}", all(each.symmetric == each.units for each in hidden)


def _small(seed: int) -> tuple[str, bool]:
    layers = diagnose(DEEP, "random_normal(stddev=0.01)", "tanh", seed=seed).layers
    found, back = _factor(_seconds(layers)), 1.0 / _factor([_gradient(each) for each in layers])
    expected = WIDTH * 0.01**2
    said = f"E[x^2] x{found:.4f} a layer and the gradient's square x{back:.4f}, {expected:.4f} "
    said += f"expected; after {DEPTH} layers E[x^2] is {layers[-1].second_moment:.1e}"
    return said, _near(found, expected) and _near(back, expected)


def _standard_normal(seed: int) -> tuple[str, bool]:
    units = 20_000
    layer = _half_on(STANDARD, seed, units)
    found = layer.net_std**2
    holds = abs(found / 501.0 - 1.0) < ERRORS * math.sqrt(2.0 / units)
    return f"variance of z {found:.1f} over {units} units, 501 expected", holds


def _saturation(seed: int) -> tuple[str, bool]:
    share = _half_on(STANDARD, seed, 20_000).saturated or 0.0
    cured = _half_on(f"random_normal(stddev={1 / math.sqrt(1000)})", seed, 20_000).saturated or 0.0
    said = f"{share:.1%} of the sigmoids have a slope below a tenth of the greatest; {cured:.1%} "
    return said + "with a standard deviation of 1 / sqrt(1000)", share > 0.5 > cured


def _half_on(initializer: str, seed: int, units: int) -> LayerReport:
    report = diagnose([1000, units], initializer, "sigmoid", STANDARD, HALF_ON, seed)
    return report.layers[0]


def _domino(seed: int) -> tuple[str, bool]:
    layers = diagnose(
        [1000, *[500] * 6], STANDARD, "sigmoid", STANDARD, "bernoulli", seed=seed
    ).layers
    shares = [each.saturated or 0.0 for each in layers]
    said = f"saturated in layers 1 to {len(shares)}: {', '.join(f'{each:.0%}' for each in shares)}"
    return said, all(each > 0.5 for each in shares)


def _explosion(seed: int) -> tuple[str, bool]:
    layers = diagnose(DEEP, STANDARD, "relu", seed=seed).layers
    found = _factor(_seconds(layers))
    said = f"E[x^2] x{found:.0f} a layer, {WIDTH / 2:.0f} expected; RMS "
    return f"{said}{math.sqrt(layers[-1].second_moment):.1e} at the end", found > 10.0


def _lost_gradient(seed: int) -> tuple[str, bool]:
    sizes = {}
    for width in (WIDTH, 32):
        widths = [width] * (DEPTH + 1)
        layers = diagnose(widths, STANDARD, "sigmoid", STANDARD, seed=seed).layers
        sizes[width] = (layers[-2].gradient_rms or 0.0, layers[0].gradient_rms or 0.0)
    shown = [
        f"{last:.3g} to {first:.3g} with {width} units a layer"
        for width, (last, first) in sizes.items()
    ]
    said = f"RMS of the gradient from layer_{DEPTH - 1} back to layer_1: {' and '.join(shown)}"
    return said, all(first < last for last, first in sizes.values())


def _xavier(seed: int) -> tuple[str, bool]:
    layers = diagnose(DEEP, "glorot_uniform", "linear", seed=seed).layers
    found, back = _factor(_seconds(layers)), 1.0 / _factor([_gradient(each) for each in layers])
    said = f"variance x{found:.3f} a layer, the gradient's x{back:.3f} on its way back, 1 expected"
    return said, _near(found, 1.0) and _near(back, 1.0)


def _xavier_relu(seed: int) -> tuple[str, bool]:
    found = _factor(_seconds(diagnose(DEEP, "glorot_uniform", "relu", seed=seed).layers))
    return f"E[x^2] x{found:.3f} a layer, 0.5 expected", _near(found, 0.5)


def _he(seed: int) -> tuple[str, bool]:
    layers = diagnose(DEEP, "he_normal", "relu", seed=seed).layers
    found, back = _factor(_seconds(layers)), 1.0 / _factor([_gradient(each) for each in layers])
    said = f"E[x^2] x{found:.3f} a layer, the gradient's square x{back:.3f}, 1 expected"
    return said, _near(found, 1.0, 5.0) and _near(back, 1.0, 5.0)


def _lecun(seed: int) -> tuple[str, bool]:
    last = diagnose(DEEP, "lecun_normal", "selu", seed=seed).layers[-1]
    said = f"after {DEPTH} layers mean {last.mean:.3f}, variance {last.variance:.3f}"
    return said, abs(last.mean) < ERRORS / math.sqrt(WIDTH) and 0.5 < last.variance < 2.0


_CLAIMS: dict[str, tuple[str, Callable[[int], tuple[str, bool]]]] = {
    "zeros": ("With zeros, all units of a layer stay equal for ever.", _zeros),
    "constants": ("With any constant, all units of a layer stay equal for ever.", _constants),
    "small": (
        "With N(0, 0.01^2), signals and gradients vanish in a deep tanh network.",
        _small,
    ),
    "standard-normal": (
        "With N(0, 1) weights and biases and 500 of 1000 inputs on, z ~ N(0, 501).",
        _standard_normal,
    ),
    "saturation": ("So most sigmoids are saturated, and 1 / sqrt(n) cures it.", _saturation),
    "domino": ("A saturated layer saturates the next one, through all of the depth.", _domino),
    "explosion": ("With N(0, 1), activations of ReLU explode with depth.", _explosion),
    "lost-gradient": (
        "With N(0, 1), the gradient is lost on its way back through sigmoids.",
        _lost_gradient,
    ),
    "xavier": ("Xavier keeps the variance of signal and gradient in a linear network.", _xavier),
    "xavier-relu": ("Xavier halves the signal at each layer of ReLU.", _xavier_relu),
    "he": ("He keeps signal and gradient under ReLU.", _he),
    "lecun": ("LeCun's weights keep mean 0 and variance 1 under SELU.", _lecun),
}
_WHY = {
    "lost-gradient": "Each slope is small, but a gradient is a sum over all units of the next "
    "layer, times weights of variance 1: above 113 units a layer it makes up for the slopes.",
}
PRESETS = tuple(_CLAIMS)
"""The names of the claims."""


def measure(name: str, seed: int = 1) -> Claim:
    """Return a claim with what was measured.

    Args:
        name: one of `PRESETS`. seed: of the weights, in [0, 2**64).

    Raises:
        ValueError: there is no such name.
    """
    if name not in _CLAIMS:
        raise ValueError(f"a preset must be one of {', '.join(PRESETS)}; received {name!r}")
    claim, function = _CLAIMS[name]
    measured, holds = function(seed)
    return Claim(name, claim, measured, holds, "" if holds else _WHY.get(name, ""))


def _seconds(layers: tuple[LayerReport, ...]) -> list[float]:
    return [layer.second_moment for layer in layers]


def _gradient(layer: LayerReport) -> float:
    return (layer.gradient_rms or 0.0) ** 2


def _factor(values: list[float]) -> float:
    """Return the mean factor from one to the next."""
    logs = [math.log(after / before) for before, after in itertools.pairwise(values)]
    return math.exp(sum(logs) / len(logs))


def _near(found: float, expected: float, kurtosis: float = 3.0) -> bool:
    """Return whether a mean factor is as expected; units share their inputs, so they alone are
    samples.
    """
    error = math.sqrt((kurtosis - 1.0) / WIDTH / (DEPTH - 1))
    return abs(found / expected - 1.0) < ERRORS * error
