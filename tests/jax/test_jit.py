"""Initializers with JAX's signature make the same bytes in compiled programs as in plain calls, for
every key, distribution, dtype and transformation.
"""

import numpy as np
import pytest
from tiers import sample

import initfast as ift

jax = pytest.importorskip("jax")
jnp = jax.numpy

import initfast.jax as ij  # noqa: E402
from initfast.jax import draws, ffi  # noqa: E402

KEY = jax.random.key(42)
DRAWS = {
    "uniform": ij.uniform(0.5),
    "normal": ij.normal(0.3),
    "truncated_normal": ij.truncated_normal(0.1),
    "bounds that keep little": ij.truncated_normal(0.1, lower=1.0, upper=3.0),
    "bounds that keep most": ij.truncated_normal(0.1, lower=-1.0, upper=3.0),
    "bounds beyond the reach": ij.truncated_normal(0.1, lower=-90.0, upper=90.0),
    "variance_scaling": ij.variance_scaling(2.0, "fan_geo_avg", "uniform"),
    "glorot_uniform": ij.glorot_uniform(),
    "glorot_normal": ij.glorot_normal(),
    "lecun_uniform": ij.lecun_uniform(),
    "lecun_normal": ij.lecun_normal(),
    "he_uniform": ij.he_uniform(),
    "he_normal": ij.he_normal(),
    "a single value": ij.uniform(0.0),
    "orthogonal": ij.orthogonal(2.0),
    "delta_orthogonal": ij.delta_orthogonal(),
}
DTYPES = ("float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2")

SHAPES = [
    (), (1,), (5,), (4, 4), (64, 33), (3, 1, 5), (0, 4), (1, 2, 1, 2, 1, 2, 1, 2),
]  # fmt: skip


def same(actual, expected):
    """Return whether two arrays have the same shape, dtype and bytes."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    return (actual.shape, actual.dtype, actual.tobytes()) == (
        expected.shape,
        expected.dtype,
        expected.tobytes(),
    )


def calls_back(function, *arguments):
    """Return whether the compiled function calls Python."""
    return "python" in jax.jit(function).lower(*arguments).as_text()


@pytest.mark.parametrize(
    "name", sample(DRAWS, "normal", "he_normal", "bounds that keep little", "orthogonal")
)
def test_a_compiled_draw_is_the_plain_one(name):
    def draw(key):
        return DRAWS[name](key, (3, 8, 8))

    assert same(jax.jit(draw)(KEY), draw(KEY))
    assert calls_back(draw, KEY) == ("orthogonal" in name)


def test_a_compiled_draw_is_that_of_numpy():
    result = jax.jit(lambda key: ij.normal(0.5)(key, (64, 33)))(KEY)
    assert same(result, ift.RandomNormal(0.0, 0.5, seed=42)((64, 33)))


@pytest.mark.parametrize("dtype", sample(DTYPES, "float32", "bfloat16"))
@pytest.mark.parametrize("shape", sample(SHAPES, (), (4, 4), (0, 4)))
def test_shapes_and_dtypes(shape, dtype):
    for initializer in (ij.normal(0.3), ij.uniform()):
        result = jax.jit(lambda key, draw=initializer: draw(key, shape, dtype))(KEY)
        assert same(result, initializer(KEY, shape, dtype))


def test_64_bits():
    with jax.enable_x64(True):
        for name in ("normal", "uniform", "he_normal"):
            result = jax.jit(lambda key, draw=DRAWS[name]: draw(key, (9, 5), "float64"))(KEY)
            assert same(result, DRAWS[name](KEY, (9, 5), "float64"))
            assert result.dtype == "float64"


@pytest.mark.parametrize("name", ["normal", "he_normal", "orthogonal"])
def test_complex_values(name):
    def draw(key):
        return DRAWS[name](key, (4, 4), "complex64")

    assert same(jax.jit(draw)(KEY), draw(KEY))
    assert calls_back(draw, KEY)


@pytest.mark.parametrize("impl", sample(["threefry2x32", "rbg", "unsafe_rbg"], "rbg"))
def test_keys_of_every_kind(impl):
    keys = jax.random.split(jax.random.key(7, impl=impl), 3)
    draw = jax.jit(lambda key: ij.he_normal()(key, (5, 6)))
    for key in keys:
        assert same(draw(key), ij.he_normal()(key, (5, 6)))
        assert same(draw(jax.random.key_data(key)), ij.he_normal()(key, (5, 6)))
    batch = jax.vmap(lambda key: ij.he_normal()(key, (5, 6)))
    assert same(jax.jit(batch)(keys), np.stack([ij.he_normal()(key, (5, 6)) for key in keys]))


def test_a_key_that_is_computed_in_the_program():
    def draw(key, i):
        return ij.he_normal()(jax.random.fold_in(key, i), (5, 6))

    assert same(jax.jit(draw)(KEY, 3), draw(KEY, 3))


def test_a_plain_call_makes_one_initializer():
    seeds = []

    def build(shape, seed):
        seeds.append(seed)
        return ift.RandomNormal(seed=seed)

    plain = draws.draw(build, jax.random.key(7), (3, 5), np.float32, None)
    assert seeds == [ift.Seed(7)]  # no other initializer to check the arguments
    assert same(plain, ift.RandomNormal(seed=7)((3, 5)))


def test_a_key_from_outside():
    assert same(jax.jit(lambda: ij.he_normal()(KEY, (5, 6)))(), ij.he_normal()(KEY, (5, 6)))


@pytest.mark.parametrize("name", sample(["he_normal", "orthogonal"], "he_normal"))
@pytest.mark.parametrize("compiled", [False, True])
def test_vmap(name, compiled):
    def draw(key):
        return DRAWS[name](key, (6, 4))

    def run(function, *arguments):
        return (jax.jit(function) if compiled else function)(*arguments)

    keys = jax.random.split(KEY, (3, 2))
    expected = np.stack([[draw(key) for key in row] for row in keys])
    assert same(run(jax.vmap(jax.vmap(draw)), keys), expected)
    assert same(run(jax.vmap(draw, out_axes=1), keys[0]), np.moveaxis(expected[0], 0, 1))
    words = jnp.moveaxis(jax.random.key_data(keys[0]), 0, 1)
    assert same(run(jax.vmap(draw, in_axes=1), words), expected[0])
    alone = jax.vmap(lambda x: draw(KEY) + x)
    assert same(run(alone, jnp.zeros(2)), np.stack([draw(KEY)] * 2))
    scalars = jax.vmap(lambda key: ij.normal()(key, ()))
    assert same(run(scalars, keys[0]), np.array([ij.normal()(key, ()) for key in keys[0]]))


def test_scan():
    def layer(x, key):
        weights = ij.he_normal()(key, (4, 4))
        return x @ weights, weights

    keys = jax.random.split(KEY, 5)
    _, stacked = jax.jit(lambda keys: jax.lax.scan(layer, jnp.ones(4), keys))(keys)
    assert same(stacked, np.stack([ij.he_normal()(key, (4, 4)) for key in keys]))


def test_control_flow():
    def draw(key, take):
        a, b = ij.he_normal(), ij.uniform()
        return jax.lax.cond(take, lambda k: a(k, (4, 4)), lambda k: b(k, (4, 4)), key)

    assert same(jax.jit(draw)(KEY, True), ij.he_normal()(KEY, (4, 4)))
    assert same(jax.jit(draw)(KEY, False), ij.uniform()(KEY, (4, 4)))


def test_shapes_of_compiled_draws():
    result = jax.eval_shape(
        jax.jit(lambda key: ij.he_normal(dtype="bfloat16")(key, (2**20, 2**20))), KEY
    )
    assert (result.shape, result.dtype) == ((2**20, 2**20), "bfloat16")


def test_remat_and_gradients():
    @jax.checkpoint
    def loss(x, key):
        return jnp.sin(x @ ij.he_normal()(key, (4, 4))).sum()

    def plain(x, key):
        return jnp.sin(x @ jnp.asarray(ij.he_normal()(key, (4, 4)))).sum()

    x = jnp.arange(4.0)
    expected = jax.grad(plain)(x, KEY)
    np.testing.assert_allclose(jax.jit(jax.grad(loss))(x, KEY), expected, rtol=1e-6)
    np.testing.assert_allclose(jax.grad(loss)(x, KEY), expected, rtol=1e-6)
    words = jax.random.key_data(KEY)
    jax.jit(jax.grad(loss, argnums=(0, 1), allow_int=True))(x, words)


@pytest.mark.parametrize("dtype", sample(DTYPES, "bfloat16"))
def test_without_a_handler(dtype, monkeypatch):
    """On a device without a handler, the program calls Python, for any number of keys."""
    monkeypatch.setattr(draws, "source_of", lambda *_: None)
    keys = jax.random.split(KEY, 3)

    def draw(key):
        return ij.he_normal()(key, (5, 6), dtype)

    expected = np.stack([draw(key) for key in keys])
    assert calls_back(draw, KEY)
    assert same(jax.jit(jax.vmap(draw))(keys), expected)
    assert same(jax.jit(lambda keys: jax.lax.map(draw, keys))(keys), expected)


def test_export():
    pytest.importorskip("flatbuffers")  # jax.export needs it

    def draw(key):
        return ij.he_normal()(key, (5, 6))

    words = jax.random.key_data(KEY)
    checks = [jax.export.DisabledSafetyCheck.custom_call(ffi.TARGET)]
    exported = jax.export.export(jax.jit(draw), disabled_checks=checks)(words)
    blob = exported.serialize()
    assert same(jax.export.deserialize(blob).call(words), draw(KEY))


def test_no_constant_of_the_size_of_the_weights():
    lowered = jax.jit(lambda key: ij.he_normal()(key, (1 << 20, 64))).lower(KEY)
    assert len(lowered.as_text()) < 20_000
    assert len(lowered.compile().as_text()) < 20_000
    assert lowered.compile().memory_analysis().temp_size_in_bytes < 1 << 16


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda key: ij.he_normal()(key, (4, -5)), ValueError, "every size in a shape must be an integer >= 0"),
        (lambda key: ij.he_normal()(key, (4, 5), "int32"), ValueError, "random values need a floating dtype"),
        (lambda key: ij.he_normal()(key, (4, 5), "float64"), ValueError, "dtype must be one that JAX has enabled"),
        (lambda key: ij.he_normal()(key, (4,)), ValueError, "Can't compute input and output sizes of a 1-dim"),
        (lambda key: ij.normal(-1.0)(key, (4,)), ValueError, "stddev"),
        (lambda key: ij.orthogonal()(key, (4,)), ValueError, "orthogonal initializer requires at least a 2D"),
        (lambda key: ij.orthogonal()(key, (4, 4), "int32"), ValueError, "random values need a floating dtype"),
        (lambda key: ij.normal()(jax.random.split(key, 3), (4,)), ValueError, "key must be one key of 2 or 4 words"),
        (lambda key: ij.normal()(jnp.float32(3.0) + 1, (4,)), TypeError, "key must be a key of jax.random"),
        (lambda key: ij.normal()(key, (4,), out_sharding="x"), TypeError, "sharding must be a Sharding, a Part"),
        (lambda key: ij.normal()(key, (4,), out_sharding=jax.P("x")), ValueError, "be used under jax.set_mesh"),
    ],
)  # fmt: skip
def test_errors_are_those_of_plain_calls_and_come_when_traced(call, error, message):
    with pytest.raises(error, match=message):
        jax.jit(call).trace(KEY)
    with pytest.raises(error, match=message):
        call(KEY)


def test_an_array_of_a_seed_is_not_made_in_a_program():
    with pytest.raises(TypeError, match="use an initializer with a key there"):
        jax.jit(lambda: ij.array(ift.HeNormal(seed=1), (4, 5)))()
