"""Initializers read from text: names with arguments, JSON, torch's names, and labels."""

import json
import re

import numpy as np
import pytest

import initfast as ift
from initfast.initializers.grammar import label, parse


def config(initializer):
    serialized = ift.serialize(initializer)
    return serialized["class_name"], {
        key: value for key, value in serialized["config"].items() if key != "seed"
    }


TEXTS = [
    ("he_normal", ift.HeNormal()),
    (" he_normal\n", ift.HeNormal()),
    ("random_normal(stddev=0.02)", ift.RandomNormal(stddev=0.02)),
    ("RandomNormal( mean = -1, stddev=.5 )", ift.RandomNormal(-1, 0.5)),
    ("random_normal()", ift.RandomNormal()),
    ("VarianceScaling(mode='fan_out', input_axes=(0, 1), output_axes=[2])",
     ift.VarianceScaling(mode="fan_out", input_axes=[0, 1], output_axes=[2])),
    ("constant(value=[1, 2])", ift.Constant([1, 2])),
    ('{"class_name": "HeNormal"}', ift.HeNormal()),
    (json.dumps(ift.serialize(ift.Orthogonal(2.0))), ift.Orthogonal(2.0)),
    # Keras' names have Keras' meaning
    ("normal", ift.RandomNormal(0, 0.05)),
    ("normal(mean=1)", ift.RandomNormal(1, 0.05)),
    ("uniform", ift.RandomUniform(-0.05, 0.05)),
    ("constant", ift.Constant(0)),
    # unless they end in _ or have an argument of torch.
    ("normal_", ift.RandomNormal(0, 1)),
    ("normal(std=0.02)", ift.RandomNormal(0, 0.02)),
    ("normal(mean=1, std=0.02)", ift.RandomNormal(1, 0.02)),
    ("uniform_", ift.RandomUniform(0, 1)),
    ("uniform(b=2)", ift.RandomUniform(0, 2)),
    ("constant(val=3)", ift.Constant(3)),
    ("ones_", ift.Ones()),
    ("zeros_()", ift.Zeros()),
    ("eye_", ift.Identity()),
    ("orthogonal_(gain=2)", ift.Orthogonal(2)),
    ("xavier_uniform", ift.GlorotUniform()),
    ("xavier_uniform_(gain=2)", ift.VarianceScaling(4, "fan_avg", "uniform")),
    ("xavier_normal", ift.VarianceScaling(1, "fan_avg", "untruncated_normal")),
    ("kaiming_uniform", ift.HeUniform()),
    ("kaiming_uniform(nonlinearity='linear')", ift.LecunUniform()),
    ("kaiming_normal", ift.VarianceScaling(2, "fan_in", "untruncated_normal")),
    ("kaiming_normal_(a=1, mode='fan_out')",
     ift.VarianceScaling(1, "fan_out", "untruncated_normal")),
    ("trunc_normal", ift.TruncatedNormal(0, 1)),
    ("trunc_normal(mean=1, std=0.5, a=0, b=1.5)", ift.TruncatedNormal(1, 0.5, None, -2, 1)),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), TEXTS)
def test_reading(text, expected):
    assert config(ift.get(text)) == config(expected)


@pytest.mark.parametrize(("text", "expected"), TEXTS)
def test_labels_are_read_back(text, expected):
    assert config(parse(label(expected))) == config(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("HeNormal", "he_normal"),
        ("zero", "zeros"),
        ("stft", "stft"),
        ("random_normal(stddev=1.0)", "random_normal(stddev=1)"),
        ("truncated_normal(lower=-1)", "truncated_normal(lower=-1)"),
        ('{"class_name": "Constant", "config": {"value": 0.5}}', "constant(value=0.5)"),
        ("constant(value=[1, 2])", "constant(value=[1, 2])"),
        (f"constant(value={[1] * 50})", "constant(value=...)"),
    ],
)
def test_labels(text, expected):
    assert label(ift.get(text)) == expected


def test_a_label_leaves_the_seed_out():
    assert label(ift.HeNormal(seed=3)) == "he_normal"


def test_a_seed_for_a_text_without_one():
    for text in ("he_normal", "kaiming_normal", '{"class_name": "HeNormal"}'):
        assert parse(text, seed=5).seed == 5
    assert parse('{"class_name": "HeNormal", "config": {"seed": 3}}', seed=5).seed == 3
    assert config(parse("zeros", seed=5)) == config(ift.Zeros())


@pytest.mark.parametrize(
    "text",
    [
        "random_normal(0.01)",
        "random_normal(stddev=",
        "random_normal(stddev=x)",
        "random_normal(**{})",
        "random_normal(stddev=1)(2)",
        "{oops",
        "f.g(a=1)",
        "he_normal(seed=3)",
    ],
)
def test_texts_that_do_not_describe_an_initializer(text):
    with pytest.raises(ValueError, match=re.escape(f"received {text!r}")):
        ift.get(text)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("random_normal(std=1)", ValueError, "'std'"),
        ("normal(std=1, stddev=1)", TypeError, "'stddev'"),
        ("random_normal(stddev=-1)", ValueError, "stddev must be >= 0"),
        ("constant_", TypeError, "'val'"),
        ("dirac_", ValueError, "Keras has no such initializer"),
        ("sparse(sparsity=0.1)", ValueError, "Keras has no such initializer"),
        ("trunc_normal(std=0)", ValueError, "std > 0"),
        ("trunc_normal(a=1, b=1)", ValueError, "a < b"),
        ("kaiming_normal(mode='fan_avg')", ValueError, "fan_avg not supported"),
        ("kaiming_normal(nonlinearity='mish')", ValueError, "Unsupported nonlinearity mish"),
        ("xavier_normal(gain=-1)", ValueError, "gain must be > 0"),
        ("xavier_unifrm", ValueError, "Did you mean 'xavier_uniform'"),
        ("he_norml(input_axes=[0])", ValueError, "Did you mean 'he_normal'"),
    ],
)
def test_wrong_names_and_arguments(text, error, message):
    with pytest.raises(error, match=re.escape(message)):
        ift.get(text)


def test_a_text_runs_nothing(tmp_path):
    with pytest.raises(ValueError, match="an initializer must be"):
        ift.get(f"random_normal(stddev=open({str(tmp_path / 'x')!r}, 'w'))")
    assert not list(tmp_path.iterdir())


def test_gains_are_those_of_torch():
    gain = pytest.importorskip("torch").nn.init.calculate_gain
    for name in ("linear", "conv2d", "conv_transpose1d", "sigmoid", "tanh", "relu", "selu"):
        initializer = parse(f"kaiming_normal(nonlinearity={name!r})")
        assert initializer.scale == pytest.approx(gain(name) ** 2, rel=1e-14)
    initializer = parse("kaiming_normal(a=0.3)")
    assert initializer.scale == pytest.approx(gain("leaky_relu", 0.3) ** 2, rel=1e-14)


@pytest.mark.parametrize(
    "arguments", [{}, {"std": 0.02}, {"mean": 0.1, "std": 0.3, "a": 0.0, "b": 1e999}]
)
def test_torch_draws_the_same_truncated_normal(arguments):
    torch = pytest.importorskip("torch")
    init = pytest.importorskip("initfast.torch")
    text = ", ".join(f"{key}={value!r}" for key, value in arguments.items()).replace("inf", "1e999")
    values = parse(f"trunc_normal({text})", seed=7)((50, 30))
    theirs = init.trunc_normal_(torch.empty(50, 30), **arguments, seed=7)
    assert np.array_equal(values, theirs.numpy())
