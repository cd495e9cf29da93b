"""Fans, compared with a table of literals, and with Keras if it is installed."""

import os

import numpy as np
import pytest

from initfast.initializers.fans import (
    AXES,
    check_axes,
    compute_fans,
    einsum_axes,
    jax_fans,
    torch_fans,
)

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

WITH_AXES = [
    ((512, 8, 64), [0], [1, 2], (512, 512)),
    ((512, 8, 64), (0, 1), (-1,), (4096, 64)),
    ((512, 8, 64), [-3], [], (512, 1)),
    ((512, 8, 64), [], [], (1, 1)),
    ((3, 3, 8, 16), [2], [3], (8, 16)),
    ((6, 7), [1], [0], (7, 6)),
    ((6, 7), [0, 1], [0, 1], (42, 42)),
    ((), [], [], (1, 1)),
    # One of the two alone is ignored, as in Keras.
    ((3, 8, 16), [0], None, (24, 48)),
    ((3, 8, 16), None, [0], (24, 48)),
]


ROWS = [
    ("keras", (3, 4), 1, (3, 4)),
    ("keras", (3, 3, 8, 16), 1, (72, 144)),
    ("keras", (3, 3, 4, 16), 2, (36, 72)),  # 8 channels in two groups, to 16
    ("keras transposed", (3, 3, 16, 8), 1, (72, 144)),  # from 8 channels to 16
    ("keras depthwise", (3, 3, 8, 2), 1, (9, 18)),
    ("keras experts", (5, 3, 4), 1, (3, 4)),
    ("torch", (4, 3), 1, (3, 4)),
    ("torch", (16, 8, 3, 3), 1, (72, 144)),
    ("torch", (16, 4, 3, 3), 2, (36, 72)),
    ("torch transposed", (8, 16, 3, 3), 1, (72, 144)),
    ("torch transposed", (8, 8, 3, 3), 2, (36, 72)),  # 8 channels in two groups, to 16
    ("torch experts", (5, 4, 3), 1, (3, 4)),
]


@pytest.mark.parametrize(("row", "shape", "groups", "fans"), ROWS)
def test_fans_by_engine_and_kind_of_weight(row, shape, groups, fans):
    axes = AXES[row]
    assert axes.fans(shape, groups) == fans
    if groups == 1:
        assert compute_fans(shape, **axes.arguments(len(shape))) == fans


def test_every_row_of_the_table_is_tested():
    assert {row for row, *_ in ROWS} == set(AXES)


def test_an_einsum_has_its_axes_in_its_equation():
    axes = einsum_axes("abc, cde -> abde")
    assert axes.fans((512, 8, 64)) == (512, 512)
    assert axes.arguments(3) == {"input_axes": [0], "output_axes": [1, 2]}


def test_fans_of_jax():
    assert jax_fans((3, 3, 8, 16), -2, -1, ()) == (72, 144)
    assert jax_fans((5, 3, 4), 1, (2,), 0) == (3, 4)
    assert jax_fans((6,), 0, 0, ()) == (1, 1), "an axis in two roles counts as JAX counts it"
    with pytest.raises(ValueError, match="Must be at least 2D"):
        jax_fans((6,), -2, -1, ())


def test_fans_of_torch():
    for shape in ((4, 3), (16, 8, 3, 3), (0, 5), (5, 0, 2)):
        assert torch_fans(shape) == AXES["torch"].fans(shape)
    with pytest.raises(ValueError, match="fewer than 2 dimensions"):
        torch_fans((3,))
    torch = pytest.importorskip("torch")
    theirs = torch.nn.init._calculate_fan_in_and_fan_out
    assert torch_fans((16, 8, 3, 2)) == theirs(torch.empty(16, 8, 3, 2))


@pytest.mark.parametrize(("shape", "fans"), FANS)
def test_fans_of_a_shape(shape, fans):
    assert compute_fans(shape) == fans
    assert all(type(fan) is int for fan in compute_fans(shape))


@pytest.mark.parametrize(("shape", "input_axes", "output_axes", "fans"), WITH_AXES)
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
        result = check_axes("a", axes)
        assert result == (0, -1)
        assert all(type(axis) is int for axis in result)


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
            split = int(random.integers(0, rank + 1))
            assert compute_fans(shape, order[:split], order[split:]) == theirs(
                shape, order[:split], order[split:]
            )
