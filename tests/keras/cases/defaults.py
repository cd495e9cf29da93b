"""Names of initializers in a block of default(seed)."""

import threading

import numpy as np
import pytest
from keras_tools import array, keras, same

import initfast as ift
import initfast.keras as ik
from initfast.initializers.registry import ALL_OBJECTS

L = keras.layers


def net():
    return keras.Sequential(
        [
            keras.Input((4,), dtype="int32"),
            L.Embedding(9, 6),
            L.Bidirectional(L.LSTM(6, return_sequences=True)),
            L.Dense(12),
            L.Dense(12, kernel_initializer="he_normal", bias_initializer="uniform"),
            L.Dense(12, kernel_initializer=keras.initializers.HeNormal(seed=1)),
        ]
    )


def test_each_name_has_the_next_stream():
    with ik.default(seed=42):
        embedding, dense = L.Embedding(9, 6), L.Dense(5, bias_initializer="uniform")
        embedding.build()
    dense.build((None, 6))  # created in the block, built after it
    seed = ift.Seed(42)
    assert same(embedding.embeddings, ift.RandomUniform(seed=seed.named("0"))((9, 6)))
    assert same(dense.kernel, ift.GlorotUniform(seed=seed.named("1"))((6, 5)))
    assert same(dense.bias, ift.RandomUniform(seed=seed.named("2"))((5,)))


def test_a_model_is_reproducible_and_no_two_weights_are_equal():
    models = []
    for _ in range(2):
        with ik.default(seed=42):
            models.append(net())
    for mine, theirs in zip(models[0].weights, models[1].weights, strict=True):
        assert same(mine, array(theirs))
    random = [w for w in models[0].weights if np.unique(array(w)).size > 2]
    assert len(random) == 9
    assert len({array(w).ravel()[:4].tobytes() for w in random}) == 9
    with ik.default(seed=43):
        other = net()
    assert not np.array_equal(array(other.weights[0]), array(models[0].weights[0]))


def test_objects_and_later_layers_are_not_affected():
    with ik.default(seed=42):
        model = net()
        inside = L.Dense(2)
    after = L.Dense(2)
    assert type(model.layers[-1].kernel_initializer) is keras.initializers.HeNormal
    assert type(inside.kernel_initializer) is ik.GlorotUniform
    assert type(after.kernel_initializer) is keras.initializers.GlorotUniform


def test_add_weight_without_an_initializer():
    class Scale(L.Layer):
        def build(self, shape):
            self.a = self.add_weight(shape=(4, 4), name="a")
            self.b = self.add_weight(shape=(4, 4), name="b", initializer="normal")

    with ik.default(seed=42):
        layer = Scale()
        layer.build((1,))
    assert same(layer.a, ift.GlorotUniform(seed=ift.Seed(42).named("0"))((4, 4)))
    assert same(layer.b, ift.RandomNormal(seed=ift.Seed(42).named("1"))((4, 4)))


@pytest.mark.parametrize(
    "name", sorted(set(ALL_OBJECTS) - {"Initializer", "initializer", "Identity"})
)
def test_every_name(name):
    with ik.default(seed=1):
        initializer = keras.initializers.get(name)
    assert type(initializer).__name__ == f"Initfast{ALL_OBJECTS[name].__name__}"


def test_the_layer_identity_is_still_a_layer():
    with ik.default(seed=1):
        assert (
            type(L.deserialize({"module": "keras.layers", "class_name": "Identity", "config": {}}))
            is L.Identity
        )


def test_outer_scopes_stay_active_and_errors_end_the_block():
    class Mine(keras.initializers.Initializer):
        def __call__(self, shape, dtype=None):
            return keras.ops.zeros(shape, dtype=dtype)

    with keras.saving.custom_object_scope({"mine": Mine}):
        with pytest.raises(KeyError), ik.default(seed=1):
            assert type(keras.initializers.get("mine")) is Mine
            raise KeyError
        assert type(keras.initializers.get("mine")) is Mine
        assert type(keras.initializers.get("uniform")) is keras.initializers.RandomUniform


def test_nested_blocks_count_separately():
    with ik.default(seed=1):
        with ik.default(seed=ift.Seed(2).named("inner")):
            assert keras.initializers.get("uniform").seed == ift.Seed(2).named("inner/0")
        assert keras.initializers.get("uniform").seed == ift.Seed(1).named("0")


def test_other_threads_are_not_affected():
    initializers = []
    with ik.default(seed=1):
        thread = threading.Thread(
            target=lambda: initializers.append(keras.initializers.get("uniform"))
        )
        thread.start()
        thread.join()
    assert type(initializers[0]) is keras.initializers.RandomUniform


@pytest.mark.parametrize("seed", [-1, "a", 1.5, ift.SeedGenerator(1), ift.Seed(1, stream=2)])
def test_seeds_that_cannot_be_named(seed):
    with pytest.raises(ValueError, match="seed"), ik.default(seed=seed):
        pass
