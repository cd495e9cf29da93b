"""A user's own initializer, written as documented, in layers, copies, saved models and rules."""

import keras
from keras_tools import array

import initfast as ift
import initfast.keras as ik


@keras.saving.register_keras_serializable(package="own")
class DepthScaled(ik.RandomInitializer):
    def __init__(self, layers, seed=None):
        super().__init__(seed)
        self.layers = layers

    def for_shape(self, shape):
        fan_in, _ = self.fans(shape)
        return ift.RandomNormal(stddev=(2 * self.layers * fan_in) ** -0.5)


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
    drawn = ik.initialize(layer, seed=7)
    path = next(name for name in drawn if name.endswith("query/kernel"))
    kernel = next(each for each in layer.weights if each.path.endswith("query/kernel"))
    wanted = plain(5, ift.Seed(7).named(path), (5, 2, 4))
    assert (array(kernel) == wanted).all()
    again = ik.initialize(layer, 8, {"*query/kernel": DepthScaled(3)})[path]
    assert again.layers == 3
    assert (array(kernel) == again.block((5, 2, 4), ...)).all()
