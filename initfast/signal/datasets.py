"""Classification data for a comparison: what scikit-learn ships, a `.npz` file or arrays; split and
standardised.
"""

from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass
from typing import Any

import numpy as np

from initfast.core.engine import random_bits
from initfast.core.regular import DAMAGED, open_regular
from initfast.core.seeds import Seed
from initfast.core.text import line
from initfast.core.types import Array

__all__ = ["SHIPPED", "Dataset", "load", "permutation"]

SHIPPED = ("digits", "breast_cancer")
"""Data sets that are files of scikit-learn itself, so that nothing is downloaded."""

TEST_SHARE = 0.25
# An .npz file may not take memory out of proportion to its own size.
_MOST_UNPACKED = 200
_RULE = (
    "data must be one of {names}, the path of a .npz file, or a pair of arrays (x, y); received "
    "{given}"
)
# What loads them, and the key of x in what it returns: digits are images.
_LOADERS = {
    "digits": ("load_digits", "images"),
    "breast_cancer": ("load_breast_cancer", "data"),
}


@dataclass(frozen=True)
class Dataset:
    """Data in two parts, standardised.

    Attributes: name: what the tables call it. x_train, x_test: (samples, features), mean 0 and
        standard deviation 1 a feature in the training part. y_train, y_test: (samples,), classes as
        integers in [0, classes). classes: how many there are; each has samples in both parts.
        shape: of one sample as it was given, such as (8, 8) of an image.
    """

    name: str
    x_train: Array
    y_train: Array
    x_test: Array
    y_test: Array
    classes: int
    shape: tuple[int, ...]

    @property
    def features(self) -> int:
        return int(self.x_train.shape[1])

    def guess(self) -> tuple[float, float]:
        """Cross entropy in nats, on training and test part, of the best guess that does not look at
        `x`.

        That guess is the share of each class in the training part; on that part its loss is their
        entropy, which no other constant guess undercuts. A network that ends there has learned
        nothing but the shares."""
        shares = np.bincount(self.y_train, minlength=self.classes) / len(self.y_train)
        train, test = (float(-np.log(shares)[y].mean()) for y in (self.y_train, self.y_test))
        return train, test


def load(data: Any, dtype: str = "float32") -> Dataset:
    """Data to compare on, from whatever names them.

    A quarter of every class, rounded, at least one sample, is the test part. Which samples is drawn
    once and for all (initfast's own words, in the stream named 'split' of seed 0), so each call has
    the same two parts. Both parts are standardised with the mean and standard deviation of the
    *training* part alone; a feature that is constant there is 0 in both.

    Args:
        data: 'digits' (1797 images of 8 x 8, 10 classes) or 'breast_cancer' (569 samples of 30
            features, 2 classes); the path of a `.npz` file with arrays `x` and `y`; a pair of
            arrays (x, y); or a `Dataset`. `x` is finite numbers of shape (samples, ...), taken as
            (samples, features); `y` is an integer, boolean or string a sample, of two classes or
            more with two samples or more each.
        dtype: of `x_train` and `x_test`, 'float32' or 'float64'.

    Raises:
        ValueError, TypeError: the data are not as said. OSError: no file can be read. ImportError:
            no scikit-learn.
    """
    if isinstance(data, Dataset):
        return data
    if isinstance(data, str) and data in _LOADERS:
        return _parts(data, *_shipped(data), dtype)
    if isinstance(data, (str, os.PathLike)) and os.fspath(data).endswith(".npz"):
        path = os.fspath(data)
        return _parts(os.path.basename(path), *_file(path), dtype)
    if isinstance(data, (tuple, list)) and len(data) == 2:
        return _parts("arrays", np.asarray(data[0]), np.asarray(data[1]), dtype)
    given = repr(data) if isinstance(data, (str, os.PathLike)) else type(data).__name__
    raise ValueError(_RULE.format(names=", ".join(map(repr, SHIPPED)), given=given))


def permutation(count: int, seed: Seed) -> Array:
    """Return the numbers 0 to count - 1 in the order of the words of `seed`'s stream."""
    return np.argsort(random_bits(count, seed=seed.seed, stream=seed.stream), kind="stable")


def _shipped(name: str) -> tuple[Array, Array]:
    try:
        from sklearn import datasets
    except ImportError:
        raise ImportError(
            f"the data {name!r} come with scikit-learn: pip install 'initfast[data]'; a .npz file "
            "needs none"
        ) from None
    loader, key = _LOADERS[name]
    found = getattr(datasets, loader)()
    return found[key], found.target


def _file(path: str) -> tuple[Array, Array]:
    """Return the arrays x and y of a .npz file; nothing in it is ever unpickled."""
    rule = f"a .npz file must hold the arrays 'x' and 'y'; {path!r} "
    with open_regular(path) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                sizes = {info.filename: info for info in archive.infolist()}
        except DAMAGED:
            raise ValueError(f"{rule}is no .npz file") from None
        for name in "xy":
            info = sizes.get(f"{name}.npy")
            if info is None:
                raise ValueError(f"{rule}has no {name!r}")
            if info.file_size > _MOST_UNPACKED * max(info.compress_size, 1 << 20):
                raise ValueError(
                    f"{rule}unpacks to {_MOST_UNPACKED} times its size: store it as it is"
                )
        file.seek(0)
        try:
            with np.load(file, allow_pickle=False) as found:
                return found["x"], found["y"]
        except DAMAGED as error:
            raise ValueError(f"{rule}cannot be read: {line(error)}") from None


def _parts(name: str, x: Array, y: Array, dtype: str) -> Dataset:
    shape = x.shape[1:]
    x = _features(x)
    labels, numbers = _classes(y, len(x))
    order = permutation(len(x), Seed(0).named("split"))
    test = np.zeros(len(x), bool)
    for label in range(len(labels)):
        members = order[numbers[order] == label]
        test[members[: max(1, round(TEST_SHARE * len(members)))]] = True
    with np.errstate(over="ignore", invalid="ignore"):
        mean = x[~test].mean(axis=0)
        stddev = x[~test].std(axis=0)
        # Not `stddev == 0`: the mean of equal numbers may be off by a rounding.
        scale = np.where(
            np.ptp(x[~test], axis=0) > 0.0, 1.0 / np.where(stddev > 0.0, stddev, np.inf), 0.0
        )
        made = ((x - mean) * scale).astype(dtype)
    if not (np.isfinite(made).all() and np.isfinite(stddev).all()):
        raise ValueError(
            f"x must be finite in {dtype} once standardised; received values up to "
            f"{np.abs(x).max():g}"
        )
    parts = (made[~test], numbers[~test], made[test], numbers[test])
    return Dataset(name, *parts, len(labels), shape)


def _features(x: Array) -> Array:
    if x.dtype.kind not in "biuf":
        raise TypeError(f"x must be real numbers; received an array of {x.dtype}")
    if x.ndim < 2 or x.size == 0:
        raise ValueError(
            f"x must have the shape (samples, features), neither of them 0; received {x.shape}"
        )
    values = x.reshape(len(x), -1).astype(np.float64)
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        row, column = map(int, bad[0])
        raise ValueError(
            f"x must be finite; received {values[row, column]} in sample {row}, feature {column}"
        )
    return values


def _classes(y: Array, samples: int) -> tuple[Array, Array]:
    """Return the labels, sorted, and the number of the label of each sample."""
    if y.shape != (samples,):
        raise ValueError(f"y must have one label a sample, shape ({samples},); received {y.shape}")
    if y.dtype.kind not in "biuUS":
        raise TypeError(f"y must be integers, booleans or strings; received an array of {y.dtype}")
    labels, numbers, counts = np.unique(y, return_inverse=True, return_counts=True)
    if len(labels) < 2:
        raise ValueError(f"y must name two classes or more; received {len(labels)}")
    if counts.min() < 2:
        lone = labels[counts.argmin()].item()
        raise ValueError(
            f"each class must have two samples or more, one for each part; received one of {lone!r}"
        )
    return labels, numbers
