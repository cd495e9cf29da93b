"""Real networks in Keras: what is recognised and judged, on each backend."""

import numpy as np
import pytest
from keras_tools import keras

import initfast.keras as ik

L = keras.layers
DATA = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _same_draws():
    keras.utils.set_random_seed(0)


def residual(gamma="ones", project=False):
    """Two blocks of convolutions with normalisations; the last gamma of each may be 0."""
    x = start = keras.Input((8, 8, 4))
    for i in range(2):
        y = L.Conv2D(4, 3, padding="same", kernel_initializer="he_normal", name=f"a{i}")(x)
        y = L.ReLU()(L.BatchNormalization()(y))
        y = L.Conv2D(4, 3, padding="same", kernel_initializer="he_normal", name=f"b{i}")(y)
        y = L.BatchNormalization(gamma_initializer=gamma)(y)
        if project:
            x = L.Conv2D(4, 1, kernel_initializer="he_normal", name=f"p{i}")(x)
        x = L.ReLU()(L.Add(name=f"sum{i}")([x, y]))
    return keras.Model(start, L.Dense(3, name="head")(L.GlobalAveragePooling2D()(x)))


IMAGES = DATA.normal(size=(6, 8, 8, 4)).astype("float32")


@pytest.mark.long  # XLA compiles for long
def test_a_residual_network_is_one():
    report = ik.diagnose(residual(), IMAGES)
    assert [block.name for block in report.blocks] == ["sum0", "sum1"]
    assert {layer.name: layer.block for layer in report.layers} == {
        "a0": 0, "b0": 0, "a1": 1, "b1": 1, "head": None,
    }  # fmt: skip
    assert report.summary.level == "GOOD" and not report.notes
    assert "residual stream" in report.verdicts["f"].reason


@pytest.mark.parametrize("project", [False, True])
def test_a_branch_that_is_0_at_first_is_a_design(project):
    report = ik.diagnose(residual("zeros", project), IMAGES)
    silent = {layer.name for layer in report.layers if layer.silent}
    assert silent == {"a0", "b0", "a1", "b1"}
    assert report.summary.level == "GOOD", str(report)
    assert "a usual design" in report.notes[0]


@pytest.mark.long
def test_an_activation_after_pooling_and_any_activation():
    model = keras.Sequential(
        [keras.Input((8, 8, 4)), L.Conv2D(6, 3), L.MaxPooling2D(), L.Activation("relu6"),
         L.Flatten(), L.Dense(8, "mish"), L.Dense(8, activation=lambda z: keras.ops.sin(z)),
         L.Dense(8), L.LeakyReLU(0.01), L.Dense(8, "softmax"), L.Dense(2)]
    )  # fmt: skip
    report = ik.diagnose(model, IMAGES)
    assert [layer.activation for layer in report.layers] == [
        "relu6", "mish", "function", "leaky_relu", "softmax", "linear",
    ]  # fmt: skip
    assert [layer.facts is None for layer in report.layers] == [False] * 4 + [True, False]
    assert all(layer.followed for layer in report.layers)


def test_a_depthwise_kernel_has_few_inputs():
    """Keras' he_normal takes the channels for inputs of each unit: a channel has 9."""
    model = keras.Sequential(
        [keras.Input((8, 8, 4)),
         *(L.DepthwiseConv2D(3, activation="relu", depthwise_initializer="he_normal") for _ in range(3)),
         L.Flatten(), L.Dense(2)]
    )  # fmt: skip
    report = ik.diagnose(model, IMAGES)
    assert report.layers[0].fan_in == 9
    assert report.summary.level == "POOR"
    assert "random_normal(stddev=0.471)" in report.verdicts["f"].recommend


@pytest.mark.parametrize(("kernel", "level"), [("orthogonal", "GOOD"), ("zeros", "UNUSABLE")])
def test_a_recurrent_network(kernel, level):
    model = keras.Sequential(
        [keras.Input((5,), dtype="int32"), L.Embedding(20, 16),
         L.LSTM(16, kernel_initializer=kernel, recurrent_initializer=kernel), L.Dense(3)]
    )  # fmt: skip
    report = ik.diagnose(model, np.arange(30).reshape(6, 5) % 20)
    assert report.summary.level == level, str(report)


def test_what_the_loss_does_not_see_is_not_judged():
    start = keras.Input((4,))
    hidden = L.Dense(8, "tanh", name="hidden")(start)
    aside = L.Dense(8, "tanh", name="inner")(hidden)
    model = keras.Model(start, [L.Dense(2, name="a")(hidden), L.Dense(3, name="b")(aside)])
    report = ik.diagnose(model, DATA.normal(size=(16, 4)).astype("float32"))
    assert {layer.name for layer in report.layers if not layer.reached} == {"inner", "b"}
    assert report.summary.level != "UNUSABLE" and "does not depend on" in report.notes[0]
