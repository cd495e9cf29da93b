"""Test comparisons: the same bytes in every run, JSON, ranks that respect the noise, and labels of
initializers."""

import dataclasses
import hashlib
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest

import initfast as ift
from initfast.signal import ranking
from initfast.signal.comparisons import Comparison
from initfast.signal.experiment import DEFAULT_INITIALIZERS, compare
from initfast.signal.training import Curves, Recipe

pytest.importorskip("threadpoolctl")


def blobs():
    rng = np.random.default_rng(1)
    y = np.arange(90) % 3
    return rng.normal(size=(90, 4)) + 2.0 * np.eye(3, 4)[y], y


SMALL = {"data": blobs(), "hidden": [12, 12], "seeds": 3, "epochs": 6, "learning_rate": 0.1}


@pytest.fixture(scope="module")
def small():
    """Four initializers: one good, two that learn nothing, one that diverges."""
    names = {
        "he": "he_normal",
        "nought": "zeros",
        "ones": "ones",
        "huge": ift.RandomNormal(stddev=1e30),
    }
    return compare("relu", names, **SMALL)


def test_the_default_list_and_data():
    pytest.importorskip("sklearn")
    comparison = compare(hidden=[24] * 8, epochs=1, seeds=2)
    assert list(comparison.curves) == list(DEFAULT_INITIALIZERS)
    assert comparison.widths == (64, *[24] * 8, 10)
    assert comparison.samples == (1347, 450)
    assert np.allclose(comparison.guess, np.log(10), atol=1e-3)
    assert comparison.curves["he_normal"].train_loss[:, 0].mean() > np.log(10)


def test_what_the_documents_say_of_zeros_and_he(small):
    order = [one.label for one in small.standings]
    assert order[0] == "he"
    assert order[-1] == "huge"
    verdicts = small.verdicts
    assert {name: one.passed for name, one in verdicts.items()} == {
        "he": True, "nought": False, "ones": False, "huge": False
    }  # fmt: skip
    assert verdicts["nought"].recommend == "lowest losses: he"
    assert "diverged in 3 of 3 seeds" in verdicts["huge"].reason
    assert "no loss below a constant guess" in verdicts["nought"].reason
    best = small.standings[0]
    assert (best.train_rank, best.test_rank, best.learned, best.diverged) == (1, 1, True, 0)
    assert best.train_loss[0] < 0.5 * small.guess[0]
    assert best.test_accuracy[0] > 0.7


def test_the_table_fits_and_says_it_all(small):
    lines = str(small).splitlines()
    assert max(map(len, lines)) <= 100
    assert sum(line.endswith(" NO") for line in lines) == 3
    assert sum(line.endswith(" yes") for line in lines) == 1
    assert "Diverged: huge (3 of 3 seeds)" in lines
    assert re.search(r"No loss below a constant guess: (ones, )?nought", str(small))
    assert "Lowest training loss: he" in lines and "Lowest test loss: he" in lines
    wide = dataclasses.replace(
        small, curves={"x" * 200: small.curves["he"]}, configs={"x" * 200: None}
    )
    rows = [line for line in str(wide).splitlines() if line.endswith(" yes")]
    assert [len(row) for row in rows] == [100]


def test_json_round_trip(small):
    text = json.dumps(small.to_dict(), allow_nan=False)
    again = Comparison.from_dict(json.loads(text))
    for name, curves in small.curves.items():
        for key, values in vars(curves).items():
            np.testing.assert_array_equal(getattr(again.curves[name], key), values)
    assert json.dumps(again.to_dict(), allow_nan=False) == text
    assert str(again) == str(small)
    row = json.loads(text)["initializers"]["he"]
    np.testing.assert_allclose(
        row["train_loss"]["mean"], small.curves["he"].train_loss.mean(axis=0)
    )
    np.testing.assert_allclose(
        row["test_loss"]["spread"], small.curves["he"].test_loss.std(axis=0, ddof=1)
    )
    assert row["config"]["class_name"] == "InitfastHeNormal"
    assert "seed" not in row["config"]["config"]
    assert json.loads(text)["initializers"]["huge"]["train_loss"]["mean"][-1] == "nan"


def test_what_else_is_compared_does_not_matter(small):
    alone = compare("relu", ["he_normal"], **SMALL)
    other = compare("relu", ["lecun_normal", "he_normal"], **SMALL)
    for comparison in (alone, other):
        for key, values in vars(comparison.curves["he_normal"]).items():
            np.testing.assert_array_equal(values, getattr(small.curves["he"], key))
    assert (other.curves["lecun_normal"].train_loss != alone.curves["he_normal"].train_loss).all()


@pytest.mark.parametrize(
    "changed",
    [
        {"seed": 1},
        {"learning_rate": 0.05},
        {"momentum": 0.5},
        {"batch": 7},
        {"bias_initializer": "random_normal"},
    ],
)
def test_every_setting_counts(small, changed):
    comparison = compare("relu", ["he_normal"], **(SMALL | changed))
    assert (
        comparison.curves["he_normal"].train_loss[:, -1] != small.curves["he"].train_loss[:, -1]
    ).all()


PROGRAM = """
import hashlib, json, numpy as np
from initfast.signal.experiment import compare
rng = np.random.default_rng(0)
y = np.arange(1800) % 5
x = rng.normal(size=(1800, 64)) + np.eye(5, 64)[y]
names = ["glorot_uniform", "random_normal(stddev=1)"]
found = compare("tanh", names, (x, y), hidden=[64, 64], seeds=2, epochs=2, batch=1300)
print(hashlib.sha256(json.dumps(found.to_dict()).encode()).hexdigest())
"""


def test_same_bytes_in_every_process_and_for_every_number_of_threads():
    # With a gradient of 64 x 1300 times 1300 x 64, the last bits depend on the threads of OpenBLAS.
    digests = set()
    for count in ("1", "2", "4"):
        names = (
            "OMP_NUM_THREADS",
            "OPENBLAS_NUM_THREADS",
            "MKL_NUM_THREADS",
            "INITFAST_NUM_THREADS",
        )
        environment = os.environ | dict.fromkeys(names, count)
        process = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        digests.add(process.stdout)
    assert len(digests) == 1
    assert len(digests.pop().strip()) == hashlib.sha256().digest_size * 2


def test_any_callable_and_any_config():
    def mine(shape, dtype=None):
        return np.full(shape, 0.1, dtype)

    initializers = [
        mine,
        ift.HeNormal,
        ift.HeUniform(seed=9),
        {"class_name": "RandomNormal", "config": {"stddev": 0.1}},
    ]
    comparison = compare("linear", initializers, **(SMALL | {"epochs": 1}))
    assert list(comparison.curves) == [
        "mine",
        "he_normal",
        "he_uniform",
        "random_normal(stddev=0.1)",
    ]
    assert comparison.configs["mine"] is None
    again = compare("linear", ["he_uniform"], **(SMALL | {"epochs": 1}))
    np.testing.assert_array_equal(
        again.curves["he_uniform"].test_loss, comparison.curves["he_uniform"].test_loss
    )


def test_one_seed_judges_nothing_but_divergence():
    comparison = compare(
        "relu", {"he": "he_normal", "huge": "random_normal(stddev=1e30)"}, **(SMALL | {"seeds": 1})
    )
    assert [(one.label, one.train_rank, one.learned) for one in comparison.standings] == [
        ("he", 1, None),
        ("huge", 2, False),
    ]
    assert comparison.verdicts["he"].passed is None
    text = " ".join(str(comparison).split())
    assert "Losses are not compared, because one seed does not show the noise" in text
    assert "Diverged: huge (1 of 1 seeds)" in text and "owest" not in text.partition("huge (")[0]
    assert "nan" not in text.partition("huge")[0], "no standard deviation of one seed"


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"activation": "swishh"}, ValueError, "activation must be one of 'linear', "),
        (
            {"initializers": "he_normal"},
            TypeError,
            "initializers must be a list, or a mapping from names to initializers; received",
        ),
        ({"initializers": []}, ValueError, "initializers must not be empty"),
        ({"initializers": ["he_norml"]}, ValueError, "Did you mean 'he_normal'?"),
        ({"initializers": ["he_normal", None]}, ValueError, "received None"),
        ({"initializers": ["zeros", "Zeros"]}, ValueError, "received 'zeros' twice"),
        (
            {"initializers": ["he_normal", np.ones((2, 2))]},
            ValueError,
            "Expected `shape` to be (2, 2)",
        ),
        ({"data": "mnist"}, ValueError, "data must be one of"),
        ({"hidden": []}, ValueError, "hidden must have at least one layer"),
        ({"hidden": [4, 0]}, ValueError, "hidden must be an integer >= 1; received 0"),
        ({"hidden": [2.5]}, ValueError, "hidden must be an integer >= 1; received 2.5"),
        ({"seeds": 0}, ValueError, "seeds must be an integer >= 1; received 0"),
        ({"seeds": True}, ValueError, "seeds must be an integer >= 1; received True"),
        ({"epochs": -1}, ValueError, "epochs must be an integer >= 1"),
        ({"batch": 0}, ValueError, "batch must be an integer >= 1"),
        ({"learning_rate": 0.0}, ValueError, "learning_rate must be > 0"),
        ({"learning_rate": float("nan")}, ValueError, "learning_rate must be a finite number"),
        ({"momentum": 1.0}, ValueError, "momentum must lie in [0, 1); received 1.0"),
        ({"bias_initializer": "identity"}, ValueError, "Identity"),
        ({"seed": -1}, ValueError, "seed must be an integer in [0, 2**64); received -1"),
    ],
)
def test_bad_arguments_come_before_any_training(changed, error, message):
    trained = []
    with pytest.raises(error, match=re.escape(message)):
        compare(**({"initializers": ["he_normal"], "advance": trained.append} | SMALL | changed))
    assert not trained


def test_student_is_student():
    scipy = pytest.importorskip("scipy.stats")
    np.testing.assert_allclose(ranking._STUDENT, scipy.t.ppf(0.975, np.arange(1, 31)), atol=5.1e-4)


def test_equal_initializers_are_called_different_once_in_twenty():
    # 4000 pairs of equal initializers: Binomial(4000, 0.05) = 200 +- 13.8. The limit of 4.5 sigma
    # has a false alarm rate of 7e-6, and the seed is fixed.
    pairs = np.exp(np.random.default_rng(8).normal(size=(4000, 2, 5)))
    differences = sum(
        ranking.lower(one, other) or ranking.lower(other, one) for one, other in pairs
    )
    assert abs(differences - 200) < 62
    shifted = sum(ranking.lower(one * np.exp(-5.0), other) for one, other in pairs[:500])
    assert shifted > 480, "a difference of five standard deviations"


def test_lower():
    low, high = np.array([1.0, 1.1, 0.9]), np.array([2.0, 2.2, 1.9])
    assert ranking.lower(low, high)
    assert not ranking.lower(high, low)
    assert not ranking.lower(low, low)
    assert not ranking.lower(low, np.array([0.5, 9.0, 0.8])), "their differences have both signs"
    assert not ranking.lower(low, low * 1.0099), "sure, but less than 1 %"
    assert ranking.lower(low, low * 1.0102)
    assert ranking.lower(np.zeros(3), low), "a loss of 0 has no logarithm"
    even, wild = (
        np.array([0.004, 0.006, 0.005, 0.0055, 0.0045]),
        np.array([0.03, 0.35, 0.05, 0.04, 0.13]),
    )
    assert ranking.lower(even, wild), "one wild seed does not hide a factor of ten"
    broken = np.array([1.0, np.nan, 0.0])
    assert ranking.lower(high, broken)
    assert not ranking.lower(broken, high)
    assert not ranking.lower(broken, np.array([np.inf] * 3))


def curves(train, test):
    columns = [np.array(values, float)[:, None] for values in (train, test)]
    return Curves(*columns, *(np.zeros((len(train), 1)) for _ in "ab"))


def test_ranks_share_a_place_within_noise():
    standings = ranking.rank(
        {
            "worst": curves([5.0, 5.1, 5.2], [6.0, 6.1, 6.2]),
            "good on training": curves([0.1, 0.11, 0.12], [0.5, 0.7, 0.6]),
            "good on test": curves([0.2, 0.21, 0.22], [0.52, 0.68, 0.6]),
        },
        (2.0, 2.0),
    )
    places = {one.label: (one.train_rank, one.test_rank, one.learned) for one in standings}
    assert places == {
        "good on training": (1, 1, True), "good on test": (2, 1, True), "worst": (3, 3, False)
    }  # fmt: skip
    assert [one.label for one in standings] == ["good on training", "good on test", "worst"]


def test_a_training_loss_below_the_guess_is_not_called_above_it():
    """An example is 1.35 below 2.30, for a network whose test loss is 5.9."""
    rows = {"train_loss": 1.35, "test_loss": 5.9, "train_accuracy": 0.6, "test_accuracy": 0.3}
    curves = Curves(**{key: np.full((3, 2), value) for key, value in rows.items()})
    (standing,) = ranking.rank({"x": curves}, (2.3026, 2.3026))
    assert standing.learned is False and standing.below == (True, False)
    (verdict,) = ranking.judge([standing], (2.3026, 2.3026)).values()
    assert "training loss below a constant guess, test loss not" in verdict.reason
    assert verdict.recommend == "no initializer learned: try more epochs or another learning rate"


def test_what_noise_may_decide_is_left_open():
    """For example, with two seeds a loss of 0.65 is below 2.30, but within noise."""
    losses = {"clear": ([0.24, 0.25], [0.29, 0.31]), "open": ([0.55, 0.74], [0.6, 0.73])}
    comparison, conclusions = conclusions_of(losses, (2.3026, 2.3026))
    assert {one.label: one.learned for one in comparison.standings} == {"clear": True, "open": None}
    assert [line.split()[-1] for line in str(comparison).splitlines() if "open " in line] == ["?"]
    within = "below a constant guess, but within noise"
    assert [names for kind, names in conclusions.items() if kind.startswith(within)] == [{"open"}]
    assert within in comparison.verdicts["open"].reason


def conclusions_of(losses, guess=(2.0, 2.0)):
    """Return a comparison of these (training, test) losses, and its conclusions by name."""
    comparison = Comparison(
        "relu", "blobs", (3, 3), (4, 8, 3), guess, "zeros", Recipe(), 0,
        {name: curves(*pair) for name, pair in losses.items()}, dict.fromkeys(losses),
    )  # fmt: skip
    conclusions = str(comparison).split("\n\n")[2].replace("\n  ", " ").splitlines()
    return comparison, {
        kind.lower(): set(names.split(", "))
        for kind, _, names in (line.partition(": ") for line in conclusions)
    }


def test_every_conclusion_is_true_of_the_numbers():
    nan = float("nan")
    losses = {
        "best": ([0.1, 0.11, 0.12], [0.3, 0.31, 0.32]),
        "overfits": ([0.1, 0.11, 0.12], [5.8, 5.9, 6.0]),
        "odd": ([2.5, 2.6, 2.7], [1.0, 1.1, 1.2]),
        "hardly": ([1.995, 1.996, 1.997], [1.995, 1.996, 1.997]),  # lower, but by less than 1%
        "broken": ([0.1, nan, 0.1], [0.1, nan, 0.1]),
    }
    comparison, conclusions = conclusions_of(losses)
    assert conclusions == {
        "lowest training loss": {"best", "overfits"},
        "lowest test loss": {"best"},
        "no loss below a constant guess": {"hardly"},
        "training loss below a constant guess, test loss not": {"overfits"},
        "test loss below a constant guess, training loss not": {"odd"},
        "diverged": {"broken (1 of 3 seeds)"},
    }
    for one in comparison.standings:
        train, test = (np.array(each) for each in losses[one.label])
        assert one.learned is (one.label == "best")
        assert one.diverged == int(np.isnan(train + test).sum())
    assert {one.recommend for one in comparison.verdicts.values()} == {
        "",
        "lowest losses: best",
    }


def test_what_is_recommended_has_learned():
    comparison, _ = conclusions_of(
        {
            "a": ([0.1, 0.11, 0.12], [1.0, 1.1, 1.2]),
            "b": ([0.5, 0.51, 0.52], [0.3, 0.31, 0.32]),
            "c": ([2.5, 2.6, 2.7], [2.5, 2.6, 2.7]),
        }
    )
    assert comparison.verdicts["c"].recommend == "best ranks among those that learned: b"
    comparison, _ = conclusions_of({"c": ([2.5, 2.6, 2.7], [2.5, 2.6, 2.7])})
    assert comparison.verdicts["c"].recommend.startswith("no initializer learned")


def test_a_residual_network():
    rng = np.random.default_rng(1)
    y = np.arange(90) % 3
    data = (rng.normal(size=(90, 4)) + 2.0 * np.eye(3, 4)[y], y)
    settings = {
        "initializers": ["he_normal"],
        "data": data,
        "hidden": [12] * 4,
        "seeds": 2,
        "epochs": 2,
    }
    plain, residual = (compare(**settings, network=each) for each in ("mlp", "residual"))
    assert not np.array_equal(
        plain.curves["he_normal"].train_loss, residual.curves["he_normal"].train_loss
    )
    assert "relu residual network 4x12" in str(residual) and "relu network 4x12" in str(plain)
    assert Comparison.from_dict(residual.to_dict()).network == "residual"
    with pytest.raises(ValueError, match="network must be one of mlp, residual, convolutional"):
        compare(**settings, network="transformer")


def images():
    """Return images with horizontal, vertical or no stripes: positions and neighbours matter."""
    rng = np.random.default_rng(1)
    y = np.arange(120) % 3
    stripes = np.where(np.arange(6) % 2, 1.0, -1.0)
    kinds = np.stack([np.tile(stripes, (6, 1)), np.tile(stripes, (6, 1)).T, np.zeros((6, 6))])
    return rng.normal(size=(120, 6, 6)) + kinds[y], y


def test_a_convolutional_network_learns_from_he_and_not_from_zeros():
    settings = {"data": images(), "network": "convolutional", "hidden": [8, 8], "seeds": 2}
    comparison = compare("relu", ["zeros", "he_normal"], **settings, epochs=6, learning_rate=0.1)
    assert comparison.widths == (36, 8, 8, 3)
    assert "relu convolutional network 36x8x8x3" in str(comparison)
    assert [one.label for one in comparison.standings] == ["he_normal", "zeros"]
    losses = comparison.curves["he_normal"].test_loss
    assert (losses[:, -1] < 0.5 * comparison.guess[1]).all()
    np.testing.assert_allclose(
        comparison.curves["zeros"].test_loss[:, -1], comparison.guess[1], rtol=0.01
    )


@pytest.mark.parametrize(
    ("x", "hidden", "message"),
    [
        (np.ones((9, 4)), None, "a convolutional network needs images"),
        (np.ones((9, 5, 6)), [4] * 3, "at most 2 convolutions of 3x3 for images of 5x6"),
        (np.ones((9, 2, 6, 3)), [4], "at most 0 convolutions of 3x3 for images of 2x6"),
    ],
)
def test_what_is_no_image_is_refused(x, hidden, message):
    with pytest.raises(ValueError, match=message):
        compare("relu", ["zeros"], (x, np.arange(9) % 3), network="convolutional", hidden=hidden)
