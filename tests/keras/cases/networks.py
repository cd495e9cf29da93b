"""Diagnoses of real networks in Keras, on each backend."""

import numpy as np
import pytest
from keras_tools import keras

import initfast.keras as ik

L = keras.layers
DATA = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _same_seed():
    keras.utils.set_random_seed(0)


def residual(gamma="ones", project=False):
    """Return a model with two residual blocks; the last gamma of each may be 0."""
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


@pytest.mark.long  # XLA compiles for a long time
def test_a_residual_network():
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
class Branch(L.Layer):
    """A layer that computes x + gamma * branch(x) in its `call`."""

    def __init__(self, width, gamma=1.0, **kwargs):
        super().__init__(**kwargs)
        self.norm, self.fc, self.out = L.LayerNormalization(), L.Dense(width), L.Dense(width)
        self.gamma = gamma

    def build(self, shape):
        for part in (self.norm, self.fc, self.out):
            part.build(shape)

    def call(self, x):
        z = self.fc(self.norm(x))
        z = 0.5 * z * (1.0 + keras.ops.tanh(0.7979 * (z + 0.044715 * z**3)))  # a GELU in steps
        return x + self.gamma * self.out(z)


class Stack(keras.Model):
    """A model with two sums in one `call`, one by an operator and one by a function."""

    def __init__(self, gamma=1.0):
        super().__init__()
        self.first, self.head = L.Dense(8), L.Dense(3)
        self.blocks = [Branch(8, gamma) for _ in range(2)]
        self.a, self.b = L.Dense(8), L.Dense(8)
        self.gamma = gamma

    def call(self, x):
        x = self.first(x)
        for block in self.blocks:
            x = block(x)
        x = x + self.gamma * self.a(x)
        x = keras.ops.add(self.gamma * self.b(keras.ops.relu(x)), x)
        return self.head(x)


ROWS = DATA.normal(size=(16, 4)).astype("float32")


def test_sums_in_the_calls_of_own_layers():
    model = Stack()
    model(ROWS)
    report = ik.diagnose(model, ROWS)
    assert [each.name for each in report.blocks] == [
        "branch",
        "branch_1",
        model.name,
        f"{model.name}#2",
    ]
    blocks = {layer.name: layer.block for layer in report.layers}
    assert blocks == {
        "dense": None, "branch/dense": 0, "branch/dense_1": 0, "branch_1/layer_normalization": 1,
        "branch_1/dense": 1, "branch_1/dense_1": 1, "dense_2": 2, "dense_3": 3, "dense_1": None,
    }  # fmt: skip
    x = model.first(ROWS)
    for block, layer in zip(report.blocks, model.blocks, strict=False):
        sizes = [x, layer(x) - x, layer(x)]
        x = sizes[2]
        expected = [np.sqrt(np.mean(keras.ops.convert_to_numpy(each) ** 2)) for each in sizes]
        assert (block.before, block.branch, block.after) == pytest.approx(expected, rel=1e-4)
    assert report.blocks[2].before == pytest.approx(report.blocks[1].after, rel=1e-4)
    assert "residual stream" in report.verdicts["f"].reason


def test_a_branch_of_an_own_layer_that_is_0_at_first():
    model = Stack(0.0)
    model(ROWS)
    report = ik.diagnose(model, ROWS)
    assert [each.branch for each in report.blocks] == [0.0] * 4
    assert all(report.verdicts[letter].passed is not False for letter in "cdfg"), str(report)
    assert "a usual design" in report.notes[0]
    assert all(layer.silent is (layer.block is not None) for layer in report.layers)


def test_own_layers_in_a_functional_model_next_to_operations():
    start = keras.Input((4,))
    x = L.Dense(8, name="first")(start)
    x = Branch(8, name="own")(x)
    x = x + L.Dense(8, name="branch")(keras.ops.relu(x))
    report = ik.diagnose(keras.Model(start, L.Dense(2, name="head")(x)), ROWS)
    assert [each.name for each in report.blocks] == ["own", "add"]
    assert {layer.name: layer.block for layer in report.layers} == {
        "first": None, "own/dense": 0, "own/dense_1": 0, "branch": 1, "head": None,
    }  # fmt: skip


def test_sums_that_are_not_residual():
    """Two branches, a gate, a bias: no tensor is added to one that it was computed from."""

    class Gated(L.Layer):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = (L.Dense(4) for _ in range(3))

        def build(self, shape):
            for part in (self.a, self.b, self.c):
                part.build(shape)

        def call(self, x):
            gate = keras.ops.sigmoid(self.a(x))
            y = gate * self.b(x) + (1.0 - gate) * x
            return self.c(y) + keras.ops.zeros_like(x) + keras.ops.arange(4, dtype="float32")

    model = keras.Sequential([keras.Input((4,)), Gated(), L.Dense(2)])
    report = ik.diagnose(model, ROWS)
    assert report.blocks == () and not any(layer.silent for layer in report.layers)


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
    """Keras' he_normal counts all channels as inputs of each unit; it has 9 inputs."""
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


def test_layers_that_the_loss_does_not_use_are_not_judged():
    start = keras.Input((4,))
    hidden = L.Dense(8, "tanh", name="hidden")(start)
    aside = L.Dense(8, "tanh", name="inner")(hidden)
    model = keras.Model(start, [L.Dense(2, name="a")(hidden), L.Dense(3, name="b")(aside)])
    report = ik.diagnose(model, DATA.normal(size=(16, 4)).astype("float32"))
    assert {layer.name for layer in report.layers if not layer.reached} == {"inner", "b"}
    assert report.summary.level != "UNUSABLE" and "does not depend on" in report.notes[0]
