"""A saved model contains the initializers under unique names."""

import json
import zipfile

import numpy as np
import pytest
from keras_tools import array, keras, same

import initfast as ift
import initfast.keras as ik


def model(seed):
    return keras.Sequential(
        [
            keras.Input((5,)),
            keras.layers.Dense(
                4,
                kernel_initializer=ik.HeNormal(seed=seed),
                bias_initializer=ik.Constant([1, 2, 3, 4]),
            ),
            keras.layers.Dense(
                2, kernel_initializer=ik.Identity(gain=3.0), bias_initializer=ik.Zeros()
            ),
        ]
    )


@pytest.mark.parametrize(
    "seed",
    [7, ift.Seed(7).named("kernel"), ift.SeedGenerator(7), keras.random.SeedGenerator(7), None],
    ids=lambda seed: type(seed).__name__,
)
def test_keras_file(tmp_path, seed):
    original = model(seed)
    original.layers[0].kernel.assign(original.layers[0].kernel + 1)
    original.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for mine, theirs in zip(original.weights, loaded.weights, strict=True):
        assert same(theirs, array(mine))
    first, second = loaded.layers
    assert [type(i) for i in (first.kernel_initializer, first.bias_initializer)] == [
        ik.HeNormal,
        ik.Constant,
    ]
    assert (
        first.kernel_initializer.get_config() == original.layers[0].kernel_initializer.get_config()
    )
    assert second.kernel_initializer.gain == 3.0
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        layer = json.loads(archive.read("config.json"))["config"]["layers"][1]
    assert layer["config"]["kernel_initializer"]["registered_name"] == "initfast>InitfastHeNormal"


@pytest.mark.parametrize(
    "make",
    [
        lambda: ik.TruncatedNormal(0, 1, seed=1, lower=-1, upper=3),
        lambda: ik.GlorotUniform(seed=2**63),
        lambda: ik.GlorotUniform(seed=ift.Seed(1).named("x")),
        lambda: ik.Orthogonal(seed=1),
    ],
)
def test_arguments_unknown_to_keras_are_saved_too(make, tmp_path):
    layer = keras.layers.Dense(8, kernel_initializer=make())
    model = keras.Sequential([keras.Input((8,)), layer])
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras").layers[0].kernel_initializer
    assert type(loaded) is type(layer.kernel_initializer)
    for again in (loaded, type(layer).from_config(layer.get_config()).kernel_initializer):
        assert same(layer.kernel, again.block((8, 8), ...))
    assert same(keras.models.clone_model(model).weights[0], array(layer.kernel))


def test_weights_file(tmp_path):
    original, other = model(1), model(2)
    original.save_weights(tmp_path / "model.weights.h5")
    assert not np.array_equal(array(original.weights[0]), array(other.weights[0]))
    other.load_weights(tmp_path / "model.weights.h5")
    assert same(other.weights[0], ift.HeNormal(seed=1)((5, 4)))


def test_loading_without_the_import_is_an_error(tmp_path, monkeypatch):
    model(1).save(tmp_path / "model.keras")
    for name in [
        name for name in keras.saving.get_custom_objects() if name.startswith("initfast>")
    ]:
        monkeypatch.delitem(keras.saving.get_custom_objects(), name)
    with pytest.raises(TypeError, match="InitfastHeNormal"):
        keras.saving.load_model(tmp_path / "model.keras")


def test_clone_model_draws_the_same():
    original = model(5)
    assert same(keras.models.clone_model(original).weights[0], array(original.weights[0]))
