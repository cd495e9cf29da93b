"""Classification data for a comparison: data sets of scikit-learn, a `.npz` file or arrays, split
and standardised."""

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
"""Names of the data sets that scikit-learn ships, so that nothing is downloaded."""

TEST_SHARE = 0.25
# A .npz file must not unpack to an amount of memory out of proportion to its size.
_MOST_UNPACKED = 200
_RULE = (
    "data must be one of {names}, the path of a .npz file, or a pair of arrays (x, y); received "
    "{received}"
)
# The function of scikit-learn for each, and the key of x in its result: digits are images.
_LOADERS = {
    "digits": ("load_digits", "images"),
    "breast_cancer": ("load_breast_cancer", "data"),
}


@dataclass(frozen=True)
class Dataset:
    """Standardised data with a training part and a test part.

    Attributes:
        name: the name in tables.
        x_train, x_test: arrays (samples, features). Each feature has mean 0 and standard deviation
            1 in the training part.
        y_train, y_test: arrays (samples,) of classes, integers in [0, classes).
        classes: number of classes; each has samples in both parts.
        shape: original shape of one sample, such as (8, 8) for an image.
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
        """Return the number of features of one sample."""
        return int(self.x_train.shape[1])

    def guess(self) -> tuple[float, float]:
        """Return the cross entropy in nats of the best constant guess, on training and test part.

        This guess is the share of each class in the training part. Its loss there is the entropy of
        the shares, and no other constant guess has a lower one. A network with this loss has
        learned the shares and nothing else."""
        shares = np.bincount(self.y_train, minlength=self.classes) / len(self.y_train)
        train, test = (float(-np.log(shares)[y].mean()) for y in (self.y_train, self.y_test))
        return train, test


def load(data: Any, dtype: str = "float32") -> Dataset:
    """Return the data set with this name, from this file or of these arrays.

    The test part is a quarter of each class, rounded, and at least one sample. The stream 'split'
    of seed 0 decides which samples, so each call gives the same two parts. Both parts are
    standardised with the mean and standard deviation of the training part; a feature that is
    constant in the training part is 0 in both parts.

    Args:
        data: 'digits' (1797 images of 8 x 8, 10 classes) or 'breast_cancer' (569 samples of 30
            features, 2 classes); the path of a `.npz` file with arrays `x` and `y`; a pair of
            arrays (x, y); or a `Dataset`. `x` has finite numbers and shape (samples, ...); the
            further dimensions are flattened into features. `y` has one integer, boolean or string
            per sample, with at least two classes and at least two samples of each.
        dtype: of `x_train` and `x_test`, 'float32' or 'float64'.

    Raises:
        ValueError, TypeError: the data do not have this form.
        OSError: the file cannot be read.
        ImportError: scikit-learn is missing.
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
    received = repr(data) if isinstance(data, (str, os.PathLike)) else type(data).__name__
    raise ValueError(_RULE.format(names=", ".join(map(repr, SHIPPED)), received=received))


def permutation(count: int, seed: Seed) -> Array:
    """Return a random permutation of 0 to count - 1, from the stream of `seed`."""
    return np.argsort(random_bits(count, seed=seed.seed, stream=seed.stream), kind="stable")


def _shipped(name: str) -> tuple[Array, Array]:
    try:
        from sklearn import datasets
    except ImportError:
        raise ImportError(
            f"the data set {name!r} needs scikit-learn: pip install 'initfast[data]' (a .npz file "
            "does not need it)"
        ) from None
    loader, key = _LOADERS[name]
    bunch = getattr(datasets, loader)()
    return bunch[key], bunch.target


def _file(path: str) -> tuple[Array, Array]:
    """Return the arrays x and y of a .npz file, without unpickling anything."""
    rule = f"a .npz file must hold the arrays 'x' and 'y'; {path!r} "
    with open_regular(path) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                sizes = {info.filename: info for info in archive.infolist()}
        except DAMAGED:
            raise ValueError(f"{rule}is not a .npz file") from None
        for name in "xy":
            info = sizes.get(f"{name}.npy")
            if info is None:
                raise ValueError(f"{rule}has no {name!r}")
            if info.file_size > _MOST_UNPACKED * max(info.compress_size, 1 << 20):
                raise ValueError(
                    f"{rule}unpacks to more than {_MOST_UNPACKED} times its size: save it with "
                    "np.savez, without compression"
                )
        file.seek(0)
        try:
            with np.load(file, allow_pickle=False) as arrays:
                return arrays["x"], arrays["y"]
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
        # Not `stddev == 0`, because rounding can give equal numbers a small standard deviation.
        scale = np.where(
            np.ptp(x[~test], axis=0) > 0.0, 1.0 / np.where(stddev > 0.0, stddev, np.inf), 0.0
        )
        values = ((x - mean) * scale).astype(dtype)
    if not (np.isfinite(values).all() and np.isfinite(stddev).all()):
        raise ValueError(
            f"x must be finite in {dtype} after standardisation; received values up to "
            f"{np.abs(x).max():g}"
        )
    parts = (values[~test], numbers[~test], values[test], numbers[test])
    return Dataset(name, *parts, len(labels), shape)


def _features(x: Array) -> Array:
    if x.dtype.kind not in "biuf":
        raise TypeError(f"x must be real numbers; received an array of {x.dtype}")
    if x.ndim < 2 or x.size == 0:
        raise ValueError(
            f"x must have shape (samples, features), both at least 1; received {x.shape}"
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
    """Return the sorted labels, and for each sample the index of its label."""
    if y.shape != (samples,):
        raise ValueError(
            f"y must have one label per sample, shape ({samples},); received {y.shape}"
        )
    if y.dtype.kind not in "biuUS":
        raise TypeError(f"y must be integers, booleans or strings; received an array of {y.dtype}")
    labels, numbers, counts = np.unique(y, return_inverse=True, return_counts=True)
    if len(labels) < 2:
        raise ValueError(f"y must have at least two classes; received {len(labels)}")
    if counts.min() < 2:
        label = labels[counts.argmin()].item()
        raise ValueError(
            "each class must have at least two samples, one for training and one for the test; "
            f"class {label!r} has one"
        )
    return labels, numbers
