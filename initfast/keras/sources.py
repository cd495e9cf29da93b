"""Find the initializer from which a layer draws each of its weights."""

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
from initfast.keras.records import recorded_initializers
from initfast.keras.weights import Weight

# Weights whose initializer is not called <weight>_initializer.
_ATTRIBUTES = {
    "kernel": ("kernel", "depthwise"),  # the name in DepthwiseConv
    "depthwise_kernel": ("depthwise",),
    "pointwise_kernel": ("pointwise",),
    "recurrent_kernel": ("recurrent",),
    "reverse_embeddings": ("embeddings",),
    "moving_stddev": ("moving_variance",),
    "renorm_mean": ("moving_mean",),
    "renorm_stddev": ("moving_variance",),
}
# Weights whose initializer is fixed in the code of the Keras layer.
_FIXED: dict[tuple[str, str], tuple[str, dict[str, Any]]] = {
    ("AdditiveAttention", "scale"): ("GlorotUniform", {}),
    ("Attention", "scale"): ("Ones", {}),
    ("Attention", "concat_score_weight"): ("Ones", {}),
    ("RMSNormalization", "scale"): ("Ones", {}),
    ("SpectralNormalization", "vector_u"): ("TruncatedNormal", {"stddev": 0.02}),
}
_BY_NAME = {plain.__name__: plain for plain in ADAPTED}
# The defaults of enable_lora; no layer keeps its arguments.
_LORA = {
    "lora_kernel_a": "he_uniform",
    "lora_kernel_b": "zeros",
    "lora_embeddings_a": "he_uniform",
    "lora_embeddings_b": "zeros",
}


class Own(base.Initializer):
    """A user's own initializer for Keras, of which a call returns a tensor.

    Args:
        inner: the initializer.
    """

    def __init__(self, inner: Callable[..., Any]) -> None:
        self.inner = inner

    def __call__(self, shape: Shape, dtype: DTypeLike = None) -> Array:
        values = self.inner(shape, dtype=tensors.dtype_name(dtype))
        array: Array = keras.ops.convert_to_numpy(values)
        return array


class Derived(base.Initializer):
    """The values of another initializer, changed as a layer changes them before it assigns them.

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
    """Return the initializer that a layer draws a weight from, with the stream `seed`.

    Returns None if the layer has no initializer for it.

    Raises:
        TypeError: the layer's initializer has no seed.
    """
    layer, name = weight.layer, weight.variable.name
    for (layer_name, weight_name), (class_name, config) in _FIXED.items():
        if weight_name == name and isinstance(layer, getattr(keras.layers, layer_name)):
            return _BY_NAME[class_name].from_config(config).with_seed(seed)
    original = None
    for attribute in (name, *_ATTRIBUTES.get(name, ())):
        for spelling in (f"{attribute}_initializer", f"_{attribute}_initializer"):
            original = getattr(layer, spelling, None) if original is None else original
    if original is None and getattr(layer, "lora_enabled", False):
        original = _LORA.get(name)
    if original is None and weight.trained:
        original = recorded_initializers(layer).get(id(weight.variable))
    if original is None:
        return None
    initializer = with_seed(original, seed, axes(weight))
    if name == "bias" and getattr(layer, "unit_forget_bias", False):
        return Derived(initializer, "forget")
    return (
        Derived(initializer, "sqrt") if name in ("moving_stddev", "renorm_stddev") else initializer
    )


def with_seed(original: Any, seed: Seed, kernel_axes: Mapping[str, Any]) -> base.Initializer:
    """Return an initializer, given also as text or config, as one of initfast with another seed.

    An initializer of Keras becomes the one of initfast with its name. A user's own initializer is
    created again with an integer seed.

    Args:
        original: the initializer; its seed does not matter.
        seed: the new stream.
        kernel_axes: input_axes and output_axes, for a VarianceScaling without them.

    Raises:
        TypeError: it is a function, or a user's own initializer for Keras without a seed in its
            config.
    """
    if isinstance(original, (str, Mapping)):
        original = registry.get(original)
    config = dict(original.get_config()) if hasattr(original, "get_config") else {}
    if isinstance(original, keras.initializers.Identity):
        config["gain"] = original.gain  # missing in Keras' config
    kind = type(original)
    seedless = {key: value for key, value in config.items() if key != "seed"}
    if isinstance(original, base.Initializer):
        initializer = kind._plain.from_config(seedless) if kind in ADAPTED.values() else original
    elif kind is getattr(keras.initializers, kind.__name__, None) and kind.__name__ in _BY_NAME:
        initializer = _BY_NAME[kind.__name__].from_config(seedless)
    else:
        return _own(original, config, seed, kernel_axes)
    initializer = streams.with_stream(initializer, seed)
    return initializer.with_axes(**kernel_axes) if kernel_axes else initializer


def _own(
    original: Any, config: dict[str, Any], seed: Seed, kernel_axes: Mapping[str, Any]
) -> base.Initializer:
    """Create a user's own initializer for Keras again, with an integer seed."""
    if "seed" not in config:
        raise TypeError(
            "an initializer must be one of initfast or Keras, or your own with a 'seed' "
            f"in its get_config(); received {original!r}"
        )
    if None in (config.get("input_axes", 0), config.get("output_axes", 0)):
        config.update(kernel_axes)
    # Keras' generators take 31 bits on every backend.
    config["seed"] = Seed(0).named(f"{seed.seed}/{seed.name}").stream % 2**31
    return Own(type(original).from_config(config))


def axes(weight: Weight) -> dict[str, Any]:
    """Return the axes of EinsumDense's kernel as arguments; an empty dict for other weights."""
    if weight.variable.name != "kernel" or not isinstance(weight.layer, keras.layers.EinsumDense):
        return {}
    return einsum_axes(weight.layer.equation).arguments(len(weight.variable.shape))


def _forget(bias: Array) -> Array:
    """Return the bias of an LSTM with ones for the forget gate, the second of four gates."""
    quarter = len(bias) // 4
    bias[quarter : 2 * quarter] = 1
    return bias


_CHANGES: dict[str, Callable[[Array], Array]] = {"forget": _forget, "sqrt": np.sqrt}
