"""Compiled draws on eight devices make the bytes of a plain call, and each device makes only its
own shard. Print {case: the traceback of its error, or ""}.
"""

import json
import math
import os
import re
import sys
import threading
import time
import traceback
import warnings

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

import initfast as ift
import initfast.jax as ij
from initfast.jax import ffi

warnings.simplefilter("error")
assert jax.device_count() == 8
DEVICES = np.array(jax.devices())
MESHES = {
    "8": Mesh(DEVICES, ("x",)),
    "4x2": Mesh(DEVICES.reshape(4, 2), ("x", "y")),
    "2x2x2": Mesh(DEVICES.reshape(2, 2, 2), ("x", "y", "z")),
    "turned": Mesh(DEVICES[::-1].reshape(2, 4), ("x", "y")),
}
EXPLICIT = jax.make_mesh((4, 2), ("x", "y"), axis_types=(AxisType.Explicit,) * 2)
AUTO = jax.make_mesh((4, 2), ("x", "y"), axis_types=(AxisType.Auto,) * 2)
KEY = jax.random.key(42)
SHAPE = (24, 16)
cases = {}


def case(function):
    cases[function.__name__] = function
    return function


def same(actual, expected):
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape and actual.dtype == expected.dtype, (
        actual.shape,
        expected.shape,
    )
    assert actual.tobytes() == expected.tobytes(), "other values"


def shapes_of_calls(text):
    """Return the shape that each call of the handler in a compiled program makes."""
    actual = re.findall(rf"\w+\[([\d,]*)\]\S* custom-call\(.*{ffi.TARGET}", text)
    return [tuple(int(n) for n in dims.split(",") if n) for dims in actual]


def axes(spec, dims):
    """Return the names of the mesh axes over which each dim is split."""
    names_of_dims = [(names,) if isinstance(names, str) else tuple(names or ()) for names in spec]
    return names_of_dims + [()] * (dims - len(names_of_dims))


def local(function, part, *arguments, count=1, **options):
    """Run a compiled function, and check that the program has no collective, and that each call of
    the handler makes `part`.
    """
    compiled = jax.jit(function, **options).lower(*arguments).compile()
    text = compiled.as_text()
    for collective in ("all-gather", "all-to-all", "collective-permute", "all-reduce"):
        assert collective not in text, collective
    assert shapes_of_calls(text) == [part] * count, (shapes_of_calls(text), part)
    return compiled(*arguments)


def check(actual, expected, sharding):
    assert actual.sharding.is_equivalent_to(sharding, actual.ndim), actual.sharding
    for shard in actual.addressable_shards:
        same(shard.data, np.asarray(expected)[shard.index])


def draw(key, shape=SHAPE, dtype="float32"):
    return ij.he_normal()(key, shape, dtype)


SPECS = [
    ("8", P("x")), ("8", P(None, "x")), ("8", P()),
    ("4x2", P("x", "y")), ("4x2", P("y", "x")), ("4x2", P(("x", "y"))), ("4x2", P(None, ("y", "x"))),
    ("4x2", P("x")), ("4x2", P(None, "y")), ("4x2", P()), ("2x2x2", P("z", "x")), ("2x2x2", P(("z", "x"), "y")),
    ("turned", P("x", "y")), ("turned", P(("y", "x"))),
]  # fmt: skip


@case
def out_shardings():
    for mesh, spec in SPECS:
        sharding = NamedSharding(MESHES[mesh], spec)
        actual = local(draw, sharding.shard_shape(SHAPE), KEY, out_shardings=sharding)
        check(actual, draw(KEY), sharding)


@case
def constraints():
    for mesh, spec in SPECS[1:5]:
        sharding = NamedSharding(MESHES[mesh], spec)

        def create(key, sharding=sharding):
            return jax.lax.with_sharding_constraint(draw(key, dtype="bfloat16"), sharding)

        actual = local(create, sharding.shard_shape(SHAPE), KEY)
        check(actual, draw(KEY, dtype="bfloat16"), sharding)


@case
def initializers():
    sharding = NamedSharding(MESHES["4x2"], P("x", "y"))
    for initializer in (
        ij.uniform(),
        ij.normal(),
        ij.truncated_normal(lower=-1.0, upper=3.0),
        ij.glorot_uniform(),
    ):
        actual = jax.jit(lambda key, init=initializer: init(key, SHAPE), out_shardings=sharding)(
            KEY
        )
        check(actual, initializer(KEY, SHAPE), sharding)


@case
def odd_blocks():
    """Shards that begin in the middle of a block of the generator."""
    for shape, spec in (
        ((8, 3), P("x")),
        ((3, 5, 8), P(None, None, "x")),
        ((16,), P("x")),
        ((8, 1), P("x")),
    ):
        sharding = NamedSharding(MESHES["8"], spec)
        actual = jax.jit(lambda key, shape=shape: ij.normal()(key, shape), out_shardings=sharding)(
            KEY
        )
        check(actual, ij.normal()(KEY, shape), sharding)


@case
def uneven():
    for shape, mesh, spec in (
        ((7, 7), "4x2", P("x", "y")), ((9, 3), "8", P("x")), ((5, 13), "8", P(None, "x")),
        ((3, 2), "8", P("x")), ((9, 5), "4x2", P(("y", "x"))),
    ):  # fmt: skip
        sharding = NamedSharding(MESHES[mesh], spec)

        def create(key, shape=shape, sharding=sharding):
            weights = jax.lax.with_sharding_constraint(ij.normal()(key, shape), sharding)
            return jax.lax.with_sharding_constraint(weights * 1, NamedSharding(sharding.mesh, P()))

        sizes = [math.prod(sharding.mesh.shape[name] for name in names) for names in axes(spec, 2)]
        part = tuple(-(-n // size) for n, size in zip(shape, sizes, strict=True))
        compiled = jax.jit(create).lower(KEY).compile()
        assert shapes_of_calls(compiled.as_text()) == [part]
        same(compiled(KEY), ij.normal()(KEY, shape))


@case
def scalars():
    sharding = NamedSharding(MESHES["8"], P())
    check(
        jax.jit(lambda key: ij.normal()(key, ()), out_shardings=sharding)(KEY),
        ij.normal()(KEY, ()),
        sharding,
    )


@case
def no_elements():
    sharding = NamedSharding(MESHES["8"], P("x"))
    check(
        jax.jit(lambda key: ij.normal()(key, (0, 4)), out_shardings=sharding)(KEY),
        np.zeros((0, 4), np.float32),
        sharding,
    )


@case
def keys_by_vmap():
    keys = jax.random.split(KEY, 8)
    expected = np.stack([draw(key) for key in keys])
    for spec in (P("x"), P(None, "x"), P("x", "y"), P(None, "x", "y"), P(("x", "y"))):
        sharding = NamedSharding(MESHES["4x2"], spec)

        def create(keys, sharding=sharding):
            return jax.lax.with_sharding_constraint(jax.vmap(draw)(keys), sharding)

        check(local(create, sharding.shard_shape(expected.shape), keys), expected, sharding)


@case
def sharded_keys():
    """The values have the sharding of the keys."""
    sharding = NamedSharding(MESHES["8"], P("x"))
    words = jax.device_put(jax.random.key_data(jax.random.split(KEY, 8)), sharding)
    actual = local(jax.vmap(draw), (1, *SHAPE), words)
    check(actual, np.stack([draw(key) for key in words]), sharding)


@case
def keys_and_draws_sharded_differently():
    words = jax.random.key_data(jax.random.split(KEY, 8))
    expected = np.stack([draw(key) for key in words])
    mesh = MESHES["4x2"]
    for keys, spec in (
        (P("x"), P("y")), (P("x"), P(None, "x")), (P("x", "y"), P("y", "x")), (P(None, "y"), P("x")),
        (P("x"), P()), (P(("x", "y")), P(("y", "x"))),
    ):  # fmt: skip
        sharding = NamedSharding(mesh, spec)
        placed = jax.device_put(words, NamedSharding(mesh, keys))
        check(jax.jit(jax.vmap(draw), out_shardings=sharding)(placed), expected, sharding)


@case
def an_uneven_number_of_keys():
    keys = jax.random.split(KEY, 9)
    expected = np.stack([draw(key) for key in keys])
    mesh = MESHES["4x2"]
    for spec in (P("x"), P(("x", "y")), P("x", "y")):

        def create(keys, spec=spec):
            values = jax.lax.with_sharding_constraint(
                jax.vmap(draw)(keys), NamedSharding(mesh, spec)
            )
            return jax.lax.with_sharding_constraint(values * 1, NamedSharding(mesh, P()))

        same(jax.jit(create)(keys), expected)


@case
def split_in_the_program():
    sharding = NamedSharding(MESHES["8"], P("x"))

    def create(key):
        return jax.vmap(draw)(jax.random.split(key, 8))

    expected = np.stack([draw(key) for key in jax.random.split(KEY, 8)])
    check(jax.jit(create, out_shardings=sharding)(KEY), expected, sharding)


@case
def scanned_layers():
    keys = jax.random.split(KEY, 3)
    sharding = NamedSharding(MESHES["4x2"], P(None, "x", "y"))

    def create(keys):
        stacked = jax.lax.scan(lambda carry, key: (carry, draw(key)), 0, keys)[1]
        return jax.lax.with_sharding_constraint(stacked, sharding)

    check(local(create, (6, 8), keys), np.stack([draw(key) for key in keys]), sharding)


@case
def two_draws_of_one_shape():
    """The programs differ only in the sharding."""
    a, b = NamedSharding(MESHES["4x2"], P("x", "y")), NamedSharding(MESHES["4x2"], P("y", "x"))
    actual = jax.jit(lambda key: (draw(key), draw(key)), out_shardings=(a, b))(KEY)
    check(actual[0], draw(KEY), a)
    check(actual[1], draw(KEY), b)


@case
def spec_of_an_auto_mesh():
    with jax.set_mesh(AUTO):
        actual = local(
            lambda key: ij.he_normal()(key, SHAPE, out_sharding=P("x", "y")), (6, 8), KEY
        )
        check(actual, draw(KEY), NamedSharding(AUTO, P("x", "y")))


@case
def out_sharding_without_set_mesh():
    sharding = NamedSharding(MESHES["4x2"], P("y", "x"))
    actual = local(lambda key: ij.he_normal()(key, SHAPE, out_sharding=sharding), (12, 4), KEY)
    check(actual, draw(KEY), sharding)


@case
def explicit_mesh():
    with jax.set_mesh(EXPLICIT):
        for spec, part in (
            (P("x", "y"), (6, 8)),
            (P("y", None), (12, 16)),
            (P(None, ("x", "y")), (24, 2)),
        ):

            def create(key, spec=spec):
                weights = ij.he_normal()(key, SHAPE, out_sharding=spec)
                assert jax.typeof(weights).sharding.spec == spec
                return weights

            check(local(create, part, KEY), draw(KEY), NamedSharding(EXPLICIT, spec))

        def replicated(key):
            weights = draw(key)
            assert jax.typeof(weights).sharding.spec == P(None, None)
            return weights

        check(jax.jit(replicated)(KEY), draw(KEY), NamedSharding(EXPLICIT, P()))
        words = jax.device_put(jax.random.key_data(jax.random.split(KEY, 8)), P("x"))
        actual = local(jax.vmap(draw), (2, *SHAPE), words)
        check(
            actual,
            np.stack([draw(key) for key in np.asarray(words)]),
            NamedSharding(EXPLICIT, P("x")),
        )


@case
def shard_map():
    """Each device makes the array of its key, as with jax.random."""
    mesh = AUTO
    keys = jax.random.split(KEY, 4)

    def own(keys):
        return draw(keys[0], (6, 16))

    function = jax.shard_map(own, mesh=mesh, in_specs=P("x"), out_specs=P("x"))
    same(local(function, (6, 16), keys), np.concatenate([draw(key, (6, 16)) for key in keys]))
    function = jax.shard_map(lambda key: draw(key), mesh=mesh, in_specs=P(), out_specs=P())
    same(jax.jit(function)(KEY), draw(KEY))
    wrong = jax.shard_map(own, mesh=mesh, in_specs=P("x"), out_specs=P())
    try:
        jax.jit(wrong).lower(keys)
    except ValueError as error:
        assert "vary" in str(error) or "replicat" in str(error), error
    else:
        raise AssertionError("values that vary over devices must not count as replicated")


@case
def shard_map_over_one_axis():
    """The other axis may split the values of a device, which costs memory but is correct."""
    keys = jax.random.split(KEY, 4)
    expected = np.concatenate([draw(key, (6, 16)) for key in keys])
    with jax.set_mesh(AUTO):
        for spec in (None, P(), P("y"), P(None, "y")):

            def own(keys, spec=spec):
                weights = draw(keys[0], (6, 16))
                return weights if spec is None else jax.lax.with_sharding_constraint(weights, spec)

            function = jax.shard_map(
                own, mesh=AUTO, in_specs=P("x"), out_specs=P("x"), axis_names={"x"}
            )
            same(jax.jit(function)(keys), expected)


@case
def pmap():
    words = jax.random.key_data(jax.random.split(KEY, 8))
    same(jax.pmap(draw)(words), np.stack([draw(key) for key in words]))


@case
def under_set_mesh():
    """A plain call gives every device of the mesh the whole array, as jax.random does."""
    with jax.set_mesh(AUTO):
        check(draw(KEY), draw(KEY), NamedSharding(AUTO, P()))
        many = jax.vmap(draw)(jax.random.split(KEY, 3))
        assert many.sharding.is_equivalent_to(NamedSharding(AUTO, P()), 3), many.sharding
    actual = draw(KEY)
    assert len(actual.sharding.device_set) == 1, actual.sharding


@case
def rbg_keys():
    key = jax.random.key(3, impl="rbg")
    sharding = NamedSharding(MESHES["4x2"], P("x", "y"))
    check(jax.jit(draw, out_shardings=sharding)(key), draw(key), sharding)


@case
def a_part_of_a_program():
    """The weights are used in the same program, as in the first training step."""
    a, b = NamedSharding(MESHES["4x2"], P(None, "x")), NamedSharding(MESHES["4x2"], P("y"))
    x = jax.device_put(jnp.ones((8, 24)), b)

    def step(key, x):
        weights = jax.lax.with_sharding_constraint(draw(key), a)
        return weights, x @ weights

    weights, y = jax.jit(step)(KEY, x)
    check(weights, draw(KEY), a)
    np.testing.assert_allclose(y, np.ones((8, 24)) @ np.asarray(draw(KEY)), rtol=1e-5, atol=1e-5)


@case
def large_arrays_take_the_memory_of_their_shards():
    sharding = NamedSharding(MESHES["4x2"], P("x", "y"))
    compiled = (
        jax.jit(lambda key: draw(key, (4096, 2048)), out_shardings=sharding).lower(KEY).compile()
    )
    memory = compiled.memory_analysis()
    assert memory.output_size_in_bytes == 4096 * 2048 * 4 // 8, memory
    assert memory.temp_size_in_bytes < 1 << 16, memory


@case
def eight_fills_share_the_threads_of_the_process():
    """All devices start at most `threads` - 1 threads in addition to XLA's."""
    sharding = NamedSharding(MESHES["8"], P("x"))
    function = jax.jit(lambda key: draw(key, (1 << 13, 1 << 12)), out_shardings=sharding)
    function(KEY).block_until_ready()
    counts, stop = [], threading.Event()

    def watch():
        while not stop.is_set():
            counts.append(len(os.listdir("/proc/self/task")))
            time.sleep(0.001)

    watcher = threading.Thread(target=watch)
    watcher.start()
    before = len(os.listdir("/proc/self/task"))
    ift.set_num_threads(3)
    for _ in range(3):
        function(KEY).block_until_ready()
    stop.set()
    watcher.join()
    ift.set_num_threads(None)
    assert 0 < max(counts) - before <= 2, (max(counts), before)


@case
def orthogonal_is_refused():
    sharding = NamedSharding(MESHES["4x2"], P("x", "y"))
    try:
        jax.jit(lambda key: ij.orthogonal()(key, (8, 8)), out_shardings=sharding)(KEY)
    except TypeError as error:
        assert "create it outside of jit, with out_sharding=" in str(error), error
    else:
        raise AssertionError("no refusal")
    function = jax.shard_map(
        lambda key: ij.orthogonal()(key, (8, 8)), mesh=AUTO, in_specs=P(), out_specs=P()
    )
    same(jax.jit(function)(KEY), ij.orthogonal()(KEY, (8, 8)))


@case
def the_older_partitioner_is_refused():
    sharding = NamedSharding(MESHES["8"], P("x"))
    jax.config.update("jax_use_shardy_partitioner", False)
    try:
        jax.jit(lambda key: draw(key, (16, 16)), out_shardings=sharding)(KEY)
    except NotImplementedError as error:
        assert "needs the Shardy partitioner" in str(error), error
    else:
        raise AssertionError("no refusal")
    finally:
        jax.config.update("jax_use_shardy_partitioner", True)


@case
def uneven_out_sharding_is_refused():
    sharding = NamedSharding(MESHES["8"], P("x"))
    try:
        jax.jit(lambda key: ij.normal()(key, (7,), out_sharding=sharding)).lower(KEY)
    except ValueError as error:
        assert "evenly divide" in str(error), error
    else:
        raise AssertionError("no refusal")


names = sys.argv[1:] or list(cases)
results = {}
for name in names:
    try:
        cases[name]()
        results[name] = ""
    except Exception:
        results[name] = traceback.format_exc()
print(json.dumps(results))
