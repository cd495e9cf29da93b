"""initialize(model, seed): every weight from its layer's initializer, in the stream of its name."""

import numpy as np
import pytest
from keras_tools import BACKEND, Block, address, array, keras, layer_of, net, same

import initfast as ift
import initfast.keras as ik
from initfast.keras.weights import labels, weights

L = keras.layers


EXPECTED = {
    "block/offset": "RandomNormal",
    "block/dense/kernel": "GlorotUniform",
    "block/dense/bias": "Zeros",
    "block/dense_1/kernel": "HeNormal",
    "block/dense_1/bias": "Zeros",
    "lstm/lstm_cell/kernel": "GlorotUniform",
    "lstm/lstm_cell/recurrent_kernel": "Orthogonal",
    "lstm/lstm_cell/bias": "Derived",
    **{
        f"mha/{name}/{weight}": kind
        for name in ("query", "key", "value", "attention_output")
        for weight, kind in (("kernel", "GlorotUniform"), ("bias", "Zeros"))
    },
    **{
        f"bidirectional/{way}_gru/gru_cell/{weight}": kind
        for way in ("forward", "backward")
        for weight, kind in (
            ("kernel", "GlorotUniform"),
            ("recurrent_kernel", "Orthogonal"),
            ("bias", "Zeros"),
        )
    },
    "dense/kernel": "HeUniform",
    "dense/bias": "Zeros",
    "batch_normalization/gamma": "Ones",
    "batch_normalization/beta": "Zeros",
    "batch_normalization/moving_mean": "Zeros",
    "batch_normalization/moving_variance": "Ones",
    "last/offset": "RandomNormal",
    "last/dense/kernel": "GlorotUniform",
    "last/dense/bias": "Zeros",
    "last/dense_1/kernel": "HeNormal",
    "last/dense_1/bias": "Zeros",
}


def test_every_weight_by_its_path():
    model = net()
    initializers = ik.initialize(model, seed=42)
    assert {
        path: type(initializer).__name__ for path, initializer in initializers.items()
    } == EXPECTED
    for weight in weights(model):
        initializer = initializers[weight.path]
        assert same(weight.variable, initializer.block(tuple(weight.variable.shape), ...))
        if hasattr(initializer, "seed"):
            assert initializer.seed == ift.Seed(42).named(weight.path)
    assert len(initializers) == len(model.weights)
    assert initializers["last/offset"].stddev == 2.0
    assert model.get_layer("mha").weights[0].path.endswith("query/kernel")
    expected = ift.GlorotUniform(
        ift.Seed(42).named("mha/query/kernel"), input_axes=[0], output_axes=[1, 2]
    )
    assert same(model.get_layer("mha").weights[0], expected((5, 2, 3)))
    beginnings = [
        array(w).ravel()[:3].tobytes() for w in model.weights if np.unique(array(w)).size > 2
    ]
    assert len(beginnings) == len(set(beginnings)) == 17


def test_earlier_layers_of_the_session_do_not_matter():
    first = net()
    L.Dense(1), L.LSTM(1), Block()
    second = net()
    assert [w.path for w in first.weights] != [w.path for w in second.weights]
    ik.initialize(first, seed=42)
    ik.initialize(second, seed=42)
    for mine, theirs in zip(first.weights, second.weights, strict=True):
        assert same(mine, array(theirs))


def test_it_is_the_same_inside_a_block_of_default():
    model = net()
    with ik.default(seed=1):
        ik.initialize(model, seed=42)
        before = [array(w).copy() for w in model.weights]
        ik.initialize(model, seed=42)
    assert all(same(w, values) for w, values in zip(model.weights, before, strict=True))


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (lambda: layer_of(L.Conv2D(4, 3), (1, 8, 8, 2)), ["GlorotUniform", "Zeros"]),
        (lambda: layer_of(L.Conv2DTranspose(4, 3), (1, 8, 8, 2)), ["GlorotUniform", "Zeros"]),
        (
            lambda: layer_of(L.DepthwiseConv2D(3, depthwise_initializer="he_normal"), (1, 8, 8, 2)),
            ["HeNormal", "Zeros"],
        ),
        (
            lambda: layer_of(L.SeparableConv1D(4, 3, pointwise_initializer="he_normal"), (1, 8, 2)),
            ["GlorotUniform", "HeNormal", "Zeros"],
        ),
        (lambda: layer_of(L.Embedding(5, 3)), ["RandomUniform"]),
        (
            lambda: layer_of(L.ReversibleEmbedding(5, 3, tie_weights=False)),
            ["RandomUniform", "RandomUniform"],
        ),
        (lambda: layer_of(L.PReLU(alpha_initializer="uniform"), (1, 4)), ["RandomUniform"]),
        (lambda: layer_of(L.LayerNormalization(), (1, 4)), ["Ones", "Zeros"]),
        (lambda: layer_of(L.GroupNormalization(2), (1, 4)), ["Ones", "Zeros"]),
        (lambda: layer_of(L.RMSNormalization(), (1, 4)), ["Ones"]),
        (
            lambda: layer_of(L.BatchNormalization(renorm=True), (1, 4)),
            ["Ones", "Zeros", "Zeros", "Ones", "Derived", "Zeros", "Derived"],
        ),
        (lambda: layer_of(L.AdditiveAttention(), [(1, 3, 4), (1, 3, 4)]), ["GlorotUniform"]),
        (
            lambda: layer_of(
                L.Attention(use_scale=True, score_mode="concat"), [(1, 3, 4), (1, 3, 4)]
            ),
            ["Ones", "Ones"],
        ),
        (
            lambda: layer_of(L.SpectralNormalization(L.Dense(3)), (2, 4)),
            ["GlorotUniform", "Zeros", "TruncatedNormal"],
        ),
        (
            lambda: layer_of(L.ConvLSTM1D(2, 2), (1, 3, 5, 2)),
            ["GlorotUniform", "Orthogonal", "Derived"],
        ),
        (lambda: layer_of(L.TimeDistributed(L.Dense(2)), (1, 3, 4)), ["GlorotUniform", "Zeros"]),
    ],
)
def test_layers_of_keras(layer, expected):
    built = layer()
    before = [array(w).copy() for w in built.weights]
    for w in built.weights:
        w.assign(keras.ops.full(tuple(w.shape), 7.0, dtype=w.dtype))
    initializers = ik.initialize(built, seed=1)
    assert [type(i).__name__ for i in initializers.values()] == expected
    by_path = {w.path: w.variable for w in weights(built)}
    for path, init in initializers.items():
        assert same(by_path[path], init.block(tuple(by_path[path].shape), ...))
    # Constants have the values from Keras again.
    for w, values in zip(built.weights, before, strict=True):
        if np.unique(values).size == 1:
            assert same(w, values)


def test_the_forget_gate_of_an_lstm():
    layer = layer_of(L.LSTM(2, bias_initializer="uniform"), (1, 3, 4))
    ik.initialize(layer, seed=1)
    expected = ift.RandomUniform(seed=ift.Seed(1).named("lstm_cell/bias"))((8,))
    expected[2:4] = 1
    assert same(layer.cell.bias, expected)


def test_states_do_not_change():
    model = keras.Sequential(
        [keras.Input((3,)), L.Normalization(mean=None), L.Dropout(0.5, seed=3), L.Dense(2)]
    )
    model.layers[0].adapt(np.arange(12, dtype=np.float32).reshape(4, 3))
    model.compile("adam", "mse", metrics=["mae"])
    model.fit(np.ones((4, 3), np.float32), np.zeros((4, 2), np.float32), verbose=0)
    states = {
        id(v): array(v).copy()
        for v in [
            *model.layers[0].variables,
            *model.layers[1].variables,
            *model.optimizer.variables,
            *model.metrics_variables,
        ]
    }
    assert len(states) > 8
    initializers = ik.initialize(model, seed=1)
    assert list(initializers) == ["dense/kernel", "dense/bias"]
    for v in [
        *model.layers[0].variables,
        *model.layers[1].variables,
        *model.optimizer.variables,
        *model.metrics_variables,
    ]:
        assert same(v, states[id(v)])


class Odd(L.Layer):
    """A layer without known initializers, because it cannot be copied."""

    def __init__(self, given=None, **kwargs):
        super().__init__(**kwargs)

    def get_config(self):
        raise NotImplementedError

    def build(self, shape):
        self.table = self.add_weight(shape=(3, 2), initializer="zeros", name="table")
        self.other = self.add_weight(shape=(3, 2), initializer="zeros", name="other")
        self.count = self.add_weight(shape=(), initializer="zeros", name="count", trainable=False)

    def call(self, x):
        return x


def a_function(shape, dtype):
    return keras.ops.ones(shape)


def test_weights_without_an_initializer_are_all_named_and_nothing_is_written():
    model = keras.Sequential(
        [
            keras.Input((3,)),
            L.Dense(3),
            Odd(),
            L.Dense(2, kernel_initializer=a_function),
        ]
    )
    before = [array(w).copy() for w in model.weights]
    with pytest.raises(ValueError) as caught:
        ik.initialize(model, seed=1)
    message = str(caught.value)
    for part in (
        "odd/table: Odd has no table_initializer",
        "odd/other",
        "dense_1/kernel: an initializer must be",
        "rules=",
    ):
        assert part in message
    assert "count" not in message
    assert all(same(w, values) for w, values in zip(model.weights, before, strict=True))
    rules = {
        "odd/table": "he_normal",
        "odd/*": None,
        "dense_1/kernel": ik.Ones(),
        "*/bias": keras.initializers.RandomNormal(),
    }
    initializers = ik.initialize(model, seed=1, rules=rules)
    summary = [f"{path} {type(initializer).__name__}" for path, initializer in initializers.items()]
    assert summary == [
        "dense/kernel GlorotUniform",
        "dense/bias RandomNormal",
        "odd/table HeNormal",
        "dense_1/kernel Ones",
        "dense_1/bias RandomNormal",
    ]
    assert same(model.layers[1].table, ift.HeNormal(seed=ift.Seed(1).named("odd/table"))((3, 2)))


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        (
            {"dense/kernle": None},
            "each rule must be the first that matches some weight; received 'dense/kernle'",
        ),
        ({"*": None, "dense/bias": None}, "received 'dense/bias'"),
        (
            {"dense/bias": "orthogonal"},
            "dense/bias: The tensor to initialize must be at least two-dimensional",
        ),
        ({"dense/bias": ift.Constant([1.0, 2.0])}, "dense/bias: value must broadcast"),
        (
            {"dense/bias": 5},
            "dense/bias: an initializer must be one of initfast or Keras, or your own",
        ),
    ],
)
def test_wrong_rules(rules, message):
    model = keras.Sequential([keras.Input((3,)), L.Dense(3, name="dense")])
    before = array(model.weights[0]).copy()
    with pytest.raises(ValueError) as caught:
        ik.initialize(model, seed=1, rules=rules)
    assert message in str(caught.value)
    assert same(model.weights[0], before)


def test_frozen_weights_are_drawn_and_quantized_ones_refused():
    layer = layer_of(L.Dense(3), (None, 4))
    layer.trainable = False
    assert list(ik.initialize(layer, seed=1)) == ["kernel", "bias"]
    layer.quantize("int8")
    with pytest.raises(ValueError, match="kernel: random values need a floating dtype"):
        ik.initialize(layer, seed=1)


def test_a_tied_weight_is_drawn_once_under_its_first_path():
    shared = L.Dense(3)
    model = keras.Sequential([keras.Input((3,)), shared, L.ReLU(), keras.Sequential([shared])])
    assert list(ik.initialize(model, seed=1)) == ["dense/kernel", "dense/bias"]


@pytest.mark.parametrize("model", [keras.Sequential([L.Dense(2)]), L.Dense(2)])
def test_a_model_must_be_built(model):
    with pytest.raises(ValueError, match="a model must be built"):
        ik.initialize(model, seed=1)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "mixed_bfloat16"])
def test_dtypes(dtype):
    layer = layer_of(L.Dense(5, dtype=dtype), (None, 4))
    initializer = ik.initialize(layer, seed=1)["kernel"]
    assert same(
        layer.kernel, initializer((4, 5), "float32" if dtype.startswith("mixed") else dtype)
    )


def test_no_needless_copy(monkeypatch):
    layer = layer_of(L.Dense(50), (None, 40))
    address_before = address(layer.kernel)
    addresses = []
    adopt = ik.models.tensors.adopt
    monkeypatch.setattr(
        ik.models.tensors,
        "adopt",
        lambda a: addresses.append(a.__array_interface__["data"][0]) or adopt(a),
    )
    ik.initialize(layer, seed=1)
    if BACKEND == "torch":
        assert not addresses and address(layer.kernel) == address_before, "filled in place"
    else:
        assert address(layer.kernel) == addresses[0]


def test_labels():
    assert labels([("dense_1", "Dense"), ("dense", "Dense"), ("dense_1", "Relu"), ("a", "Dense"), ("a", "Dense")]) == [
        "dense", "dense_1", "dense_1_1", "a", "a_1",
    ]  # fmt: skip
    many = labels([("x", "Y"), ("x_1", "Z"), ("x", "Y"), ("x", "Y")])
    assert len(set(many)) == 4


@pytest.mark.parametrize("seed", [ift.SeedGenerator(1), ift.Seed(1, stream=2), -1, "a"])
def test_seeds_that_cannot_be_named(seed):
    with pytest.raises(ValueError, match="seed"):
        ik.initialize(layer_of(L.Dense(2), (None, 2)), seed=seed)


def test_not_while_jax_traces():
    layer = layer_of(L.Dense(2), (None, 3))
    before = array(layer.kernel).copy()
    if BACKEND == "jax":
        import jax

        with pytest.raises(TypeError, match=r"outside of jax\.jit"):
            jax.jit(lambda: ik.initialize(layer, seed=1) and None)()
        assert (array(layer.kernel) == before).all()
    ik.initialize(layer, seed=1)
    assert not (array(layer.kernel) == before).any()
