"""initialize() with a user's own layers and initializers, LoRA, and the fans of a layer."""

import numpy as np
import pytest
from keras_tools import array, keras, layer_of, same

import initfast as ift
import initfast.keras as ik
from initfast.keras.weights import weights

L = keras.layers


class Linear(L.Layer):
    """A layer as in Keras' tutorials: `add_weight` with initializers by name, none of them kept."""

    def __init__(self, units=3, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.scale = self.add_weight(shape=(units,), initializer="ones", name="scale")

    def build(self, shape):
        self.w = self.add_weight(
            shape=(shape[-1], self.units), initializer="random_normal", trainable=True
        )
        self.v = self.add_weight((self.units, 2), keras.initializers.RandomNormal(stddev=3.0))
        self.u = self.add_weight(shape=(2, 2), name="u")
        self.count = self.add_weight(shape=(), initializer="zeros", trainable=False, name="count")

    def call(self, x):
        return (x @ self.w) * self.scale


def test_weights_added_by_a_custom_layer_keep_their_initializers():
    layer = layer_of(Linear(4), (None, 5))
    layer.count.assign(7)
    before = len(layer.weights)
    initializers = ik.initialize(layer, seed=3)
    seed = ift.Seed(3)
    paths = {id(weight.variable): weight.path for weight in weights(layer)}
    names = [paths[id(variable)] for variable in (layer.scale, layer.w, layer.v, layer.u)]
    assert list(initializers) == names and names[0] == "scale"
    expected = [
        ift.Ones(),
        ift.RandomNormal(seed=seed.named(names[1])),
        ift.RandomNormal(stddev=3.0, seed=seed.named(names[2])),
        ift.GlorotUniform(seed=seed.named(names[3])),
    ]
    for variable, initializer in zip(
        (layer.scale, layer.w, layer.v, layer.u), expected, strict=True
    ):
        assert same(variable, initializer(tuple(variable.shape)))
    assert len(layer.weights) == before and float(array(layer.count)) == 7
    assert {"scale", names[1]} <= set(ik.spec_from(layer)["tensors"])


def test_the_copy_does_not_use_streams_of_an_outer_block():
    layer = layer_of(Linear(), (None, 5))
    with ik.default(seed=1):
        ik.initialize(layer, seed=3)
        assert keras.initializers.get("uniform").seed == ift.Seed(1).named("0")


class Grown(Linear):
    """A layer of which a copy has other weights, so that they cannot be matched."""

    extra = True

    def build(self, shape):
        super().build(shape)
        if self.extra:
            self.more = self.add_weight(shape=(9, 9), initializer="zeros", name="more")


def test_the_error_names_the_weights_of_a_layer_without_a_complete_config(monkeypatch):
    layer = layer_of(Grown(), (None, 5))
    monkeypatch.setattr(Grown, "extra", False)
    with pytest.raises(ValueError, match=r"(?s)scale: Grown has no .*more: Grown has no more_init"):
        ik.initialize(layer, seed=1)


@pytest.mark.parametrize(
    ("make", "shape", "pair"),
    [
        (lambda: L.Dense(8), (None, 6), "lora_kernel"),
        (lambda: L.EinsumDense("abc,cd->abd", (None, 8)), (None, 3, 6), "lora_kernel"),
        (lambda: L.Conv2D(8, 3), (None, 8, 8, 6), "lora_kernel"),
        (lambda: L.Embedding(9, 8), (None,), "lora_embeddings"),
    ],
)
def test_lora(make, shape, pair):
    layer = layer_of(make(), shape)
    layer.enable_lora(2)
    for weight in layer.weights:
        weight.assign(keras.ops.full(tuple(weight.shape), 7.0))
    initializers = ik.initialize(layer, seed=1)
    first, second = (getattr(layer, f"{pair}_{letter}") for letter in "ab")
    expected = ift.HeUniform(seed=ift.Seed(1).named(f"{pair}_a"))(tuple(first.shape))
    assert same(first, expected) and not array(second).any()
    assert len(initializers) == len(layer.weights) and not (array(layer.weights[0]) == 7).any()


class Doubled(keras.initializers.Initializer):
    """A user's own initializer, as Keras documents it."""

    def __init__(self, seed=None):
        self.seed = seed

    def get_config(self):
        return {"seed": self.seed}

    def __call__(self, shape, dtype=None):
        return 2 * keras.random.normal(shape, seed=self.seed, dtype=dtype)


class Derived(keras.initializers.HeNormal):
    """An initializer derived from one of Keras; the layer sets its axes."""


class Ours(ift.Initializer):
    """An initializer derived from the base class of initfast."""

    def __init__(self, seed=None):
        self.seed = seed

    def __call__(self, shape, dtype=None):
        return ift.RandomNormal(stddev=5.0, seed=self.seed)(shape, dtype)

    def get_config(self):
        return {"seed": self.seed}


@pytest.mark.parametrize("kind", [Doubled, Derived, Ours])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_seed_reaches_a_users_own_initializers(kind, dtype):
    model = keras.Sequential(
        [
            keras.Input((50,)),
            L.Dense(50, kernel_initializer=kind(seed=1), dtype=dtype),
            L.Dense(50, kernel_initializer=kind(seed=1), dtype=dtype),
        ]
    )

    def draw(seed):
        ik.initialize(model, seed=seed)
        return [array(layer.kernel).astype("float32") for layer in model.layers]

    first, second = draw(3)
    scale = {Doubled: 2.0, Derived: 0.2, Ours: 5.0}[kind]
    assert first.std() == pytest.approx(scale, rel=0.1)
    assert not (first == second).mean() > 0.1, "each weight has different values"
    again, _ = draw(3)
    other, _ = draw(4)
    assert (again == first).all() and not (other == first).mean() > 0.1
    assert model.layers[0].kernel_initializer.seed == 1


def test_axes_reach_a_class_derived_from_keras():
    layer = L.EinsumDense("abc,cde->abde", (None, 40, 20), kernel_initializer=Derived(seed=1))
    layer.build((None, 3, 30))
    ik.initialize(layer, seed=1)
    assert array(layer.kernel).std() == pytest.approx((2 / 30) ** 0.5, rel=0.05)


class Unseeded(keras.initializers.Initializer):
    def __call__(self, shape, dtype=None):
        return keras.random.normal(shape, dtype=dtype)


def test_the_error_names_a_weight_whose_initializer_takes_no_seed():
    layer = layer_of(L.Dense(3, kernel_initializer=Unseeded()), (None, 2))
    before = array(layer.kernel).copy()
    with pytest.raises(ValueError, match=r"kernel: .* your own with a 'seed'"):
        ik.initialize(layer, seed=1)
    assert same(layer.kernel, before)


def test_a_rule_for_the_kernels_of_attention_has_their_fans():
    layer = L.MultiHeadAttention(2, 4)
    layer.build((2, 3, 8), (2, 3, 8))
    ik.initialize(layer, seed=1, rules={"*/kernel": "he_normal"})
    seed = ift.Seed(1)
    query = ift.HeNormal(seed.named("query/kernel"), input_axes=[0], output_axes=[1, 2])
    output = ift.HeNormal(seed.named("attention_output/kernel"), input_axes=[0, 1], output_axes=[2])
    assert same(layer.query_dense.kernel, query((8, 2, 4)))
    assert same(layer.output_dense.kernel, output((2, 4, 8)))


def test_the_fans_of_a_depthwise_convolution():
    """Keras counts all input channels; the axes give the fans of one output channel."""
    shape = (None, 16, 16, 64)
    for axes, fan_in in (
        ({}, 3 * 3 * 64),
        ({"input_axes": [0, 1], "output_axes": [0, 1, 3]}, 3 * 3),
    ):
        theirs = keras.initializers.HeNormal(seed=1, **axes)
        for initializer in (ik.HeNormal(seed=1, **axes), theirs):
            layer = layer_of(L.DepthwiseConv2D(3, depthwise_initializer=initializer), shape)
            expected = (2 / fan_in) ** 0.5
            assert np.std(array(layer.kernel)) == pytest.approx(expected, rel=0.1)
            new_initializer = ik.initialize(layer, seed=2)["kernel"]
            assert np.std(array(layer.kernel)) == pytest.approx(expected, rel=0.1)
            assert new_initializer.get_config()["input_axes"] == axes.get("input_axes")
