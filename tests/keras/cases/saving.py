"""A saved model holds our initializers under names that nobody else has."""

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
    made = model(seed)
    made.layers[0].kernel.assign(made.layers[0].kernel + 1)
    made.save(tmp_path / "model.keras")
    found = keras.saving.load_model(tmp_path / "model.keras")
    for mine, theirs in zip(made.weights, found.weights, strict=True):
        assert same(theirs, array(mine))
    first, second = found.layers
    assert [type(i) for i in (first.kernel_initializer, first.bias_initializer)] == [
        ik.HeNormal,
        ik.Constant,
    ]
    assert first.kernel_initializer.get_config() == made.layers[0].kernel_initializer.get_config()
    assert second.kernel_initializer.gain == 3.0
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        layer = json.loads(archive.read("config.json"))["config"]["layers"][1]
    assert layer["config"]["kernel_initializer"]["registered_name"] == "initfast>InitfastHeNormal"


@pytest.mark.parametrize(
    "made",
    [
        lambda: ik.TruncatedNormal(0, 1, seed=1, lower=-1, upper=3),
        lambda: ik.GlorotUniform(seed=2**63),
        lambda: ik.GlorotUniform(seed=ift.Seed(1).named("x")),
        lambda: ik.Orthogonal(seed=1),
    ],
)
def test_what_keras_own_class_does_not_know_is_saved_too(made, tmp_path):
    layer = keras.layers.Dense(8, kernel_initializer=made())
    model = keras.Sequential([keras.Input((8,)), layer])
    model.save(tmp_path / "model.keras")
    found = keras.saving.load_model(tmp_path / "model.keras").layers[0].kernel_initializer
    assert type(found) is type(layer.kernel_initializer)
    for again in (found, type(layer).from_config(layer.get_config()).kernel_initializer):
        assert same(layer.kernel, again.block((8, 8), ...))
    assert same(keras.models.clone_model(model).weights[0], array(layer.kernel))


def test_weights_file(tmp_path):
    made, other = model(1), model(2)
    made.save_weights(tmp_path / "model.weights.h5")
    assert not np.array_equal(array(made.weights[0]), array(other.weights[0]))
    other.load_weights(tmp_path / "model.weights.h5")
    assert same(other.weights[0], ift.HeNormal(seed=1)((5, 4)))


def test_who_has_not_imported_it_gets_an_error_and_no_other_class(tmp_path, monkeypatch):
    model(1).save(tmp_path / "model.keras")
    for name in [
        name for name in keras.saving.get_custom_objects() if name.startswith("initfast>")
    ]:
        monkeypatch.delitem(keras.saving.get_custom_objects(), name)
    with pytest.raises(TypeError, match="InitfastHeNormal"):
        keras.saving.load_model(tmp_path / "model.keras")


def test_clone_model_draws_the_same():
    made = model(5)
    assert same(keras.models.clone_model(made).weights[0], array(made.weights[0]))
