"""Test `diagnose` and its report: values, text and errors."""

import json
import subprocess
import sys

import numpy as np
import pytest

import initfast as ift
from initfast.signal import CRITERIA, SignalReport, diagnose

LONGEST = 100


def test_a_report_holds_plain_numbers():
    report = diagnose([30, 20, 10], "he_normal", "relu", "ones", "bernoulli", 7, batch=50)
    assert isinstance(report, SignalReport)
    assert (report.activation, report.initializer, report.bias_initializer) == (
        "relu",
        "he_normal",
        "ones",
    )
    assert (report.inputs, report.batch, report.seed) == ("bernoulli", 50, 7)
    assert [(layer.name, layer.fan_in, layer.fan_out) for layer in report.layers] == [
        ("layer_1", 30, 20),
        ("layer_2", 20, 10),
    ]
    for layer in report.layers:
        assert type(layer.net_mean) is type(layer.net_std) is type(layer.gradient_rms) is float
        assert layer.saturated is None and type(layer.dead) is float
        assert sum(layer.histogram.counts) == 50 * layer.units
    assert diagnose([30, 20, 10], activation="tanh").layers[0].dead is None


def test_all_numbers_by_hand():
    """Compute the same network again in plain NumPy."""
    x = np.random.default_rng(0).normal(1.0, 2.0, (40, 12))
    report = diagnose([12, 9, 4], "glorot_normal", "tanh", ift.RandomNormal(stddev=0.5), x, 3)
    seed, before = ift.Seed(3), x
    for layer in report.layers:
        weights = ift.GlorotNormal(seed=seed.named(f"{layer.name}/kernel"))(
            (layer.fan_in, layer.fan_out)
        )
        bias = ift.RandomNormal(stddev=0.5, seed=seed.named(f"{layer.name}/bias"))((layer.fan_out,))
        net = before @ weights.astype(float) + bias.astype(float)
        after = np.tanh(net)
        assert layer.input_second_moment == pytest.approx((before**2).mean())
        assert layer.input_batch_variance == pytest.approx(before.var(axis=0).mean())
        assert (layer.net_mean, layer.net_std) == (
            pytest.approx(net.mean()),
            pytest.approx(net.std()),
        )
        assert layer.net_batch_variance == pytest.approx(net.var(axis=0).mean())
        assert (layer.mean, layer.variance) == (
            pytest.approx(after.mean()),
            pytest.approx(after.var()),
        )
        assert layer.second_moment == pytest.approx((after**2).mean())
        assert layer.batch_variance == pytest.approx(after.var(axis=0).mean())
        assert layer.mean_error == pytest.approx(after.mean(axis=0).std() / np.sqrt(layer.units))
        assert layer.saturated == pytest.approx((1 - after**2 < 0.1).mean())
        before = after


def test_the_same_arguments_give_the_same_report():
    first, again, other = (diagnose([20, 20, 20], "he_uniform", seed=seed) for seed in (1, 1, 2))
    assert first == again and str(first) == str(again)
    assert first.layers != other.layers
    assert diagnose([20, 20, 20], ift.HeUniform(seed=99), seed=1).layers == first.layers, (
        "its own seed is not used"
    )
    assert diagnose([20, 20, 20], "he_uniform", seed=ift.Seed(1)) == first


def test_the_batch_is_that_of_the_array():
    x = np.zeros((3, 5), np.uint8)
    report = diagnose([5, 4], inputs=x)
    assert report.batch == 3 and report.inputs == "given"
    assert report.layers[0].input_second_moment == 0


def test_inputs_are_what_they_are_called():
    normal, bernoulli = (
        diagnose([200, 5], inputs=inputs, batch=400).layers[0] for inputs in ("normal", "bernoulli")
    )
    # 80,000 values: four standard errors of the second moments are 0.02 and 0.0071.
    assert normal.input_second_moment == pytest.approx(1.0, abs=0.02)
    assert bernoulli.input_second_moment == pytest.approx(0.5, abs=0.0071)
    assert bernoulli.input_batch_variance == pytest.approx(0.25, abs=0.005)


def test_the_last_layer_may_have_an_activation_of_its_own():
    report = diagnose([10, 8, 6], activation="relu", output_activation="sigmoid")
    assert [layer.activation for layer in report.layers] == ["relu", "sigmoid"]
    assert report.activation == "relu, sigmoid"


@pytest.mark.parametrize(
    "report",
    [
        lambda: diagnose([1000, 500, 500, 10]),
        lambda: diagnose([64] * 6, ift.RandomNormal(stddev=1e30), "relu"),
        lambda: diagnose([64] * 6, "zeros", "relu"),
        lambda: diagnose(
            [10**5, 3], ift.VarianceScaling(3.12345, "fan_out", "uniform", None, [0], [1]), batch=8
        ),
    ],
)
def test_the_table_fits_100_columns(report):
    text = str(report())
    assert max(map(len, text.splitlines())) <= LONGEST
    lines = text.splitlines()
    head = next(line for line in lines if line.startswith("layer "))
    row = next(line for line in lines if line.startswith("layer_1 "))
    assert len(head) == len(row) == LONGEST
    for letter, criterion in CRITERIA.items():
        names = (criterion, "the mean of the activations is not near zero" if letter == "e" else "")
        assert any(name in line for line in lines for name in names if name), criterion
    assert lines[0].split(":")[0] in ("GOOD", "POOR", "UNUSABLE"), "the verdict comes first"
    assert any(line.startswith("fan_in     number of inputs") for line in lines)


def test_long_names_keep_their_ends():
    import dataclasses

    report = diagnose([5, 4])
    layer = dataclasses.replace(report.layers[0], name="encoder.block.17.attention.projection")
    assert "ion.projection" in str(dataclasses.replace(report, layers=(layer,)))


def test_to_dict_is_json():
    report = diagnose([64] * 300, ift.RandomNormal(stddev=30.0), "relu", batch=4)
    values = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert values["layers"][0]["net_std"] == report.layers[0].net_std
    assert values["layers"][-1]["second_moment"] in ("inf", "nan"), "as `compare` spells it"
    assert values["summary"]["level"] == "UNUSABLE"
    assert set(values["layers"][0]["histogram"]) == {"edges", "counts"}
    assert values["verdicts"]["c"]["passed"] is False
    assert set(values) >= {
        "activation",
        "initializer",
        "inputs",
        "loss",
        "batch",
        "seed",
        "layers",
        "verdicts",
        "notes",
    }


def test_one_sample_and_one_unit():
    report = diagnose([1, 1], "ones", "softplus", batch=1)
    assert report.layers[0].batch_variance == 0.0 and str(report)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"widths": []}, "widths must be at least two integers >= 1, the number of inputs"),
        ({"activation": "foo"}, "activation must be one of"),
        ({"output_activation": "foo"}, "activation must be one of"),
        ({"initializer": None}, "initializer must be"),
        ({"bias_initializer": "glorot"}, "Could not interpret initializer"),
        (
            {"inputs": "gauss"},
            "inputs must be one of 'normal', 'bernoulli', or an array; received 'gauss'",
        ),
        (
            {"inputs": np.zeros((3, 4))},
            r"inputs must be an array of numbers of shape \(batch, 5\).*\(3, 4\)",
        ),
        ({"inputs": np.zeros(5)}, "inputs must be an array of numbers"),
        ({"inputs": np.array([["a"] * 5])}, "inputs must be an array of numbers"),
        ({"inputs": np.zeros((0, 5))}, "inputs must have at least one sample"),
        (
            {"inputs": np.array([[0, 1, np.nan, np.inf, 2]])},
            "inputs must be finite; received 2 values that are inf or nan",
        ),
        ({"batch": 0}, "batch must be an integer >= 1; received 0"),
        ({"batch": 2.5}, "batch must be an integer >= 1"),
        ({"seed": -1}, "seed.*-1"),
    ],
)
def test_what_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        diagnose(**{"widths": [5, 4], **arguments})


def test_importing_it_loads_nothing_heavy():
    heavy = ("scipy", "matplotlib", "sklearn", "torch", "keras", "jax", "tensorflow")
    code = f"import sys, initfast.signal; print([name for name in {heavy} if name in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
