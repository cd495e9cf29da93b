"""Test the measurements: moments, gradients, equal units, histograms, each with another method."""

import numpy as np
import pytest

import initfast as ift
from initfast.signal import networks
from initfast.signal.activations import ACTIVATIONS
from initfast.signal.measures import Units, equal_units, histogram, measure, moments, rms

RANDOM = np.random.default_rng(5)


def test_moments():
    values = RANDOM.normal(3.0, 2.0, (50, 7)) + 10 * RANDOM.normal(size=7)
    result = moments(values)
    assert result.mean == pytest.approx(values.mean())
    assert result.variance == pytest.approx(values.var())
    assert result.batch_variance == pytest.approx(values.var(axis=0).mean())
    assert result.mean_error == pytest.approx(values.mean(axis=0).std() / np.sqrt(7))


def test_moments_of_near_numbers_do_not_cancel():
    values = 1e8 + RANDOM.normal(size=(100, 9))
    assert moments(values).variance == pytest.approx(values.var(), rel=1e-6)


@pytest.mark.parametrize("scale", [1.0, 1e-200, 1e200, 0.0])
def test_rms_at_every_scale(scale):
    values = RANDOM.normal(size=(20, 5))
    assert rms(scale * values) == pytest.approx(scale * np.sqrt(np.mean(values**2)), rel=1e-12)


@pytest.mark.parametrize("worst", [np.inf, np.nan])
def test_rms_of_what_is_not_finite(worst):
    assert not np.isfinite(rms(np.array([1.0, worst])))


def test_a_line():
    net = np.array([[-4.0, 0.5, 0.0], [4.0, -0.5, 0.0]])
    line = measure(
        "name",
        ACTIVATIONS["sigmoid"],
        (2, 3),
        moments(np.ones((2, 2))),
        net,
        ACTIVATIONS["sigmoid"].value(net),
    )
    assert (line.name, line.fan_in, line.fan_out, line.units) == ("name", 2, 3, 3)
    assert (line.input_second_moment, line.input_batch_variance) == (1.0, 0.0)
    assert line.saturated == pytest.approx(2 / 6)
    assert line.dead is None
    assert line.mean == pytest.approx(0.5)
    assert line.second_moment == pytest.approx(line.variance + 0.25)
    relu = measure("name", ACTIVATIONS["relu"], None, None, net, ACTIVATIONS["relu"].value(net))
    assert relu.dead == pytest.approx(1 / 3) and relu.saturated is None
    assert relu.fan_in is None and relu.input_second_moment is None
    assert sum(relu.histogram.counts) == 6


def test_net_inputs_that_are_not_finite_are_saturated():
    net = np.array([[np.nan, np.inf, -np.inf, 0.0]])
    with np.errstate(invalid="ignore"):
        assert measure("a", ACTIVATIONS["tanh"], None, None, net, np.tanh(net)).saturated == 0.75


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_gradients_are_those_of_the_loss(name):
    """Compare each gradient with a central difference of the loss."""
    layers = networks.build(
        [5, 4, 6, 3], "glorot_normal", name, ift.RandomNormal(stddev=0.3), 3, "sigmoid"
    )
    x, g = RANDOM.normal(size=(7, 5)), RANDOM.normal(size=(7, 3))
    gradients = networks.backward(layers, x, networks.forward(layers, x), g)

    def loss():
        return float((networks.forward(layers, x)[-1].out * g).sum())

    h = 1e-6
    for layer, gradient in zip(layers, gradients, strict=True):
        for values, expected in ((layer.weights, gradient.weights), (layer.bias, gradient.bias)):
            for place in [(0,) * values.ndim, tuple(size - 1 for size in values.shape)]:
                original = values[place]
                values[place] = original + h
                high = loss()
                values[place] = original - h
                low = loss()
                values[place] = original
                assert (high - low) / (2 * h) == pytest.approx(expected[place], rel=1e-4, abs=1e-7)
    np.testing.assert_array_equal(gradients[-1].out, g)
    # For the activations of layer 1, treat them as the inputs of the remaining layers.
    first = networks.forward(layers, x)[0].out
    for place in ((0, 0), (6, 3)):
        moved = []
        for step in (h, -h):
            shifted = first.copy()
            shifted[place] += step
            moved.append(float((networks.forward(layers[1:], shifted)[-1].out * g).sum()))
        assert (moved[0] - moved[1]) / (2 * h) == pytest.approx(
            gradients[0].out[place], rel=1e-4, abs=1e-7
        )


def test_equal_units_are_counted():
    weights, gradient = RANDOM.normal(size=(9, 8)), RANDOM.normal(size=(9, 8))
    bias, bias_gradient = np.zeros(8), RANDOM.normal(size=8)
    assert equal_units(Units(weights, bias, gradient, bias_gradient)) == 0
    weights[:, 3] = weights[:, 5] = weights[:, 0]
    assert equal_units(Units(weights, bias, gradient, bias_gradient)) == 0, "their gradients differ"
    gradient[:, 3] = gradient[:, 5] = gradient[:, 0] * (1 + 1e-15)
    assert equal_units(Units(weights, bias, gradient, bias_gradient)) == 0, (
        "the gradients of their biases differ"
    )
    bias_gradient[3] = bias_gradient[5] = bias_gradient[0]
    assert equal_units(Units(weights, bias, gradient, bias_gradient)) == 3
    assert equal_units(Units(weights, None, gradient, None)) == 3
    bias[5] = 1e-30
    assert equal_units(Units(weights, bias, gradient, bias_gradient)) == 2


def test_two_pairs_of_equal_units_and_signs_of_zero():
    weights, gradient = np.zeros((3, 4)), np.zeros((3, 4))
    weights[:, 1] = -0.0
    weights[:, 2:] = 1.0
    gradient[:, 2:] = [[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]
    assert equal_units(Units(weights, None, gradient, None)) == 4
    gradient[1, 3] = 2.1
    assert equal_units(Units(weights, None, gradient, None)) == 2


@pytest.mark.parametrize(
    "low, high", [(-1.0, 1.0), (5.0, 5.0), (0.0, 1e-320), (1.0, 1.0 + 2.3e-16), (-1e308, 1e308)]
)
def test_histograms_hold_all(low, high):
    values = np.array([[low, high, low]])
    result = histogram(values)
    if high - low == np.inf:
        assert result == ((), ())
        return
    assert sum(result.counts) == 3 and len(result.edges) == len(result.counts) + 1
    assert (
        result.edges[0] <= low and high <= result.edges[-1] and (np.diff(result.edges) >= 0).all()
    )


def test_a_histogram_is_numpys():
    values = RANDOM.normal(size=(100, 30))
    result = histogram(values, 20)
    counts, edges = np.histogram(values, 20)
    np.testing.assert_allclose(result.edges, edges)
    assert np.abs(np.array(result.counts) - counts).max() <= 1  # a value on an edge, by rounding


def test_histograms_leave_out_what_is_not_finite():
    assert sum(histogram(np.array([[np.nan, 1.0, 2.0, np.inf]])).counts) == 2
    assert histogram(np.array([[np.nan]])) == ((), ())


def test_a_sketch_has_the_weights_that_the_initializer_gives():
    layers = networks.build([6, 5, 4], ift.HeNormal(seed=99), "relu", "ones", ift.Seed(7), "linear")
    root = ift.Seed(7)
    assert [layer.activation.name for layer in layers] == ["relu", "linear"]
    np.testing.assert_array_equal(
        layers[1].weights, ift.HeNormal(seed=root.named("layer_2/kernel"))((5, 4))
    )
    assert (layers[0].bias == 1.0).all() and layers[0].bias.shape == (5,)


@pytest.mark.parametrize("widths", [[], [3], [3, 0], [3, -1], [3, 2.0], "3x2", None, [True, 2], 5])
def test_widths_that_cannot_be(widths):
    with pytest.raises(
        ValueError,
        match="widths must be at least two integers >= 1, the number of inputs and then the units",
    ):
        networks.build(widths, "zeros", "relu")


@pytest.mark.parametrize(
    ("initializer", "message"),
    [
        (None, "initializer must be an initializer or a name such as 'he_normal'; received None"),
        ("he_norml", "Did you mean 'he_normal'"),
        (
            lambda shape: np.zeros((1, 1)),
            r"initializer must return an array of shape \(3, 2\); received shape",
        ),
        (lambda shape: np.full(shape, np.nan), "initializer must return finite values"),
        (np.zeros((2, 2)), "Expected `shape` to be"),
    ],
)
def test_initializers_that_cannot_be(initializer, message):
    with pytest.raises(ValueError, match=message):
        networks.build([3, 2], initializer, "relu")
