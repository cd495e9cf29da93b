"""Arguments in JSON: each type makes a round trip, also between initfast and Keras."""

import json
import os
import pickle
import re

import ml_dtypes
import numpy as np
import pytest

import initfast as ift
from initfast.initializers.constant import Constant, Identity, Ones, Zeros
from initfast.initializers.orthogonal import Orthogonal
from initfast.initializers.registry import deserialize, serialize
from initfast.initializers.stft import STFT


def keras():
    os.environ["KERAS_BACKEND"] = "jax"
    return pytest.importorskip("keras")


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
    assert np.asarray(theirs.Constant.from_config(ours.get_config())((2, 2))).tolist() == [
        [1.0, 2.0],
        [1.0, 2.0],
    ]
    for value in (np.array([1.0, 2.0]), [1, 2], (1, 2), keras().ops.array([1.0, 2.0])):
        serialized = json.loads(json.dumps(theirs.serialize(theirs.Constant(value))))
        assert deserialize(serialized)((2, 2)).tolist() == [[1.0, 2.0], [1.0, 2.0]]


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("he_normal", (4, 4)),
        ("random_normal", (4, 4)),
        ("random_uniform", [4, 4]),
        ("truncated_normal", (3,)),
        ("variance_scaling", (4, 4)),
        ("orthogonal", (4, 4)),
        ("identity", (4, 4)),
        ("stft", (4, 1, 3)),
    ],
)
def test_a_class_called_with_a_shape(name, shape):
    hint = re.escape(
        f"Create the initializer first, then call it with the shape, as in HeNormal(seed=42)({tuple(shape)})"
    )
    with pytest.raises((TypeError, ValueError), match=hint):
        getattr(ift, name)(shape)


@pytest.mark.parametrize("initializer", [ift.HeNormal(seed=1), ift.Zeros(), ift.STFT()])
def test_a_shape_as_several_arguments(initializer):
    with pytest.raises(
        ValueError, match=r"received 4: pass a shape as one tuple, as in init\(\(4, 4"
    ):
        initializer(4, 4)
