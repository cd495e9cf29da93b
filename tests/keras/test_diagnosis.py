"""The model of the introduction to weight initialisation: a diagnosis in Keras against the sketch.

The tests for every backend are in cases/diagnosis.py, which test_initializers.py runs.
"""

import os

import numpy as np
import pytest

os.environ.setdefault("KERAS_BACKEND", "jax")
keras = pytest.importorskip("keras")

import initfast as ift  # noqa: E402
import initfast.keras as ik  # noqa: E402
from initfast.signal import diagnose  # noqa: E402

FLAT, UNITS = 64 * 32, 128


def introduction(initializer):
    return keras.Sequential(
        [
            keras.Input((64, 32)),
            keras.layers.Flatten(),
            keras.layers.Dense(
                UNITS, activation="relu", kernel_initializer=initializer, bias_initializer="zeros"
            ),
        ]
    )


@pytest.mark.parametrize(
    ("name", "passed"),
    [
        ("zeros", "+.x"),
        pytest.param("random_normal(stddev=0.01)", "+xx", marks=pytest.mark.long),
        ("he_normal", "+x+"),
        pytest.param("random_normal(stddev=1)", "xxx", marks=pytest.mark.long),
    ],
)
def test_its_model(name, passed):
    """(c), (e) and (f) in its only layer, with the weights of the sketch."""
    x = np.random.default_rng(0).standard_normal((32, 64, 32), dtype=np.float32)
    expected = diagnose([FLAT, UNITS], name, "relu", inputs=x.reshape(32, FLAT), seed=4)
    seed = ift.Seed(4).named("layer_1/kernel")
    initializer = {
        "zeros": ik.Zeros(),
        "random_normal(stddev=0.01)": ik.RandomNormal(stddev=0.01, seed=seed),
        "he_normal": ik.HeNormal(seed=seed),
        "random_normal(stddev=1)": ik.RandomNormal(stddev=1.0, seed=seed),
    }[name]
    actual = ik.diagnose(introduction(initializer), x)
    (layer,), (expected_layer,) = actual.layers, expected.layers
    assert (layer.name, layer.fan_in, layer.fan_out, layer.activation) == (
        "dense",
        FLAT,
        UNITS,
        "relu",
    )
    for field in ("net_std", "mean", "variance", "dead", "batch_variance"):
        assert getattr(layer, field) == pytest.approx(
            getattr(expected_layer, field), rel=1e-4, abs=1e-6
        ), field
    marks = {True: "+", False: "x", None: "."}
    for report in (actual, expected):
        assert "".join(marks[report.verdicts[letter].passed] for letter in "cef") == passed


@pytest.mark.long
def test_the_weights_of_initialize_are_measured():
    model = keras.Sequential(
        [keras.Input((256,)), *(keras.layers.Dense(256, activation="relu") for _ in range(8))]
    )
    x = np.random.default_rng(0).standard_normal((64, 256), dtype=np.float32)
    ik.initialize(model, seed=1)
    assert ik.diagnose(model, x).verdicts["f"].passed is False, "Dense is Glorot's by default"
    ik.initialize(model, seed=1, rules={"*/kernel": "he_normal", "*/bias": "zeros"})
    assert ik.diagnose(model, x).verdicts["f"].passed is True
