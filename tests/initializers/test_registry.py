"""The 41 names as a table of literals, both forms of Keras' JSON, and other arguments of `get`."""

import json
import os
import re

import ml_dtypes
import numpy as np
import pytest

import initfast
from initfast.core.seeds import Seed, SeedGenerator
from initfast.initializers import constant, orthogonal, random, variance_scaling
from initfast.initializers.registry import ALL_OBJECTS, deserialize, get, serialize

STRINGS = {
    "Constant": ["Constant", "constant"],
    "GlorotNormal": ["GlorotNormal", "glorot_normal"],
    "GlorotUniform": ["GlorotUniform", "glorot_uniform"],
    "HeNormal": ["HeNormal", "he_normal"],
    "HeUniform": ["HeUniform", "he_uniform"],
    "Identity": ["Identity", "identity", "IdentityInitializer"],
    "Initializer": ["Initializer", "initializer"],
    "LecunNormal": ["LecunNormal", "lecun_normal"],
    "LecunUniform": ["LecunUniform", "lecun_uniform"],
    "Ones": ["Ones", "ones", "one"],
    "Orthogonal": ["Orthogonal", "orthogonal", "OrthogonalInitializer"],
    "RandomNormal": ["RandomNormal", "random_normal", "normal"],
    "RandomUniform": ["RandomUniform", "random_uniform", "uniform"],
    "STFT": ["STFT", "stft", "STFTInitializer"],
    "TruncatedNormal": ["TruncatedNormal", "truncated_normal"],
    "VarianceScaling": ["VarianceScaling", "variance_scaling"],
    "Zeros": ["Zeros", "zeros", "zero"],
}
OURS: dict[str, str] = {}  # names that Keras lacks, and their classes
PAIRS = [(string, name) for name, strings in STRINGS.items() for string in strings]


def keras():
    os.environ["KERAS_BACKEND"] = "jax"
    return pytest.importorskip("keras")


def class_of(name):
    return getattr(initfast, name)


def test_the_table_is_complete():
    assert len(STRINGS) == 17
    assert len(PAIRS) == 41
    assert {string: kind.__name__ for string, kind in ALL_OBJECTS.items()} == dict(PAIRS) | OURS


def test_the_table_is_that_of_keras():
    keras()
    from keras.src.initializers import ALL_OBJECTS_DICT

    assert {string: kind.__name__ for string, kind in ALL_OBJECTS_DICT.items()} == dict(PAIRS)


@pytest.mark.parametrize(("string", "name"), PAIRS)
def test_get_by_string(string, name):
    initializer = get(string)
    assert type(initializer) is class_of(name)
    assert initializer.get_config() == class_of(name)().get_config()
    if name == "Initializer":
        with pytest.raises(NotImplementedError):
            initializer((2, 2))
    else:
        assert initializer((3, 1, 3) if name == "STFT" else (3, 3)).dtype == np.float32


@pytest.mark.parametrize(
    "string",
    ["xavier", "he_normal_", "Normal", "glorot_Uniform", "stft_initializer", "",
     "keras.initializers.Zeros", "initfast>HeNormal", "he_norma"],
)  # fmt: skip
def test_unknown_strings(string):
    with pytest.raises(
        ValueError, match=f"Could not interpret initializer identifier: {re.escape(string)}"
    ):
        get(string)
    with pytest.raises(ValueError, match="Could not interpret initializer identifier"):
        deserialize({"class_name": string, "config": {}})


def test_a_near_miss_gets_a_hint():
    with pytest.raises(
        ValueError, match=r"identifier: glorot_Uniform. Did you mean 'glorot_uniform'\?"
    ):
        get("glorot_Uniform")


@pytest.mark.parametrize(
    "identifier",
    [5, 1.5, [1, 2], (), {}, {"config": {}}, {"class_name": None}, {"class_name": 3, "config": {}}, object(), b"zeros",
     {"class_name": "Zeros", "module": "elsewhere"}, {"class_name": "Zeros", "module": "kerasx.initializers"},
     {"class_name": "HeNormal", "config": {}, "module": "keras.initializers", "registered_name": "mine>HeNormal"}],
)  # fmt: skip
def test_identifiers_that_are_not_initializers(identifier):
    with pytest.raises(
        ValueError,
        match=f"Could not interpret initializer identifier: {re.escape(str(identifier))}",
    ):
        get(identifier)


@pytest.mark.parametrize(
    ("identifier", "message"),
    [
        (
            {"class_name": "HeNormal", "config": 3},
            "the config of an initializer must be a dict; received 3",
        ),
        (
            {"class_name": "HeNormal", "config": {"mean": 0}},
            "the config of HeNormal takes .*; received 'mean'",
        ),
        (
            {"class_name": "HeNormal", "config": {"seed": {"class_name": "Dense"}}},
            "`seed` argument should be",
        ),
        (
            {"class_name": "RandomNormal", "config": {"stddev": -1}},
            "stddev must be >= 0; received -1",
        ),
    ],
)
def test_wrong_configs(identifier, message):
    with pytest.raises(ValueError, match=message):
        get(identifier)


def test_get_of_other_things():
    instance = variance_scaling.HeNormal(seed=1)

    def function(shape, dtype=None):
        return np.zeros(shape)

    assert get(None) is deserialize(None) is serialize(None) is None
    assert get(instance) is instance
    assert get(function) is function
    assert type(get(variance_scaling.HeNormal)) is variance_scaling.HeNormal
    assert type(get({"class_name": "he_normal"})) is variance_scaling.HeNormal


@pytest.mark.parametrize(
    "values", [np.array([[1.0, 2.5], [3.0, 4.0]]), np.arange(6).reshape(3, 2), np.float32(3.5)]
)
def test_an_array_initializes_exactly_its_shape(values):
    initializer = get(values)
    for dtype in (None, "float64", "int32", "bfloat16"):
        array = initializer(values.shape, dtype)
        assert array.dtype.name == (dtype or "float32")
        assert (
            array == values.astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else array.dtype)
        ).all()
    array = initializer(values.shape)
    array[...] = 9.0
    assert (initializer(values.shape) == values).all()
    expected = f"Expected `shape` to be {values.shape} for direct tensor as initializer. Received shape=(7, 2)"
    with pytest.raises(ValueError, match=re.escape(expected)):
        initializer((7, 2))


def test_tensors_of_other_libraries():
    tensor = keras().ops.array([[1.0, 2.0]])
    assert get(tensor)((1, 2)).tolist() == [[1.0, 2.0]]
    torch = pytest.importorskip("torch")
    for tensor in (
        torch.tensor([1.0, 2.0], requires_grad=True),
        torch.ones(2, dtype=torch.bfloat16).expand(2),
    ):
        assert get(tensor)((2,)).tolist() == tensor.tolist()


# --- JSON ---

CONFIGS = {
    "Zeros": {},
    "Ones": {},
    "Constant": {"value": 2.5},
    "Identity": {"gain": 2.0},
    "STFT": {"side": "imag", "window": "hamming", "periodic": True, "scaling": None},
    "RandomNormal": {"seed": 1, "mean": 0.5, "stddev": 0.25},
    "TruncatedNormal": {"seed": 1, "mean": 0.5, "stddev": 0.25},
    "RandomUniform": {"seed": 1, "minval": -0.5, "maxval": 0.25},
    "VarianceScaling": {
        "seed": 1,
        "scale": 3.0,
        "mode": "fan_out",
        "distribution": "uniform",
        "input_axes": [0],
        "output_axes": [1],
    },
    **{
        name: {"seed": 1, "input_axes": [0], "output_axes": [1]}
        for name in (
            "GlorotNormal",
            "GlorotUniform",
            "HeNormal",
            "HeUniform",
            "LecunNormal",
            "LecunUniform",
        )
    },
    "Orthogonal": {"seed": 1, "gain": 2.0},
    "Initializer": {},
}


def same(initializer, name, config):
    assert type(initializer) is class_of(name)
    assert initializer.get_config() == config


@pytest.mark.parametrize(("name", "config"), CONFIGS.items())
def test_serialize(name, config):
    initializer = class_of(name)(**config)
    serialized = serialize(initializer)
    assert list(serialized) == ["module", "class_name", "config", "registered_name"]
    assert serialized == {
        "module": "initfast",
        "class_name": f"Initfast{name}",
        "config": config,
        "registered_name": f"initfast>Initfast{name}",
    }
    same(deserialize(json.loads(json.dumps(serialized))), name, config)
    same(get(serialized), name, config)


@pytest.mark.parametrize(("name", "config"), CONFIGS.items())
@pytest.mark.parametrize(
    "module", [None, "keras.initializers", "keras", "keras.src.initializers.random_initializers"]
)
def test_both_forms_of_keras(name, config, module):
    for string in STRINGS[name]:
        same(deserialize({"class_name": string, "config": config}), name, config)
    new = {"module": module, "class_name": name, "config": config, "registered_name": None}
    same(deserialize(new), name, config)
    same(deserialize({**new, "registered_name": name}), name, config)


@pytest.mark.parametrize(("name", "config"), CONFIGS.items())
def test_keras_configs_in_both_directions(name, config):
    theirs = getattr(keras().initializers, name)(**config)
    serialized = json.loads(json.dumps(keras().initializers.serialize(theirs)))
    initializer = deserialize(serialized)
    # The config of Keras' Identity has no gain.
    same(initializer, name, {"gain": 1.0} if name == "Identity" else config)
    back = keras().initializers.deserialize({**serialized, "config": initializer.get_config()})
    assert json.loads(json.dumps(back.get_config())) == serialized["config"]


@pytest.mark.parametrize("string", [string for string, name in PAIRS if name != "Initializer"])
def test_get_agrees_with_keras_on_each_string(string):
    theirs = keras().initializers
    try:
        expected = theirs.get(string).get_config()
    except KeyError:  # get("constant") fails in Keras
        assert string in ("Constant", "constant")
        expected = theirs.Constant().get_config()
    config = get(string).get_config()
    if type(get(string)) is constant.Identity:
        del config["gain"]
    assert json.dumps(config) == json.dumps(expected)


SEEDS = [
    (None, None),
    (2**64 - 1, 2**64 - 1),
    (
        SeedGenerator(7),
        {"class_name": "SeedGenerator", "config": {"seed": 7, "name": "seed_generator"}},
    ),
    (
        SeedGenerator(),
        {"class_name": "SeedGenerator", "config": {"seed": None, "name": "seed_generator"}},
    ),
    (Seed(7), {"class_name": "Seed", "config": {"seed": 7, "stream": 0}}),
    (Seed(7, 2**64 - 1), {"class_name": "Seed", "config": {"seed": 7, "stream": 2**64 - 1}}),
    (
        Seed(7).named("layer/kernel"),
        {"class_name": "Seed", "config": {"seed": 7, "name": "layer/kernel"}},
    ),
]


@pytest.mark.parametrize(("seed", "expected"), SEEDS)
@pytest.mark.parametrize(
    "kind", [variance_scaling.HeNormal, random.RandomUniform, orthogonal.Orthogonal]
)
def test_seeds_in_json(kind, seed, expected):
    serialized = json.loads(json.dumps(serialize(kind(seed=seed))))
    if isinstance(expected, dict):
        expected = {"module": "initfast", **expected, "registered_name": None}
    assert serialized["config"]["seed"] == expected
    initializer = deserialize(serialized)
    assert serialize(initializer) == serialized
    if (
        seed is not None
        and serialized["config"]["seed"] != serialize(kind(seed=SeedGenerator()))["config"]["seed"]
    ):
        assert initializer((3, 3)).tobytes() == kind(seed=seed).clone()((3, 3)).tobytes()


def test_a_generator_of_keras_becomes_ours():
    theirs = keras().initializers.HeNormal(seed=keras().random.SeedGenerator(7))
    initializer = deserialize(json.loads(json.dumps(keras().initializers.serialize(theirs))))
    assert isinstance(initializer.seed, SeedGenerator)
    assert initializer((3, 3)).tobytes() == variance_scaling.HeNormal(seed=7)((3, 3)).tobytes()
    assert (
        initializer((3, 3)).tobytes()
        == variance_scaling.HeNormal(seed=Seed(7, 1))((3, 3)).tobytes()
    )


def test_configs_before_keras_3_15():
    initializer = deserialize({"class_name": "GlorotUniform", "config": {"seed": 3}})
    assert initializer.get_config() == {"seed": 3, "input_axes": None, "output_axes": None}
    config = {"scale": 2.0, "mode": "fan_in", "distribution": "normal"}
    initializer = deserialize({"class_name": "VarianceScaling", "config": config})
    assert (initializer.scale, initializer.distribution) == (2.0, "truncated_normal")


def test_serialize_takes_only_what_deserialize_gives():
    class HeNormal(variance_scaling.HeNormal):
        pass

    for foreign in (HeNormal(seed=1), len, "he_normal", variance_scaling.HeNormal):
        with pytest.raises(
            ValueError, match="serialize takes the initializers of initfast; received"
        ):
            serialize(foreign)


@pytest.mark.parametrize(
    ("name", "text", "config"),
    [
        ("XavierUniform", "xavier_uniform", "glorot_uniform"),
        ("xavier_unifrom", "xavier_uniform", "glorot_uniform"),
        ("Xavier_normal", "xavier_normal", "glorot_normal"),
        ("KaimingUniform", "kaiming_uniform", "he_uniform"),
        ("kaimming_normal", "kaiming_normal", "he_normal"),
        ("msra_uniform", "he_uniform", "he_uniform"),
        ("jax.nn.initializers.lecun_normal", "lecun_normal", "lecun_normal"),
        ("HE_NORMAL", "he_normal", "he_normal"),
        ("TruncatedNormalInitializer", "truncated_normal", "truncated_normal"),
        ("random_norml", "random_normal", "random_normal"),
    ],
)
def test_a_hint_leads_to_the_same_distribution(name, text, config):
    with pytest.raises(ValueError, match=rf"Did you mean '{text}'\?$"):
        get(name)
    with pytest.raises(ValueError, match=rf"Did you mean '{config}'\?$"):
        get({"class_name": name, "config": {}})


@pytest.mark.parametrize("name", ["gaussian", "heinit"])
def test_no_hint_leads_elsewhere(name):
    with pytest.raises(ValueError, match=f"identifier: {name}$"):
        get(name)
