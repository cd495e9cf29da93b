"""From which initializer a layer draws each of its weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from initfast.core.rounding import in_fixed_environment
from initfast.core.seeds import Seed
from initfast.core.types import Array, DTypeLike, Shape
from initfast.initializers import base, registry, streams
from initfast.initializers.fans import einsum_axes
from initfast.keras import tensors
from initfast.keras.initializers import ADAPTED
from initfast.keras.records import added
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
# The defaults of enable_lora; what it was given, no layer keeps.
_LORA = {
    "lora_kernel_a": "he_uniform",
    "lora_kernel_b": "zeros",
    "lora_embeddings_a": "he_uniform",
    "lora_embeddings_b": "zeros",
}


class Own(base.Initializer):
    """An initializer of the user's own, as Keras knows them: a call returns a tensor.

    Args:
        inner: the initializer.
    """

    def __init__(self, inner: Callable[..., Any]) -> None:
        self.inner = inner

    def __call__(self, shape: Shape, dtype: DTypeLike = None) -> Array:
        values = self.inner(shape, dtype=tensors.named_dtype(dtype))
        made: Array = keras.ops.convert_to_numpy(values)
        return made


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

    @in_fixed_environment
    def __call__(self, shape: Shape, dtype: DTypeLike = None) -> Array:
        return _CHANGES[self.change](self.inner.block(shape, ..., dtype))


def source(weight: Weight, seed: Seed) -> base.Initializer | None:
    """Return the initializer that a layer says, or is known, to draw a weight from, with `seed`.

    Returns None if the layer has no initializer for it. TypeError: it has one that cannot be given
    a seed."""
    layer, name = weight.layer, weight.variable.name
    for (kind, held), (drawn, config) in _WRITTEN.items():
        if held == name and isinstance(layer, getattr(keras.layers, kind)):
            return _BY_NAME[drawn].from_config(config).with_seed(seed)
    found = None
    for attribute in (name, *_ATTRIBUTES.get(name, ())):
        for spelled in (f"{attribute}_initializer", f"_{attribute}_initializer"):
            found = getattr(layer, spelled, None) if found is None else found
    if found is None and getattr(layer, "lora_enabled", False):
        found = _LORA.get(name)
    if found is None and weight.trained:
        found = added(layer).get(id(weight.variable))
    if found is None:
        return None
    made = with_seed(found, seed, axes(weight))
    if name == "bias" and getattr(layer, "unit_forget_bias", False):
        return Derived(made, "forget")
    return Derived(made, "sqrt") if name in ("moving_stddev", "renorm_stddev") else made


def with_seed(found: Any, seed: Seed, kernel_axes: Mapping[str, Any]) -> base.Initializer:
    """Return an initializer, or its text or config, as one of initfast with another seed.

    One of Keras becomes ours; one of the user's own is made again with an integer seed.

    Args:
        found: the initializer; its own seed does not matter.
        seed: where to draw from.
        kernel_axes: input_axes and output_axes, for a VarianceScaling that has none.

    Raises:
        TypeError: it is a function, or one of the user's own for Keras whose config has no seed.
    """
    if isinstance(found, (str, Mapping)):
        found = registry.get(found)
    config = dict(found.get_config()) if hasattr(found, "get_config") else {}
    if isinstance(found, keras.initializers.Identity):
        config["gain"] = found.gain  # Keras forgets it
    kind = type(found)
    seedless = {key: value for key, value in config.items() if key != "seed"}
    if isinstance(found, base.Initializer):
        made = kind._plain.from_config(seedless) if kind in ADAPTED.values() else found
    elif kind is getattr(keras.initializers, kind.__name__, None) and kind.__name__ in _BY_NAME:
        made = _BY_NAME[kind.__name__].from_config(seedless)
    else:
        return _own(found, config, seed, kernel_axes)
    made = streams.with_stream(made, seed)
    return made.with_axes(**kernel_axes) if kernel_axes else made


def _own(
    found: Any, config: dict[str, Any], seed: Seed, kernel_axes: Mapping[str, Any]
) -> base.Initializer:
    """Make an initializer of the user's own for Keras again, with an integer seed."""
    if "seed" not in config:
        raise TypeError(
            "an initializer must be one of initfast or of Keras, or your own with a 'seed' "
            f"in its get_config(); received {found!r}"
        )
    if None in (config.get("input_axes", 0), config.get("output_axes", 0)):
        config.update(kernel_axes)
    # What Keras' own generators take on every backend: 31 bits.
    config["seed"] = Seed(0).named(f"{seed.seed}/{seed.name}").stream % 2**31
    return Own(type(found).from_config(config))


def axes(weight: Weight) -> dict[str, Any]:
    """Return the axes that EinsumDense gives the initializer of its kernel; nothing for others."""
    if weight.variable.name != "kernel" or not isinstance(weight.layer, keras.layers.EinsumDense):
        return {}
    return einsum_axes(weight.layer.equation).arguments(len(weight.variable.shape))


def _forget(bias: Array) -> Array:
    """Return the bias of an LSTM, ones for the forget gate, which is the second of four."""
    quarter = len(bias) // 4
    bias[quarter : 2 * quarter] = 1
    return bias


_CHANGES: dict[str, Callable[[Array], Array]] = {"forget": _forget, "sqrt": np.sqrt}
