"""Helpers of the Keras cases: the backend of this process, the memory of its tensors, a model."""

import os

import numpy as np
import pytest

os.environ.setdefault("KERAS_BACKEND", "jax")
keras = pytest.importorskip("keras")

from initfast.keras import HeUniform  # noqa: E402

BACKEND = keras.backend.backend()


def array(tensor):
    """Return a tensor or variable of the backend as a NumPy array, without a copy if possible."""
    value = getattr(tensor, "value", tensor)
    value = value() if callable(value) else value
    if BACKEND == "torch":
        import torch

        kind = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[
            value.element_size()
        ]
        name = str(value.dtype).removeprefix("torch.")
        return value.detach().view(kind).numpy().view(np_dtype(name))
    if BACKEND == "tensorflow":
        return value.numpy()
    return np.asarray(value)


def np_dtype(name):
    import ml_dtypes

    return np.dtype(getattr(ml_dtypes, name) if hasattr(ml_dtypes, name) else name)


def address(tensor):
    """Return the address of a tensor's memory."""
    value = getattr(tensor, "value", tensor)
    if BACKEND == "torch":
        return value.data_ptr()
    if BACKEND == "jax":
        return value.unsafe_buffer_pointer()
    import tensorflow as tf

    value = value.read_value() if isinstance(value, tf.Variable) else value
    bits = tf.bitcast(value, tf.uint16) if value.dtype == tf.bfloat16 else value
    return np.from_dlpack(bits).__array_interface__["data"][0]


def same(tensor, expected):
    """Return whether a tensor or variable has the bytes, shape and dtype of an array."""
    actual = array(tensor)
    return (actual.shape, actual.dtype, actual.tobytes()) == (
        expected.shape,
        expected.dtype,
        expected.tobytes(),
    )


def actual_dtype(dtype):
    """Return the dtype that the backend uses: JAX has no float64 by default."""
    return "float32" if BACKEND == "jax" and dtype == "float64" else dtype


class Block(keras.layers.Layer):
    """A layer with sublayers that Keras names, and a weight with an initializer."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inner = [keras.layers.Dense(3), keras.layers.Dense(3, kernel_initializer="he_normal")]
        self.offset_initializer = keras.initializers.RandomNormal(stddev=2.0, seed=9)

    def build(self, shape):
        self.offset = self.add_weight(
            shape=(3,), initializer=self.offset_initializer, name="offset"
        )
        for layer in self.inner:
            layer.build((None, 3))

    def call(self, x):
        return self.inner[1](self.inner[0](x)) + self.offset


def net():
    """Return a model with recurrent, attention and normalisation layers."""
    x = keras.Input((4, 3))
    y = keras.layers.LSTM(
        5, return_sequences=True, bias_initializer=keras.initializers.Constant(0.5)
    )(Block()(x))
    y = keras.layers.MultiHeadAttention(2, 3, name="mha")(y, y)
    y = keras.layers.Bidirectional(keras.layers.GRU(3, return_sequences=True))(y)
    y = keras.layers.BatchNormalization()(
        keras.layers.Dropout(0.5, seed=3)(
            keras.layers.Dense(3, kernel_initializer=HeUniform(seed=8))(y)
        )
    )
    return keras.Model(x, Block(name="last")(y))


def layer_of(layer, *shapes):
    """Build a layer and return it."""
    layer.build(*shapes)
    return layer
