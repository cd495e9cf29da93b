"""Test the training loop of a comparison: gradients against finite differences, SGD by hand,
symmetry, streams and overflow."""

import re
import sys
from itertools import pairwise

import numpy as np
import pytest

import initfast as ift
from initfast.core.seeds import Seed
from initfast.signal import activations, datasets, training
from initfast.signal.layouts import layouts
from initfast.signal.training import Network, Recipe

ROOT = Seed(5)


def blobs(samples=60, features=4, classes=3, dtype="float32"):
    rng = np.random.default_rng(1)
    y = np.arange(samples) % classes
    return datasets.load(
        (rng.normal(size=(samples, features)) + 2.0 * np.eye(classes, features)[y], y), dtype
    )


def network(
    initializer="he_normal",
    activation="tanh",
    widths=(4, 6, 5, 3),
    repeats=2,
    dtype="float32",
    bias="zeros",
):
    chosen = activations.get(activation)
    return training.draw(ift.get(initializer), ift.get(bias), widths, chosen, repeats, ROOT, dtype)


@pytest.mark.parametrize(
    ("activation", "residual"),
    [*((each, False) for each in activations.ACTIVATIONS), ("tanh", True)],
)
def test_gradients_are_those_of_the_loss(activation, residual):
    widths = (4, 5, 5, 5, 3) if residual else (4, 6, 5, 3)
    model = network("glorot_normal", activation, widths, dtype="float64", bias="random_normal")
    model.residual = residual
    assert [model.skips(layer) for layer in range(len(widths) - 1)] == (
        [False, True, True, False] if residual else [False] * 3
    )
    rng = np.random.default_rng(2)
    slopes_match(model, rng.normal(size=(2, 7, 4)), rng.integers(0, 3, (2, 7)), rng)


def slopes_match(model, x, y, rng):
    """Compare the gradients with differences of the loss, for a few elements of each parameter."""
    _, in_kernels, in_biases = training.gradients(model, x, y)
    step = 1e-6
    for parameter, gradient in zip(
        model.kernels + model.biases, in_kernels + in_biases, strict=True
    ):
        assert gradient.shape == parameter.shape
        for place in rng.choice(parameter[0].size, min(6, parameter[0].size), replace=False):
            at = np.unravel_index(place, parameter.shape[1:])
            sides = []
            for sign in (1.0, -1.0):
                parameter[(slice(None), *at)] += sign * step
                sides.append(training.gradients(model, x, y)[0])
                parameter[(slice(None), *at)] -= sign * step
            slope = (sides[0] - sides[1]) / (2 * step)
            np.testing.assert_allclose(gradient[(slice(None), *at)], slope, rtol=1e-5, atol=1e-8)


def convolutional(activation="tanh", shape=(5, 6, 2), hidden=(4, 3), dtype="float64"):
    form = layouts(shape, hidden, convolutional=True)
    widths = (int(np.prod(shape)), *hidden, 3)
    draws = (ift.get("glorot_normal"), ift.get("random_normal"))
    chosen = activations.get(activation)
    return training.draw(*draws, widths, chosen, 2, ROOT, dtype, layouts=form)


def test_a_convolution_is_one():
    scipy = pytest.importorskip("scipy.signal")
    model = convolutional("linear")
    assert [kernel.shape[1:] for kernel in model.kernels] == [(18, 4), (36, 3), (1 * 2 * 3, 3)]
    x = np.random.default_rng(2).normal(size=(7, 5, 6, 2))
    net = model.forward(x.reshape(7, -1))[0][0]
    kernel = model.kernels[0][1].reshape(3, 3, 2, 4)
    for sample, unit in ((0, 0), (6, 3)):
        expected = sum(
            scipy.correlate2d(x[sample, ..., c], kernel[..., c, unit], "valid") for c in range(2)
        )
        image = net[1, sample].reshape(3, 4, 4)[..., unit]
        np.testing.assert_allclose(image, expected + model.biases[0][1, 0, unit], rtol=1e-12)
    np.testing.assert_allclose(  # the fans are those of the kernel's own shape
        model.kernels[0].std(), np.sqrt(2 / (18 + 36)), rtol=0.3
    )


def test_gradients_of_convolutions_are_those_of_the_loss():
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(2, 7, 60)), rng.integers(0, 3, (2, 7))
    slopes_match(convolutional(), x, y, rng)


def test_the_loss_is_cross_entropy():
    logits = np.array([[[2.0, -1.0, 0.5], [800.0, 0.0, -800.0]]])
    y = np.array([2, 1])
    losses, slope = training.softmax_loss(logits, y)
    shares = np.exp([2.0, -1.0, 0.5]) / np.exp([2.0, -1.0, 0.5]).sum()
    np.testing.assert_allclose(losses, [[-np.log(shares[2]), 800.0]])
    np.testing.assert_allclose(slope[0, 0], shares - [0, 0, 1])
    np.testing.assert_allclose(slope[0, 1], [1, -1, 0])


def test_sgd_by_hand():
    dataset = blobs(dtype="float64")
    recipe = Recipe(epochs=2, batch=20, learning_rate=0.1, momentum=0.9)
    ours, theirs = network(dtype="float64", repeats=1), network(dtype="float64", repeats=1)
    training.train(ours, dataset, recipe, ROOT)
    velocities = [0.0] * 6
    sizes = set()
    for epoch in (1, 2):
        order = datasets.permutation(
            len(dataset.y_train), ROOT.named(f"repeat/0/epoch/{epoch}/order")
        )
        for first in range(0, len(order), 20):
            rows = order[first : first + 20]
            sizes.add(len(rows))
            _, a, b = training.gradients(
                theirs, dataset.x_train[rows][None], dataset.y_train[rows][None]
            )
            for i, (parameter, gradient) in enumerate(
                zip(theirs.kernels + theirs.biases, a + b, strict=True)
            ):
                velocities[i] = 0.9 * velocities[i] + gradient
                parameter -= 0.1 * velocities[i]
    assert len(sizes) == 2, "the last step takes the remaining samples"
    for one, other in zip(ours.kernels + ours.biases, theirs.kernels + theirs.biases, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_the_loss_falls_and_the_curves_say_so():
    dataset, model, calls = blobs(), network(repeats=3), []
    curves = training.train(
        model, dataset, Recipe(epochs=15, batch=8, learning_rate=0.1), ROOT, calls.append
    )
    assert calls == [1] * 15
    for curve in vars(curves).values():
        assert curve.shape == (3, 16)
        assert curve.dtype == np.float64
    assert (curves.train_loss[:, -1] < 0.5 * curves.train_loss[:, 0]).all()
    assert (curves.test_accuracy[:, -1] > 0.7).all()  # by chance: 1/3
    logits = model.forward(dataset.x_test)[0][-1]
    np.testing.assert_allclose(
        curves.test_accuracy[:, -1], (logits.argmax(axis=-1) == dataset.y_test).mean(axis=1)
    )
    losses = training.softmax_loss(logits, dataset.y_test)[0].astype(float).mean(axis=1)
    np.testing.assert_allclose(curves.test_loss[:, -1], losses, rtol=1e-5)


def test_large_data_are_measured_in_pieces():
    dataset = blobs(samples=3000)
    assert len(dataset.y_train) > 2 * 1024
    model = network()
    curves = training.train(model, dataset, Recipe(epochs=1, learning_rate=1e-30), ROOT)
    logits = model.forward(dataset.x_train)[0][-1]
    losses = training.softmax_loss(logits, dataset.y_train)[0].mean(axis=1, dtype=float)
    np.testing.assert_allclose(curves.train_loss[:, 0], losses, rtol=1e-6)
    np.testing.assert_array_equal(curves.train_loss[:, 0], curves.train_loss[:, 1])


@pytest.mark.parametrize(
    ("initializer", "activation"), [("zeros", "tanh"), ("zeros", "relu"), ("zeros", "sigmoid")]
)
def test_zeros_never_break_the_symmetry(initializer, activation):
    dataset, model = blobs(), network(initializer, activation)
    curves = training.train(model, dataset, Recipe(epochs=5, learning_rate=0.5), ROOT)
    for kernel in model.kernels[:-1]:
        assert (kernel == kernel[..., :1]).all(), "all units of a layer stay equal"
    if activation != "sigmoid":
        assert not any(kernel.any() for kernel in model.kernels), "no gradient reaches any kernel"
    assert (curves.train_loss >= dataset.guess()[0] - 1e-6).all()


def test_a_constant_keeps_units_equal_and_another_draw_does_not():
    dataset = blobs()
    for initializer, same in (("ones", True), ("glorot_uniform", False)):
        model = network(initializer)
        training.train(model, dataset, Recipe(epochs=3), ROOT)
        assert bool((model.kernels[0] == model.kernels[0][..., :1]).all()) is same
        assert model.kernels[0].any()


def test_initializers_draw_from_the_same_streams():
    he, lecun = network("he_normal", repeats=3), network("lecun_normal", repeats=3)
    for one, other in zip(he.kernels, lecun.kernels, strict=True):
        np.testing.assert_allclose(one, np.sqrt(2.0) * other, rtol=1e-6)
    shapes = list(pairwise((4, 6, 5, 3)))
    for layer, shape in enumerate(shapes):
        for repeat in range(3):
            seed = ROOT.named(f"repeat/{repeat}/layer/{layer}/kernel")
            np.testing.assert_array_equal(he.kernels[layer][repeat], ift.HeNormal(seed=seed)(shape))


def test_a_repeat_is_what_it_would_be_alone():
    dataset = blobs()
    together, alone = network("he_normal", repeats=3), network("he_normal", repeats=1)
    several = training.train(together, dataset, Recipe(epochs=3), ROOT)
    single = training.train(alone, dataset, Recipe(epochs=3), ROOT)
    np.testing.assert_allclose(several.train_loss[0], single.train_loss[0], rtol=1e-5)
    assert (several.train_loss[1] != several.train_loss[0]).all()


def test_divergence_is_a_result():
    dataset = blobs()
    model = network(ift.RandomNormal(stddev=1e3), "relu", widths=(4, *[30] * 12, 3))
    curves = training.train(model, dataset, Recipe(epochs=2), ROOT)  # warnings are errors here
    assert not np.isfinite(curves.train_loss[:, -1]).any()
    assert not np.isfinite(curves.test_loss[:, -1]).any()
    assert not curves.train_accuracy[:, -1].any(), "no finite loss, no right answer"


def test_an_initializer_of_another_shape_is_an_error():
    with pytest.raises(ValueError, match="Expected `shape` to be"):
        network(np.ones((2, 2)))
    with pytest.raises(
        ValueError, match=re.escape("the requested shape (4, 6); received shape (6, 4)")
    ):
        network(lambda shape, dtype=None: np.ones(shape[::-1], dtype))


def test_one_blas_thread():
    threadpoolctl = pytest.importorskip("threadpoolctl")

    def threads():
        return [
            pool["num_threads"]
            for pool in threadpoolctl.threadpool_info()
            if pool["user_api"] == "blas"
        ]

    before = threads()
    with training.one_blas_thread():
        assert set(threads()) <= {1}
    assert threads() == before


def test_without_threadpoolctl(monkeypatch):
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    with (
        pytest.raises(ImportError, match=re.escape("pip install 'initfast[data]'")),
        training.one_blas_thread(),
    ):
        pass


def test_the_network_has_no_activation_behind_the_last_layer():
    model = Network([np.ones((1, 2, 2))], [np.full((1, 1, 2), -5.0)], activations.get("relu"))
    nets, inputs = model.forward(np.ones((3, 2)))
    assert (nets[-1] == -3.0).all()
    assert len(inputs) == 1
