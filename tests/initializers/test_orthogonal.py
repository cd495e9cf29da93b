"""Orthogonal matrices are orthogonal, and the Q of initfast's normals."""

import ml_dtypes
import numpy as np
import pytest

from initfast.core.dtypes import FLOATING
from initfast.initializers import RandomNormal
from initfast.initializers.orthogonal import Orthogonal

FLOATS = [dtype.name for dtype in FLOATING]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    ("shape", "gain"),
    [((8, 8), 1.0), ((9, 4), 2.0), ((4, 9), 0.5), ((2, 3, 5), 1.0), ((3, 1), -1.0)],
)
def test_orthogonal_is_orthogonal(shape, gain, dtype):
    array = Orthogonal(gain, seed=3)(shape, dtype)
    # Keras returns float32 for float64 on one backend, and fails for float16 on three.
    assert array.dtype.name == dtype
    matrix = array.astype(np.float64).reshape(-1, shape[-1])
    if matrix.shape[0] < matrix.shape[1]:
        matrix = matrix.T
    # The entries are at most `gain` and off by half a unit in the last place; a sum has at most 9
    # products.
    tolerance = 9 * gain**2 * float(ml_dtypes.finfo(array.dtype).eps)
    np.testing.assert_allclose(
        matrix.T @ matrix, gain**2 * np.eye(matrix.shape[1]), atol=tolerance, rtol=0
    )


@pytest.mark.parametrize(
    ("shape", "tall"), [((6, 4), (6, 4)), ((4, 6), (6, 4)), ((2, 3, 4), (6, 4))]
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_orthogonal_is_the_q_of_our_normals(shape, tall, dtype):
    normals = RandomNormal(0.0, 1.0, seed=3)(tall, dtype)
    q = Orthogonal(seed=3)(shape, dtype).reshape(-1, shape[-1])
    q = q if q.shape == tall else q.T
    r = q.T.astype(np.float64) @ normals
    scale = np.abs(normals).sum() * np.finfo(dtype).eps
    np.testing.assert_allclose(np.tril(r, -1), 0.0, atol=scale)
    assert (np.diag(r) > 0).all()


def test_halves_are_the_rounded_float32():
    single = Orthogonal(seed=3)((5, 4))
    assert (Orthogonal(seed=3)((5, 4), "float16") == single.astype("float16")).all()
    assert (Orthogonal(seed=3)((5, 4), "bfloat16") == single.astype(ml_dtypes.bfloat16)).all()


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0), (2, 0, 4)])
def test_orthogonal_of_nothing(shape):
    assert Orthogonal(seed=1)(shape).shape == shape
    assert Orthogonal(seed=1).block(shape, ...).shape == shape


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Orthogonal()((5,)),
         r"The tensor to initialize must be at least two-dimensional. Received: shape=\(5,\) of rank 1."),
        (lambda: Orthogonal().block((5,), np.s_[:0]), r"must be at least two-dimensional. Received: shape=\(5,\)"),
    ],
)  # fmt: skip
def test_messages(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    ("gain", "dtype"), [(1e39, "float32"), (-1e5, "float16"), (500, "float8_e4m3fn")]
)
def test_a_gain_that_the_dtype_cannot_hold(gain, dtype):
    out = np.full((3, 3), 7, ml_dtypes.float8_e4m3fn if "8" in dtype else dtype)
    with pytest.raises(ValueError, match=r"gain must be a number that float.* can hold"):
        Orthogonal(gain, seed=1).fill(out)
    assert (out == 7).all()
    assert Orthogonal(gain, seed=1)((3, 3), "float64").all()
