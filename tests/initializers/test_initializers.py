"""The random initializers: signatures and configs of Keras, formulas, seeds, parts, messages."""

import inspect
import itertools
import json
import math
import os
import pickle
import re

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays, basic_indices
from tiers import cases

from initfast.core.seeds import ReusedSeedWarning, Seed, SeedGenerator
from initfast.initializers import (
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    Identity,
    LecunNormal,
    LecunUniform,
    RandomNormal,
    RandomUniform,
    TruncatedNormal,
    VarianceScaling,
)
from initfast.initializers.base import Initializer
from initfast.initializers.orthogonal import Orthogonal
from initfast.initializers.registry import ALL_OBJECTS

# class: (signature, config of default arguments, in the order of the keys)
PRESET = (
    {"seed": None, "input_axes": None, "output_axes": None},
    ["seed", "input_axes", "output_axes"],
)
FACES = {
    RandomNormal: ({"mean": 0.0, "stddev": 0.05, "seed": None}, ["seed", "mean", "stddev"]),
    RandomUniform: ({"minval": -0.05, "maxval": 0.05, "seed": None}, ["seed", "minval", "maxval"]),
    TruncatedNormal: (
        {"mean": 0.0, "stddev": 0.05, "seed": None, "lower": -2.0, "upper": 2.0},
        ["seed", "mean", "stddev"],
    ),
    VarianceScaling: (
        {
            "scale": 1.0,
            "mode": "fan_in",
            "distribution": "truncated_normal",
            "seed": None,
            "input_axes": None,
            "output_axes": None,
        },
        ["seed", "scale", "mode", "distribution", "input_axes", "output_axes"],
    ),
    GlorotUniform: PRESET,
    GlorotNormal: PRESET,
    LecunUniform: PRESET,
    LecunNormal: PRESET,
    HeUniform: PRESET,
    HeNormal: PRESET,
    Orthogonal: ({"gain": 1.0, "seed": None}, ["seed", "gain"]),
}
RANDOM = list(FACES)
DTYPES = ["float32", "float64", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"]

# The presets, again, written by hand.
ROWS = {
    GlorotUniform: (1.0, "fan_avg", "uniform"),
    GlorotNormal: (1.0, "fan_avg", "truncated_normal"),
    LecunUniform: (1.0, "fan_in", "uniform"),
    LecunNormal: (1.0, "fan_in", "truncated_normal"),
    HeUniform: (2.0, "fan_in", "uniform"),
    HeNormal: (2.0, "fan_in", "truncated_normal"),
}

# (initializer, shape, expected distribution): stddev sqrt(scale / n), divided by 0.8796... if
# truncated; limit sqrt(3 scale / n)
FORMULAS = [
    (VarianceScaling(4.0, seed=1), (16, 9), TruncatedNormal(0.0, 0.5 / 0.87962566103423978, seed=1)),
    (VarianceScaling(4.0, "fan_out", seed=1), (9, 16), TruncatedNormal(0.0, 0.5 / 0.87962566103423978, seed=1)),
    (VarianceScaling(4.0, "fan_avg", seed=1), (9, 23), TruncatedNormal(0.0, 0.5 / 0.87962566103423978, seed=1)),
    (VarianceScaling(4.0, "fan_avg", "uniform", seed=1), (1, 2), RandomUniform(-math.sqrt(8), math.sqrt(8), seed=1)),
    (VarianceScaling(4.0, distribution="untruncated_normal", seed=1), (16, 9), RandomNormal(0.0, 0.5, seed=1)),
    (VarianceScaling(12.0, distribution="uniform", seed=1), (4, 9), RandomUniform(-3.0, 3.0, seed=1)),
    (VarianceScaling(3.0, distribution="uniform", seed=1), (2, 2, 4, 9), RandomUniform(-0.75, 0.75, seed=1)),
    (VarianceScaling(3.0, distribution="uniform", seed=1, input_axes=[2], output_axes=[0]), (7, 5, 9),
     RandomUniform(-1.0, 1.0, seed=1)),
    # Rank 0 has the fans (1, 1), and a fan below 1 counts as 1.
    (VarianceScaling(3.0, distribution="uniform", seed=1), (), RandomUniform(-3.0, 3.0, seed=1)),
    (VarianceScaling(3.0, distribution="uniform", seed=1, input_axes=[0], output_axes=[0]), (1, 4),
     RandomUniform(-3.0, 3.0, seed=1)),
]  # fmt: skip


def raw(array):
    return np.ascontiguousarray(array).view(np.uint8).tobytes()


@pytest.mark.parametrize("kind", RANDOM)
def test_signature_and_defaults(kind):
    parameters = inspect.signature(kind).parameters
    assert {name: parameter.default for name, parameter in parameters.items()} == FACES[kind][0]
    assert list(parameters) == list(FACES[kind][0])
    initializer = kind()
    for name, default in FACES[kind][0].items():
        if name != "seed":
            assert getattr(initializer, name) == default
    assert isinstance(initializer.seed, int)


@pytest.mark.parametrize("kind", RANDOM)
def test_config_of_default_arguments(kind):
    config = kind().get_config()
    assert list(config) == FACES[kind][1]
    assert config == {key: FACES[kind][0][key] for key in config}


@pytest.mark.parametrize("kind", RANDOM)
def test_signature_and_config_are_those_of_keras(kind):
    os.environ["KERAS_BACKEND"] = "jax"
    keras = pytest.importorskip("keras")
    theirs = getattr(keras.initializers, kind.__name__)
    ours = dict(inspect.signature(kind).parameters)
    for beyond_keras in ("lower", "upper") if kind is TruncatedNormal else ():
        del ours[beyond_keras]
    expected = inspect.signature(theirs).parameters
    assert [(name, parameter.default) for name, parameter in ours.items()] == [
        (name, parameter.default) for name, parameter in expected.items()
    ]
    assert json.dumps(kind(seed=3).get_config()) == json.dumps(theirs(seed=3).get_config())
    assert json.dumps(theirs.from_config(kind(seed=3).get_config()).get_config()) == json.dumps(
        kind.from_config(theirs(seed=3).get_config()).get_config()
    )


@pytest.mark.parametrize("kind", ROWS)
def test_presets_are_rows_over_variance_scaling(kind):
    initializer = kind(seed=5)
    assert isinstance(initializer, VarianceScaling)
    assert (initializer.scale, initializer.mode, initializer.distribution) == ROWS[kind]
    assert raw(initializer((64, 32))) == raw(VarianceScaling(*ROWS[kind], seed=5)((64, 32)))
    assert f"{ROWS[kind][0]:g} / {ROWS[kind][1]}" in kind.__doc__
    axes = {"input_axes": [0], "output_axes": [1, 2]}
    assert raw(kind(seed=5, **axes)((8, 4, 6))) == raw(
        VarianceScaling(*ROWS[kind], seed=5, **axes)((8, 4, 6))
    )


@pytest.mark.parametrize(("initializer", "shape", "distribution"), FORMULAS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_formulas(initializer, shape, distribution, dtype):
    initializer, distribution = pickle.loads(pickle.dumps((initializer, distribution)))
    assert raw(initializer(shape, dtype)) == raw(distribution(shape, dtype))


# 200,000 values with fixed seeds: the standard error of the standard deviation is below 0.2 %, and
# that of the mean is 0.0023 standard deviations. The limits of 1 % and 0.0115 are at least five
# standard errors, which gives about one false alarm in a million draws.
@pytest.mark.parametrize(
    ("initializer", "shape", "mean", "std"),
    [
        (RandomNormal(0.5, 2.0, seed=11), (400, 500), 0.5, 2.0),
        (RandomUniform(-1.0, 2.0, seed=12), (400, 500), 0.5, 3.0 / math.sqrt(12.0)),
        (TruncatedNormal(0.5, 2.0, seed=13), (400, 500), 0.5, 2.0 * 0.8796256610342398),
        (GlorotNormal(seed=14), (400, 500), 0.0, math.sqrt(2 / 900)),
        (GlorotUniform(seed=15), (400, 500), 0.0, math.sqrt(2 / 900)),
        (HeNormal(seed=16), (400, 500), 0.0, math.sqrt(2 / 400)),
        (HeUniform(seed=17), (400, 500), 0.0, math.sqrt(2 / 400)),
        (LecunNormal(seed=18), (400, 500), 0.0, math.sqrt(1 / 400)),
        (LecunUniform(seed=19), (400, 500), 0.0, math.sqrt(1 / 400)),
        (LecunNormal(seed=20), (2, 2, 100, 500), 0.0, math.sqrt(1 / 400)),
        (
            LecunNormal(seed=21, input_axes=[0], output_axes=[1, 2]),
            (400, 5, 100),
            0.0,
            math.sqrt(1 / 400),
        ),
        (VarianceScaling(3.0, "fan_out", "normal", seed=22), (400, 500), 0.0, math.sqrt(3 / 500)),
        (
            VarianceScaling(3.0, "fan_out", "untruncated_normal", seed=23),
            (400, 500),
            0.0,
            math.sqrt(3 / 500),
        ),
    ],
)
def test_moments(initializer, shape, mean, std):
    values = initializer.clone()(shape).astype(np.float64)
    assert abs(values.mean() - mean) < 0.0115 * std
    assert abs(values.std() - std) < 0.01 * std


@pytest.mark.parametrize("dtype", DTYPES)
def test_bounds_hold_in_every_dtype(dtype):
    uniform = RandomUniform(-0.05, 0.05, seed=1)((200, 500), dtype).astype(np.float64)
    assert uniform.min() >= -0.05
    assert uniform.max() < 0.05
    truncated = TruncatedNormal(0.0, 1.0, seed=1, lower=-1.0, upper=0.5)((200, 500), dtype).astype(
        np.float64
    )
    assert truncated.min() >= -1.0
    assert truncated.max() <= 0.5
    he = HeNormal(seed=1)((200, 500), dtype).astype(np.float64)
    assert abs(he).max() <= 2 * math.sqrt(2 / 200) / 0.8796256610342397


def test_degenerate_parameters():
    assert (RandomNormal(0.5, 0.0, seed=1)((9,)) == 0.5).all()
    assert (TruncatedNormal(0.5, 0.0, seed=1)((9,)) == 0.5).all()
    assert (RandomUniform(0.5, 0.5, seed=1)((9,)) == 0.5).all()


@pytest.mark.parametrize("kind", RANDOM)
@pytest.mark.parametrize("dtype", [None, *DTYPES])
def test_new_arrays(kind, dtype):
    array = kind(seed=1)((5, 3), dtype=dtype)
    assert array.shape == (5, 3)
    assert array.dtype.name == (dtype or "float32")
    assert array.ctypes.data % 64 == 0
    assert array.flags.c_contiguous
    assert array.flags.writeable
    for empty in ((0, 3), (5, 0)):
        assert kind(seed=1)(empty, dtype).shape == empty


@pytest.mark.parametrize("shape", [[4, 6], np.array([4, 6]), (np.int64(4), np.uint8(6))])
def test_shapes_may_be_any_integers(shape):
    assert raw(HeNormal(seed=3)(shape)) == raw(HeNormal(seed=3)((4, 6)))
    assert RandomNormal(seed=3)(5).shape == (5,)
    assert RandomNormal(seed=3)(()).shape == ()


@pytest.mark.parametrize(
    "shape", [None, (2, None), (-1, 2), (2.0, 2), (True, 2), "22", 2.5, True, (2**32, 2**32)]
)
@pytest.mark.parametrize("kind", [HeNormal, RandomUniform, Orthogonal])
def test_wrong_shapes(kind, shape):
    # Make (1, 2) and (2, 2) first, so that a cache that confuses True with 1 or 2.0 with 2 fails.
    assert kind(seed=1)((1, 2)).shape == (1, 2)
    assert kind(seed=1)((2, 2)).shape == (2, 2)
    with pytest.raises(ValueError, match=r"received"):
        kind(seed=1)(shape)


@pytest.mark.parametrize(
    "dtype", ["int32", "complex64", "bool", "string", "float31", np.int8, object(), 3]
)
@pytest.mark.parametrize("kind", [HeNormal, RandomUniform, Orthogonal])
def test_random_values_are_floating(kind, dtype):
    with pytest.raises(ValueError, match=r"dtype.*received"):
        kind(seed=1)((2, 2), dtype)


NUMBERS = [
    (RandomNormal, "mean"),
    (RandomNormal, "stddev"),
    (RandomUniform, "minval"),
    (RandomUniform, "maxval"),
    (TruncatedNormal, "mean"),
    (TruncatedNormal, "stddev"),
    (TruncatedNormal, "lower"),
    (TruncatedNormal, "upper"),
    (VarianceScaling, "scale"),
    (Orthogonal, "gain"),
]


@pytest.mark.parametrize(("kind", "name"), NUMBERS)
@pytest.mark.parametrize(
    "value", [True, False, np.True_, "1", "0.5", None, [1.0], np.ones(2), 1j, np.bool_(0), b"1"]
)
def test_parameters_are_numbers(kind, name, value):
    with pytest.raises(
        TypeError, match=f"{name} must be a finite number; received {re.escape(repr(value))}"
    ):
        kind(**{name: value})


@pytest.mark.parametrize(("kind", "name"), NUMBERS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, np.float32("nan"), 10**400])
def test_parameters_are_finite(kind, name, value):
    with pytest.raises(ValueError, match=f"{name} must be a finite number; received"):
        kind(**{name: value})


def test_numbers_of_every_kind_are_the_same_number():
    import ml_dtypes

    for half in (
        0.5,
        np.float16(0.5),
        np.float64(0.5),
        np.array(0.5),
        ml_dtypes.bfloat16(0.5),
        np.array(0.5, "f4"),
    ):
        initializer = RandomNormal(half, half, seed=1)
        assert type(initializer.mean) is type(initializer.stddev) is float
        assert initializer.get_config() == {"seed": 1, "mean": 0.5, "stddev": 0.5}
    assert RandomUniform(-1, np.int8(1)).get_config() == {
        "seed": None,
        "minval": -1.0,
        "maxval": 1.0,
    }


def test_minus_zero_is_zero():
    # They are the same key of a cache, so they must be the same parameter.
    assert math.copysign(1.0, RandomNormal(-0.0).mean) == 1.0
    assert raw(RandomNormal(-0.0, 0.0, seed=1)((4,))) == raw(RandomNormal(0.0, 0.0, seed=1)((4,)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RandomNormal(stddev=-1.0), r"stddev must be >= 0; received -1.0"),
        (lambda: TruncatedNormal(stddev=-1e-30), r"stddev must be >= 0; received -1e-30"),
        (lambda: RandomUniform(1.0, -1.0), r"minval must not exceed maxval; received minval=1.0, maxval=-1.0"),
        (lambda: TruncatedNormal(lower=2.0), r"lower must be less than upper; received lower=2.0, upper=2.0"),
        (lambda: TruncatedNormal(upper=-3), r"lower must be less than upper; received lower=-2.0, upper=-3"),
        (lambda: VarianceScaling(0), r"Argument `scale` must be positive float. Received: scale=0"),
        (lambda: VarianceScaling(-1.5), r"Argument `scale` must be positive float. Received: scale=-1.5"),
        (lambda: VarianceScaling(mode="fan"),
         r"Invalid `mode` argument: fan. Please use one of 'fan_in', 'fan_out', 'fan_avg'"),
        (lambda: VarianceScaling(mode="FAN_IN"), r"Invalid `mode` argument: FAN_IN. Please use one of"),
        (lambda: VarianceScaling(mode=None), r"Invalid `mode` argument: None. Please use one of"),
        (lambda: VarianceScaling(mode=["fan_in"]), r"Invalid `mode` argument: \['fan_in'\]. Please use one of"),
        (lambda: VarianceScaling(distribution="gauss"), r"Invalid `distribution` argument: gauss.Please use one of "
         r"'uniform', 'truncated_normal', 'untruncated_normal'"),
        (lambda: VarianceScaling(distribution=None), r"Invalid `distribution` argument: None.Please use one of"),
        (lambda: HeNormal(seed=-1), r"`seed` argument should be an instance of .* Received: seed=-1"),
        (lambda: HeNormal(seed=2**64), r"`seed` argument should be an instance of .* seed=18446744073709551616"),
        (lambda: HeNormal(seed="a"), r"`seed` argument should be an instance of .* Received: seed='a'"),
        (lambda: Orthogonal(seed=1.5), r"`seed` argument should be an instance of .* Received: seed=1.5"),
        (lambda: HeNormal(seed=1, input_axes=[2], output_axes=[0])((3, 4)), r"input_axes must lie within a shape"),
        (lambda: HeNormal.from_config({"stddev": 1}),
         r"the config of HeNormal takes 'seed', 'input_axes', 'output_axes'; received 'stddev'"),
        (lambda: RandomNormal(stddev=1e39, seed=1)((2,)), r"received"),
        (lambda: RandomUniform(-1e5, 1e5, seed=1)((2,), "float16"), r"received"),
        (lambda: HeNormal(seed=1).fill(np.empty(3, "f4"), index=0), r"pass shape=; received index=0"),
        (lambda: HeNormal(seed=1).fill(np.empty(3, "f4"), shape=(4,)), r"out must have the shape .*\(4,\); received"),
        (lambda: HeNormal(seed=1).fill(np.empty((3, 1), "f4"), (4, 3), 0), r"out must have the shape .*\(3,\); rec"),
        (lambda: HeNormal(seed=1).fill(np.empty(3, "i4")), r"dtype.*received"),
    ],
)  # fmt: skip
def test_messages(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_distribution_is_read_as_keras_reads_it():
    assert VarianceScaling(distribution="Normal").distribution == "truncated_normal"
    assert VarianceScaling(distribution="UNIFORM").get_config()["distribution"] == "uniform"
    assert VarianceScaling(distribution="untruncated_normal").distribution == "untruncated_normal"


def test_the_base_class_names_the_method_to_implement():
    with pytest.raises(
        NotImplementedError,
        match=r"Initializer subclasses must implement the `__call__\(\)` method.",
    ):
        Initializer()((2,))


class Counting(Initializer):
    """A user's initializer, written as for Keras."""

    def __init__(self, start=0):
        self.start = start

    def __call__(self, shape, dtype=None):
        return (self.start + np.arange(math.prod(shape))).reshape(shape).astype(dtype or "float32")

    def get_config(self):
        return {"start": self.start}


def test_a_users_initializer_has_parts_too():
    mine = Counting(5).clone()
    whole = mine((4, 6))
    assert raw(mine.block((4, 6), np.s_[::-2, 1:])) == raw(whole[::-2, 1:])
    assert raw(mine.block((4, 6), np.s_[1 :: 2**70, 2])) == raw(whole[1 :: 2**70, 2])
    assert raw(mine.rows((4, 6), [[3, 0], [3, 1]], "int16")) == raw(
        whole[[[3, 0], [3, 1]]].astype("int16")
    )
    assert mine.rows((4, 6), []).shape == (0, 6)
    out = np.full((6, 4), -1, np.int64).T
    assert mine.fill(out) is out
    assert raw(out) == raw(whole.astype(np.int64))
    assert repr(mine) == "Counting(start=5)"


# --- seeds ---


@pytest.mark.parametrize("kind", RANDOM)
@pytest.mark.parametrize(
    "seed", [0, 42, 2**64 - 1, np.int64(7), np.uint8(7), Seed(1, 2), Seed(1).named("a")]
)
def test_a_fixed_seed_draws_the_same_values(kind, seed):
    first = kind(seed=seed)((6, 5))
    assert raw(kind(seed=seed)((6, 5))) == raw(first)
    other = Seed(int(seed.seed) if isinstance(seed, Seed) else int(seed)).named("other")
    assert raw(kind(seed=other)((6, 5))) != raw(first)


@pytest.mark.parametrize("kind", RANDOM)
def test_the_seed_attribute_is_live_and_the_config_is_the_argument(kind):
    initializer = kind(seed=np.int64(7))
    assert initializer.seed == 7
    assert type(initializer.seed) is int
    assert initializer.get_config()["seed"] == 7
    unseeded = kind()
    assert unseeded.get_config()["seed"] is None
    assert raw(kind(seed=unseeded.seed)((3, 3))) == raw(unseeded((3, 3)))
    named_seed, generator = Seed(7).named("a"), SeedGenerator(7)
    assert kind(seed=named_seed).seed is named_seed
    assert kind(seed=generator).seed is generator


@pytest.mark.parametrize("kind", RANDOM)
def test_a_generator_draws_a_new_stream_at_each_call(kind):
    initializer = kind(seed=SeedGenerator(9))
    arrays_in_bytes = [
        raw(initializer((4, 4))),
        raw(initializer((4, 4))),
        raw(initializer.block((4, 4), ())),
        raw(initializer.rows((4, 4), range(4))),
    ]
    out = np.empty((4, 4), "float32")
    arrays_in_bytes.append(raw(initializer.fill(out)))
    assert arrays_in_bytes == [raw(kind(seed=Seed(9, stream))((4, 4))) for stream in range(5)]
    assert arrays_in_bytes[0] == raw(kind(seed=9)((4, 4)))
    assert len(set(arrays_in_bytes)) == 5


def test_a_refused_call_leaves_the_generator_where_it_was():
    generator = SeedGenerator(9)
    initializer = HeNormal(seed=generator)
    for wrong in (
        lambda: initializer((2, -1)),
        lambda: initializer((2,), "int8"),
        lambda: initializer.block((2, 2), 5),
        lambda: initializer.rows((2, 2), [9]),
        lambda: initializer.fill(np.empty(3, "int8")),
    ):
        with pytest.raises((ValueError, IndexError)):
            wrong()
    assert generator.counter == 0


@pytest.mark.parametrize("kind", RANDOM)
def test_clones(kind):
    initializer = kind(seed=4)
    assert raw(initializer.clone().block((3, 4), ...)) == raw(initializer((3, 4)))
    without_seed = kind()
    assert without_seed.clone().seed != without_seed.seed
    with_generator = kind(seed=SeedGenerator(4))
    with_generator((3, 4))
    assert raw(with_generator.clone()((3, 4))) == raw(kind(seed=4)((3, 4)))


@pytest.mark.parametrize("kind", RANDOM)
@pytest.mark.parametrize("seed", [None, 3, Seed(3), Seed(3).named("a")])
def test_a_second_whole_array_of_one_stream_warns_once(kind, seed):
    initializer = kind(seed=seed)
    initializer((2, 2))
    with pytest.warns(
        ReusedSeedWarning, match=r"Seed\(\d+\)\.named\('layer/kernel'\).*SeedGenerator\(\d+\)"
    ) as caught:
        initializer((2, 3))
    assert len(caught) == 1
    assert caught[0].filename == __file__
    initializer((2, 4))  # warnings are errors here


@pytest.mark.parametrize("kind", RANDOM)
def test_parts_and_generators_never_warn(kind):
    with_seed, with_generator, out = (
        kind(seed=3),
        kind(seed=SeedGenerator(3)),
        np.empty((2, 3), "float32"),
    )
    for _ in range(3):
        with_seed.fill(out)
        with_seed.fill(out, (4, 3), np.s_[:2])
        with_seed.block((4, 3), 1)
        with_seed.rows((4, 3), [1])
        with_generator((2, 3))


@pytest.mark.parametrize("seed", [None, 5, Seed(5).named("a/b"), Seed(5, 6), SeedGenerator(5)])
@pytest.mark.parametrize("kind", RANDOM)
def test_pickles_and_json(kind, seed):
    initializer = kind(seed=seed)
    again = pickle.loads(pickle.dumps(initializer))
    config = json.loads(json.dumps(initializer.get_config()))
    assert kind.from_config(config).get_config() == config == again.get_config()
    if seed is not None:
        assert raw(kind.from_config(config)((3, 3))) == raw(initializer.clone().block((3, 3), ...))
    assert raw(again((3, 3))) == raw(initializer((3, 3)))


def test_axes_survive_json():
    initializer = HeNormal(seed=1, input_axes=np.array([0]), output_axes=(1, -1))
    config = json.loads(json.dumps(initializer.get_config()))
    assert config == {"seed": 1, "input_axes": [0], "output_axes": [1, -1]}
    assert raw(HeNormal.from_config(config)((4, 5, 6))) == raw(initializer((4, 5, 6)))


def test_bounds_are_in_the_config_where_keras_does_not_have_them():
    assert "lower" not in TruncatedNormal(lower=-2, upper=2.0).get_config()
    config = TruncatedNormal(seed=1, upper=3).get_config()
    assert config == {"seed": 1, "mean": 0.0, "stddev": 0.05, "lower": -2.0, "upper": 3.0}
    assert TruncatedNormal.from_config(config).upper == 3.0


@pytest.mark.parametrize("kind", RANDOM)
def test_old_configs(kind):
    assert kind.from_config({}).get_config() == kind().get_config()
    assert kind.from_config({"seed": 3}).get_config() == kind(seed=3).get_config()
    # Configs of tf.keras contain a dtype.
    assert (
        kind.from_config({"seed": 3, "dtype": "float32"}).get_config() == kind(seed=3).get_config()
    )


@pytest.mark.parametrize(
    ("initializer", "text"),
    [
        (HeNormal(seed=42), "HeNormal(seed=42)"),
        (RandomNormal(stddev=0.01, seed=1), "RandomNormal(stddev=0.01, seed=1)"),
        (GlorotUniform(Seed(1).named("a"), [0], [1]),
         "GlorotUniform(seed=Seed(1).named('a'), input_axes=(0,), output_axes=(1,))"),
        (Orthogonal(2, seed=SeedGenerator(3)), "Orthogonal(gain=2.0, seed=SeedGenerator(3))"),
        (VarianceScaling(2, "fan_out", seed=1), "VarianceScaling(scale=2.0, mode='fan_out', seed=1)"),
    ],
)  # fmt: skip
def test_repr_makes_it_again(initializer, text):
    assert repr(initializer) == text
    assert eval(text).get_config() == initializer.get_config()


# --- parts ---

EVERY = [kind for kind in dict.fromkeys(ALL_OBJECTS.values()) if kind is not Initializer]
SHAPES = {"Identity": [(6, 6), (5, 7)], "Orthogonal": [(6, 6), (3, 1, 4)], "STFT": [(6, 1, 5)]}
ANY_SHAPE = [(), (6,), (5, 7), (3, 4, 6), (2, 3, 1, 5), (0, 3)]


@pytest.mark.parametrize("kind", EVERY)
@cases(60)
@given(data=st.data())
def test_a_part_is_the_same_part_of_the_whole(kind, data):
    shape = data.draw(st.sampled_from(SHAPES.get(kind.__name__, ANY_SHAPE)))
    dtype = data.draw(st.sampled_from(DTYPES))
    initializer = kind(seed=8) if kind in FACES else kind()
    whole = initializer(shape, dtype)
    index = data.draw(basic_indices(shape, allow_newaxis=True))
    index = (None,) if index is None else index  # for `fill`, None means that there is no index
    part = np.asarray(whole[index])
    part_alone = initializer.block(shape, index, dtype)
    assert part_alone.shape == part.shape
    assert part_alone.dtype == part.dtype
    assert raw(part_alone) == raw(part)
    # Fill every second element of poisoned memory; the elements between must not change.
    memory = np.full([2 * n for n in part.shape], 0x55, f"u{part.itemsize}")
    window = memory[(*[slice(None, None, 2)] * part.ndim, ...)]
    initializer.fill(window, shape, index, dtype=dtype)
    assert raw(window) == raw(part)
    assert np.count_nonzero(memory == 0x55) >= memory.size - part.size
    if shape and shape[0]:
        rows = arrays(
            np.int64, array_shapes(min_dims=0, max_dims=2), elements=st.integers(0, shape[0] - 1)
        )
        ids = data.draw(rows)
        assert raw(initializer.rows(shape, ids, dtype)) == raw(whole[ids])


@pytest.mark.parametrize(
    "kind", [kind for kind in EVERY if kind.__name__ not in ("Orthogonal", "STFT")]
)
@pytest.mark.filterwarnings("ignore:the fan_in of shape")
def test_parts_of_arrays_too_large_to_exist(kind):
    initializer = kind(seed=8) if kind in FACES else kind()
    shape = (2**40, 2**20)
    last = initializer.block(shape, np.s_[-2:, -3:])
    assert last.shape == (2, 3)
    assert raw(initializer.rows((2**40, 3), [2**40 - 1, 0])[0]) == raw(
        initializer.block((2**40, 3), -1)
    )
    assert raw(initializer.block(shape, np.s_[-1, -3:])) == raw(last[1])


@pytest.mark.parametrize(
    ("call", "error"),
    list(itertools.product(
        [lambda init, index: init.block((4, 6), index), lambda init, index: init.fill(bytearray(24), (4, 6), index)],
        [(4, IndexError), (-5, IndexError), ((0, 0, 0), IndexError), ("a", TypeError), (1.0, TypeError),
         (True, TypeError), ([0, 1], TypeError)],
    )),
)  # fmt: skip
@pytest.mark.parametrize("kind", [HeNormal, Orthogonal])
def test_wrong_indices(kind, call, error):
    with pytest.raises(error[1], match="received"):
        call(kind(seed=1), error[0])


def test_nothing_is_written_when_a_call_is_refused():
    out = np.full((3, 4), 7.0, "float32")
    for kind, wrong in itertools.product(
        [HeNormal, Orthogonal],
        [
            {"shape": (3, 5)},
            {"shape": (3, 4), "index": 9},
            {"index": 0},
            {"dtype": "float64"},
            {"shape": (3, -4)},
        ],
    ):
        with pytest.raises((ValueError, IndexError)):
            kind(seed=1).fill(out, **wrong)
    with pytest.raises(ValueError, match="received"):
        RandomNormal(stddev=1e38, mean=3.4e38, seed=1).fill(out)
    assert (out == 7.0).all()


def test_fans_come_from_the_logical_shape():
    out = np.empty((2, 3), "float32")
    HeNormal(seed=1).fill(out, shape=(800, 3), index=np.s_[:2])
    assert raw(out) == raw(HeNormal(seed=1)((800, 3))[:2])
    assert abs(out).max() < 0.12


def test_scales_near_the_limits_of_floats():
    """The standard deviation is a float even if the variance underflows or overflows."""
    for distribution in ("uniform", "truncated_normal", "untruncated_normal"):
        for scale, root in ((5e-324, 2.0**-537), (2.0**1023, 2.0**511.5)):
            unit = VarianceScaling(1.0, "fan_in", distribution, seed=1)((4, 64), "float64")
            values = VarianceScaling(scale, "fan_in", distribution, seed=1)((4, 64), "float64")
            np.testing.assert_allclose(values / root, unit, rtol=1e-12)


@pytest.mark.parametrize(
    "initializer",
    [RandomNormal(0.0, 2e307), TruncatedNormal(0.0, 1e308), RandomUniform(-1e308, 1.7e308)],
)
def test_parameters_that_overflow_are_refused(initializer):
    with pytest.raises(ValueError, match=r"must be finite in float(64|32) .at most"):
        initializer((3,), "float64" if initializer.__class__ is not RandomUniform else "float32")


@pytest.mark.parametrize(
    "value",
    [
        np.complex64(1 + 2j),
        np.complex128(1.0),
        np.array(1 + 2j),
        np.str_("1.5"),
        np.bytes_(b"1.5"),
        np.array("1.5"),
        np.void(b"1.5"),
        np.datetime64(3, "s"),
        np.timedelta64(3, "s"),
        np.True_,
    ],
    ids=repr,
)
def test_scalars_that_are_not_real_numbers(value):
    for make in (
        lambda: RandomNormal(stddev=value),
        lambda: RandomUniform(0.0, value),
        lambda: VarianceScaling(value),
        lambda: Identity(value),
    ):
        with pytest.raises(TypeError, match="must be a finite number; received"):
            make()


@pytest.mark.parametrize(
    "value", [np.float16(1.5), np.int8(2), np.uint64(3), np.longdouble(1.5), ml_dtypes.bfloat16(1)]
)
def test_scalars_that_are_real_numbers(value):
    assert RandomNormal(stddev=value).stddev == float(value)


def test_the_limits_of_a_uniform_are_floats_where_their_square_is_not():
    """With a fan of 1, the variance times 3 is beyond float64."""
    unit = VarianceScaling(1.0, "fan_in", "uniform", seed=1)((1, 64), "float64")
    made = VarianceScaling(2.0**1023, "fan_in", "uniform", seed=1)((1, 64), "float64")
    np.testing.assert_allclose(made / 2.0**511.5, unit, rtol=1e-12)
