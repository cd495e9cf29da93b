"""Element types: their codes, and all names that are accepted."""

import re

import ml_dtypes
import numpy as np
import pytest

from initfast.core.dtypes import (
    CODES,
    FLOATING,
    UINT32,
    bits_of,
    is_floating,
    resolve,
    resolve_numeric,
)

# name, itemsize, code: the kernels and the files on disk depend on them.
TABLE = [
    ("float32", 4, 0),
    ("float64", 8, 1),
    ("float16", 2, 2),
    ("bfloat16", 2, 3),
    ("float8_e4m3fn", 1, 4),
    ("float8_e5m2", 1, 5),
]
NUMPY = {
    "float32": np.float32,
    "float64": np.float64,
    "float16": np.float16,
    "bfloat16": ml_dtypes.bfloat16,
    "float8_e4m3fn": ml_dtypes.float8_e4m3fn,
    "float8_e5m2": ml_dtypes.float8_e5m2,
}
CHOICES = "'float32', 'float64', 'float16', 'bfloat16', 'float8_e4m3fn', 'float8_e5m2'"


class Foreign:
    """A dtype that NumPy does not support, such as those of TensorFlow."""

    def __init__(self, name):
        self.name = name

    def __repr__(self):
        return f"<{self.name}>"


def test_table():
    assert [(dtype.name, dtype.itemsize, CODES[dtype]) for dtype in FLOATING] == TABLE
    assert (UINT32.name, CODES[UINT32]) == ("uint32", 6)
    assert set(CODES) == {*FLOATING, UINT32}


def test_what_is_floating():
    assert all(is_floating(dtype) for dtype in FLOATING)
    assert not is_floating(UINT32)
    assert not is_floating(np.dtype("int32"))


@pytest.mark.parametrize("dtype", FLOATING, ids=lambda dtype: dtype.name)
def test_every_name_of_a_dtype(dtype):
    scalar = NUMPY[dtype.name]
    for name in (
        dtype,
        dtype.name,
        scalar,
        np.dtype(scalar),
        np.zeros(1, scalar).dtype,
        Foreign(dtype.name),
    ):
        assert resolve(name) is dtype
        assert resolve_numeric(name) is dtype
        assert resolve(name) is dtype  # the second call uses a stored result
    assert dtype == np.dtype(scalar)
    assert bits_of(dtype) == np.dtype(f"u{dtype.itemsize}")


def test_none_is_float32():
    assert resolve() is resolve(None) is resolve_numeric(None) is FLOATING[0]


@pytest.mark.parametrize(
    ("alias", "name"),
    [("f4", "float32"), ("double", "float64"), ("half", "float16"), ("<f8", "float64")],
)
def test_numpys_own_aliases(alias, name):
    assert resolve(alias).name == name


@pytest.mark.parametrize("name", [row[0] for row in TABLE])
def test_torch(name):
    torch = pytest.importorskip("torch")
    assert resolve(getattr(torch, name)).name == name


@pytest.mark.parametrize("name", [row[0] for row in TABLE])
def test_jax(name):
    jnp = pytest.importorskip("jax.numpy")
    assert resolve(getattr(jnp, name)).name == name


@pytest.mark.parametrize(
    "dtype",
    ["bool", "int8", "uint16", np.int32, np.dtype("u8"), "complex64", np.complex128, "longdouble"],
)
def test_other_numbers_are_for_constants_only(dtype):
    assert resolve_numeric(dtype) == np.dtype(dtype)
    assert resolve_numeric(dtype) == np.dtype(dtype)
    rule = (
        f"random values need a floating dtype: one of {CHOICES}; received '{np.dtype(dtype).name}'"
    )
    with pytest.raises(ValueError, match=f"^{rule}$"):
        resolve(dtype)


def test_torch_integers_are_for_constants_only():
    torch = pytest.importorskip("torch")
    assert resolve_numeric(torch.int64) == np.dtype("int64")
    with pytest.raises(
        ValueError, match=r"random values need a floating dtype: .*; received 'int64'"
    ):
        resolve(torch.int64)


def test_raw_bits_are_no_random_values():
    with pytest.raises(ValueError, match="random values need a floating dtype"):
        resolve(UINT32)


UNKNOWN = ["float31", "", "S4", "O", "datetime64[s]", object(), [], {}, 3, 1.5, object, str]
UNKNOWN += [Foreign("posit16"), Foreign(7), ml_dtypes.float8_e4m3, ml_dtypes.int4]


@pytest.mark.parametrize("dtype", UNKNOWN, ids=lambda dtype: repr(dtype).partition(" at 0x")[0])
def test_unknown(dtype):
    hint = ": pass a shape as one tuple, as in init((4, 4))" if dtype == 3 else ""
    rule = f"^dtype must be one of {CHOICES}"
    received = re.escape(f"; received {dtype!r}{hint}") + "$"
    with pytest.raises(ValueError, match=rule + received):
        resolve(dtype)
    with pytest.raises(ValueError, match=rule + ", or another numeric dtype of NumPy" + received):
        resolve_numeric(dtype)


@pytest.mark.parametrize("dtype", [float, "float"])
def test_float_is_ambiguous(dtype):
    with pytest.raises(
        ValueError,
        match=r"dtype must be 'float32' or 'float64' \(float is float64 in NumPy, float32 in Keras",
    ):
        resolve(dtype)


@pytest.mark.parametrize("function", [resolve, resolve_numeric])
def test_foreign_byte_order(function):
    foreign = np.dtype("f4").newbyteorder("S")
    with pytest.raises(
        ValueError, match=f"dtype must be in native byte order; received '{foreign.str}'"
    ):
        function(foreign)
