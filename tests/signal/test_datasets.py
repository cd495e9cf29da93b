"""Test data for comparisons: fixed stratified parts, standardised with the training part alone."""

import re
import sys

import numpy as np
import pytest

from initfast.core.engine import random_bits
from initfast.core.seeds import Seed
from initfast.signal import datasets


def blobs(samples=40, features=3, classes=2):
    rng = np.random.default_rng(0)
    y = np.arange(samples) % classes
    return rng.normal(size=(samples, features)) * 5 + 3 + y[:, None], y


def test_rows(y):
    """Return the test rows by a second implementation of the rule: for each class, the first
    quarter in the order of the words of the stream 'split'."""
    words = random_bits(len(y), seed=0, stream=Seed(0).named("split").stream)
    rows = []
    for label in np.unique(y):
        members = sorted(np.flatnonzero(y == label), key=lambda row: words[row])
        rows += members[: max(1, round(len(members) / 4))]
    return np.isin(np.arange(len(y)), rows)


test_rows.__test__ = False


@pytest.mark.parametrize(
    ("name", "samples", "features", "classes"),
    [("digits", 1797, 64, 10), ("breast_cancer", 569, 30, 2)],
)
def test_shipped_data(name, samples, features, classes):
    sklearn = pytest.importorskip("sklearn.datasets")
    dataset = datasets.load(name)
    _, y = getattr(sklearn, f"load_{name}")(return_X_y=True)
    assert (dataset.name, dataset.features, dataset.classes) == (name, features, classes)
    assert dataset.x_train.dtype == dataset.x_test.dtype == np.float32
    assert len(dataset.y_train) + len(dataset.y_test) == samples
    np.testing.assert_array_equal(np.bincount(dataset.y_test), np.round(0.25 * np.bincount(y)))
    np.testing.assert_array_equal(
        np.bincount(dataset.y_test) + np.bincount(dataset.y_train), np.bincount(y)
    )


@pytest.mark.parametrize(("samples", "classes"), [(40, 2), (41, 3), (8, 4)])
def test_parts_and_standardisation(samples, classes):
    x, y = blobs(samples, classes=classes)
    test = test_rows(y)
    mean, std = x[~test].mean(axis=0), x[~test].std(axis=0)
    dataset = datasets.load((x, y), "float64")
    np.testing.assert_allclose(dataset.x_train, (x[~test] - mean) / std)
    np.testing.assert_allclose(dataset.x_test, (x[test] - mean) / std)
    np.testing.assert_array_equal(dataset.y_train, y[~test])
    np.testing.assert_array_equal(dataset.y_test, y[test])
    assert set(dataset.y_train) == set(dataset.y_test) == set(range(classes))


def test_a_constant_feature_is_zero():
    x, y = blobs()
    test = test_rows(y)
    x[:, 0] = 0.1  # the mean of equal numbers has a rounding error
    x[~test, 1] = 7.0
    dataset = datasets.load((x, y))
    assert not dataset.x_train[:, :2].any()
    assert not dataset.x_test[:, :2].any()
    assert dataset.x_test[:, 2].any()


def test_images_are_flattened_and_labels_are_numbered():
    x, y = blobs(features=12)
    plain = datasets.load((x, y))
    for labels in (np.array(["dog", "cat"])[1 - y], y == 1, y.astype(np.uint8) * 200, list(y)):
        dataset = datasets.load((x.reshape(-1, 3, 4), labels))
        np.testing.assert_array_equal(dataset.x_train, plain.x_train)
        np.testing.assert_array_equal(dataset.y_test, plain.y_test)


def test_npz_file(tmp_path):
    x, y = blobs()
    np.savez(tmp_path / "mine.npz", x=x, y=y, z=3)
    dataset, plain = datasets.load(tmp_path / "mine.npz"), datasets.load((x, y))
    assert dataset.name == "mine.npz"
    np.testing.assert_array_equal(dataset.x_train, plain.x_train)
    np.testing.assert_array_equal(datasets.load(str(tmp_path / "mine.npz")).y_test, plain.y_test)
    assert datasets.load(dataset) is dataset


def test_the_guess_is_the_best_constant():
    y = np.repeat([0, 1, 2], [10, 30, 80])
    dataset = datasets.load((np.arange(120.0)[:, None], y))
    train, test = dataset.guess()
    shares = np.array([10, 30, 80]) / 120  # nearly, because a quarter of each class is rounded
    assert train == pytest.approx(-(shares * np.log(shares)).sum(), abs=0.01)
    for other in ([0.2, 0.2, 0.6], [1 / 3, 1 / 3, 1 / 3], [0.05, 0.25, 0.7]):
        assert train < -np.log(other)[dataset.y_train].mean()
    counts = np.bincount(dataset.y_train)
    assert test == pytest.approx(-np.log(counts / counts.sum())[dataset.y_test].mean())


def test_permutation():
    orders = [datasets.permutation(100, Seed(3).named(name)) for name in "ab"]
    assert all(sorted(order) == list(range(100)) for order in orders)
    assert (orders[0] != orders[1]).any()


def changed(**parts):
    x, y = blobs()
    return parts.get("x", x), parts.get("y", y)


def spoiled(value):
    x, _ = blobs()
    x[3, 1] = value
    return x


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (
            "iris",
            ValueError,
            "data must be one of 'digits', 'breast_cancer', the path of a .npz file, or a pair",
        ),
        ("mine.csv", ValueError, "received 'mine.csv'"),
        (7, ValueError, "received int"),
        (
            changed(x=spoiled(np.nan)),
            ValueError,
            "x must be finite; received nan in sample 3, feature 1",
        ),
        (
            changed(x=spoiled(-np.inf)),
            ValueError,
            "x must be finite; received -inf in sample 3, feature 1",
        ),
        (
            changed(x=spoiled(1e300)),
            ValueError,
            "x must be finite in float32 after standardisation",
        ),
        (
            changed(x=np.ones(40)),
            ValueError,
            "x must have shape (samples, features), both at least 1",
        ),
        (changed(x=np.ones((40, 0))), ValueError, "both at least 1; received (40, 0)"),
        (
            changed(x=np.full((40, 2), "a")),
            TypeError,
            "x must be real numbers; received an array of <U1",
        ),
        (changed(x=np.ones((40, 2), complex)), TypeError, "received an array of complex128"),
        (
            changed(y=np.zeros(39, int)),
            ValueError,
            "y must have one label per sample, shape (40,); received (39,)",
        ),
        (changed(y=np.zeros((40, 1), int)), ValueError, "shape (40,); received (40, 1)"),
        (
            changed(y=np.zeros(40)),
            TypeError,
            "y must be integers, booleans or strings; received an array of float64",
        ),
        (changed(y=np.zeros(40, int)), ValueError, "y must have at least two classes; received 1"),
        (
            changed(y=[5] + [1] * 39),
            ValueError,
            "each class must have at least two samples, one for training and one for the test;",
        ),
    ],
)
def test_bad_data(data, error, message):
    with pytest.raises(error, match=re.escape(message)):
        datasets.load(data)


def test_bad_files(tmp_path):
    with pytest.raises(FileNotFoundError):
        datasets.load(tmp_path / "none.npz")
    x, y = blobs()
    text, array = tmp_path / "text.npz", tmp_path / "array.npz"
    text.write_text("x,y\n")
    with open(array, "wb") as file:
        np.save(file, x)
    empty = tmp_path / "empty.npz"
    empty.write_bytes(b"")
    np.savez(tmp_path / "no_y.npz", x=x)
    np.savez(tmp_path / "objects.npz", x=x, y=np.array([{}] * len(y), object))
    for name in ("text", "array", "empty", "no_y", "objects"):
        with pytest.raises(
            ValueError, match=r"a .npz file must hold the arrays 'x' and 'y'; .*" + name
        ):
            datasets.load(tmp_path / f"{name}.npz")


def test_without_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(
        ImportError, match=re.escape("pip install 'initfast[data]' (a .npz file does not need it)")
    ):
        datasets.load("digits")
    assert datasets.load(blobs()).classes == 2
