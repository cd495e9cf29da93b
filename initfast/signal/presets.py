"""Claims of introductions to weight initialisation, measured by name:
`initfast diagnose --preset standard-normal`."""

from __future__ import annotations

import itertools
import math
import textwrap
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from initfast.signal.diagnosis import diagnose
from initfast.signal.layers import LayerReport

__all__ = ["PRESETS", "Claim", "measure"]

ERRORS = 4.0  # a measured number may differ from the expected one by so many standard errors
STANDARD = "random_normal(stddev=1)"
WIDTH, DEPTH = 512, 10
DEEP = [WIDTH] * (DEPTH + 1)
HALF_ON = np.arange(1000)[None, :] < 500


class Claim(NamedTuple):
    """A claim about an initialisation, with the measurement.

    Attributes:
        name: the preset. claim: the claim as a sentence. measured: the measurement, in words.
        holds: whether the measurement agrees with the claim. why: the explanation if it does not.
    """

    name: str
    claim: str
    measured: str
    holds: bool
    why: str = ""

    def __str__(self) -> str:
        texts = {"claim": self.claim, "measured": self.measured}
        if self.why:
            texts["why"] = self.why
        lines = [f"{self.name}: {'holds' if self.holds else 'DOES NOT HOLD'}"]
        for key, text in texts.items():
            lines += textwrap.wrap(
                text, 100, initial_indent=f"  {key + ':':<9} ", subsequent_indent=" " * 12
            )
        return "\n".join(lines)


def _zeros(seed: int) -> tuple[str, bool]:
    return _equal("zeros", seed)


def _constants(seed: int) -> tuple[str, bool]:
    return _equal("constant(value=0.1)", seed)


def _equal(initializer: str, seed: int) -> tuple[str, bool]:
    report = diagnose([100, 50, 40, 10], initializer, "sigmoid", seed=seed)
    hidden = report.layers[:-1]
    counts = ", ".join(f"{each.symmetric} of {each.units} in {each.name}" for each in hidden)
    return f"units that stay equal: {counts}", all(each.symmetric == each.units for each in hidden)


def _small(seed: int) -> tuple[str, bool]:
    layers = diagnose(DEEP, "random_normal(stddev=0.01)", "tanh", seed=seed).layers
    forward, back = _forward_and_back(layers)
    expected = WIDTH * 0.01**2
    text = (
        f"each layer multiplies E[x^2] by {forward:.4f} and the squared gradient by {back:.4f} "
        f"(expected {expected:.4f}); after {DEPTH} layers E[x^2] is {layers[-1].second_moment:.1e}"
    )
    return text, _near(forward, expected) and _near(back, expected)


def _standard_normal(seed: int) -> tuple[str, bool]:
    units = 20_000
    layer = _half_on(STANDARD, seed, units)
    variance = layer.net_std**2
    holds = abs(variance / 501.0 - 1.0) < ERRORS * math.sqrt(2.0 / units)
    return f"the variance of z over {units} units is {variance:.1f} (expected 501)", holds


def _saturation(seed: int) -> tuple[str, bool]:
    share = _half_on(STANDARD, seed, 20_000).saturated or 0.0
    scaled = _half_on(f"random_normal(stddev={1 / math.sqrt(1000)})", seed, 20_000).saturated or 0.0
    text = (
        f"{share:.1%} of the sigmoids have a slope below a tenth of the maximum; {scaled:.1%} with "
        "a standard deviation of 1 / sqrt(1000)"
    )
    return text, share > 0.5 > scaled


def _half_on(initializer: str, seed: int, units: int) -> LayerReport:
    report = diagnose([1000, units], initializer, "sigmoid", STANDARD, HALF_ON, seed)
    return report.layers[0]


def _domino(seed: int) -> tuple[str, bool]:
    layers = diagnose(
        [1000, *[500] * 6], STANDARD, "sigmoid", STANDARD, "bernoulli", seed=seed
    ).layers
    shares = [each.saturated or 0.0 for each in layers]
    percents = ", ".join(f"{each:.0%}" for each in shares)
    text = f"saturated sigmoids in layers 1 to {len(shares)}: {percents}"
    return text, all(each > 0.5 for each in shares)


def _explosion(seed: int) -> tuple[str, bool]:
    layers = diagnose(DEEP, STANDARD, "relu", seed=seed).layers
    factor = _factor(_seconds(layers))
    text = (
        f"each layer multiplies E[x^2] by {factor:.0f} (expected {WIDTH / 2:.0f}); the RMS after "
        f"{DEPTH} layers is {math.sqrt(layers[-1].second_moment):.1e}"
    )
    return text, factor > 10.0


def _lost_gradient(seed: int) -> tuple[str, bool]:
    sizes = {}
    for width in (WIDTH, 32):
        widths = [width] * (DEPTH + 1)
        layers = diagnose(widths, STANDARD, "sigmoid", STANDARD, seed=seed).layers
        sizes[width] = (layers[-2].gradient_rms or 0.0, layers[0].gradient_rms or 0.0)
    ranges = [
        f"{last:.3g} to {first:.3g} with {width} units per layer"
        for width, (last, first) in sizes.items()
    ]
    text = f"RMS of the gradient from layer_{DEPTH - 1} back to layer_1: {' and '.join(ranges)}"
    return text, all(first < last for last, first in sizes.values())


def _xavier(seed: int) -> tuple[str, bool]:
    layers = diagnose(DEEP, "glorot_uniform", "linear", seed=seed).layers
    forward, back = _forward_and_back(layers)
    text = (
        f"each layer multiplies the variance by {forward:.3f} and that of the gradient by "
        f"{back:.3f} (expected 1)"
    )
    return text, _near(forward, 1.0) and _near(back, 1.0)


def _xavier_relu(seed: int) -> tuple[str, bool]:
    factor = _factor(_seconds(diagnose(DEEP, "glorot_uniform", "relu", seed=seed).layers))
    return f"each layer multiplies E[x^2] by {factor:.3f} (expected 0.5)", _near(factor, 0.5)


def _he(seed: int) -> tuple[str, bool]:
    layers = diagnose(DEEP, "he_normal", "relu", seed=seed).layers
    forward, back = _forward_and_back(layers)
    text = (
        f"each layer multiplies E[x^2] by {forward:.3f} and the squared gradient by {back:.3f} "
        "(expected 1)"
    )
    return text, _near(forward, 1.0, 5.0) and _near(back, 1.0, 5.0)


def _lecun(seed: int) -> tuple[str, bool]:
    last = diagnose(DEEP, "lecun_normal", "selu", seed=seed).layers[-1]
    text = (
        f"after {DEPTH} layers the mean is {last.mean:.3f} and the variance {last.variance:.3f} "
        "(expected 0 and 1)"
    )
    return text, abs(last.mean) < ERRORS / math.sqrt(WIDTH) and 0.5 < last.variance < 2.0


_CLAIMS: dict[str, tuple[str, Callable[[int], tuple[str, bool]]]] = {
    "zeros": ("With zeros, all units of a layer stay equal during training.", _zeros),
    "constants": (
        "With any constant, all units of a layer stay equal during training.",
        _constants,
    ),
    "small": (
        "With weights N(0, 0.01^2), signals and gradients vanish in a deep tanh network.",
        _small,
    ),
    "standard-normal": (
        "With weights and biases N(0, 1) and 500 of 1000 inputs equal to 1, the others 0: z ~ "
        "N(0, 501).",
        _standard_normal,
    ),
    "saturation": (
        "In the network of standard-normal, most sigmoids are saturated; a standard deviation of "
        "1 / sqrt(1000) prevents this.",
        _saturation,
    ),
    "domino": ("A saturated layer saturates the next one, through the whole depth.", _domino),
    "explosion": ("With weights N(0, 1), ReLU activations explode with depth.", _explosion),
    "lost-gradient": (
        "With weights N(0, 1), the gradient vanishes on its way back through sigmoids.",
        _lost_gradient,
    ),
    "xavier": (
        "Xavier's weights keep the variance of signal and gradient in a linear network.",
        _xavier,
    ),
    "xavier-relu": (
        "Xavier's weights halve the mean square E[x^2] of the signal in each ReLU layer.",
        _xavier_relu,
    ),
    "he": ("He's weights keep the mean square of signal and gradient under ReLU.", _he),
    "lecun": ("LeCun's weights keep mean 0 and variance 1 under SELU.", _lecun),
}
_WHY = {
    "lost-gradient": "Each slope is small, but a gradient is a sum over all units of the next "
    "layer, with weights of variance 1. Above 113 units per layer the sum outweighs the slopes.",
}
PRESETS = tuple(_CLAIMS)
"""The names of the claims."""


def measure(name: str, seed: int = 1) -> Claim:
    """Measure a claim.

    Args:
        name: one of `PRESETS`.
        seed: of the weights, in [0, 2**64).

    Raises:
        ValueError: the name is not in `PRESETS`.

    >>> print(measure("zeros"))
    zeros: holds
      claim:    With zeros, all units of a layer stay equal during training.
      measured: units that stay equal: 50 of 50 in layer_1, 40 of 40 in layer_2
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


def _forward_and_back(layers: tuple[LayerReport, ...]) -> tuple[float, float]:
    """Return the mean factors of E[x^2] forward and of the squared gradient back, per layer."""
    return _factor(_seconds(layers)), 1.0 / _factor([_gradient(layer) for layer in layers])


def _factor(values: list[float]) -> float:
    """Return the geometric mean of the factors from one value to the next."""
    logs = [math.log(after / before) for before, after in itertools.pairwise(values)]
    return math.exp(sum(logs) / len(logs))


def _near(factor: float, expected: float, kurtosis: float = 3.0) -> bool:
    """Return whether a mean factor agrees with the expected one. The sample size is the number of
    units, because units share their inputs."""
    error = math.sqrt((kurtosis - 1.0) / WIDTH / (DEPTH - 1))
    return abs(factor / expected - 1.0) < ERRORS * error
