"""JAX: sharded arrays equal unsharded arrays byte for byte, blocks are made once, keys are seeds,
and signatures are those of JAX.
"""

import inspect
import json
import math
import os
import subprocess
import sys

import numpy as np
import pytest

import initfast as ift
from initfast.core import indexing

jax = pytest.importorskip("jax")

from jax.sharding import PartitionSpec, SingleDeviceSharding  # noqa: E402

import initfast.jax as ij  # noqa: E402

THEIRS = jax.nn.initializers
KEY = jax.random.key(42)


def same(array, expected):
    """Return whether a JAX array has the expected shape, dtype and bytes."""
    actual = np.asarray(array)
    return (actual.shape, actual.dtype, actual.tobytes()) == (
        expected.shape,
        expected.dtype,
        expected.tobytes(),
    )


# ---- eight devices: one program for all cases, because JAX must start with them

DEVICES = """
import collections, json, sys, warnings
warnings.simplefilter("error")
import jax, numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec as P
import initfast as ift, initfast.jax as ij

assert jax.device_count() == 8
MESHES = {
    "8": Mesh(np.array(jax.devices()), ("x",)),
    "4x2": Mesh(np.array(jax.devices()).reshape(4, 2), ("x", "y")),
    "2x2x2": Mesh(np.array(jax.devices()).reshape(2, 2, 2), ("x", "y", "z")),
}
SPECS = [
    ("8", P("x"), 8), ("8", P(None, "x"), 8), ("8", P(), 1),
    ("4x2", P("x", "y"), 8), ("4x2", P("y", "x"), 8), ("4x2", P(("x", "y")), 8), ("4x2", P(None, ("y", "x")), 8),
    ("4x2", P("x"), 4), ("4x2", P(None, "y"), 2), ("4x2", P(), 1), ("2x2x2", P("z", "x"), 4),
]
addresses = []  # of each part

class Watched(ift.HeNormal):
    def _write(self, target, shape, part):
        if 0 not in part.shape:  # no elements: a check of the arguments
            addresses.append(target.address)
        super()._write(target, shape, part)

INITIALIZERS = {
    "he_normal": lambda: Watched(seed=ift.Seed(42).named("kernel")),
    "uniform": lambda: ift.RandomUniform(seed=7),
    "normal": lambda: ift.RandomNormal(seed=ift.SeedGenerator(5)),
    "free bounds": lambda: ift.TruncatedNormal(lower=-1.0, upper=3.0, seed=7),
    "constant": lambda: ift.Constant(np.arange(16) / 4),
    "identity": lambda: ift.Identity(gain=2.0),
    "orthogonal": lambda: ift.Orthogonal(seed=3),
}
results = collections.defaultdict(list)

def compare(case, array, whole, sharding):
    good = array.sharding == sharding and array.dtype == whole.dtype and len(array.addressable_shards) == 8
    for shard in array.addressable_shards:
        good &= np.asarray(shard.data).tobytes() == whole[shard.index].tobytes()
    results[case].append(good)

for mesh, spec, distinct in SPECS:
    sharding = NamedSharding(MESHES[mesh], spec)
    for name, make in INITIALIZERS.items():
        for dtype in ("float32", "float16", "bfloat16", "float8_e4m3fn"):
            whole = make()((24, 16), dtype)
            addresses.clear()
            array = ij.array(make(), (24, 16), sharding, dtype)
            compare(name, array, whole, sharding)
            if name == "he_normal":
                results["one computation for each distinct block"].append(len(addresses) == distinct)
                pointers = {shard.data.unsafe_buffer_pointer() for shard in array.addressable_shards}
                results["no copy"].append(pointers == set(addresses))

mesh = MESHES["4x2"]
whole = ift.HeNormal(seed=1)((24, 16, 8))
spec = P("y", None, "x")
explicit = jax.make_mesh((4, 2), ("x", "y"), axis_types=(AxisType.Explicit,) * 2)
with jax.set_mesh(explicit):
    sharding = NamedSharding(explicit, spec)
    compare("spec under set_mesh", ij.array(ift.HeNormal(seed=1), (24, 16, 8), spec), whole, sharding)
    abstract = NamedSharding(explicit.abstract_mesh, spec)
    compare("abstract mesh", ij.array(ift.HeNormal(seed=1), (24, 16, 8), abstract), whole, sharding)
    compare("out_sharding", ij.he_normal()(jax.random.key(1), (24, 16, 8), out_sharding=spec), whole, sharding)
try:
    ij.array(ift.HeNormal(seed=1), (24, 16, 8), abstract)
except ValueError as error:
    results["abstract mesh of nothing"].append("sharding must have a mesh of devices" in str(error))
for function in (ij.orthogonal(2.0, 0), ij.delta_orthogonal()):
    whole = np.asarray(function(jax.random.key(9), (3, 8, 16)))
    sharding = NamedSharding(mesh, P(None, "x", "y"))
    compare("orthogonal out_sharding", function(jax.random.key(9), (3, 8, 16), out_sharding=sharding), whole, sharding)
x = ij.array(ift.HeNormal(seed=1), (24, 16), NamedSharding(mesh, P("x", "y")))
y = jax.jit(lambda a, b: a @ b.T)(x, x)
results["computing with it"].append(np.allclose(y, np.asarray(x) @ np.asarray(x).T, atol=1e-5))
for shape, spec in (((20, 16), P(("x", "y"))), ((24, 15), P(None, "y")), ((7, 7), P("x", "y"))):
    generator = ift.SeedGenerator(1)
    addresses.clear()
    try:
        ij.array(Watched(seed=generator), shape, NamedSharding(mesh, spec))
        results["uneven"].append(False)
    except ValueError as error:
        results["uneven"].append("evenly divide" in str(error) and generator.counter == 0 and not addresses)
print(json.dumps(results))
"""

CASES = {
    "he_normal": 44, "uniform": 44, "normal": 44, "free bounds": 44, "constant": 44, "identity": 44, "orthogonal": 44,
    "one computation for each distinct block": 44, "no copy": 44, "spec under set_mesh": 1, "abstract mesh": 1,
    "out_sharding": 1, "abstract mesh of nothing": 1, "orthogonal out_sharding": 2, "computing with it": 1, "uneven": 3,
}  # fmt: skip


@pytest.fixture(scope="module")
def eight_devices():
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8"
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    process = subprocess.run(
        [sys.executable, "-c", DEVICES], capture_output=True, text=True, env=environment
    )
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)


@pytest.mark.parametrize("case", CASES)
def test_eight_devices(eight_devices, case):
    assert eight_devices[case] == [True] * CASES[case]


# ---- one device


@pytest.mark.parametrize(
    "dtype", ["float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", None]
)
@pytest.mark.parametrize("shape", [(), (5,), (64, 33), (3, 4, 5), (0, 4)])
def test_an_array_on_one_device(shape, dtype):
    whole = ift.RandomNormal(seed=3)(shape, dtype)
    for sharding in (None, jax.devices()[0], SingleDeviceSharding(jax.devices()[0])):
        assert same(ij.array(ift.RandomNormal(seed=3), shape, sharding, dtype), whole)


@pytest.mark.parametrize("dtype", ["int8", "uint32", "bool", "complex64", int, float])
def test_constants_of_any_dtype(dtype):
    array = ij.array(ift.Ones(), (3, 4), dtype=dtype)
    assert array.dtype == jax.numpy.result_type(dtype)
    assert (np.asarray(array) == 1).all()


@pytest.mark.parametrize("dtype", ["float64", np.float64, np.dtype("f8"), "int64", "complex128"])
def test_64_bits_are_refused_unless_jax_has_them(dtype):
    with pytest.raises(
        ValueError,
        match=r"dtype must be one that JAX has enabled; received '\w+', which needs jax.con",
    ):
        ij.array(ift.Ones(), (3,), dtype=dtype)
    with jax.enable_x64(True):
        assert ij.array(ift.Ones(), (3,), dtype=dtype).dtype == dtype


def test_64_bits():
    with jax.enable_x64(True):
        assert same(
            ij.array(ift.HeNormal(seed=1), (9, 5), dtype="float64"),
            ift.HeNormal(seed=1)((9, 5), "float64"),
        )
        assert same(
            ij.array(ift.HeNormal(seed=1), (9, 5)), ift.HeNormal(seed=1)((9, 5))
        )  # the default is float32
        # Functions with JAX's signature have JAX's default.
        assert same(
            ij.normal(1.0)(KEY, (9, 5)), ift.RandomNormal(0.0, 1.0, seed=42)((9, 5), "float64")
        )


def test_a_generator_gives_one_stream_an_array():
    generator = ift.SeedGenerator(8)
    initializer = ift.RandomNormal(seed=generator)
    for count in range(3):
        assert same(
            ij.array(initializer, (9, 5)), ift.RandomNormal(seed=ift.Seed(8, count))((9, 5))
        )
    assert generator.counter == 3


def test_a_users_initializer():
    class Rows(ift.Initializer):
        """An initializer with Keras' interface alone, which always returns float64."""

        def __call__(self, shape, dtype=None):
            return np.arange(math.prod(shape)).reshape(shape) / 4

    assert same(
        ij.array(Rows(), (3, 4), dtype="bfloat16"),
        (np.arange(12).reshape(3, 4) / 4).astype("bfloat16"),
    )


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: ij.array("he_normal", (2, 2)),
            TypeError,
            r"initializer must be an initializer of initfast, such as",
        ),
        (
            lambda: ij.array(ift.HeNormal(), (2, -2)),
            ValueError,
            "every size in a shape must be an integer >= 0",
        ),
        (
            lambda: ij.array(ift.HeNormal(), (2, 2), dtype="int32"),
            ValueError,
            "random values need a floating dtype",
        ),
        (
            lambda: ij.array(ift.Identity(), (2, 2, 2)),
            ValueError,
            "Identity matrix initializer can only be used for 2D",
        ),
        (lambda: ij.array(ift.Orthogonal(), (2,)), ValueError, "must be at least two-dimensional"),
        (
            lambda: ij.array(ift.Zeros(), (2,), "x"),
            TypeError,
            "sharding must be a Sharding, a PartitionSpec, a device",
        ),
        (
            lambda: ij.array(ift.Zeros(), (2,), PartitionSpec("x")),
            ValueError,
            "be used under jax.set_mesh; received",
        ),
    ],
)
def test_messages(call, error, message):
    with pytest.raises(error, match=message):
        call()


# ---- tracing


@pytest.mark.filterwarnings("ignore:the fan_in of shape")
def test_shapes_without_values():
    result = jax.eval_shape(lambda key: ij.he_normal(dtype="bfloat16")(key, (4, 5)), KEY)
    assert (result.shape, result.dtype) == ((4, 5), "bfloat16")
    result = jax.eval_shape(
        jax.vmap(lambda key: ij.orthogonal()(key, (4, 5))), jax.random.split(KEY, 3)
    )
    assert (result.shape, result.dtype) == ((3, 4, 5), "float32")
    generator = ift.SeedGenerator(1)
    result = jax.eval_shape(lambda: ij.array(ift.HeNormal(seed=generator), (2**40, 2**20)))
    assert (result.shape, generator.counter) == ((2**40, 2**20), 0)
    with pytest.raises(ValueError, match="with default in_axis"):
        jax.eval_shape(lambda key: ij.he_normal()(key, (4,)), KEY)


def test_a_constant_of_a_compiled_program():
    def program(x):
        with jax.ensure_compile_time_eval():
            weights = ij.array(ift.HeNormal(seed=1), (4, 5))
        return x * weights

    assert same(jax.jit(program)(1.0), ift.HeNormal(seed=1)((4, 5)))


# ---- keys


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg", "unsafe_rbg"])
def test_a_key_means_its_words(impl):
    for key in (jax.random.key(7, impl=impl), jax.random.split(jax.random.key(7, impl=impl), 5)[3]):
        words = [int(word) for word in np.asarray(jax.random.key_data(key))]
        expected = ift.Seed(
            words[0] << 32 | words[1], words[2] << 32 | words[3] if len(words) == 4 else 0
        )
        assert ij.seed_of(key) == ij.seed_of(jax.random.key_data(key)) == expected
        assert same(ij.normal(1.0)(key, (5, 6)), ift.RandomNormal(0.0, 1.0, seed=expected)((5, 6)))


def test_known_keys():
    # Literals, so that no version gives a key another meaning.
    assert ij.seed_of(jax.random.key(42)) == ij.seed_of(jax.random.PRNGKey(42)) == ift.Seed(42)
    assert ij.seed_of(np.array([1, 2], np.uint32)) == ift.Seed(2**32 + 2)
    assert ij.seed_of(np.array([1, 2, 3, 4], np.uint32)) == ift.Seed(2**32 + 2, 3 * 2**32 + 4)
    assert ij.seed_of(jax.random.split(jax.random.key(0))[0]) == ift.Seed(0x6B200159_99BA4EFE)


@pytest.mark.parametrize(
    ("key", "error"),
    [(3, TypeError), (None, TypeError), (np.array([1.0, 2.0]), TypeError), (np.array([1, 2]), TypeError),
     (np.zeros((2, 2), np.uint32), ValueError), (np.zeros(3, np.uint32), ValueError), ("key", TypeError)],
)  # fmt: skip
def test_wrong_keys(key, error):
    with pytest.raises(
        error, match=r"key must be (a key of jax.random|one key of 2 or 4 words); received"
    ):
        ij.normal()(key, (2, 2))


def test_several_keys_are_not_one():
    with pytest.raises(
        ValueError, match=r"key must be one key of 2 or 4 words; received words of shape \(3, 2\)"
    ):
        ij.normal()(jax.random.split(KEY, 3), (2, 2))


# ---- JAX's own signatures


FACTORIES = [
    name for name in ij.__all__ if name not in ("array", "seed_of", "zeros", "ones", "constant")
]


def test_every_name_of_jax_is_here():
    names = {name for name in dir(THEIRS) if not name.startswith("_")} - {"Initializer"}
    assert names == set(ij.__all__) - {"array", "seed_of"}


@pytest.mark.parametrize("name", FACTORIES)
def test_signatures(name):
    def face(function):
        parameters = inspect.signature(function).parameters.values()
        return [(parameter.name, parameter.kind, parameter.default) for parameter in parameters]

    ours, theirs = getattr(ij, name), getattr(THEIRS, name)
    assert face(ours) == face(theirs)
    arguments = (1.0, "fan_in", "normal") if name == "variance_scaling" else ()
    assert face(ours(*arguments)) == face(theirs(*arguments))
    assert face(ours(*arguments, dtype="float16")) == face(theirs(*arguments, dtype="float16"))


def moments(array):
    values = np.asarray(array, np.float64)
    return values.mean(), values.std(), values.min(), values.max()


@pytest.mark.parametrize("name", FACTORIES)
def test_distributions_are_those_of_jax(name):
    """Mean and deviation of 49,152 values agree with JAX's within 6 standard errors (2e-9 each),
    and bounds within 2 %.
    """
    arguments = (0.7, "fan_geo_avg", "normal") if name == "variance_scaling" else ()
    shape = (3, 128, 128)
    ours = moments(getattr(ij, name)(*arguments)(KEY, shape))
    theirs = moments(getattr(THEIRS, name)(*arguments)(KEY, shape))
    error = 6 * theirs[1] * math.sqrt(2 / math.prod(shape))
    assert abs(ours[0] - theirs[0]) < error
    assert abs(ours[1] - theirs[1]) < error
    if "normal" not in name and "orthogonal" not in name and name != "variance_scaling":
        np.testing.assert_allclose(ours[2:], theirs[2:], rtol=0.02, atol=2e-5)


FANS = [
    ((64, 32), {}), ((3, 3, 16, 8), {}), ((8, 4, 16), {"in_axis": (0, 1)}), ((8, 4, 16), {"batch_axis": 0}),
    ((8, 4, 16), {"in_axis": 0, "out_axis": (1, 2)}), ((6, 8, 4, 16), {"batch_axis": (0, 1)}),
    ((16,), {"in_axis": 0, "out_axis": 0}), ((1, 1), {}), ((2, 64), {"in_axis": 0, "out_axis": 0}),
]  # fmt: skip


@pytest.mark.parametrize("mode", ["fan_in", "fan_out", "fan_avg", "fan_geo_avg"])
@pytest.mark.parametrize(("shape", "axes"), FANS)
def test_fans_are_those_of_jax(shape, axes, mode):
    fan_in, fan_out = THEIRS.variance_scaling.__globals__["_compute_fans"](shape, **axes)
    means = {"fan_avg": (fan_in + fan_out) / 2, "fan_geo_avg": (fan_in * fan_out) ** 0.5}
    fan = {"fan_in": fan_in, "fan_out": fan_out, **means}[mode]
    stddev = math.sqrt(3.0 / fan)  # more than sqrt(3) if the fan is less than 1
    values = ij.variance_scaling(3.0, mode, "normal", **axes)(KEY, shape)
    np.testing.assert_allclose(values, ift.RandomNormal(0.0, stddev, seed=42)(shape), rtol=1e-6)


@pytest.mark.parametrize(
    "name", ["glorot_normal", "glorot_uniform", "he_normal", "he_uniform", "lecun_normal"]
)
@pytest.mark.parametrize("shape", [(64, 32), (3, 3, 16, 8)])
def test_presets_are_those_of_keras_if_fans_agree(name, shape):
    assert same(
        getattr(ij, name)()(KEY, shape),
        ift.get({"class_name": name, "config": {"seed": 42}})(shape),
    )


def test_values():
    assert same(ij.uniform(0.5)(KEY, (9, 9)), ift.RandomUniform(0.0, 0.5, seed=42)((9, 9)))
    assert same(
        ij.truncated_normal(0.1, lower=-1, upper=3)(KEY, (9, 9), "bfloat16"),
        ift.TruncatedNormal(0.0, 0.1, 42, -1.0, 3.0)((9, 9), "bfloat16"),
    )
    assert same(
        ij.normal(jax.numpy.float32(0.5))(KEY, (9, 9)), ift.RandomNormal(0.0, 0.5, seed=42)((9, 9))
    )
    assert ij.he_normal()(KEY, (0, 4)).shape == (0, 4)
    assert ij.zeros is THEIRS.zeros and ij.ones is THEIRS.ones and ij.constant is THEIRS.constant


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -3])
def test_orthogonal_columns(axis):
    kernel = np.asarray(ij.orthogonal(2.0, axis)(KEY, (4, 5, 6)))
    matrix = np.moveaxis(kernel, axis, -1).reshape(-1, kernel.shape[axis])
    np.testing.assert_allclose(matrix.T @ matrix, 4.0 * np.eye(matrix.shape[1]), atol=1e-5)


def test_delta_orthogonal():
    kernel = np.asarray(ij.delta_orthogonal()(KEY, (3, 4, 2, 5)))
    middle = kernel[1, 1]
    np.testing.assert_allclose(middle @ middle.T, np.eye(2), atol=1e-6)
    assert np.count_nonzero(kernel) == np.count_nonzero(middle) == 10


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: ij.variance_scaling(1.0, "fan", "normal"),
            "mode must be one of 'fan_in', 'fan_out', 'fan_avg', 'fan_ge",
        ),
        (
            lambda: ij.variance_scaling(1.0, "fan_in", "gauss"),
            "distribution must be one of 'truncated_normal', 'normal'",
        ),
        (
            lambda: ij.variance_scaling(-1.0, "fan_in", "normal")(KEY, (2, 2)),
            "scale must be a finite number >= 0",
        ),
        (
            lambda: ij.he_normal()(KEY, (5,)),
            "Can't compute input and output sizes of a 1-dimensional",
        ),
        (lambda: ij.orthogonal()(KEY, (5,)), "orthogonal initializer requires at least a 2D shape"),
        (
            lambda: ij.delta_orthogonal()(KEY, (5, 5)),
            "Delta orthogonal initializer requires a 3D, 4D or 5D",
        ),
        (
            lambda: ij.delta_orthogonal()(KEY, (3, 5, 4)),
            "`fan_in` must be less or equal than `fan_out`",
        ),
        (lambda: ij.uniform()(KEY, (2, 2), "complex64"), "random values need a floating dtype"),
        (
            lambda: ij.truncated_normal()(KEY, (2, 2), "complex64"),
            "random values need a floating dtype",
        ),
        (lambda: ij.normal()(KEY, (2, 2), "float31"), "dtype must be one of"),
    ],
)
def test_messages_of_the_signatures(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_without_jax():
    program = "import sys; sys.modules['jax'] = None\nimport initfast.jax"
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert process.stderr.strip().endswith(
        "ImportError: initfast.jax needs JAX: pip install --upgrade jax"
    )


def test_parts_are_made_once():
    from initfast.core.dtypes import resolve
    from initfast.initializers.blocks import Blocks

    class Counting(ift.Initializer):
        calls = 0

        def __call__(self, shape, dtype=None):
            Counting.calls += 1
            return np.arange(12.0, dtype=np.float32).reshape(shape)

    parts = Blocks(Counting(), (3, 4), resolve("float32"))
    assert parts(np.s_[1:, :2]) is parts((slice(1, 3), slice(0, 2)))
    assert parts(np.s_[1:, :2]).tolist() == [[4, 5], [8, 9]]
    assert parts(...).tolist() == np.arange(12).reshape(3, 4).tolist()
    assert Counting.calls == 1
    assert parts(np.s_[1:, 1:]).ctypes.data % 64 == 0
    assert indexing.select((3, 4), ...) == indexing.whole((3, 4))
