"""Complex draws of `initfast.jax`: JAX's distributions, with two independent parts."""

import math

import numpy as np
import pytest

jax = pytest.importorskip("jax")

import initfast.jax as ij  # noqa: E402
from initfast.core.seeds import Seed  # noqa: E402
from initfast.jax.complex_values import ComplexNormal, Disk  # noqa: E402

THEIRS = jax.nn.initializers
KEY = jax.random.key(42)
DRAWN = ["normal", "he_normal", "he_uniform", "glorot_normal", "lecun_uniform"]


@pytest.mark.parametrize("name", DRAWN)
@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_distributions_are_those_of_jax(name, dtype):
    """Compare quantiles of moduli, angles and the correlation of the parts, for 98,304 values."""
    shape = (6, 128, 128)
    with jax.enable_x64(True):
        ours, theirs = (
            np.asarray(getattr(home, name)()(KEY, shape, dtype)).ravel() for home in (ij, THEIRS)
        )
    assert ours.dtype == theirs.dtype == dtype
    shares = [0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99]
    np.testing.assert_allclose(
        *(np.quantile(np.abs(values), shares) for values in (ours, theirs)), rtol=0.06
    )
    np.testing.assert_allclose(ours.std(), theirs.std(), rtol=0.01)
    assert abs(np.exp(1j * np.angle(ours)).mean()) < 6 / math.sqrt(ours.size)
    assert abs(np.corrcoef(ours.real, ours.imag)[0, 1]) < 6 / math.sqrt(ours.size)
    for lag in (1, 2, 4):  # neither part is a shifted copy of the other
        assert abs(np.corrcoef(ours.real[lag:], ours.imag[:-lag])[0, 1]) < 0.02


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 4)])
@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_unitary_matrices(shape, dtype):
    with jax.enable_x64(True):
        matrix = np.asarray(ij.orthogonal(2.0)(KEY, shape, dtype))
    assert matrix.dtype == dtype
    if shape[0] < shape[1]:
        matrix = matrix.conj().T
    np.testing.assert_allclose(matrix.conj().T @ matrix, 4 * np.eye(min(shape)), atol=2e-6)
    assert np.abs(matrix.imag).max() > 0.1
    middle = np.asarray(ij.delta_orthogonal()(KEY, (3, 2, 5), "complex64"))
    np.testing.assert_allclose(middle[1] @ middle[1].conj().T, np.eye(2), atol=1e-6)
    assert not middle[0].any()


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@pytest.mark.parametrize("seed", [Seed(3), Seed(3, 9)])
def test_a_part_is_the_same_part_of_the_whole(dtype, seed):
    for initializer in (ComplexNormal(0.5, seed), Disk(0.5, seed, True), Disk(0.5, seed, False)):
        values = initializer((70, 33), dtype)
        for index in (np.s_[5:60:7, ::-2], np.s_[-1], np.s_[:0], np.s_[3, 4]):
            part = initializer.block((70, 33), index, dtype)
            assert part.tobytes() == np.ascontiguousarray(values[index]).tobytes()


def test_separate_streams():
    """The parts differ from each other, and from a real draw with the same key."""
    values = np.asarray(ij.normal(math.sqrt(2.0))(KEY, (64,), "complex64"))
    plain = np.asarray(ij.normal(1.0)(KEY, (64,)))
    parts = [values.real, values.imag, plain]
    assert not any(np.allclose(a, b) for a, b in zip(parts, parts[1:] + parts[:1], strict=True))
    other = np.asarray(ij.normal(math.sqrt(2.0))(jax.random.key(43), (64,), "complex64"))
    assert not np.isin(other, values).any()


def test_edges():
    assert ij.he_normal()(KEY, (0, 4), "complex64").shape == (0, 4)
    assert ij.orthogonal()(KEY, (0, 4), "complex64").shape == (0, 4)
    assert ij.normal(dtype=complex)(KEY, (2,)).dtype == "complex64"
    shaped = jax.eval_shape(lambda key: ij.he_normal()(key, (4, 4), "complex64"), KEY)
    assert shaped.dtype == "complex64"
    with pytest.raises(ValueError, match=r"dtype must be one that JAX has enabled"):
        ij.normal()(KEY, (2,), "complex128")
