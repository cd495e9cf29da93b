"""Models train with weights in memory that initfast has filled."""

import numpy as np
from keras_tools import array, keras, same

import initfast as ift
import initfast.keras as ik

L = keras.layers


def fit(model):
    model.compile(keras.optimizers.SGD(0.1), "mse")
    x = np.random.default_rng(0).normal(size=(8, 4, 6)).astype(np.float32)
    return model.fit(
        x, np.zeros((8, 4, 3), np.float32), epochs=2, batch_size=4, shuffle=False, verbose=0
    ).history["loss"]


def net(initializer):
    x = keras.Input((4, 6))
    y = L.MultiHeadAttention(2, 3, kernel_initializer=initializer)(x, x)
    return keras.Model(x, L.Dense(3, kernel_initializer=ik.HeNormal(seed=1))(y))


def test_a_model_trains_and_trains_the_same_again():
    losses = []
    for _ in range(2):
        model = net(ik.GlorotUniform(seed=4))
        before = [array(w).copy() for w in model.weights]
        assert same(model.weights[-2], ift.HeNormal(seed=1)((6, 3)))
        losses.append(fit(model))
        assert all(np.isfinite(array(w)).all() for w in model.weights)
        assert not np.array_equal(array(model.weights[-2]), before[-2])
    assert losses[0] == losses[1] and losses[0][1] < losses[0][0]


def test_a_model_drawn_again_trains_the_same():
    model = net("glorot_uniform")
    fit(model)
    initializers = ik.initialize(model, seed=5)
    first = fit(model)
    ik.initialize(model, seed=5)
    assert same(
        model.weights[0],
        next(iter(initializers.values())).block(tuple(model.weights[0].shape), ...),
    )
    assert fit(model) == first


def test_a_model_of_names_trains():
    with ik.default(seed=3):
        model = net("he_normal")
    losses = fit(model)
    assert losses[1] < losses[0]
