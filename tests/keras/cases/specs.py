"""The file of `spec_from(model)` has the weights that `initialize` gives the model."""

import json

import numpy as np
import pytest
from keras_tools import Block, array, keras, layer_of, net, same

import initfast as ift
import initfast.keras as ik
from initfast import checkpoint
from initfast.files import specs
from initfast.keras.weights import weights

L = keras.layers


def saved(tmp_path, spec, seed=5):
    """Save a spec, and return the (dtype, shape, bytes) of each tensor by name."""
    path = tmp_path / "model.safetensors"
    assert checkpoint.save(json.loads(json.dumps(spec, allow_nan=False)), path, seed=seed).complete
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    tensors, data = json.loads(data[8 : 8 + size]), data[8 + size :]
    tensors.pop("__metadata__", None)
    return {
        name: (each["dtype"], tuple(each["shape"]), data[slice(*each["data_offsets"])])
        for name, each in tensors.items()
    }


NAMES = {
    "float32": "F32",
    "float64": "F64",
    "float16": "F16",
    "bfloat16": "BF16",
    "int32": "I32",
    "int64": "I64",
}


def contents(model):
    """Return the (dtype, shape, bytes) of each weight by path."""
    tensors = {}
    for weight in weights(model):
        values = array(weight.variable)
        tensors[weight.path] = NAMES[values.dtype.name], values.shape, values.tobytes()
    return tensors


MODELS = {
    "net": net,
    "convolutions": lambda: keras.Sequential(
        [
            keras.Input((8, 8, 2)),
            L.Conv2D(4, 3),
            L.DepthwiseConv2D(3),
            L.SeparableConv2D(4, 1),
            L.Conv2DTranspose(2, 3),
        ]
    ),
    "renorm": lambda: layer_of(L.BatchNormalization(renorm=True), (1, 4)),
    "a changed bias": lambda: layer_of(L.LSTM(2, bias_initializer="uniform"), (1, 3, 4)),
    "attention": lambda: layer_of(L.MultiHeadAttention(2, 3), (1, 4, 6), (1, 4, 6)),
    "embedding": lambda: layer_of(L.Embedding(5, 3)),
    "spectral": lambda: layer_of(L.SpectralNormalization(L.Dense(3)), (2, 4)),
    "ours": lambda: layer_of(
        L.Dense(5, kernel_initializer=ik.HeNormal(seed=3), bias_initializer=ik.Constant(0.1)),
        (1, 4),
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_file_equals_the_weights_of_initialize(name, tmp_path):
    model = MODELS[name]()
    before = [array(w).copy() for w in model.weights]
    spec = checkpoint.spec_from(model)
    assert all(same(w, values) for w, values in zip(model.weights, before, strict=True))
    actual = saved(tmp_path, spec)
    ik.initialize(model, seed=5)
    assert actual == contents(model)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_dtypes(dtype, tmp_path):
    layer = layer_of(L.LSTM(3, recurrent_initializer="he_uniform", dtype=dtype), (1, 2, 4))
    actual = saved(tmp_path, ik.spec_from(layer))
    ik.initialize(layer, seed=5)
    assert actual == contents(layer)
    wide = layer_of(L.LSTM(3, recurrent_initializer="he_uniform"), (1, 2, 4))
    assert ik.spec_from(wide, dtype=dtype) == ik.spec_from(layer)


def test_rules_and_states(tmp_path):
    model = keras.Sequential(
        [keras.Input((3,)), L.Normalization(mean=None), L.Dense(2), L.Dense(2)]
    )
    model.layers[0].adapt(np.arange(12, dtype=np.float32).reshape(4, 3))
    rules = {"dense/bias": ift.RandomNormal(), "dense_1/*": None}
    actual = saved(tmp_path, ik.spec_from(model, rules))
    ik.initialize(model, 5, rules)
    expected = {
        name: values for name, values in contents(model).items() if not name.startswith("dense_1")
    }
    assert actual == expected
    assert actual["normalization/mean"][2] == array(model.layers[0].adapt_mean).tobytes()


def test_keras_reads_the_initializers_of_a_spec():
    for name, described in ik.spec_from(net())["tensors"].items():
        theirs = keras.initializers.get(described["init"])
        (entry,) = specs.read({"tensors": {name: described}}).entries
        assert type(theirs).__name__ == type(entry.initializer).__name__
        mine = {
            key: value for key, value in entry.initializer.get_config().items() if key != "seed"
        }
        assert {key: value for key, value in theirs.get_config().items() if key in mine} == mine


class Odd(L.Layer):
    def get_config(self):
        raise NotImplementedError

    def build(self, shape):
        self.table = self.add_weight(shape=(3, 2), initializer="zeros", name="table")

    def call(self, x):
        return x


class Mine(ift.Initializer):
    def __call__(self, shape, dtype=None):
        return np.ones(shape, "float32")


def renorm():
    layer = L.BatchNormalization(renorm=True, moving_variance_initializer="uniform")
    return layer_of(layer, (1, 4))


def infinite():
    layer = layer_of(L.Normalization(), (None, 3))
    layer.adapt_variance.assign([1.0, float("inf"), 2.0])
    return layer


@pytest.mark.parametrize(
    ("make", "rules", "message"),
    [
        (lambda: layer_of(Odd(), (1, 3)), None, "table: Odd has no table_initializer"),
        (lambda: keras.Sequential([L.Dense(2)]), None, "a model must be built"),
        (
            lambda: layer_of(L.Dense(2), (1, 3)),
            {"kernle": None},
            "each rule must be the first",
        ),
        (
            lambda: layer_of(L.Dense(2), (1, 3)),
            {"kernel": Mine()},
            "weight 'kernel': serialize takes.*pass a rule for it",
        ),
        (
            renorm,
            None,
            "weight 'moving_stddev': no initializer of Keras can describe the sqrt of a RandomUniform",
        ),
        (infinite, None, "weight 'variance': value must be finite"),
    ],
)
def test_the_error_names_a_weight_without_a_description(make, rules, message):
    with pytest.raises(ValueError, match=message):
        ik.spec_from(make(), rules)


def test_a_users_own_layer():
    assert list(checkpoint.spec_from(layer_of(Block(), (1, 4, 3)))["tensors"])[-1] == "offset"
