"""From which initializer a layer draws each of its weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from initfast.core.seeds import Seed
from initfast.core.types import Array, DTypeLike, Shape
from initfast.initializers import base, registry
from initfast.initializers.fans import einsum_axes
from initfast.keras.initializers import ADAPTED
from initfast.keras.weights import Weight

# Weights whose initializer is not called <weight>_initializer.
_ATTRIBUTES = {
    "kernel": ("kernel", "depthwise"),  # DepthwiseConv has the second
    "depthwise_kernel": ("depthwise",),
    "pointwise_kernel": ("pointwise",),
    "recurrent_kernel": ("recurrent",),
    "reverse_embeddings": ("embeddings",),
    "moving_stddev": ("moving_variance",),
    "renorm_mean": ("moving_mean",),
    "renorm_stddev": ("moving_variance",),
}
# Weights whose initializer Keras writes into the code of the layer.
_WRITTEN: dict[tuple[str, str], tuple[str, dict[str, Any]]] = {
    ("AdditiveAttention", "scale"): ("GlorotUniform", {}),
    ("Attention", "scale"): ("Ones", {}),
    ("Attention", "concat_score_weight"): ("Ones", {}),
    ("RMSNormalization", "scale"): ("Ones", {}),
    ("SpectralNormalization", "vector_u"): ("TruncatedNormal", {"stddev": 0.02}),
}
_BY_NAME = {plain.__name__: plain for plain in ADAPTED}


class Derived(base.Initializer):
    """The values of another initializer, changed, as a layer does between its initializer and its
    weight.

    Args:
        inner: the initializer.
        change: 'forget' writes the ones of an LSTM's forget gate, 'sqrt' takes the root.
    """

    def __init__(self, inner: base.Initializer, change: str) -> None:
        self.inner = inner
        self.change = change

    def __call__(self, shape: Shape, dtype: DTypeLike = None) -> Array:
        return _CHANGES[self.change](self.inner.block(shape, ..., dtype))


def source(weight: Weight, seed: Seed) -> base.Initializer | None:
    """The initializer that a layer says, or is known, to draw a weight from, with `seed` for its
    own.

    Returns None if the layer has no initializer for it. TypeError: it has one that is neither
    initfast's nor Keras'."""
    layer, name = weight.layer, weight.variable.name
    for (kind, held), (drawn, config) in _WRITTEN.items():
        if held == name and isinstance(layer, getattr(keras.layers, kind)):
            return _BY_NAME[drawn].from_config(config).with_seed(seed)
    found = None
    for attribute in (name, *_ATTRIBUTES.get(name, ())):
        for spelled in (f"{attribute}_initializer", f"_{attribute}_initializer"):
            found = getattr(layer, spelled, None) if found is None else found
    if found is None:
        return None
    made = with_seed(found, seed, _axes(layer) if name == "kernel" else {})
    if name == "bias" and getattr(layer, "unit_forget_bias", False):
        return Derived(made, "forget")
    return Derived(made, "sqrt") if name in ("moving_stddev", "renorm_stddev") else made


def with_seed(found: Any, seed: Seed, axes: dict[str, Any] | None = None) -> base.Initializer:
    """Return an initializer of Keras or ours, or its text or config, as ours with another seed.

    Args:
        found: the initializer; its own seed does not matter.
        seed: where to draw from.
        axes: input_axes and output_axes, for a VarianceScaling that has none of its own.

    Raises:
        TypeError: it is anything else, whose values a seed could not govern.
    """
    if isinstance(found, (str, Mapping)):
        found = registry.get(found)
    plain: type[base.Initializer] | None = None
    if isinstance(found, base.Initializer):
        plain = type(found)
        if plain in ADAPTED.values():
            plain = plain._plain  # type: ignore[attr-defined]
    elif type(found) is getattr(keras.initializers, type(found).__name__, None):
        plain = _BY_NAME.get(type(found).__name__)
    if plain is None:
        raise TypeError(
            f"an initializer must be one of initfast or of Keras itself; received {found!r}"
        )
    config = dict(found.get_config())
    if isinstance(found, keras.initializers.Identity):
        config["gain"] = found.gain  # Keras forgets it
    config.pop("seed", None)
    made = plain.from_config(config).with_seed(seed)
    return made.with_axes(**axes) if axes else made


def _axes(layer: Any) -> dict[str, Any]:
    """Return the axes that EinsumDense gives the initializer of its kernel."""
    if not isinstance(layer, keras.layers.EinsumDense):
        return {}
    return einsum_axes(layer.equation).arguments(len(layer.kernel.shape))


def _forget(bias: Array) -> Array:
    """The bias of an LSTM, ones for the forget gate, which is the second of four."""
    quarter = len(bias) // 4
    bias[quarter : 2 * quarter] = 1
    return bias


_CHANGES: dict[str, Callable[[Array], Array]] = {"forget": _forget, "sqrt": np.sqrt}
