"""Fans as a literal table, and against Keras where it is installed."""

import os

import numpy as np
import pytest

from initfast.initializers.fans import check_axes, compute_fans

FANS = [
    ((), (1, 1)),
    ((7,), (7, 7)),
    ((0,), (0, 0)),
    ((3, 4), (3, 4)),
    ((0, 5), (0, 5)),
    ((50257, 768), (50257, 768)),
    ((3, 8, 16), (24, 48)),
    ((3, 3, 8, 16), (72, 144)),
    ((2, 3, 3, 8, 16), (144, 288)),
    ((5, 0, 4), (0, 20)),
    ((0, 3, 4), (0, 0)),
    ((2**31, 2**31, 2), (2**62, 2**32)),
]

AXES = [
    ((512, 8, 64), [0], [1, 2], (512, 512)),
    ((512, 8, 64), (0, 1), (-1,), (4096, 64)),
    ((512, 8, 64), [-3], [], (512, 1)),
    ((512, 8, 64), [], [], (1, 1)),
    ((3, 3, 8, 16), [2], [3], (8, 16)),
    ((6, 7), [1], [0], (7, 6)),
    ((6, 7), [0, 1], [0, 1], (42, 42)),
    ((), [], [], (1, 1)),
    # One of the two alone does not count, as in Keras.
    ((3, 8, 16), [0], None, (24, 48)),
    ((3, 8, 16), None, [0], (24, 48)),
]


@pytest.mark.parametrize(("shape", "fans"), FANS)
def test_fans_of_a_shape(shape, fans):
    assert compute_fans(shape) == fans
    assert all(type(fan) is int for fan in compute_fans(shape))


@pytest.mark.parametrize(("shape", "input_axes", "output_axes", "fans"), AXES)
def test_fans_with_axes(shape, input_axes, output_axes, fans):
    assert compute_fans(shape, input_axes, output_axes) == fans


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ([2], r"input_axes must lie within a shape of rank 2; received \[2\] for \(3, 4\)"),
        ([-3], r"input_axes must lie within a shape of rank 2; received \[-3\] for \(3, 4\)"),
        ([0, 0], r"input_axes must not name an axis twice; received \[0, 0\] for \(3, 4\)"),
        ([0, -2], r"input_axes must not name an axis twice; received \[0, -2\] for \(3, 4\)"),
    ],
)
def test_wrong_axes(axes, message):
    with pytest.raises(ValueError, match=message):
        compute_fans((3, 4), axes, [1])
    with pytest.raises(ValueError, match=message.replace("input", "output")):
        compute_fans((3, 4), [1], axes)


@pytest.mark.parametrize(
    "axes", [1, "0", b"0", [0.0], [None], [True], [np.True_], {0: 1}, [[0]], ["a"], 1.5]
)
def test_axes_are_sequences_of_integers(axes):
    with pytest.raises(
        TypeError, match="input_axes must be None or a sequence of integers; received"
    ):
        check_axes("input_axes", axes)


def test_axes_become_a_tuple_of_plain_integers():
    assert check_axes("a", None) is None
    for axes in ([0, -1], (0, -1), np.array([0, -1]), [np.int32(0), np.int8(-1)], range(0, -2, -1)):
        found = check_axes("a", axes)
        assert found == (0, -1)
        assert all(type(axis) is int for axis in found)


def test_fans_are_those_of_keras():
    os.environ["KERAS_BACKEND"] = "jax"
    theirs = pytest.importorskip("keras.src.initializers.random_initializers").compute_fans
    random = np.random.default_rng(0)
    for _ in range(300):
        rank = int(random.integers(0, 6))
        shape = tuple(map(int, random.integers(0, 9, rank)))
        assert compute_fans(shape) == theirs(shape)
        if rank:
            order = [
                int(axis) - rank * int(random.integers(2)) for axis in random.permutation(rank)
            ]
            cut = int(random.integers(0, rank + 1))
            assert compute_fans(shape, order[:cut], order[cut:]) == theirs(
                shape, order[:cut], order[cut:]
            )
