"""Keras' layouts on 8 JAX devices: each block equals its slice of the array, and is computed
once.
"""

import numpy as np
import pytest
from keras_tools import BACKEND, actual_dtype, array, keras

import initfast as ift
import initfast.keras as ik
from initfast.initializers.base import Initializer

jax = pytest.importorskip("jax")
D, L = keras.distribution, keras.layers


@pytest.fixture(autouse=True)
def devices():
    assert BACKEND == "jax" and jax.device_count() == 8, (
        "8 devices are needed: --xla_force_host_platform_device_count=8"
    )
    yield
    D.set_distribution(None)


@pytest.fixture
def blocks(monkeypatch):
    """Collect the index of each block that is computed."""
    indices = []
    block = Initializer.block
    monkeypatch.setattr(
        Initializer,
        "block",
        lambda self, shape, index, dtype=None: (
            indices.append(index) or block(self, shape, index, dtype)
        ),
    )
    return indices


def parallel(dims, names, layouts):
    mesh = D.DeviceMesh(dims, names, D.list_devices())
    layout = D.LayoutMap(mesh)
    for pattern, spec in layouts.items():
        layout[pattern] = spec
    D.set_distribution(D.ModelParallel(layout_map=layout, batch_dim_name=names[0]))


def agrees(variable, expected):
    """Return whether each device holds its slice of the expected array."""
    value = variable.value
    for shard in value.addressable_shards:
        if (
            np.asarray(shard.data).tobytes()
            != np.ascontiguousarray(expected[shard.index]).tobytes()
        ):
            return False
    return array(variable).tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    ("dims", "names", "spec", "distinct"),
    [
        ((8,), ("model",), ("model", None), 8),
        ((8,), ("model",), (None, "model"), 8),
        ((2, 4), ("batch", "model"), ("model", None), 4),
        ((2, 4), ("batch", "model"), ("batch", "model"), 8),
        ((4, 2), ("batch", "model"), ("model", "batch"), 8),
        ((2, 4), ("batch", "model"), (None, None), 1),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_layouts(dims, names, spec, distinct, dtype, blocks):
    parallel(dims, names, {".*embeddings": spec})
    layer = L.Embedding(64, 16, embeddings_initializer=ik.HeNormal(seed=1), dtype=dtype)
    layer.build()
    assert len(blocks) == distinct
    assert agrees(layer.embeddings, ift.HeNormal(seed=1)((64, 16), dtype))
    assert layer.embeddings.value.sharding.spec == jax.sharding.PartitionSpec(*spec)


@pytest.mark.parametrize(
    ("make", "plain"),
    [
        (lambda: ik.RandomNormal(seed=ift.SeedGenerator(3)), lambda: ift.RandomNormal(seed=3)),
        (lambda: ik.Orthogonal(seed=3), lambda: ift.Orthogonal(seed=3)),
        (lambda: ik.Identity(), lambda: ift.Identity()),
        (lambda: ik.Zeros(), lambda: ift.Zeros()),
        (lambda: ik.Constant(np.arange(16.0)), lambda: ift.Constant(np.arange(16.0))),
    ],
)
def test_all_kinds(make, plain):
    parallel((2, 4), ("batch", "model"), {".*kernel": ("model", "batch")})
    layer = L.Dense(16, kernel_initializer=make())
    layer.build((None, 32))
    assert agrees(layer.kernel, plain()((32, 16)))
    assert len(layer.kernel.value.sharding.device_set) == 8


def test_copies_and_conversions():
    parallel((2, 4), ("batch", "model"), {".*kernel": ("batch",)})
    layer = L.MultiHeadAttention(2, 4, kernel_initializer=ik.HeNormal(seed=5))
    layer.build((2, 3, 8), (2, 3, 8))
    key = layer.weights[2]
    assert key.path.endswith("key/kernel")
    seed = ift.Seed(5).named("copy 1")
    assert agrees(key, ift.HeNormal(seed, input_axes=[0], output_axes=[1, 2])((8, 2, 4)))
    layer = L.Dense(4, kernel_initializer=ik.HeNormal(seed=5), dtype="float64", use_bias=False)
    layer.build((None, 8))
    assert agrees(layer.kernel, ift.HeNormal(seed=5)((8, 4), actual_dtype("float64")))


def test_initialize_keeps_the_layout_and_the_model_trains(blocks):
    parallel(
        (2, 4),
        ("batch", "model"),
        {".*embeddings": ("model", None), ".*kernel": ("batch", "model")},
    )
    with ik.default(seed=1):
        model = keras.Sequential(
            [keras.Input((3,), dtype="int32"), L.Embedding(16, 8), L.Dense(12)]
        )
    assert agrees(model.weights[0], ift.RandomUniform(seed=ift.Seed(1).named("0"))((16, 8)))
    specs = [w.value.sharding for w in model.weights]
    blocks.clear()
    initializers = ik.initialize(model, seed=2)
    assert len(blocks) == 3 + 4 + 8 + 1, "one check, and each distinct block once"
    for weight, initializer, spec in zip(model.weights, initializers.values(), specs, strict=True):
        assert weight.value.sharding.is_equivalent_to(spec, len(weight.shape))
        assert agrees(weight, initializer.block(tuple(weight.shape), ...))
    model.compile("sgd", "mse")
    x, y = np.zeros((8, 3), np.int32), np.zeros((8, 3, 12), np.float32)
    losses = model.fit(x, y, epochs=2, verbose=0).history["loss"]
    assert losses[1] < losses[0]


def test_data_parallel_and_a_layout_of_the_variable():
    D.set_distribution(D.DataParallel())
    layer = L.Dense(3, kernel_initializer=ik.HeNormal(seed=2))
    layer.build((None, 5))
    assert agrees(layer.kernel, ift.HeNormal(seed=2)((5, 3)))
    D.set_distribution(None)
    mesh = jax.sharding.Mesh(np.array(jax.devices()).reshape(2, 4), ("x", "y"))
    for spec in (("x",), (("x", "y"), None), (None, "y")):
        sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(*spec))
        variable = keras.Variable(ik.HeNormal(seed=2), shape=(8, 8), layout=sharding)
        assert agrees(variable, ift.HeNormal(seed=2)((8, 8)))
        assert variable.value.sharding.is_equivalent_to(sharding, 2)


def test_a_class_of_initfast_itself_is_refused_also_when_jax_compiles_its_call():
    parallel((4, 2), ("batch", "model"), {".*kernel": (None, "model")})
    layer = L.Dense(16384, kernel_initializer=ift.HeNormal(seed=1))  # Keras compiles from 250 MB on
    with pytest.raises(TypeError, match=r"pass initfast\.keras\.HeNormal\(seed=1\)"):
        layer.build((None, 4096))
