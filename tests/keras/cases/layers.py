"""Layers that copy their initializers, or set the input axes of a kernel."""

import numpy as np
import pytest
from keras_tools import array, keras, same

import initfast as ift
import initfast.keras as ik


def attention(initializer):
    layer = keras.layers.MultiHeadAttention(
        2, 4, kernel_initializer=initializer, bias_initializer=ik.Zeros()
    )
    layer.build((2, 3, 8), (2, 3, 8))
    return {
        weight.path.split("/", 1)[1]: weight for weight in layer.weights if "kernel" in weight.path
    }


def test_multi_head_attention_has_the_right_fans_and_four_streams():
    seeds = [ift.Seed(5), *(ift.Seed(5).named(f"copy {n}") for n in (1, 2, 3))]
    inwards, outwards = (
        {"input_axes": [0], "output_axes": [1, 2]},
        {"input_axes": [0, 1], "output_axes": [2]},
    )
    for _ in range(2):  # no matter what was built before
        kernels = attention(ik.HeNormal(seed=5))
        assert list(kernels) == [
            f"{name}/kernel" for name in ("query", "key", "value", "attention_output")
        ]
        for weight, seed in zip(kernels.values(), seeds, strict=True):
            last = weight is kernels["attention_output/kernel"]
            expected = ift.HeNormal(seed=seed, **(outwards if last else inwards))(
                tuple(weight.shape)
            )
            assert same(weight, expected)


@pytest.mark.parametrize(
    "initializer",
    [
        ik.RandomNormal(seed=5),
        ik.HeNormal(seed=ift.Seed(5).named("attention")),
        ik.HeNormal(seed=ift.SeedGenerator(5)),
        ik.HeNormal(seed=keras.random.SeedGenerator(5)),
        ik.HeNormal(seed=keras.random.SeedGenerator()),
        ik.HeNormal(),
    ],
)
def test_multi_head_attention_never_repeats_itself(initializer):
    kernels = [array(weight).ravel()[:8].tobytes() for weight in attention(initializer).values()]
    assert len(set(kernels)) == 4


def test_the_built_in_one_does_repeat_itself():
    # The reason for the streams of copies: remove them if Keras fixes this.
    first, second, *_ = attention(keras.initializers.HeNormal(seed=5)).values()
    assert np.array_equal(array(first), array(second))


def test_one_initializer_for_two_layers_continues():
    shared = ik.HeNormal(seed=5)
    kernels = [
        array(weight).ravel()[:8].tobytes()
        for _ in range(2)
        for weight in attention(shared).values()
    ]
    assert len(set(kernels)) == 8


def test_grouped_query_attention():
    layer = keras.layers.GroupQueryAttention(4, 4, 2, kernel_initializer=ik.HeNormal(seed=5))
    layer.build((2, 3, 8), (2, 3, 8))
    kernels = [
        array(weight).ravel()[:8].tobytes() for weight in layer.weights if weight.name == "kernel"
    ]
    assert len(kernels) == len(set(kernels)) == 4


@pytest.mark.parametrize(
    ("equation", "output", "axes"),
    [
        ("abc,cde->abde", (None, 2, 3), ([0], [1, 2])),
        ("abc,dc->abd", (None, 3), ([1], [0])),
        ("...x,xy->...y", 3, ([0], [1])),
    ],
)
def test_einsum_dense(equation, output, axes):
    layer = keras.layers.EinsumDense(equation, output, kernel_initializer=ik.GlorotNormal(seed=5))
    layer.build((2, 3, 8))
    expected = ift.GlorotNormal(seed=5, input_axes=axes[0], output_axes=axes[1])
    assert same(layer.kernel, expected(tuple(layer.kernel.shape)))


def test_a_users_axes_are_kept():
    mine = ik.HeNormal(seed=5, input_axes=[1], output_axes=[0])
    layer = keras.layers.EinsumDense("abc,cd->abd", (None, 3), kernel_initializer=mine)
    layer.build((2, 3, 8))
    assert same(layer.kernel, ift.HeNormal(seed=5, input_axes=[1], output_axes=[0])((8, 3)))


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "bfloat16"])
def test_dtype_policies(dtype):
    layer = keras.layers.Dense(6, kernel_initializer=ik.LecunNormal(seed=2), dtype=dtype)
    layer.build((None, 5))
    variable_dtype = "float32" if dtype.startswith("mixed") else "bfloat16"
    assert same(layer.kernel, ift.LecunNormal(seed=2)((5, 6), variable_dtype))


def test_an_lstm_bias_with_a_forget_gate():
    layer = keras.layers.LSTM(
        2, bias_initializer=ik.Constant(0.5), kernel_initializer=ik.HeNormal(seed=1)
    )
    layer.build((2, 3, 4))
    assert array(layer.cell.bias).tolist() == [0.5, 0.5, 1, 1, 0.5, 0.5, 0.5, 0.5]
