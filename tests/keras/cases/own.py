"""A user's own initializer, written as documented, in layers, copies, saved models and rules."""

import keras
import pytest
from host import NEEDED, check_parameters
from keras_tools import array, layer_of
from own_classes import depth_scaled, integers_only

import initfast as ift
import initfast.keras as ik
from initfast.keras.sources import Derived

DepthScaled = keras.saving.register_keras_serializable(package="own")(
    depth_scaled(ik.RandomInitializer)
)


def plain(fan, seed, shape):
    return ift.RandomNormal(stddev=(24 * fan) ** -0.5, seed=seed)(shape)


def test_a_layer_and_its_copies():
    model = keras.Sequential([keras.layers.Dense(3, kernel_initializer=DepthScaled(12, seed=4))])
    model.build((None, 5))
    assert (array(model.layers[0].kernel) == plain(5, 4, (5, 3))).all()
    again = keras.models.clone_model(model).layers[0]
    assert type(again.kernel_initializer) is DepthScaled
    assert again.kernel_initializer.layers == 12


def test_a_saved_model(tmp_path):
    model = keras.Sequential([keras.layers.Dense(3, kernel_initializer=DepthScaled(12, seed=4))])
    model.build((None, 5))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras").layers[0].kernel_initializer
    assert (type(loaded), loaded.layers, loaded.seed) == (DepthScaled, 12, 4)


def test_seed_and_axes_of_a_rule():
    layer = keras.layers.MultiHeadAttention(2, 4, kernel_initializer=DepthScaled(12))
    layer.build((None, 3, 5), (None, 3, 5))
    initializers = ik.initialize(layer, seed=7)
    path = next(name for name in initializers if name.endswith("query/kernel"))
    kernel = next(each for each in layer.weights if each.path.endswith("query/kernel"))
    expected = plain(5, ift.Seed(7).named(path), (5, 2, 4))
    assert (array(kernel) == expected).all()
    again = ik.initialize(layer, 8, {"*query/kernel": DepthScaled(3)})[path]
    assert again.layers == 3
    assert (array(kernel) == again.block((5, 2, 4), ...)).all()


@pytest.mark.parametrize("early", [False, True])
def test_an_initializer_without_streams_is_refused_before_any_write(early):
    mine = integers_only(ik.Initializer, early=early)(seed=1)
    layer = layer_of(keras.layers.Dense(3, bias_initializer="ones"), (None, 5))
    before = [array(each).copy() for each in layer.weights]
    with pytest.raises(ValueError, match=r"kernel: IntegersOnly.* must accept an initfast.Seed"):
        ik.initialize(layer, 3, {"bias": "zeros", "kernel": mine})
    assert all((array(a) == b).all() for a, b in zip(layer.weights, before, strict=True))


@NEEDED
def test_derived_values_round_to_nearest():
    root = Derived(ift.RandomUniform(0.1, 0.7, seed=1), "sqrt")
    check_parameters(lambda: {"sqrt": root.block((99,), ..., "float64").tobytes()})
