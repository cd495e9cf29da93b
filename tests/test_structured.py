"""Constants, identity, orthogonal and Fourier kernels: values by hand or from Keras, dtypes, messages."""

import builtins
import inspect
import json
import math
import os
import pickle
import re

import ml_dtypes
import numpy as np
import pytest

from initfast.registry import deserialize, serialize
from initfast.structured import STFT, Constant, Identity, Ones, Orthogonal, Zeros

FLOATS = ["float16", "float32", "float64", "bfloat16", "float8_e4m3fn", "float8_e5m2"]
INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
NUMERIC = [*FLOATS, *INTEGERS, "bool", "complex64", "complex128"]

FACES = {
    Zeros: ({}, {}),
    Ones: ({}, {}),
    Constant: ({"value": 0.0}, {"value": 0.0}),
    Identity: ({"gain": 1.0}, {"gain": 1.0}),  # Keras' config is empty, and so loses the gain
    STFT: (
        {"side": "real", "window": "hann", "scaling": "density", "periodic": False},
        {"side": "real", "window": "hann", "periodic": False, "scaling": "density"},
    ),
}


def keras():
    os.environ["KERAS_BACKEND"] = "jax"
    return pytest.importorskip("keras")


@pytest.mark.parametrize("kind", FACES)
def test_signature_and_config(kind):
    signature, config = FACES[kind]
    parameters = inspect.signature(kind).parameters
    assert list({name: parameter.default for name, parameter in parameters.items()}.items()) == list(signature.items())
    assert list(kind().get_config().items()) == list(config.items())
    assert kind.from_config({}).get_config() == config
    theirs = getattr(keras().initializers, kind.__name__)
    if signature:
        assert {name: p.default for name, p in inspect.signature(theirs).parameters.items()} == signature
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
    """More than a mebibyte of every dtype, so that the kernels write it where they can."""
    memory = np.full((1100, 2100), 3).astype(Zeros()((1,), dtype).dtype)
    window = memory[::-1, 1::2]
    for initializer, expected in ((Ones(), 1), (Zeros(), 0), (Constant(1), 1), (Identity(1), 0)):
        initializer.fill(window, shape=(2000, 2000), index=np.s_[900:, :1050])
        diagonal = np.eye(1100, 1050, 900, dtype=bool) if isinstance(initializer, Identity) else np.False_
        assert (window == np.where(diagonal, 1, expected).astype(memory.dtype)).all()
        assert (memory[:, ::2] == memory.dtype.type(3)).all()
    assert (Constant(1)((1100, 1000), dtype) == memory.dtype.type(1)).all()


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


@pytest.mark.parametrize("value", ["1", b"1", None, [1, "2"], [[1], [2, 3]], object(), {1: 2}, [None]])
def test_constants_are_numbers(value):
    with pytest.raises(TypeError, match=r"value must be a number or an array of numbers; received"):
        Constant(value)


@pytest.mark.parametrize("value", [math.nan, math.inf, [1.0, -math.inf], complex(0, math.nan), np.float16("inf")])
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
        (lambda: Orthogonal()((5,)),
         r"The tensor to initialize must be at least two-dimensional. Received: shape=\(5,\) of rank 1."),
        (lambda: Orthogonal().block((5,), np.s_[:0]), r"must be at least two-dimensional. Received: shape=\(5,\)"),
        (lambda: STFT("both"), r"side should be 'real' or 'imag', not both"),
        (lambda: STFT(scaling="power"),
         r"Scaling is invalid, it must be `None`, 'density' or 'spectrum'. Received scaling=power"),
        (lambda: STFT(window=[1, 2, 3])((4, 1, 3)),
         r"The shape of `window` must be equal to \[frame_length\].Received: window shape=\(3,\)"),
        (lambda: STFT(window=[0, 0])((2, 1, 3)), r"a window to be scaled must not be zero everywhere; received"),
        (lambda: STFT(window=[1, math.nan]), r"window must be finite; received"),
        (lambda: STFT(window=[1j]), r"window must hold real numbers; received complex ones"),
        (lambda: STFT()((4, 2, 3)), r"an STFT kernel has the shape \(frame_length, 1, bins\).*; received \(4, 2, 3\)"),
        (lambda: STFT()((4, 3)), r"an STFT kernel has the shape .*; received \(4, 3\)"),
        (lambda: STFT()((4, 1, 1)), r"an STFT kernel has the shape .*; received \(4, 1, 1\)"),
        (lambda: STFT()((4, 1, 3), "int32"), r"floating dtype"),
        (lambda: Constant.from_config({"values": 1}), r"the config of Constant takes 'value'; received 'values'"),
        (lambda: Zeros.from_config({"value": 1}), r"the config of Zeros takes nothing; received 'value'"),
    ],
)  # fmt: skip
def test_messages(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("periodic", ["no", 1, None])
def test_periodic_is_a_boolean(periodic):
    with pytest.raises(TypeError, match=f"periodic must be True or False; received {periodic!r}"):
        STFT(periodic=periodic)


def test_nothing_is_written_when_a_value_does_not_fit():
    out = np.full((2, 2), 7.0, "float16")
    for initializer in (Constant(1e6), Constant([1, 2, 3]), Identity(1e6), Constant(1j)):
        with pytest.raises(ValueError, match="must"):
            initializer.fill(out)
    assert (out == 7.0).all()


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    ("shape", "gain"), [((8, 8), 1.0), ((9, 4), 2.0), ((4, 9), 0.5), ((2, 3, 5), 1.0), ((3, 1), -1.0)]
)
def test_orthogonal_is_orthogonal(shape, gain, dtype):
    array = Orthogonal(gain, seed=3)(shape, dtype)
    assert array.dtype.name == dtype  # Keras gives float32 for float64 on one backend, and fails for halves on three
    matrix = array.astype(np.float64).reshape(-1, shape[-1])
    if matrix.shape[0] < matrix.shape[1]:
        matrix = matrix.T
    # Entries of at most `gain`, each off by half a unit in the last place, in sums of at most 9 products.
    tolerance = 9 * gain**2 * float(ml_dtypes.finfo(array.dtype).eps)
    np.testing.assert_allclose(matrix.T @ matrix, gain**2 * np.eye(matrix.shape[1]), atol=tolerance, rtol=0)


@pytest.mark.parametrize(("shape", "tall"), [((6, 4), (6, 4)), ((4, 6), (6, 4)), ((2, 3, 4), (6, 4))])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_orthogonal_is_the_q_of_our_normals(shape, tall, dtype):
    from initfast.initializers import RandomNormal

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


# cos and -sin of 2 pi t k / 4, without a window.
@pytest.mark.parametrize(
    ("side", "expected"),
    [
        ("real", [[1, 1, 1], [1, 0, -1], [1, -1, 1], [1, 0, -1]]),
        ("imag", [[0, 0, 0], [0, -1, 0], [0, 0, 0], [0, 1, 0]]),
    ],
)
def test_stft_by_hand(side, expected):
    np.testing.assert_allclose(STFT(side, window=None)((4, 1, 3))[:, 0], expected, atol=1e-7)


@pytest.mark.parametrize("side", ["real", "imag"])
@pytest.mark.parametrize("window", ["hann", "hamming", None, np.arange(1.0, 10.0), [1] * 9])
@pytest.mark.parametrize("scaling", ["density", "spectrum", None])
@pytest.mark.parametrize("periodic", [False, True])
def test_stft_is_that_of_keras(side, window, scaling, periodic):
    pytest.importorskip("scipy")
    theirs = np.asarray(keras().initializers.STFT(side, window, scaling, periodic)((9, 1, 17)))
    ours = STFT(side, window, scaling, periodic)((9, 1, 17))
    # Keras' angles are float32 numbers up to 26, which are off by up to 1e-6.
    np.testing.assert_allclose(ours, theirs, atol=3e-6 * max(1.0, np.abs(theirs).max()), rtol=0)
    assert ours.shape == theirs.shape


@pytest.mark.parametrize("length", [1, 2, 3, 8, 9])
@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize("window", ["hann", "hamming", "blackman", "cosine"])
def test_windows_are_those_of_scipy(window, periodic, length):
    get_window = pytest.importorskip("scipy.signal").get_window
    expected = get_window(window, length, periodic)
    given = STFT(window=window, scaling=None, periodic=periodic)((length, 1, 2), "float64")[:, 0, 0]
    np.testing.assert_allclose(given, expected, atol=1e-15)


def test_windows_by_hand():
    assert STFT(window="hann", scaling=None)((3, 1, 2), "float64")[:, 0, 0].tolist() == [0.0, 1.0, 0.0]
    np.testing.assert_allclose(STFT(scaling=None, periodic=True)((4, 1, 2))[:, 0, 0], [0, 0.5, 1, 0.5], atol=1e-7)
    np.testing.assert_allclose(STFT(window="hamming", scaling=None)((3, 1, 2))[:, 0, 0], [0.08, 1, 0.08], atol=1e-7)
    np.testing.assert_allclose(STFT(window=[3, 4])((2, 1, 2))[:, 0, 0], [0.6, 0.8], atol=1e-7)
    np.testing.assert_allclose(STFT(window=[1, -3], scaling="spectrum")((2, 1, 2))[:, 0, 0], [0.25, -0.75], atol=1e-7)


def test_other_windows_need_scipy(monkeypatch):
    load = builtins.__import__

    def without_scipy(name, *arguments, **keywords):
        if name.startswith("scipy"):
            raise ImportError(name)
        return load(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", without_scipy)
    with pytest.raises(ImportError, match=r"window 'blackman' comes from SciPy .* pip install scipy"):
        STFT(window="blackman")
    assert STFT(window="hann")((4, 1, 3)).shape == (4, 1, 3)


def test_an_unknown_window_is_refused_at_once():
    pytest.importorskip("scipy")
    with pytest.raises(ValueError, match="hannn"):
        STFT(window="hannn")


EXAMPLES = [
    Zeros(),
    Ones(),
    Constant(2.5),
    Constant(7),
    Constant(True),
    Constant(1 - 2.5j),
    Constant([[1, 2], [3, 4]]),
    Constant(np.array([1 + 2j, -0.5j], "complex64")),
    Constant(np.array([1, 1.5], ml_dtypes.bfloat16)),
    Constant(np.array([250, 3], "uint8")),
    Identity(3.0),
    Orthogonal(2.0, seed=4),
    STFT("imag", None, None, True),
    STFT("real", [1.0, 2.0], "spectrum"),
]


@pytest.mark.parametrize("initializer", EXAMPLES, ids=repr)
def test_json_and_pickle_keep_everything(initializer):
    shape = (2, 1, 2) if isinstance(initializer, STFT) else (2, 2)
    dtype = "float64" if isinstance(initializer, (STFT, Orthogonal)) else "complex128"
    expected = initializer.clone()(shape, dtype).tobytes()
    text = json.dumps(serialize(initializer))
    again = deserialize(json.loads(text))
    assert type(again) is type(initializer)
    assert json.dumps(serialize(again)) == text
    assert again(shape, dtype).tobytes() == expected
    assert pickle.loads(pickle.dumps(initializer))(shape, dtype).tobytes() == expected


def test_keras_reads_our_arrays_and_we_read_its():
    theirs = keras().initializers
    ours = Constant(np.array([1.0, 2.0]))
    assert np.asarray(theirs.Constant.from_config(ours.get_config())((2, 2))).tolist() == [[1.0, 2.0], [1.0, 2.0]]
    for value in (np.array([1.0, 2.0]), [1, 2], (1, 2), keras().ops.array([1.0, 2.0])):
        wrote = json.loads(json.dumps(theirs.serialize(theirs.Constant(value))))
        assert deserialize(wrote)((2, 2)).tolist() == [[1.0, 2.0], [1.0, 2.0]]


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


def test_identity_and_stft_of_sizes_that_could_not_exist():
    huge = 2**31
    assert Identity(3.0).block((huge, huge), np.s_[-3:, -2:]).tolist() == [[0, 0], [3, 0], [0, 3]]
    rows = Identity(3.0).rows((huge, 3), [[huge - 1, 2]])
    assert rows.tolist() == [[[0, 0, 0], [0, 0, 3]]]
    # One turn takes 2 (bins - 1) frames, so frames so far apart are equal.
    kernel = STFT(window=None)
    assert kernel.block((2**40, 1, 5), 2**39 + 1).tolist() == kernel.block((2**40, 1, 5), 1).tolist() != [[1.0] * 5]
