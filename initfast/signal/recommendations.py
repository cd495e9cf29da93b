"""Which initializer fits which activation, why, and who showed it."""

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
        activation: its name.
        initializer: in words, such as 'he_normal', as `diagnose` and the command line take it.
        config: the same as `initfast.get` takes it.
        reason: why it fits.
        source: who showed it.
        also: other names that `initfast.get` takes and that do as well.
    """

    activation: str
    initializer: str
    config: Any = field(repr=False)
    reason: str
    source: str
    also: tuple[str, ...] = ()

    def scale(self, fan_in: int, fan_out: int) -> float:
        """Return fan_in times the variance of the weights, given fan_in and fan_out."""
        made = registry.get(self.config)
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[made.mode]
        return float(made.scale) * fan_in / fan

    def __str__(self) -> str:
        return f"{self.initializer} for {self.activation}: {self.reason} ({self.source})"


GLOROT = "Glorot and Bengio 2010"
HE = "He et al. 2015"


def _scaled(scale: float, mode: str = "fan_in") -> dict[str, Any]:
    return {
        "class_name": "VarianceScaling",
        "config": {"scale": scale, "mode": mode, "distribution": "uniform"},
    }


# Activation, initializer, config, reason, source, others that do. "Measured" is with 20 layers of
# 512 units.
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
        "its slope is a quarter of tanh's, so four times Glorot's standard deviation; even so a "
        "deep network loses "
        "more than half of the signal's variance a layer, and tanh is better there",
        "Bengio 2012, arXiv:1206.5533",
        (),
    ),
    (
        "tanh",
        "lecun_normal",
        "lecun_normal",
        "variance 1 / fan_in gives the net inputs the second moment of the inputs, where tanh has "
        "a slope",
        "LeCun et al. 1998",
        ("lecun_uniform", "glorot_normal", "glorot_uniform"),
    ),
    (
        "relu",
        "he_normal",
        "he_normal",
        "ReLU halves the second moment, and variance 2 / fan_in makes up for it",
        HE,
        ("he_uniform",),
    ),
    (
        "leaky_relu",
        "he_normal",
        "he_normal",
        "with slope a on the left the variance is 2 / ((1 + a^2) fan_in), 1.92 / fan_in for a = "
        "0.2",
        HE,
        ("he_uniform",),
    ),
    (
        "elu",
        "he_normal",
        "he_normal",
        "as for ReLU, and as its authors did",
        "Clevert et al. 2016",
        ("he_uniform", "lecun_normal", "lecun_uniform"),
    ),
    (
        "selu",
        "lecun_normal",
        "lecun_normal",
        "variance 1 / fan_in makes mean 0 and variance 1 a fixed point",
        "Klambauer et al. 2017",
        ("lecun_uniform", "glorot_normal", "glorot_uniform"),
    ),
    (
        "gelu",
        "variance_scaling(scale=2.2, distribution='uniform')",
        _scaled(2.2),
        "found by measuring: it keeps the second moment, of which he_normal loses an eighth a "
        "layer",
        f"measured; {HE} for ReLU",
        ("he_normal", "he_uniform"),
    ),
    (
        "silu",
        "variance_scaling(scale=2.4, distribution='uniform')",
        _scaled(2.4),
        "found by measuring: it keeps the second moment, of which he_normal loses a third a layer",
        f"measured; {HE} for ReLU",
        (),
    ),
    (
        "softplus",
        "variance_scaling(scale=2.7, distribution='uniform')",
        _scaled(2.7),
        "1 / (f'(0)^2 (1 + f(0)^2)) = 2.7, which keeps the variance over the batch",
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
            What is in no table is judged by quadrature.

    Raises:
        ValueError: there is no such name; the function is not elementwise.

    >>> import numpy as np
    >>> print(recommend("ReLU"))
    he_normal for relu: ReLU halves the second moment, and variance 2 / fan_in makes up for it ...
    >>> print(recommend(lambda z: np.maximum(z, 0.0) ** 2).initializer)
    variance_scaling(scale=0.58, distribution='uniform')
    """
    found = resolve(activation)
    return recommended(found.name, facts(found))


def recommended(name: str, known: Facts) -> Recommendation:
    """Return what `recommend` does for an activation of which a report has the numbers.

    Raises:
        ValueError: its slope is 0.
    """
    row = ACTIVATIONS.get(name)
    return _BY_NAME[name] if name in _BY_NAME and facts(row) == known else _computed(name, known)


# A computed scale this near to one with a name is that.
_NEAR = 0.06
_NAMED = (
    (1.0, "lecun_normal", ("lecun_uniform",)),
    (2.0, "he_normal", ("he_uniform",)),
)


def _computed(name: str, known: Facts) -> Recommendation:
    """Return what the quadrature recommends."""
    found = known.gains
    if not math.isfinite(found.gradient):
        raise ValueError(
            f"no initializer fits {name}: its slope is 0, so that nothing is learnt through it"
        )
    keeps = f"1 / E[f^2] = {found.signal:.3g} keeps the signal"
    keeps += f", 1 / E[f'^2] = {found.gradient:.3g} the gradient"
    mode = "fan_in"
    if known.family == "saturating":
        scale = found.small
        why = f"1 / f'(0)^2 keeps a signal where f has a slope; at unit variance {keeps}"
        mode = "fan_avg" if known.at_zero else mode
    elif known.at_zero:
        # The constant f(0) alone keeps E[f^2]: what counts is the variance over the batch.
        scale = found.small / (1.0 + known.at_zero**2)
        scale = scale if math.isfinite(scale) else math.sqrt(found.variance * found.gradient)
        why = "1 / (f'(0)^2 (1 + f(0)^2)) keeps the variance over the batch; 1 / E[f'^2] = "
        why += f"{found.gradient:.3g} the gradient"
    else:
        scale = math.sqrt(found.signal * found.gradient)
        why = (
            keeps if abs(found.signal / found.gradient - 1) < 1e-3 else f"{keeps}; between the two"
        )
    if mode == "fan_in":
        for value, named, also in _NAMED:
            if abs(scale / value - 1.0) < _NEAR:
                return Recommendation(name, named, named, why, "by quadrature", also)
    scale = float(f"{scale:.2g}")
    config = _scaled(scale, mode)
    return Recommendation(name, label(registry.get(config)), config, why, "by quadrature")
