"""Constants and the identity: values computed by hand or by NumPy, dtypes, parts, messages."""

import inspect
import math
import os
import re

import ml_dtypes
import numpy as np
import pytest

from initfast.core import distributions, indexing
from initfast.core.buffers import view
from initfast.core.dtypes import FLOATING
from initfast.core.engine import fill
from initfast.core.seeds import Seed
from initfast.initializers.constant import Constant, Identity, Ones, Zeros

FLOATS = [dtype.name for dtype in FLOATING]
INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
NUMERIC = [*FLOATS, *INTEGERS, "bool", "complex64", "complex128"]

FACES = {
    Zeros: ({}, {}),
    Ones: ({}, {}),
    Constant: ({"value": 0.0}, {"value": 0.0}),
    Identity: ({"gain": 1.0}, {"gain": 1.0}),  # Keras' config is empty, and so loses the gain
}


def keras():
    os.environ["KERAS_BACKEND"] = "jax"
    return pytest.importorskip("keras")


@pytest.mark.parametrize("kind", FACES)
def test_signature_and_config(kind):
    signature, config = FACES[kind]
    parameters = inspect.signature(kind).parameters
    assert list(
        {name: parameter.default for name, parameter in parameters.items()}.items()
    ) == list(signature.items())
    assert list(kind().get_config().items()) == list(config.items())
    assert kind.from_config({}).get_config() == config
    theirs = getattr(keras().initializers, kind.__name__)
    if signature:
        assert {
            name: p.default for name, p in inspect.signature(theirs).parameters.items()
        } == signature
    if kind is not Identity:
        assert list(theirs().get_config().items()) == list(config.items())


@pytest.mark.parametrize("dtype", NUMERIC)
@pytest.mark.parametrize(
    ("initializer", "expected"),
    [
        (Zeros(), [[0, 0, 0], [0, 0, 0]]),
        (Ones(), [[1, 1, 1], [1, 1, 1]]),
        (Constant(True), [[1, 1, 1], [1, 1, 1]]),
        (Constant([0, 1, 1]), [[0, 1, 1], [0, 1, 1]]),
        (Constant(np.array([[0.0], [1.0]])), [[0, 0, 0], [1, 1, 1]]),
        (Constant([[1, 0, 1], [0, 1, 0]]), [[1, 0, 1], [0, 1, 0]]),
        (Identity(), [[1, 0, 0], [0, 1, 0]]),
    ],
)
def test_every_numeric_dtype(initializer, expected, dtype):
    array = initializer((2, 3), dtype)
    assert array.dtype.name == dtype
    assert array.ctypes.data % 64 == 0
    assert array.astype(complex).tolist() == np.array(expected, complex).tolist()
    out = np.full((3, 4), 7).astype(array.dtype)[:2, :3]
    assert initializer.fill(out) is out
    assert (out == array).all()


@pytest.mark.parametrize("dtype", NUMERIC)
def test_large_constants_in_strided_memory(dtype):
    """Use more than a mebibyte of every dtype, so that the kernels write it if they support it."""
    memory = np.full((1100, 2100), 3).astype(Zeros()((1,), dtype).dtype)
    window = memory[::-1, 1::2]
    for initializer, expected in ((Ones(), 1), (Zeros(), 0), (Constant(1), 1), (Identity(1), 0)):
        initializer.fill(window, shape=(2000, 2000), index=np.s_[900:, :1050])
        diagonal = (
            np.eye(1100, 1050, 900, dtype=bool) if isinstance(initializer, Identity) else np.False_
        )
        assert (window == np.where(diagonal, 1, expected).astype(memory.dtype)).all()
        assert (memory[:, ::2] == memory.dtype.type(3)).all()
    assert (Constant(1)((1100, 1000), dtype) == memory.dtype.type(1)).all()


@pytest.mark.parametrize("dtype", ["int32", "uint32", "float32"])
def test_a_pattern_fits_every_dtype_of_its_size(dtype):
    out = np.zeros(3, dtype)
    fill(distributions.constant(b"\1\2\3\4"), Seed(0), view(out), indexing.whole((3,)))
    assert out.tobytes() == b"\1\2\3\4" * 3


@pytest.mark.parametrize("dtype", ["int16", "float64", "complex64", "bool"])
def test_a_pattern_of_another_size_is_refused(dtype):
    out = np.ones(3, dtype)
    with pytest.raises(
        ValueError, match=f"out must have the dtype of the values; received {dtype} memory"
    ):
        fill(distributions.constant(b"\1\2\3\4"), Seed(0), view(out), indexing.whole((3,)))
    assert (out == 1).all()


def test_values_that_are_not_0_or_1():
    assert Constant(2.5)((2,)).tolist() == [2.5, 2.5]
    assert Constant(-7)((2,), "int8").tolist() == [-7, -7]
    assert Constant(2**64 - 1)((1,), "uint64").tolist() == [2**64 - 1]
    assert Constant(1 + 2j)((2,), "complex64").tolist() == [1 + 2j, 1 + 2j]
    assert Constant(1 + 0j)((1,)).tolist() == [1.0]
    assert Constant(ml_dtypes.bfloat16(1.5))((1,)).tolist() == [1.5]
    assert Constant(1.9)((1,), "int32").tolist() == [1]  # the cast of NumPy, as in Keras
    assert Constant(3)(()).tolist() == 3.0
    assert Constant([1, 2])((0, 2)).shape == (0, 2)
    assert Identity(2.5)((3, 2)).tolist() == [[2.5, 0], [0, 2.5], [0, 0]]
    assert Identity()((0, 2)).shape == (0, 2)


def test_a_constant_keeps_its_own_copy():
    values = np.array([1.0, 2.0])
    initializer = Constant(values)
    values[0] = 9.0
    assert initializer((2,)).tolist() == [1.0, 2.0]


@pytest.mark.parametrize("kind", [Zeros, Ones, Constant, Identity])
@pytest.mark.parametrize("dtype", ["string", "float31", "object", "datetime64[s]", object(), ">f4"])
def test_invalid_dtypes(kind, dtype):
    with pytest.raises(ValueError, match=f"Invalid dtype: {re.escape(str(dtype))}"):
        kind()((2, 2), dtype)


@pytest.mark.parametrize(
    "value", ["1", b"1", None, [1, "2"], [[1], [2, 3]], object(), {1: 2}, [None]]
)
def test_constants_are_numbers(value):
    with pytest.raises(TypeError, match=r"value must be a number or an array of numbers; received"):
        Constant(value)


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, [1.0, -math.inf], complex(0, math.nan), np.float16("inf")]
)
def test_constants_are_finite(value):
    with pytest.raises(ValueError, match=r"value must be finite; received"):
        Constant(value)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Constant(300)((2,), "uint8"), r"value must be a number that uint8 can hold; received 300"),
        (lambda: Constant(-1)((2,), "uint64"), r"value must be a number that uint64 can hold; received -1"),
        (lambda: Constant(1e5)((2,), "float16"), r"value must be a number that float16 can hold; received 100000.0"),
        (lambda: Constant(1e39)((2,)), r"value must be a number that float32 can hold; received 1e\+39"),
        (lambda: Constant(1e9)((2,), "float8_e4m3fn"), r"value must be a number that float8_e4m3fn can hold"),
        (lambda: Constant(1j)((2,)), r"value must be a number that float32 can hold; received 1j"),
        (lambda: Constant([1, 2])((3,)), r"value must broadcast to the logical shape, \(3,\); received shape \(2,\)"),
        (lambda: Constant([1, 2])(()), r"value must broadcast to the logical shape, \(\); received shape \(2,\)"),
        (lambda: Constant([[1, 2]])((2,)), r"value must broadcast to the logical shape, \(2,\); received shape"),
        (lambda: Identity()((5,)),
         r"Identity matrix initializer can only be used for 2D matrices. Received: shape=\(5,\) of rank 1."),
        (lambda: Identity()((2, 2, 2)), r"can only be used for 2D matrices. Received: shape=\(2, 2, 2\) of rank 3."),
        (lambda: Identity(1e5)((2, 2), "float16"), r"gain must be a number that float16 can hold; received 100000.0"),
        (lambda: Constant.from_config({"values": 1}), r"the config of Constant takes 'value'; received 'values'"),
        (lambda: Zeros.from_config({"value": 1}), r"the config of Zeros takes no arguments; received 'value'"),
    ],
)  # fmt: skip
def test_messages(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_nothing_is_written_when_a_value_does_not_fit():
    out = np.full((2, 2), 7.0, "float16")
    for initializer in (Constant(1e6), Constant([1, 2, 3]), Identity(1e6), Constant(1j)):
        with pytest.raises(ValueError, match="must"):
            initializer.fill(out)
    assert (out == 7.0).all()


WINDOWS = [
    np.s_[2],
    np.s_[:, 2],
    np.s_[1:9:3, ::-2],
    np.s_[-4:, None, 3:],
    np.s_[4, 4],
    np.s_[:, :1],
    np.s_[..., 3],
    np.s_[3, :, None],
    np.s_[:, 3, None],
    np.s_[None, 3],
    np.s_[1 :: 2**70, 1 :: 2**70],
    np.s_[3:1, :],
]


@pytest.mark.parametrize("index", WINDOWS)
@pytest.mark.parametrize("shape", [(9, 5), (5, 9), (9, 9)])
def test_windows_by_numpy(shape, index):
    rows, columns = np.arange(1.0, shape[0] + 1)[:, None], np.arange(1.0, shape[1] + 1)
    for initializer, whole in (
        (Identity(2.0), 2.0 * np.eye(*shape)),
        (Constant(rows), rows + 0 * columns),
        (Constant(columns), 0 * rows + columns),
        (Constant(rows * columns), rows * columns),
    ):
        part = initializer.block(shape, index)
        assert part.shape == whole[index].shape
        assert (part == whole[index]).all()


def test_identities_too_large_for_memory():
    huge = 2**31
    assert Identity(3.0).block((huge, huge), np.s_[-3:, -2:]).tolist() == [[0, 0], [3, 0], [0, 3]]
    rows = Identity(3.0).rows((huge, 3), [[huge - 1, 2]])
    assert rows.tolist() == [[[0, 0, 0], [0, 0, 3]]]


LARGEST = [(2**63,), (2**62, 2), (2, 2**62), (1, 2**63), (2**63, 1)]


@pytest.mark.parametrize("shape", LARGEST)
def test_constants_of_the_largest_size(shape):
    corner = (slice(-2, None),) * len(shape)
    values = np.arange(1.0, 1 + min(2, shape[-1])) if shape[-1] == 2 else np.ones(1)
    for initializer in (Constant(1), Constant(values)):
        last = np.broadcast_to(initializer.value, [min(2, n) for n in shape])
        np.testing.assert_array_equal(initializer.block(shape, corner), last)
        ends = initializer.fill_run(np.empty(2), shape, 2**63 - 2)
        np.testing.assert_array_equal(ends, np.resize(last, 2))


@pytest.mark.parametrize("shape", LARGEST[1:])
def test_identities_of_the_largest_size(shape):
    last = min(shape) - 1
    for index, expected in (((last, last), 3.0), ((-1, -1), 0.0), ((0, 0), 3.0)):
        window = tuple(slice(i, i + 1 or None) for i in index)
        assert Identity(3.0).block(shape, index) == expected
        assert Identity(3.0).block(shape, window) == expected
    assert Identity(3.0).fill_run(np.empty(3), shape, last * (shape[1] + 1)).tolist()[0] == 3.0
    assert Identity(3.0).fill_run(np.empty(3), shape, 2**63 - 3).tolist() == [0.0] * 3
