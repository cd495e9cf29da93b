"""On TensorFlow: layers built, and initializers called, in a user's function that is traced."""

import logging

import numpy as np
import pytest
import tensorflow as tf
from keras_tools import keras, same

import initfast as ift
import initfast.keras as ik

L = keras.layers
X = np.ones((2, 4), np.float32)


@pytest.fixture
def autograph_warnings():
    """Collect the warnings of AutoGraph, which converts Python code."""
    lines = []
    handler = logging.Handler(logging.WARNING)
    handler.addFilter(lambda record: "AutoGraph" in record.getMessage())
    handler.emit = lambda record: lines.append(record.getMessage())
    tf.get_logger().addHandler(handler)
    yield lines
    tf.get_logger().removeHandler(handler)


@pytest.mark.parametrize("compiled", [False, True], ids=("graph", "XLA"))
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "float16"])
def test_a_layer_first_built_in_a_function(compiled, dtype, autograph_warnings):
    layer = L.Dense(3, kernel_initializer=ik.HeNormal(seed=1), dtype=dtype)
    tf.function(lambda x: layer(x), jit_compile=compiled)(X)
    assert same(layer.kernel, ift.HeNormal(seed=1)((4, 3), dtype)) and autograph_warnings == []


@pytest.mark.parametrize("seed", [ift.SeedGenerator(1), keras.random.SeedGenerator(1)])
def test_a_model_trained_in_a_users_own_loop(seed, autograph_warnings):
    initializer = ik.HeNormal(seed=seed)
    model = keras.Sequential([L.Dense(4, kernel_initializer=initializer) for _ in range(2)])

    @tf.function
    def step(x):
        for _ in tf.range(2):
            y = model(x)
        return tf.reduce_sum(y)

    assert np.isfinite(step(X)) and autograph_warnings == []
    first, second = (layer.kernel for layer in model.layers)
    assert same(first, ift.HeNormal(seed=1)((4, 4)))
    assert same(second, ift.HeNormal(seed=ift.Seed(1, 1))((4, 4)))


def test_an_initializer_called_in_a_function(autograph_warnings):
    values = tf.function(lambda: ik.HeNormal(seed=1)((4, 3)))()
    assert same(values, ift.HeNormal(seed=1)((4, 3)))
    assert autograph_warnings == [], "AutoGraph has nothing to convert"
