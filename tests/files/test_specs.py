"""Specs are read, and any error in one is refused with a message that names the tensor."""

import json
import math
import random
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from places import SPECS
from tiers import cases

import initfast as ift
from initfast.files import specs
from initfast.initializers.fixed_rows import FixedRows, Rows
from initfast.initializers.registry import ALL_OBJECTS

NORMAL = {"class_name": "RandomNormal", "config": {"stddev": 0.02}}


def one(**changes):
    """Return a spec of one tensor, 'w', with changes."""
    entry = {"shape": [4, 3], "dtype": "float32", "init": "he_normal", **changes}
    return {"tensors": {"w": {key: value for key, value in entry.items() if value is not ...}}}


def named(name):
    return {"tensors": {name: one()["tensors"]["w"]}}


def test_gpt2():
    spec = specs.read(SPECS / "gpt2.json")
    assert len(spec.entries) == 148
    assert spec.elements == 124_439_808
    first = spec.entries[0]
    assert (first.name, first.shape, first.dtype.name) == (
        "transformer.wte.weight",
        (50257, 768),
        "float32",
    )
    initializer = first.seeded_initializer(ift.Seed(42))
    assert (
        repr(initializer)
        == "RandomNormal(stddev=0.02, seed=Seed(42).named('transformer.wte.weight'))"
    )
    assert [entry.name for entry in spec.entries] == list(
        json.loads((SPECS / "gpt2.json").read_text())["tensors"]
    )


def meanings(spec):
    return [
        (e.name, e.stream, specs.tensor(e.initializer, e.shape, e.dtype, e.fixed_rows))
        for e in spec.entries
    ]


def test_paths_dicts_and_specs_are_the_same():
    path = SPECS / "llama_small.json"
    spec = specs.read(path)
    for source in (str(path), json.loads(path.read_text()), spec):
        other_spec = specs.read(source)
        assert meanings(other_spec) == meanings(spec)
    assert {entry.dtype.name for entry in spec.entries} == {"bfloat16"}
    assert {entry.dtype.name for entry in specs.read(spec, "float32").entries} == {"float32"}


def test_the_dtype_of_integers_is_not_overridden():
    spec = {"tensors": {**one()["tensors"], "n": {"shape": [], "dtype": "int64", "init": "zeros"}}}
    assert [entry.dtype.name for entry in specs.read(spec, "float16").entries] == [
        "float16",
        "int64",
    ]


@pytest.mark.parametrize("init", sorted(set(ALL_OBJECTS) - {"Initializer", "initializer"}))
def test_every_name_of_keras(init):
    shape = {"stft": [4, 1, 3]}.get(ALL_OBJECTS[init].__name__.lower(), [4, 3])
    (entry,) = specs.read(one(init=init, shape=shape)).entries
    assert type(entry.initializer) is ALL_OBJECTS[init]
    assert entry.seeded_initializer(ift.Seed(1)).block(tuple(shape), ..., "float32").shape == tuple(
        shape
    )


def test_values_are_those_of_the_stream_of_the_name():
    (entry,) = specs.read(named("h.0/kernel")).entries
    expected = ift.HeNormal(seed=ift.Seed(7).named("h.0/kernel"))((4, 3))
    assert np.array_equal(entry.seeded_initializer(ift.Seed(7)).block((4, 3), ...), expected)
    student = entry.seeded_initializer(ift.Seed(7).named("student")).block((4, 3), ...)
    assert np.array_equal(
        student, ift.HeNormal(seed=ift.Seed(7).named("student/h.0/kernel"))((4, 3))
    )
    (other,) = specs.read(one(stream="h.0/kernel")).entries
    assert np.array_equal(other.seeded_initializer(ift.Seed(7)).block((4, 3), ...), expected)


def test_seeds_in_a_spec_do_not_matter_and_none_is_drawn():
    state = random.getstate()
    for seed in (5, None, {"class_name": "SeedGenerator", "config": {"seed": 3}}):
        (entry,) = specs.read(
            one(init={"class_name": "HeNormal", "config": {"seed": seed}})
        ).entries
        assert entry.seeded_initializer(ift.Seed(7)).seed == ift.Seed(7).named("w")
    specs.read(SPECS / "gpt2.json")
    assert random.getstate() == state


@pytest.mark.parametrize("shape", [(9,), (9, 4), (9, 3, 2)])
def test_fixed_rows(shape):
    init = FixedRows(ift.HeNormal(seed=1), [Rows(2, 4, 0.0), Rows(7, 8, 1.5)])
    expected = ift.HeNormal(seed=1).block(shape, ...)
    expected[2:4], expected[7] = 0.0, 1.5
    assert np.array_equal(init(shape), expected)
    for index in (
        np.s_[1:8:3],
        np.s_[::-1],
        np.s_[3],
        np.s_[...],
        np.s_[2:],
        np.s_[-1:0:-2],
        np.s_[5:5],
    ):
        assert np.array_equal(init.block(shape, index), expected[index])
    for ids in ([3, 2, 7, 0], [[1, 2], [7, 7]], 5, [[2]]):
        assert np.array_equal(init.rows(shape, ids), expected[np.array(ids)])
    size = math.prod(shape)
    for start in range(size):
        for count in (0, 1, size // 2, size - start):
            if start + count <= size:
                actual = init.fill_run(np.empty(count, np.float32), shape, start)
                assert np.array_equal(actual, expected.reshape(-1)[start : start + count])


def test_fixed_rows_that_overlap():
    rows = [Rows(0, 6, 1.0), Rows(4, 8, 2.0), Rows(2, 5, 3.0), Rows(7, 8, 4.0)]
    init = FixedRows(ift.HeNormal(seed=1), rows)
    expected = ift.HeNormal(seed=1)((9, 3))
    for start, stop, value in rows:
        expected[start:stop] = value
    assert np.array_equal(init((9, 3)), expected)
    assert np.array_equal(init.rows((9, 3), [8, 4, 7]), expected[[8, 4, 7]])
    for start in range(27):
        for count in range(28 - start):
            actual = init.fill_run(np.empty(count, np.float32), (9, 3), start)
            assert np.array_equal(actual, expected.reshape(-1)[start : start + count])
    end = FixedRows(ift.Zeros(), [Rows(2**63 - 2, 2**63, 5.0)])
    assert end.block((2**63,), np.s_[-3:]).tolist() == [0.0, 5.0, 5.0]


def test_many_fixed_rows_cost_no_more_than_their_number():
    count = 60_000
    init = FixedRows(ift.Zeros(), [Rows(n, n + 1, float(n)) for n in range(count)])
    begun = time.process_time()
    assert np.array_equal(init((count, 8))[:, 3], np.arange(count))
    assert init.fill_run(np.empty(8 * count), (count, 8), 0)[-1] == count - 1
    for n in range(1000):
        init.fill_run(np.empty(8), (count, 8), 8 * n)
    assert time.process_time() - begun < 20  # 60,000 comparisons of all elements: minutes


def test_fixed_rows_of_a_spec():
    (entry,) = specs.read(one(fixed_rows=[[1, 2, 0], [3, 4, 0.5]], dtype="bfloat16")).entries
    actual = entry.seeded_initializer(ift.Seed(7)).block((4, 3), ..., "bfloat16").astype(float)
    expected = ift.HeNormal(seed=ift.Seed(7).named("w"))((4, 3), "bfloat16").astype(float)
    expected[1], expected[3] = 0, 0.5
    assert np.array_equal(actual, expected)


@pytest.mark.parametrize(
    "initializer",
    [
        ift.RandomUniform(-0.1, 0.3, seed=4),
        ift.TruncatedNormal(stddev=0.5, lower=-1, upper=3.0, seed=4),
        ift.VarianceScaling(0.7, "fan_avg", "uniform", input_axes=[1], output_axes=[0], seed=4),
        ift.HeNormal(seed=4),
        ift.Orthogonal(gain=2.0, seed=4),
        ift.Zeros(),
        ift.Ones(),
        ift.Identity(gain=3.0),
        ift.Constant([1.5, -2.0, 1e-30]),
        ift.Constant(7),
    ],
)
def test_what_is_described_is_read_again(initializer):
    described = json.loads(json.dumps(specs.tensor(initializer, (4, 3), np.dtype("float64"))))
    (entry,) = specs.read({"tensors": {"w": described}}).entries
    seeded = type(initializer).from_config(
        {**initializer.get_config(), "seed": ift.Seed(9).named("w")}
        if "seed" in initializer.get_config()
        else initializer.get_config()
    )
    actual = entry.seeded_initializer(ift.Seed(9)).block((4, 3), ..., "float64")
    assert actual.tobytes() == seeded.block((4, 3), ..., "float64").tobytes()
    assert "seed" not in json.dumps(described)


def test_what_an_array_holds():
    assert specs.constant_of(np.full((3, 2), 2.5)).get_config() == {"value": 2.5}
    assert specs.constant_of(np.zeros((0, 3))).get_config() == {"value": 0}
    values = np.arange(6, dtype=np.int64).reshape(3, 2)
    (entry,) = specs.read(
        {
            "tensors": {
                "w": json.loads(
                    json.dumps(specs.tensor(specs.constant_of(values), (3, 2), np.dtype("int64")))
                )
            }
        }
    ).entries
    assert np.array_equal(entry.seeded_initializer(ift.Seed(0)).block((3, 2), ..., "int64"), values)
    for values in (np.array([1.0, np.inf]), np.full(3, np.nan), np.arange(2**17)):
        with pytest.raises(ValueError, match=r"finite|at most 65536 values"):
            specs.constant_of(values)


WRONG = [
    ({}, "must have the single key 'tensors'; received"),
    ({"tensors": {}}, "must be an object with at least one tensor; received {}"),
    ({"tensors": [1]}, r"with at least one tensor; received \[1\]"),
    ({"tensors": {}, "metadata": {}}, r"received \['tensors', 'metadata'\]"),
    (named(""), "1 to 1024 printable characters; received ''"),
    (named("a" * 1025), "1 to 1024 printable characters; received 'aaa"),
    (named("a\nb"), "printable characters"),
    (named("a\u202eb"), "printable characters"),
    (named("\ud800"), "printable characters"),
    (named("../x"), "have a part '..'; received '../x'"),
    (named("a/../x"), "have a part '..'"),
    (named("/etc/x"), "begin with '/'"),
    (named("a\\b"), "must not"),
    (named("__metadata__"), "must not be '__metadata__'"),
    (named(3), "printable characters; received 3"),
    ({"tensors": {"w": "zeros"}}, "tensor 'w': must be an object with 'shape'.*received 'zeros'"),
    (one(shape=...), "tensor 'w': the keys must be.*'shape' is missing"),
    (one(Init="zeros"), "tensor 'w': the keys must be.*received 'Init'"),
    (one(shape=[4, -3]), "tensor 'w': every size in a shape"),
    (one(shape=[4, True]), "tensor 'w': every size in a shape"),
    (one(shape=[4, 2.0]), "tensor 'w': every size in a shape"),
    (one(shape="44"), "tensor 'w': shape must be"),
    (one(shape={"4": 3}), "tensor 'w': shape must be"),
    (one(shape=None), "tensor 'w': shape must be"),
    (one(shape=[2**40, 2**40]), r"tensor 'w': a shape may hold at most 2\*\*63"),
    (one(shape=[1] * 9), "tensor 'w': a shape may have at most 8 dims"),
    (one(dtype="float31"), "tensor 'w': dtype must be one of 'float32'.*received 'float31'"),
    (one(dtype="f4"), "tensor 'w': dtype must be one of"),
    (one(dtype="float"), "tensor 'w': dtype must be one of"),
    (one(dtype=["float32"]), r"tensor 'w': dtype must be one of.*received \['float32'\]"),
    (one(dtype="int32"), "tensor 'w': random values need a floating dtype"),
    (one(init="he_norml"), "tensor 'w': Could not interpret.*Did you mean"),
    (one(init="initializer"), "tensor 'w': init must be the name of an initializer"),
    (one(init=None), "tensor 'w': init must be the name"),
    (one(init=[1]), "tensor 'w': Could not interpret"),
    (
        one(init={"class_name": "RandomNormal", "config": {"stddev": -1}}),
        "tensor 'w': stddev must be >= 0",
    ),
    (
        one(init={"class_name": "RandomNormal", "config": {"stdev": 1}}),
        "tensor 'w': the config of RandomNormal takes",
    ),
    (
        one(init={"class_name": "RandomNormal", "config": [1]}),
        "tensor 'w': the config of an initializer must be a dict",
    ),
    (one(init={"class_name": ["x"], "config": {}}), "tensor 'w': Could not interpret"),
    (one(init={"class_name": "HeNormal", "config": {"seed": "x"}}), "tensor 'w': `seed`"),
    (
        one(init={"class_name": "Constant", "config": {"value": {"class_name": "__numpy__"}}}),
        "tensor 'w': ",
    ),
    (
        one(init={"class_name": "Constant", "config": {"value": [1, 2]}}),
        "tensor 'w': value must broadcast",
    ),
    (
        one(init={"class_name": "Constant", "config": {"value": "7"}}),
        "tensor 'w': value must be a number",
    ),
    (
        one(init={"class_name": "Constant", "config": {"value": 1e39}}),
        "tensor 'w': value must be a number that float32",
    ),
    (
        one(init="orthogonal", shape=[4]),
        "tensor 'w': The tensor to initialize must be at least two",
    ),
    (one(init="identity", shape=[4]), "tensor 'w': Identity matrix"),
    (one(init="stft", shape=[4, 1, 2**40]), "tensor 'w': an STFT kernel may have at most"),
    (
        one(init={"class_name": "HeNormal", "config": {"input_axes": [7], "output_axes": [0]}}),
        "tensor 'w': input_axes",
    ),
    (one(init=NORMAL, dtype="float8_e4m3fn", shape=[2]) | {"x": 1}, "the single key"),
    (one(stream="../w"), "tensor 'w': stream must not"),
    (one(stream=None), "tensor 'w': stream must be"),
    (
        one(fixed_rows=3),
        r"tensor 'w': fixed_rows must be a list of \[start, stop, value\]; received 3",
    ),
    (one(fixed_rows=[[0, 1]]), "tensor 'w': fixed_rows must be a list"),
    (
        one(fixed_rows=[[0, 5, 0]]),
        r"tensor 'w': fixed_rows must lie within the first dimension of \(4, 3\)",
    ),
    (one(fixed_rows=[[1, 1, 0]]), "tensor 'w': fixed_rows must lie within"),
    (one(fixed_rows=[[True, 2, 0]]), "tensor 'w': fixed_rows must be a list"),
    (one(fixed_rows=[[0, 1, "0"]]), "tensor 'w': the value of fixed_rows must be"),
    (
        one(fixed_rows=[[0, 1, 1e39]]),
        "tensor 'w': the value of fixed_rows must be a number that float32",
    ),
    (
        one(fixed_rows=[[0, 1, 0]], init="orthogonal"),
        "tensor 'w': fixed_rows cannot be combined with Orthogonal",
    ),
    (
        one(fixed_rows=[[0, 1, 0]], shape=[]),
        r"tensor 'w': fixed_rows must lie within the first dimension of \(\)",
    ),
]


@pytest.mark.parametrize(
    ("wrong", "message"), WRONG, ids=lambda value: None if isinstance(value, dict) else value[:40]
)
def test_what_is_wrong_is_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        specs.read(wrong)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"tensors": {"w": 1, "w": 2}}', "the key 'w' is repeated"),
        ('{"tensors": {}, "tensors": {}}', "the key 'tensors' is repeated"),
        ('{"tensors": {"w": {"shape": [1], "shape": [2]}}}', "the key 'shape' is repeated"),
        ('{"tensors": {"w": NaN}}', "NaN is not a JSON number"),
        ("", "must be valid JSON"),
        ("{", "must be valid JSON"),
        ("[]", r"must be a JSON object; received \[\]"),
        ("3", "must be a JSON object; received 3"),
        ("[" * 100_000, "must be valid JSON"),
        ('{"tensors": {"w": ' + '{"a":' * 100_000, "must be valid JSON"),
        ('{"tensors": {"w": {"shape": [1' + "0" * 5000 + "]}}}", "must be valid JSON"),
        (b'{"tensors": {"\xff": 1}}', "must be valid JSON"),
    ],
)
def test_files_that_are_no_specs(tmp_path, text, message):
    path = tmp_path / "spec.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=message) as caught:
        specs.read(path)
    assert len(str(caught.value)) < 1000


def test_a_spec_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        specs.read(tmp_path / "none.json")


@pytest.mark.parametrize("dtype", ["int64", "float", "f4", 3, ["float32"]])
def test_overriding_dtypes_are_names_of_floating_ones(dtype):
    with pytest.raises(ValueError, match="dtype must be one of 'float32'"):
        specs.read(one(), dtype)


JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=4)
    | st.sampled_from(sorted(ALL_OBJECTS)),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(max_size=2)
            | st.sampled_from(["class_name", "config", "seed", "value", "stddev", "module"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)
SHAPES = JUNK | st.lists(st.integers(0, 2**20), max_size=4)
INITS = JUNK | st.builds(
    lambda name, config: {"class_name": name, "config": config},
    st.sampled_from(sorted(ALL_OBJECTS)),
    JUNK
    | st.dictionaries(
        st.sampled_from(
            [
                "stddev",
                "mean",
                "minval",
                "maxval",
                "seed",
                "gain",
                "value",
                "scale",
                "mode",
                "input_axes",
            ]
        ),
        JUNK,
        max_size=3,
    ),
)
TENSORS = JUNK | st.fixed_dictionaries(
    {"shape": SHAPES, "dtype": st.sampled_from(sorted(specs.DTYPES)) | JUNK, "init": INITS},
    optional={
        "stream": JUNK,
        "fixed_rows": JUNK | st.lists(st.tuples(st.integers(-1, 3), st.integers(), JUNK)),
    },
)


@cases(200)
@given(st.dictionaries(st.text(max_size=3), TENSORS, min_size=1, max_size=2))
@example(
    {
        "w": {
            "shape": [0],
            "dtype": "complex64",
            "init": {"class_name": "constant", "config": {"value": 1e300}},
        }
    }
)
def test_any_junk_is_read_or_refused(tensors):
    try:
        spec = specs.read({"tensors": tensors})
    except ValueError as error:
        assert str(error)
        return
    for entry in spec.entries:  # an accepted spec can be computed
        initializer = entry.seeded_initializer(ift.Seed(1))
        size = math.prod(entry.shape)
        if size and not initializer.whole_only:
            initializer.fill_run(
                bytearray(entry.dtype.itemsize), entry.shape, size - 1, dtype=entry.dtype
            )


@cases(100)
@given(st.binary(max_size=60))
def test_any_bytes_are_refused(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("junk") / "spec.json"
    path.write_bytes(data)
    with pytest.raises(ValueError):
        specs.read(path)


def test_reading_loads_nothing_heavy():
    code = (
        "import sys; from initfast import checkpoint; from initfast.files import specs;"
        "specs.read(sys.argv[1]);"
        "heavy = ('torch', 'keras', 'safetensors', 'zarr', 'tqdm');"
        "print([name for name in heavy if name in sys.modules])"
    )
    process = subprocess.run(
        [sys.executable, "-c", code, SPECS / "gpt2.json"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert process.stdout == "[]\n"
