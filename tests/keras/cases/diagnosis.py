"""diagnose(model, x, y): correct numbers on each backend, and an unchanged model."""

import json

import numpy as np
import pytest
from keras_tools import BACKEND, array, keras

import initfast as ift
import initfast.keras as ik
from initfast.signal import diagnose as sketch
from initfast.signal import networks

L = keras.layers
FIELDS = (
    "fan_in", "fan_out", "units", "input_second_moment", "input_batch_variance", "net_mean", "net_std",
    "net_batch_variance", "mean", "variance", "second_moment", "batch_variance", "mean_error", "saturated", "dead",
    "gradient_rms", "weight_gradient_rms", "symmetric",
)  # fmt: skip
DATA = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("name", "separate"), [("tanh", False), ("gelu", False), ("sigmoid", True), ("relu", True)]
)
def test_the_numbers_equal_those_of_the_sketch(name, separate):
    """Compare NumPy with Keras, with activations in the dense layers or as separate layers."""
    arguments = ([30, 20, 25, 5], "he_normal", name, ift.RandomNormal(stddev=0.2))
    x = DATA.normal(size=(40, 30)).astype("float32")
    expected = sketch(*arguments, x, 3)
    layers = []
    for layer in networks.build(*arguments, 3):
        layers.append(L.Dense(layer.weights.shape[1], activation=None if separate else name))
        layers += [L.ReLU() if name == "relu" else L.Activation(name)] if separate else []
    model = keras.Sequential([keras.Input((30,)), *layers])
    model.set_weights(
        [each for layer in networks.build(*arguments, 3) for each in (layer.weights, layer.bias)]
    )
    report = ik.diagnose(model, x, seed=3)
    assert [layer.name for layer in report.layers] == ["dense", "dense_1", "dense_2"]
    assert (report.activation, report.batch) == (name, 40)
    for mine, theirs in zip(report.layers, expected.layers, strict=True):
        for field in FIELDS:
            value = getattr(theirs, field)
            # float32 there, float64 here.
            close = value if value is None else pytest.approx(value, rel=2e-4, abs=2e-5)
            assert getattr(mine, field) == close, field
    assert [each.passed for each in report.verdicts.values()] == [
        each.passed for each in expected.verdicts.values()
    ]


def test_the_compiled_loss():
    model = keras.Sequential([keras.Input((6,)), L.Dense(5, activation="tanh"), L.Dense(1)])
    model.compile("sgd", "mse")
    x, y = DATA.normal(size=(8, 6)).astype("float32"), DATA.normal(size=(8, 1)).astype("float32")
    report = ik.diagnose(model, x, y)
    first, bias, second, shift = [array(w).astype(float) for w in model.weights]
    hidden = np.tanh(x @ first + bias)
    by_output = 2 * (hidden @ second + shift - y) / 8
    by_hidden = by_output @ second.T
    expected = [
        (by_hidden, x.T @ (by_hidden * (1 - hidden**2))),
        (by_output, hidden.T @ by_output),
    ]
    assert report.loss == "as compiled"
    for layer, (by_out, by_weight) in zip(report.layers, expected, strict=True):
        assert layer.gradient_rms == pytest.approx(np.sqrt(np.mean(by_out**2)), rel=1e-4)
        assert layer.weight_gradient_rms == pytest.approx(np.sqrt(np.mean(by_weight**2)), rel=1e-4)


def net():
    """Return a model with states that a run would change."""
    i = keras.Input((6, 6, 3))
    y = L.Conv2D(4, 3, kernel_initializer="he_normal", name="conv2d")(i)
    y = L.ReLU()(L.BatchNormalization()(y))
    y = L.Reshape((16, 4))(L.Dropout(0.5, seed=3)(y))
    y = L.MultiHeadAttention(2, 3, name="mha")(y, y)
    y = L.LSTM(4, return_sequences=True, name="lstm")(y)
    y = L.TimeDistributed(L.Dense(4, activation="gelu"), name="time_distributed")(y)
    y = L.Dense(4, activation=L.LeakyReLU(), activity_regularizer="l2", name="dense")(
        L.LayerNormalization()(y)
    )
    return keras.Model(
        i, [L.Dense(2, name="a")(L.Flatten()(y)), L.Dense(3, activation="softmax", name="b")(y)]
    )


def snapshot(model):
    """Return all variables, in bytes, and the attributes of all layers by identity."""
    variables = [*model.variables, *model.metrics_variables]
    if getattr(model, "optimizer", None) is not None:
        variables += model.optimizer.variables
    layers = list(model._flatten_layers())
    return {
        "bytes": [array(each).tobytes() for each in variables],
        "trained": [each.trainable for each in layers],
        "attributes": [{name: id(value) for name, value in vars(each).items()} for each in layers],
        "contents": [
            {name: repr(value) for name, value in vars(each).items() if type(value) in (list, set)}
            for each in layers
        ],
        "compiled": {name: id(value) for name, value in vars(model._compile_loss).items()}
        if model.compiled
        else {},
        "random": torch_state(),
    }


def torch_state():
    if BACKEND != "torch":
        return None
    import torch

    return torch.random.get_rng_state().numpy().tobytes()


@pytest.mark.long  # XLA compiles for a long time
def test_other_layers_and_an_unchanged_model():
    model = net()
    model.layers[1].trainable = False
    model.compile("adam", ["mse", "mse"], metrics=[["mae"], None])
    x = DATA.normal(size=(5, 6, 6, 3)).astype("float32")
    x_before, before = x.copy(), snapshot(model)
    report = ik.diagnose(model, x)
    assert snapshot(model) == before and (x == x_before).all()
    summary = [
        (layer.name, layer.activation, layer.fan_in, layer.fan_out, layer.units)
        for layer in report.layers
    ]
    assert summary == [
        ("conv2d", "relu", 27, 36, 4),
        ("mha/query", "linear", 4, 6, 3),
        ("mha/key", "linear", 4, 6, 3),
        ("mha/value", "linear", 4, 6, 3),
        ("mha/attention_output", "linear", 6, 4, 4),
        ("lstm", "linear", None, None, 4),
        ("time_distributed", "linear", None, None, 4),
        ("dense", "leaky_relu", 4, 4, 4),
        ("b", "softmax", 4, 3, 3),
        ("a", "linear", 64, 2, 2),
    ]
    conv = report.layers[0]
    assert conv.net_std == pytest.approx(1.0, abs=0.01), "after the normalisation"
    aside = report.layers[-2]
    assert aside.gradient_rms == aside.weight_gradient_rms == 0, "the loss is of the first output"
    assert all(
        layer.gradient_rms > 0 and layer.weight_gradient_rms > 0
        for layer in report.layers
        if layer != aside
    )
    assert max(map(len, str(report).splitlines())) <= 100 and json.dumps(
        report.to_dict(), allow_nan=False
    )
    assert ik.diagnose(model, x) == report, "also with dropout"
    # With targets, the compiled loss is built, and its metrics do not change.
    y = [np.zeros((5, 2), "float32"), np.zeros((5, 16, 3), "float32")]
    with_targets = ik.diagnose(model, x, y)
    assert snapshot(model) == before
    assert all(layer.gradient_rms > 0 for layer in with_targets.layers)
    # The model still trains, and a training step changes the snapshot.
    model.fit(x, y, verbose=0)
    assert snapshot(model)["bytes"] != before["bytes"]


@pytest.mark.long  # XLA compiles for a long time
def test_without_training_the_normalisation_uses_its_statistics():
    model = keras.Sequential([keras.Input((8,)), L.Dense(8), L.BatchNormalization(), L.Dense(2)])
    x = 3 * DATA.normal(size=(50, 8)).astype("float32")
    assert ik.diagnose(model, x).layers[0].net_std == pytest.approx(1.0, abs=0.01)
    assert ik.diagnose(model, x, training=False).layers[0].net_std > 1.5


class Failing(L.Layer):
    fails = False

    def call(self, x):
        if self.fails:
            raise RuntimeError("in the middle")
        return x


def test_after_an_exception():
    model = keras.Sequential(
        [keras.Input((4,)), L.Dense(4, "relu"), L.BatchNormalization(), Failing(), L.Dense(2)]
    )
    model.layers[2].fails = True
    before = snapshot(model)
    with pytest.raises(RuntimeError, match="in the middle"):
        ik.diagnose(model, np.ones((3, 4), "float32"))
    assert snapshot(model) == before


def test_equal_units_and_a_shared_layer():
    shared = L.Dense(4, "tanh", kernel_initializer="ones")
    model = keras.Sequential(
        [keras.Input((4,)), shared, shared, L.Dense(3, kernel_initializer="ones")]
    )
    report = ik.diagnose(model, DATA.normal(size=(9, 4)).astype("float32"))
    assert [layer.name for layer in report.layers] == ["dense", "dense#2", "dense_2"]
    assert [layer.symmetric for layer in report.layers] == [4, 4, 0]


@pytest.mark.long  # XLA compiles for a long time
def test_tokens():
    model = keras.Sequential(
        [keras.Input((7,), dtype="int32"), L.Embedding(11, 6), L.Dense(3, "silu")]
    )
    report = ik.diagnose(model, np.arange(14).reshape(2, 7) % 11)
    table, dense = report.layers
    assert (
        table.input_second_moment is None and table.fan_in is None and table.weight_gradient_rms > 0
    )
    assert dense.activation == "silu" and dense.fan_in == 6


def test_fans_of_grouped_transposed_and_depthwise_convolutions():
    model = keras.Sequential(
        [
            keras.Input((9, 4)),
            L.Conv1D(6, 3, groups=2),
            L.Conv1DTranspose(8, 5),
            L.DepthwiseConv1D(3, depth_multiplier=2),
        ]
    )
    report = ik.diagnose(model, DATA.normal(size=(3, 9, 4)).astype("float32"))
    # Each group of the first has 2 of the 4 channels, and 3 of the 6 outputs.
    assert [(layer.fan_in, layer.fan_out) for layer in report.layers] == [(6, 9), (30, 40), (3, 6)]


def dense():
    return keras.Sequential([keras.Input((3,)), L.Dense(2)])


@pytest.mark.parametrize(
    ("model", "x", "y", "message"),
    [
        (
            lambda: keras.Sequential([L.Dense(2)]),
            np.ones((2, 3)),
            None,
            "a model must be built and have weights",
        ),
        (
            lambda: keras.Sequential([keras.Input((3,)), L.ReLU()]),
            np.ones((2, 3)),
            None,
            "must be built and have weights",
        ),
        (
            lambda: 5,
            np.ones((2, 3)),
            None,
            "must be built and have weights: .* first; received 5",
        ),
        (dense, np.full((2, 3), np.nan), None, "inputs must be finite"),
        (dense, np.ones((0, 3)), None, "at least one sample"),
        (dense, np.ones((2, 3)), np.ones((2, 2)), "y needs a compiled model"),
    ],
)
def test_wrong_arguments(model, x, y, message):
    with pytest.raises(ValueError, match=message):
        ik.diagnose(model(), x.astype("float32"), y)


def test_a_loss_that_is_not_a_scalar():
    class Odd(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = L.Dense(2)

        def call(self, x):
            return self.dense(x)

        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            return keras.ops.subtract(y_pred, y)

    model = Odd()
    model(np.ones((1, 3), "float32"))
    model.compile("sgd", "mse")
    with pytest.raises(
        ValueError, match=r"the loss must be a scalar; received one of shape \(2, 2\)"
    ):
        ik.diagnose(model, np.ones((2, 3), "float32"), np.zeros((2, 2), "float32"))
