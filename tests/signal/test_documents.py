"""Compute the claims of two introductions to weight initialisation, and show which of them do not
hold in general.

Every tolerance is four standard errors, from the numbers of units and samples: with new seeds,
about one comparison in 16,000 would fail. If units share the inputs, the sample size is the number
of units."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

import initfast as ift
from initfast.signal import activations, diagnose, networks
from initfast.signal.measures import Units, equal_units

STANDARD = ift.RandomNormal(stddev=1.0)
SMALL = ift.RandomNormal(stddev=0.01)
ERRORS = 4.0
WIDTH, DEPTH = 512, 10
DEEP = [WIDTH] * (DEPTH + 1)
HALF_ON = np.arange(1000)[None, :] < 500


def factor(values):
    """Return the mean factor from one value to the next."""
    return (values[-1] / values[0]) ** (1 / (len(values) - 1))


def relative_error(kurtosis=3.0):
    """Standard error of a layer's second moment, relative, where its units are as good as all that
    is drawn.
    """
    return math.sqrt((kurtosis - 1) / WIDTH)


class TestStandardNormalWeights:
    """With 500 of 1000 inputs equal to 1, and weights and biases N(0, 1), z is a sum of 501
    standard normals."""

    UNITS = 20_000

    def layer(self, initializer, activation):
        return diagnose(
            [1000, self.UNITS], initializer, activation, STANDARD, HALF_ON, seed=1
        ).layers[0]

    def test_the_standard_deviation_is_22_38(self):
        layer = self.layer(STANDARD, "sigmoid")
        expected = math.sqrt(501)
        assert expected == pytest.approx(22.38, abs=0.005)
        assert layer.net_std == pytest.approx(expected, rel=ERRORS / math.sqrt(2 * self.UNITS))
        assert abs(layer.net_mean) < ERRORS * expected / math.sqrt(self.UNITS)

    @pytest.mark.parametrize(("activation", "expected"), [("sigmoid", 0.871), ("tanh", 0.935)])
    def test_the_saturated_share_follows(self, activation, expected):
        share = 2 * stats.norm.sf(activations.get(activation).edge / math.sqrt(501))
        assert share == pytest.approx(expected, abs=0.0005)
        error = math.sqrt(share * (1 - share) / self.UNITS)
        assert self.layer(STANDARD, activation).saturated == pytest.approx(
            share, abs=ERRORS * error
        )

    @pytest.mark.parametrize("activation", ["sigmoid", "tanh"])
    def test_one_over_the_root_of_the_inputs_cures_it(self, activation):
        layer = self.layer(ift.RandomNormal(stddev=1 / math.sqrt(1000)), activation)
        assert layer.net_std**2 == pytest.approx(1.5, rel=ERRORS * math.sqrt(2 / self.UNITS))
        share = 2 * stats.norm.sf(activations.get(activation).edge / math.sqrt(1.5))
        error = math.sqrt(share * (1 - share) / self.UNITS)
        assert layer.saturated == pytest.approx(share, abs=ERRORS * error)
        assert share < 0.15

    def test_small_changes_of_weights_barely_move_the_activation(self):
        """The mean slope is the density of N(0, 501) at 0; a unit at z = 0 has the slope 1/4."""
        (layer,) = networks.build([1000, self.UNITS], STANDARD, "sigmoid", STANDARD, 1)
        slope = layer.activation.slope(networks.forward([layer], HALF_ON.astype(float))[0].net)
        expected = 1 / math.sqrt(2 * math.pi * 501)
        assert expected < 0.25 / 14
        assert slope.mean() == pytest.approx(
            expected, abs=ERRORS * slope.std() / math.sqrt(self.UNITS)
        )

    def test_bernoulli_inputs(self):
        """Each input is 0 or 1: over the units, z ~ N(0, 501), up to the number of ones."""
        layer = diagnose(
            [1000, 2000], STANDARD, "sigmoid", STANDARD, "bernoulli", seed=2, batch=64
        ).layers[0]
        assert layer.input_second_moment == pytest.approx(0.5, abs=ERRORS * 0.5 / math.sqrt(64_000))
        assert layer.net_std == pytest.approx(math.sqrt(501), rel=ERRORS / math.sqrt(2 * 2000))

    @pytest.mark.parametrize("activation", ["sigmoid", "tanh"])
    def test_domino_through_the_layers(self, activation):
        """The next layer sums the outputs again, Var[z] = fan_in E[x^2] + 1, and saturates too."""
        widths = [1000] + [500] * 6
        report = diagnose(widths, STANDARD, activation, STANDARD, "bernoulli", seed=3)
        assert not report.verdicts["b"].passed and not report.verdicts["f"].passed
        for before, layer in itertools.pairwise(report.layers):
            expected = 500 * before.second_moment + 1
            assert layer.net_std**2 + layer.net_mean**2 == pytest.approx(
                expected, rel=ERRORS * math.sqrt(2 / 500)
            )
            assert layer.net_std > 12 and layer.saturated > 0.7
        scaled = [
            diagnose([fan_in, 500], ift.LecunNormal(), activation, seed=3).layers[0]
            for fan_in in (1000, 500)
        ]
        assert all(layer.saturated < 0.1 for layer in scaled)

    def test_it_explodes_with_relu(self):
        report = diagnose(DEEP, STANDARD, "relu", STANDARD, seed=4)
        assert report.verdicts["c"].passed is False and report.verdicts["d"].passed is False
        growth = factor([layer.second_moment for layer in report.layers])
        assert growth == pytest.approx(WIDTH / 2, rel=0.25)

    def test_what_does_not_hold_in_general(self):
        """The gradient vanishes in each unit, but large weights outweigh this through the layers.

        Each layer multiplies the variance of the gradient by n E[sigma'(z)^2], z ~ N(0, n / 2):
        sqrt(n) / (6 sqrt(pi)), which is above 1 for more than 113 units. With fewer units the
        gradients shrink."""
        grows = [
            layer.gradient_rms
            for layer in diagnose(DEEP, STANDARD, "sigmoid", STANDARD, seed=5).layers
        ]
        assert grows[0] > 3 * grows[-2]
        expected = math.sqrt(WIDTH) / (6 * math.sqrt(math.pi))
        # The sample size is the number of units with a slope, a share of about 3 / sqrt(n / 2).
        assert factor(grows[:-1]) ** -2 == pytest.approx(expected, rel=0.25)
        shrinks = [
            layer.gradient_rms
            for layer in diagnose([32] * 11, STANDARD, "sigmoid", STANDARD, seed=5).layers
        ]
        assert shrinks[0] < shrinks[-2]


class TestZeros:
    @pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu"])
    def test_no_gradient_and_equal_units(self, activation):
        report = diagnose([100, 50, 40, 10], "zeros", activation, seed=1)
        for layer in report.layers[:-1]:
            assert layer.gradient_rms == 0 and layer.weight_gradient_rms == 0
            assert layer.symmetric == layer.units
            assert layer.variance == 0
        assert report.verdicts["d"].passed is False and "no gradient" in report.verdicts["d"].reason
        assert report.verdicts["f"].passed is False
        assert report.verdicts["g"].passed is False and report.summary.level == "UNUSABLE"
        assert report.summary.sentence.startswith("all 50 units of layer_1 stay equal (zeros)")

    @pytest.mark.parametrize("value", [0.0, 0.1, 1.0])
    @pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu"])
    def test_units_stay_equal_through_training(self, value, activation):
        """After three steps of gradient descent from a constant, hidden units are still equal."""
        layers = networks.build([20, 12, 8, 3], ift.Constant(value), activation, seed=1)
        random = np.random.default_rng(0)
        x, g = random.normal(size=(30, 20)), random.normal(size=(30, 3))
        for _ in range(3):
            gradients = networks.backward(layers, x, networks.forward(layers, x), g)
            for layer, gradient in zip(layers, gradients, strict=True):
                layer.weights[...] -= 0.01 * gradient.weights
                layer.bias[...] -= 0.01 * gradient.bias
        for layer in layers[:-1]:
            np.testing.assert_allclose(
                layer.weights, np.repeat(layer.weights[:, :1], len(layer.bias), 1), rtol=1e-12
            )
        assert len(np.unique(layers[-1].bias)) == (1 if activation == "relu" and value == 0 else 3)

    def test_random_units_do_not(self):
        report = diagnose([100, 50, 40, 10], "glorot_uniform", "tanh", seed=1)
        assert [layer.symmetric for layer in report.layers] == [0, 0, 0] and not report.notes

    def test_counting_sees_them_part(self):
        """Equal incoming weights are not symmetry if the gradients of the units differ."""
        (first, second) = networks.build([6, 5, 2], ift.Constant(0.5), "tanh", seed=1)
        second.weights[...] = np.random.default_rng(0).normal(size=(5, 2))
        x = np.random.default_rng(1).normal(size=(9, 6))
        gradients = networks.backward(
            [first, second], x, networks.forward([first, second], x), np.ones((9, 2))
        )
        assert (
            equal_units(Units(first.weights, first.bias, gradients[0].weights, gradients[0].bias))
            == 0
        )


class TestSmallNormalWeights:
    def test_activations_and_gradients_vanish_in_a_deep_tanh_network(self):
        report = diagnose(DEEP, SMALL, "tanh", seed=1)
        expected = WIDTH * 0.01**2  # factor per layer; tanh is almost linear there
        sizes = [layer.second_moment for layer in report.layers]
        assert factor(sizes) == pytest.approx(
            expected, rel=ERRORS * relative_error() / math.sqrt(DEPTH - 1)
        )
        assert sizes[-1] < 1e-12
        gradients = [layer.gradient_rms**2 for layer in report.layers]
        assert 1 / factor(gradients) == pytest.approx(
            expected, rel=ERRORS * relative_error() / math.sqrt(DEPTH - 1)
        )
        assert report.verdicts["d"].passed is False and report.verdicts["f"].passed is False

    def test_gradients_by_the_weights_do_not(self):
        """A gradient of weights is a product of an activation, small in late layers, and a gradient
        of net inputs, small in early layers; the factors cancel."""
        sizes = [
            layer.weight_gradient_rms for layer in diagnose(DEEP, SMALL, "tanh", seed=1).layers
        ]
        assert max(sizes) / min(sizes) < 3


class TestGlorot:
    @pytest.mark.parametrize("initializer", ["glorot_uniform", "glorot_normal"])
    def test_both_variances_are_kept_in_a_linear_network(self, initializer):
        report = diagnose(DEEP, initializer, "linear", seed=1)
        tolerance = ERRORS * relative_error() / math.sqrt(DEPTH - 1)
        assert factor([layer.variance for layer in report.layers]) == pytest.approx(
            1, rel=tolerance
        )
        assert factor([layer.gradient_rms**2 for layer in report.layers]) == pytest.approx(
            1, rel=tolerance
        )
        assert all(report.verdicts[letter].passed for letter in "cdef")

    @pytest.mark.parametrize("initializer", ["glorot_uniform", "glorot_normal"])
    def test_net_inputs_have_the_variance_of_the_inputs_in_a_tanh_network(self, initializer):
        report = diagnose(DEEP, initializer, "tanh", seed=1)
        for layer in report.layers:
            ratio = layer.net_std**2 / layer.input_second_moment
            assert ratio == pytest.approx(1, rel=ERRORS * relative_error())
        assert all(report.verdicts[letter].passed for letter in "bdef")

    def test_what_does_not_hold_in_general(self):
        """tanh reduces the variance of the activations from 1 to 0.39 in layer 1 and to 1/20 in
        layer 10."""
        sizes = [
            layer.variance for layer in diagnose(DEEP, "glorot_uniform", "tanh", seed=1).layers
        ]
        assert sizes[0] == pytest.approx(0.394, rel=ERRORS * relative_error())
        assert sizes[9] == pytest.approx(0.05, rel=0.3)
        # The variance falls like 1 / depth, not by a constant factor per layer.
        longer = [
            layer.variance
            for layer in diagnose([256] * 41, "glorot_uniform", "tanh", seed=1, batch=64).layers
        ]
        assert longer[39] == pytest.approx(longer[9] / 4, rel=0.4)

    def test_with_a_sigmoid_the_signal_is_lost(self):
        """Each layer multiplies the variance over the batch by E[sigma'(z)^2], because the slope of
        the sigmoid is at most 1/4.

        Here z ~ N(0, q) with q = E[sigma(z)^2] = 0.27, and the factor is less than a sixteenth.
        """
        sigmoid = activations.get("sigmoid")
        points, weights = np.polynomial.hermite_e.hermegauss(60)
        weights = weights / weights.sum()
        q = 1.0
        for _ in range(50):
            q = weights @ sigmoid.value(math.sqrt(q) * points) ** 2
        expected = weights @ sigmoid.slope(math.sqrt(q) * points) ** 2
        assert 1 / 19 < expected < 1 / 16
        report = diagnose(DEEP, "glorot_uniform", "sigmoid", seed=1)
        share = factor([layer.batch_variance for layer in report.layers[1:]])
        assert share == pytest.approx(
            expected, rel=ERRORS * relative_error() / math.sqrt(DEPTH - 2)
        )
        assert report.verdicts["f"].passed is False and report.verdicts["d"].passed is False

    def test_fans_that_differ(self):
        """Glorot's scale is a compromise of both fans: a layer of 2048 inputs and 128 units
        multiplies the variance by 1.88."""
        report = diagnose([2048, 128], "glorot_uniform", "linear", seed=1)
        variance = report.layers[0].net_std ** 2
        assert variance == pytest.approx(
            2 * 2048 / 2176, rel=ERRORS * math.sqrt(2 / 2048) + ERRORS * math.sqrt(2 / 32768)
        )
        assert report.verdicts["f"].passed is False


class TestHe:
    @pytest.mark.parametrize("initializer", ["he_normal", "he_uniform"])
    def test_the_second_moment_of_relu_is_kept(self, initializer):
        report = diagnose(DEEP, initializer, "relu", seed=1)
        tolerance = ERRORS * relative_error(6.0) / math.sqrt(DEPTH)  # for ReLU, E[x^4] = 6 E[x^2]^2
        assert factor([1.0, *(layer.second_moment for layer in report.layers)]) == pytest.approx(
            1, rel=tolerance
        )
        assert factor([layer.gradient_rms**2 for layer in report.layers]) == pytest.approx(
            1, rel=tolerance
        )
        assert [report.verdicts[letter].passed for letter in "cdf"] == [True, True, True]

    @pytest.mark.parametrize(
        "initializer", ["glorot_normal", "glorot_uniform", "lecun_normal", "lecun_uniform"]
    )
    def test_glorot_and_lecun_halve_it(self, initializer):
        report = diagnose(DEEP, initializer, "relu", seed=1)
        tolerance = ERRORS * relative_error(6.0) / math.sqrt(DEPTH)
        assert factor([1.0, *(layer.second_moment for layer in report.layers)]) == pytest.approx(
            0.5, rel=tolerance
        )
        assert [report.verdicts[letter].passed for letter in "cdf"] == [True, False, False]

    def test_it_is_not_the_variance_that_is_kept(self):
        """The variance over the batch falls in each layer: samples become similar, and E[x^2] is
        kept by their mean."""
        layers = diagnose(DEEP, "he_normal", "relu", seed=1).layers
        falls = [layer.batch_variance for layer in layers]
        assert all(later < earlier for earlier, later in itertools.pairwise(falls))
        assert falls[-1] < falls[0] / 3

    def test_relu_never_has_mean_zero(self):
        verdict = diagnose(DEEP, "he_normal", "relu", seed=1).verdicts["e"]
        assert verdict.passed is False and "No initializer changes this" in verdict.recommend

    def test_in_a_linear_network_it_doubles(self):
        report = diagnose(DEEP, "he_normal", "linear", seed=1)
        tolerance = ERRORS * relative_error() / math.sqrt(DEPTH)
        assert factor([1.0, *(layer.second_moment for layer in report.layers)]) == pytest.approx(
            2, rel=tolerance
        )
        assert [report.verdicts[letter].passed for letter in "cdf"] == [False, False, False]


class TestLecun:
    @pytest.mark.parametrize("initializer", ["lecun_normal", "lecun_uniform"])
    def test_selu_keeps_mean_0_and_variance_1(self, initializer):
        report = diagnose(DEEP, initializer, "selu", seed=1)
        for layer in report.layers:
            assert layer.variance == pytest.approx(1, rel=3 * ERRORS * relative_error())
            assert abs(layer.mean) < ERRORS / math.sqrt(WIDTH)
        assert all(report.verdicts[letter].passed for letter in "cdef")

    @pytest.mark.parametrize("initializer", ["lecun_normal", "lecun_uniform"])
    def test_tanh(self, initializer):
        report = diagnose([1000, 500, 300, 200, 100], initializer, "tanh", seed=1)
        for layer in report.layers:
            ratio = layer.net_std**2 / layer.input_second_moment
            assert ratio == pytest.approx(1, rel=ERRORS * math.sqrt(2 / layer.fan_out))
        assert all(report.verdicts[letter].passed for letter in "bdef")


def test_random_uniform_fits_one_width_by_chance():
    """Keras' RandomUniform in +-0.05 has variance 1/1200: too small for 512 units, not for 1200."""
    assert diagnose(DEEP, "random_uniform", "tanh", seed=1).verdicts["f"].passed is False
    assert (
        diagnose([1200, 1200, 1200, 10], "random_uniform", "tanh", seed=1, batch=64)
        .verdicts["f"]
        .passed
        is True
    )
