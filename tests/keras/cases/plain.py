"""The classes of initfast itself, which return NumPy arrays, in Keras: layers refuse them, and a
user's own code can call them.
"""

import numpy as np
import pytest
from keras_tools import array, keras, same

import initfast as ift
import initfast.keras as ik
from initfast.keras.initializers import ADAPTED

L = keras.layers

NAMES = [plain.__name__ for plain in ADAPTED]


def raises_with_remedy(name="HeNormal"):
    return pytest.raises(TypeError, match=rf"import initfast.keras, and .*initfast\.keras\.{name}")


@pytest.mark.parametrize("name", NAMES)
def test_every_class_raises_when_it_draws_and_when_it_is_saved(name):
    initializer = getattr(ift, name)()
    with raises_with_remedy(name):
        keras.Variable(initializer, shape=(4, 4))
    with raises_with_remedy(name):
        keras.initializers.serialize(initializer)
    with raises_with_remedy(name):
        keras.initializers.Initializer.clone(initializer)


@pytest.mark.parametrize("seed", [42, ift.Seed(42).named("a"), ift.SeedGenerator(42), None])
def test_the_error_says_what_to_write(seed):
    initializer = ift.HeNormal(seed=seed)
    for build in (
        lambda: L.Dense(3, kernel_initializer=initializer).build((None, 2)),
        lambda: L.EinsumDense("abc,cd->abd", (None, 3), kernel_initializer=initializer).build(
            (2, 3, 8)
        ),
        lambda: L.MultiHeadAttention(2, 4, kernel_initializer=initializer).build(
            (2, 3, 8), (2, 3, 8)
        ),
        lambda: L.Layer().add_weight(shape=(2, 2), initializer=initializer),
        lambda: L.Dense(3, kernel_initializer=initializer).get_config(),
        lambda: L.Dense(3, kernel_initializer=ift.HeNormal).build((None, 2)),
    ):
        with raises_with_remedy():
            build()
    with pytest.raises(TypeError) as caught:
        L.Dense(3, kernel_initializer=ift.HeNormal(seed=7)).build((None, 2))
    assert "pass initfast.keras.HeNormal(seed=7)" in str(caught.value)


def test_the_error_for_a_derived_class_names_the_base_class_to_use():
    class Mine(ift.HeNormal):
        pass

    with pytest.raises(TypeError, match=r"derive Mine from initfast\.keras\.HeNormal"):
        L.Dense(3, kernel_initializer=Mine(seed=1)).build((None, 2))


class Ours(ik.HeNormal):
    """An initializer derived as the message says."""


def test_a_class_derived_from_initfast_keras_works():
    layer = L.MultiHeadAttention(2, 4, kernel_initializer=Ours(seed=5))
    layer.build((2, 3, 8), (2, 3, 8))
    first = layer.query_dense.kernel
    expected = ift.HeNormal(seed=5, input_axes=[0], output_axes=[1, 2])
    assert same(first, expected((8, 2, 4)))
    assert not np.array_equal(array(first), array(layer.key_dense.kernel))


class Ramp(ift.Initializer):
    """A user's own initializer, as documented."""

    def __call__(self, shape, dtype=None):
        return np.arange(np.prod(shape), dtype=dtype).reshape(shape)


class Scale(L.Layer):
    """A layer that draws NumPy arrays itself."""

    def build(self, shape):
        self.table = self.add_weight(shape=(3, 2), initializer=ift.HeNormal(seed=1)((3, 2)))
        self.other = self.add_weight(
            shape=(3, 2), initializer=lambda shape, dtype: ift.HeNormal(seed=2)(shape, dtype)
        )


def test_calls_by_a_users_own_code_work():
    layer = Scale()
    layer.build((1,))
    assert same(layer.table, ift.HeNormal(seed=1)((3, 2)))
    assert same(layer.other, ift.HeNormal(seed=2)((3, 2)))
    dense = L.Dense(3, kernel_initializer=Ramp())
    dense.build((None, 2))
    assert array(dense.kernel).tolist() == [[0, 1, 2], [3, 4, 5]]
    assert dense.get_config()["kernel_initializer"]["class_name"] == "Ramp"
    initializers = ik.initialize(
        dense, seed=1, rules={"kernel": ift.HeNormal(seed=9), "bias": ift.Ones()}
    )
    assert same(dense.kernel, initializers["kernel"].block((2, 3), ...))


def test_keras_reads_our_configs_and_never_as_its_own_class(monkeypatch):
    config = ift.serialize(ift.HeNormal(seed=3))
    assert config == keras.initializers.serialize(ik.HeNormal(seed=3)) | {"module": "initfast"}
    assert type(keras.initializers.get(config)) is ik.HeNormal
    monkeypatch.delitem(keras.saving.get_custom_objects(), config["registered_name"])
    with pytest.raises(ValueError, match="Could not interpret initializer identifier"):
        keras.initializers.get(config)
