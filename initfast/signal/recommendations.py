"""The initializer that fits an activation, with the reason and the source."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from initfast.initializers import registry
from initfast.initializers.grammar import label
from initfast.signal.activations import ACTIVATIONS
from initfast.signal.functions import resolve
from initfast.signal.quadrature import Facts, facts

__all__ = ["Recommendation", "recommend"]


@dataclass(frozen=True)
class Recommendation:
    """An initializer for the weights in front of an activation.

    Attributes:
        activation: name of the activation.
        initializer: the initializer as text, such as 'he_normal'; `diagnose` and the command line
            take it.
        config: the same initializer as a name or config for `initfast.get`.
        reason: why it fits.
        source: the publication or the method that the reason comes from.
        also: names of other initializers that fit equally well.
    """

    activation: str
    initializer: str
    config: Any = field(repr=False)
    reason: str
    source: str
    also: tuple[str, ...] = ()

    def scale(self, fan_in: int, fan_out: int) -> float:
        """Return fan_in times the variance of the weights, given fan_in and fan_out."""
        initializer = registry.get(self.config)
        fans = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}
        return float(initializer.scale) * fan_in / fans[initializer.mode]

    def __str__(self) -> str:
        return f"{self.initializer} for {self.activation}: {self.reason} ({self.source})"


GLOROT = "Glorot and Bengio 2010"
HE = "He et al. 2015"


def _scaled(scale: float, mode: str = "fan_in") -> dict[str, Any]:
    return {
        "class_name": "VarianceScaling",
        "config": {"scale": scale, "mode": mode, "distribution": "uniform"},
    }


# Activation, initializer, config, reason, source, other initializers that fit. "Measured" means a
# network of 20 layers of 512 units.
_ROWS: tuple[tuple[str, str, Any, str, str, tuple[str, ...]], ...] = (
    (
        "linear",
        "glorot_uniform",
        "glorot_uniform",
        "variance 2 / (fan_in + fan_out) keeps the variance of the signal and of the gradient",
        GLOROT,
        ("glorot_normal", "lecun_normal", "lecun_uniform", "orthogonal"),
    ),
    (
        "sigmoid",
        "variance_scaling(scale=16, mode='fan_avg', distribution='uniform')",
        _scaled(16.0, "fan_avg"),
        "the slope of sigmoid is a quarter of tanh's, so the weights need four times Glorot's "
        "standard deviation; deep networks still lose more than half of the signal's variance per "
        "layer, and tanh is better there",
        "Bengio 2012, arXiv:1206.5533",
        (),
    ),
    (
        "tanh",
        "lecun_normal",
        "lecun_normal",
        "variance 1 / fan_in gives the net inputs the mean square of the inputs, so tanh does not "
        "saturate",
        "LeCun et al. 1998",
        ("lecun_uniform", "glorot_normal", "glorot_uniform"),
    ),
    (
        "relu",
        "he_normal",
        "he_normal",
        "ReLU halves the mean square E[x^2], and variance 2 / fan_in restores it",
        HE,
        ("he_uniform",),
    ),
    (
        "leaky_relu",
        "he_normal",
        "he_normal",
        "with slope a below 0, variance 2 / ((1 + a^2) fan_in) keeps the mean square E[x^2]: "
        "1.92 / fan_in for a = 0.2",
        HE,
        ("he_uniform",),
    ),
    (
        "elu",
        "he_normal",
        "he_normal",
        "as for ReLU; the authors of ELU use it",
        "Clevert et al. 2016",
        ("he_uniform", "lecun_normal", "lecun_uniform"),
    ),
    (
        "selu",
        "lecun_normal",
        "lecun_normal",
        "variance 1 / fan_in keeps mean 0 and variance 1 from layer to layer",
        "Klambauer et al. 2017",
        ("lecun_uniform", "glorot_normal", "glorot_uniform"),
    ),
    (
        "gelu",
        "variance_scaling(scale=2.2, distribution='uniform')",
        _scaled(2.2),
        "keeps the mean square E[x^2]; he_normal loses an eighth of it per layer",
        f"measured; {HE} for ReLU",
        ("he_normal", "he_uniform"),
    ),
    (
        "silu",
        "variance_scaling(scale=2.4, distribution='uniform')",
        _scaled(2.4),
        "keeps the mean square E[x^2]; he_normal loses a third of it per layer",
        f"measured; {HE} for ReLU",
        (),
    ),
    (
        "softplus",
        "variance_scaling(scale=2.7, distribution='uniform')",
        _scaled(2.7),
        "scale 1 / (f'(0)^2 (1 + f(0)^2)) = 2.7 keeps the variance over the batch",
        "Kumar 2017, arXiv:1704.08863; measured",
        (),
    ),
)
_BY_NAME = {row[0]: Recommendation(*row) for row in _ROWS}


def recommend(activation: Any) -> Recommendation:
    """Return the initializer that fits an activation.

    Args:
        activation: a name in any usual spelling ('relu', 'ReLU', 'swish'), a torch module, class
            or function, a Keras activation, a JAX function, or any elementwise function on arrays.
            For functions that are not in the table, the scale is computed by quadrature.

    Returns:
        The `Recommendation`; printed, it is one sentence.

    Raises:
        ValueError: the name is unknown, the function is not elementwise, or its slope is 0.

    >>> import numpy as np
    >>> print(recommend("ReLU"))
    he_normal for relu: ReLU halves the mean square E[x^2], and variance 2 / fan_in restores it ...
    >>> print(recommend(lambda z: np.maximum(z, 0.0) ** 2).initializer)
    variance_scaling(scale=0.58, distribution='uniform')
    """
    resolved = resolve(activation)
    return recommended(resolved.name, facts(resolved))


def recommended(name: str, activation: Facts) -> Recommendation:
    """Return the result of `recommend` for an activation, given its facts from a report.

    Raises:
        ValueError: the slope of the activation is 0.
    """
    row = ACTIVATIONS.get(name)
    if name in _BY_NAME and facts(row) == activation:
        return _BY_NAME[name]
    return _computed(name, activation)


# A computed scale within this share of a named one gets the name.
_NEAR = 0.06
_NAMED = (
    (1.0, "lecun_normal", ("lecun_uniform",)),
    (2.0, "he_normal", ("he_uniform",)),
)
_SOURCE = "computed by quadrature"


def _computed(name: str, activation: Facts) -> Recommendation:
    """Return the recommendation that quadrature gives."""
    gains = activation.gains
    if not math.isfinite(gains.gradient):
        raise ValueError(
            f"no initializer fits {name}: its slope is 0, so no gradient passes through it"
        )
    signal = f"1 / E[f^2] = {gains.signal:.3g} keeps the signal"
    gradient = f"1 / E[f'^2] = {gains.gradient:.3g} keeps the gradient"
    mode = "fan_in"
    if activation.family == "saturating":
        scale = gains.small
        reason = f"scale 1 / f'(0)^2 keeps small signals; at unit variance {signal} and {gradient}"
        mode = "fan_avg" if activation.at_zero else mode
    elif activation.at_zero:
        # The constant f(0) alone keeps E[f^2], so the variance over the batch must be kept.
        scale = gains.small / (1.0 + activation.at_zero**2)
        scale = scale if math.isfinite(scale) else math.sqrt(gains.variance * gains.gradient)
        reason = f"scale 1 / (f'(0)^2 (1 + f(0)^2)) keeps the variance over the batch; {gradient}"
    else:
        scale = math.sqrt(gains.signal * gains.gradient)
        reason = f"scale {signal} and {gradient}"
        if abs(gains.signal / gains.gradient - 1) >= 1e-3:
            reason += "; the recommended scale is their geometric mean"
    if mode == "fan_in":
        for value, initializer, also in _NAMED:
            if abs(scale / value - 1.0) < _NEAR:
                return Recommendation(name, initializer, initializer, reason, _SOURCE, also)
    scale = float(f"{scale:.2g}")
    config = _scaled(scale, mode)
    return Recommendation(name, label(registry.get(config)), config, reason, _SOURCE)
