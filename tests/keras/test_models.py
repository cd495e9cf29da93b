"""The model of the introduction to weight initialisation, in Keras with initializers of initfast."""

import os

import numpy as np
import pytest
from tiers import sample

from initfast.initializers import registry

os.environ["KERAS_BACKEND"] = "jax"
keras = pytest.importorskip("keras")

from initfast.keras import RandomNormal  # noqa: E402

UNITS = 128


def get(identifier):
    """Return the initializer of initfast.keras for a name or config."""
    return keras.initializers.get(registry.serialize(registry.get(identifier)))


INITIALIZERS = {
    "zeros": lambda: get("zeros"),
    "ones": lambda: get("ones"),
    "constant": lambda: get({"class_name": "constant", "config": {"value": 0.01}}),
    "random_normal": lambda: RandomNormal(mean=0.0, stddev=0.01, seed=1),
    **{
        name: lambda name=name: get({"class_name": name, "config": {"seed": 1}})
        for name in (
            "random_uniform",
            "glorot_normal",
            "glorot_uniform",
            "he_normal",
            "he_uniform",
            "lecun_normal",
            "lecun_uniform",
        )
    },
}
EQUAL_UNITS = ("zeros", "ones", "constant")


def build(kernel_initializer, output_initializer):
    model = keras.Sequential(
        [
            keras.Input(shape=(64, 32)),
            keras.layers.Flatten(),
            keras.layers.Dense(
                UNITS,
                activation="relu",
                kernel_initializer=kernel_initializer,
                bias_initializer=get("zeros"),
            ),
            keras.layers.Dense(3, kernel_initializer=output_initializer),
        ]
    )
    model.compile(optimizer=keras.optimizers.SGD(0.01), loss="mse")
    return model


def data():
    random = np.random.default_rng(0)
    return random.standard_normal((16, 64, 32), dtype=np.float32), random.standard_normal(
        (16, 3), dtype=np.float32
    )


@pytest.mark.parametrize("name", sample(INITIALIZERS, "zeros", "he_normal"))
def test_one_step_of_training_is_finite(name):
    x, y = data()
    model = build(
        INITIALIZERS[name](), get({"class_name": "glorot_uniform", "config": {"seed": 2}})
    )
    hidden = model.layers[1]
    before = np.asarray(hidden.kernel)
    assert before.shape == (64 * 32, UNITS)
    assert (before == INITIALIZERS[name]()((64 * 32, UNITS))).all()
    assert (np.asarray(hidden.bias) == 0).all()
    loss = model.train_on_batch(x, y)
    after = np.asarray(hidden.kernel)
    assert np.isfinite(loss)
    assert np.isfinite(after).all()
    assert np.isfinite(model.predict_on_batch(x)).all()
    # At zero the ReLU passes no gradient, so this model cannot learn.
    assert (after != before).any() == (name != "zeros")


@pytest.mark.parametrize("name", sample(INITIALIZERS, "zeros", "constant", "he_normal"))
def test_equal_units_stay_equal_and_others_differ(name):
    x, y = data()
    # The next layer is constant too: with equal weights in and out, all units get the same
    # gradient in each step.
    model = build(INITIALIZERS[name](), get({"class_name": "constant", "config": {"value": 0.01}}))
    for _ in range(3):
        assert np.isfinite(model.train_on_batch(x, y))
    kernel = np.asarray(model.layers[1].kernel)
    same = np.allclose(kernel, kernel[:, :1], rtol=1e-5, atol=1e-7)
    assert same == (name in EQUAL_UNITS)
    assert len(np.unique(kernel, axis=1).T) == UNITS or same


def test_zeros_fail():
    x, y = data()
    model = build(get("zeros"), get("zeros"))
    for _ in range(3):
        model.train_on_batch(x, y)
    hidden, output = model.layers[1], model.layers[2]
    activation = keras.Model(model.inputs, hidden.output).predict_on_batch(x)
    assert (activation == 0).all()
    assert (np.asarray(hidden.kernel) == 0).all()
    assert (np.asarray(output.kernel) == 0).all()
    # Only the bias of the last layer learns, so every input gets the same answer.
    assert (np.asarray(output.bias) != 0).all()
    assert np.unique(model.predict_on_batch(x), axis=0).shape[0] == 1


@pytest.mark.parametrize(
    "string", ["glorot_uniform", "he_normal", "lecun_normal", "orthogonal", "identity", "uniform"]
)
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_every_kind_of_weight_in_a_layer(string, dtype):
    layer = keras.layers.Dense(
        8, kernel_initializer=get(string), bias_initializer=get("ones"), dtype=dtype
    )
    layer.build((None, 8))
    assert keras.backend.standardize_dtype(layer.kernel.dtype) == dtype
    assert keras.backend.standardize_dtype(layer.kernel.value.dtype) == dtype
    assert np.isfinite(np.asarray(layer(np.ones((2, 8), "float32")), "float32")).all()


def test_initfast_reads_the_config_of_a_layer():
    layer = keras.layers.Dense(
        4, kernel_initializer=get({"class_name": "he_normal", "config": {"seed": 3}})
    )
    initializer = registry.deserialize(layer.get_config()["kernel_initializer"])
    assert type(initializer).__module__ == "initfast" and initializer.get_config()["seed"] == 3
