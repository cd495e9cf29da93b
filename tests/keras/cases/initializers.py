"""The values, memory and dtypes of the initializers, and when Keras calls them."""

import inspect
import json

import numpy as np
import pytest
from keras_tools import BACKEND, actual_dtype, address, array, keras, same

import initfast as ift
import initfast.keras as ik
from initfast.keras import tensors

SEED = {"seed": 42}
ROWS = [
    ("Zeros", {}),
    ("Ones", {}),
    ("Constant", {"value": 0.25}),
    ("Identity", {"gain": 2.0}),
    ("RandomNormal", {"stddev": 0.5, **SEED}),
    ("RandomUniform", {"minval": 0.0, "maxval": 1.0, **SEED}),
    ("TruncatedNormal", {"lower": -1.0, "upper": 3.0, **SEED}),
    ("VarianceScaling", {"scale": 3.0, "mode": "fan_out", "distribution": "uniform", **SEED}),
    ("GlorotNormal", SEED),
    ("GlorotUniform", SEED),
    ("HeNormal", {"input_axes": [1], "output_axes": [0], **SEED}),
    ("HeUniform", SEED),
    ("LecunNormal", SEED),
    ("LecunUniform", SEED),
    ("Orthogonal", {"gain": 0.5, **SEED}),
    ("STFT", {"side": "imag"}),
]


@pytest.mark.parametrize(("name", "arguments"), ROWS)
def test_values_and_config_are_those_of_initfast(name, arguments):
    mine, plain = getattr(ik, name)(**arguments), getattr(ift, name)(**arguments)
    shape = (16, 1, 9) if name == "STFT" else (24, 17)
    assert same(mine(shape), plain(shape))
    assert mine.get_config() == plain.get_config()
    assert isinstance(mine, type(plain)) and isinstance(mine, getattr(keras.initializers, name))
    assert mine.block(shape, np.s_[2:4]).tobytes() == plain.block(shape, np.s_[2:4]).tobytes()


@pytest.mark.parametrize(
    "dtype", ["float32", "float64", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"]
)
@pytest.mark.parametrize("shape", [(), (0, 3), (5, 7)])
def test_floating_dtypes(dtype, shape):
    values = ik.HeNormal(seed=3)(shape, dtype=dtype)
    assert same(values, ift.HeNormal(seed=3)(shape, actual_dtype(dtype)))
    assert type(values) is type(keras.ops.zeros((1,), dtype="float32"))


@pytest.mark.parametrize("dtype", ["int32", "uint8", "bool", "complex64"])
def test_constants_have_every_dtype(dtype):
    assert same(ik.Ones()((2, 3), dtype=dtype), np.ones((2, 3), dtype))
    with pytest.raises(ValueError, match="random values need a floating dtype"):
        ik.HeNormal(seed=1)((2, 3), dtype=dtype)


def test_no_dtype_means_floatx():
    keras.config.set_floatx("float16")
    try:
        assert same(ik.HeNormal(seed=3)((4, 4)), ift.HeNormal(seed=3)((4, 4), "float16"))
    finally:
        keras.config.set_floatx("float32")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    "make",
    [lambda: ik.RandomUniform(seed=1), ik.Zeros, lambda: ik.Orthogonal(seed=1)],
    ids=("uniform", "zeros", "orthogonal"),
)
def test_no_copy_from_the_fill_to_the_weight(make, dtype, monkeypatch):
    addresses = []
    adopt = tensors.adopt
    monkeypatch.setattr(
        tensors, "adopt", lambda a: addresses.append(a.__array_interface__["data"][0]) or adopt(a)
    )
    layer = keras.layers.Embedding(300, 50, embeddings_initializer=make(), dtype=dtype)
    layer.build()
    assert len(addresses) == 1 and addresses[0] % 64 == 0
    assert address(layer.embeddings) == addresses[0]


def test_unaligned_memory_is_copied():
    whole = np.arange(64, dtype=np.float32)
    offset = 1 + (-whole.__array_interface__["data"][0] // 4) % 16
    for odd in (whole[offset : offset + 32], whole.reshape(8, 8).T):
        assert same(tensors.adopt(odd), odd)
        assert address(tensors.adopt(odd)) != odd.__array_interface__["data"][0]


def test_shape_inference_draws_nothing():
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.table = keras.layers.Embedding(
                30, 4, embeddings_initializer=ik.RandomUniform(seed=1)
            )
            self.top = keras.layers.Dense(2, kernel_initializer=ik.HeNormal(seed=2))

        def call(self, x):
            return self.top(self.table(x))

    net = Net()
    net(np.zeros((2, 3), np.int32))
    # A second draw from a fixed seed would raise ReusedSeedWarning, which is an error in tests.
    assert same(net.top.kernel, ift.HeNormal(seed=2)((4, 2)))


def test_zeros_in_a_symbolic_scope_only():
    initializer = ik.HeNormal(seed=1)
    with keras.StatelessScope():
        assert same(initializer((3, 3)), ift.HeNormal(seed=1)((3, 3)))
        with keras.SymbolicScope():
            assert same(initializer((3, 3)), np.zeros((3, 3), np.float32))


def test_signatures_and_configs_that_keras_reads():
    initializer = ik.HeNormal(seed=1)
    assert list(inspect.signature(initializer).parameters) == ["shape", "dtype", "layout"]
    assert list(inspect.signature(ik.TruncatedNormal).parameters) == [
        "mean",
        "stddev",
        "seed",
        "lower",
        "upper",
    ]
    assert json.loads(json.dumps(initializer.get_config())) == initializer.get_config()


def test_keras_gets_them_by_every_identifier():
    name = "initfast>InitfastHeNormal"
    identifiers = [
        ik.HeNormal,
        name,
        {"class_name": name, "config": {"seed": 3}},
        keras.initializers.serialize(ik.HeNormal(seed=3)),
    ]
    assert [type(keras.initializers.get(item)) for item in identifiers] == [ik.HeNormal] * 4
    assert ik.HeNormal is ik.InitfastHeNormal
    assert type(keras.initializers.get("HeNormal")) is keras.initializers.HeNormal


def test_class_names_differ_from_those_of_keras():
    classes = [getattr(ik, name) for name in ik.__all__ if inspect.isclass(getattr(ik, name))]
    assert len(set(classes)) == 18
    for each in classes:
        assert each.__name__ not in dir(keras.initializers) and each.__module__ == "initfast.keras"
        assert getattr(ik, each.__name__) is each and each.__doc__


def test_the_base_class_draws_nothing():
    with pytest.raises(NotImplementedError, match="must implement"):
        ik.Initializer()((2, 2))


def test_a_fixed_stream_warns_when_it_is_drawn_twice():
    initializer = ik.HeNormal(seed=1)
    initializer((4, 4))
    with pytest.warns(ift.ReusedSeedWarning):
        initializer((4, 4))


def test_the_backend_is_the_expected_one():
    # With another backend, all other tests here would be meaningless.
    assert type(array(ik.Ones()((1,)))) is np.ndarray
    assert BACKEND in type(keras.ops.zeros((1,))).__module__ or BACKEND == "jax"
