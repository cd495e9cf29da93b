"""Compiled initialisation with Flax, Equinox, and as in MaxText, gives the same weights as plain
calls.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

jax = pytest.importorskip("jax")
jnp = jax.numpy

import initfast.jax as ij  # noqa: E402

pytestmark = pytest.mark.long

KEY = jax.random.key(42)


def same_trees(actual, expected):
    actual, expected = jax.tree.flatten(actual), jax.tree.flatten(expected)
    assert actual[1] == expected[1]
    for a, b in zip(actual[0], expected[0], strict=True):
        a, b = np.asarray(a), np.asarray(b)
        assert (a.shape, a.dtype, a.tobytes()) == (b.shape, b.dtype, b.tobytes())


# ---- Flax Linen


@pytest.fixture(scope="module")
def nn():
    return pytest.importorskip("flax.linen")


def mlp(nn, kernel_init):
    class Block(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.Dense(16, kernel_init=kernel_init)(x)
            return nn.Dense(8, kernel_init=kernel_init, param_dtype=jnp.bfloat16)(nn.relu(x))

    return Block()


def test_linen(nn):
    model, x = mlp(nn, ij.he_normal()), jnp.ones((2, 8))
    plain = model.init(KEY, x)
    same_trees(jax.jit(model.init)(KEY, x), plain)
    kernel = plain["params"]["Dense_0"]["kernel"]
    assert abs(float(kernel.std()) - 0.5) < 0.1  # sqrt(2 / 8)
    assert model.apply(plain, x).shape == (2, 8)
    shapes = jax.eval_shape(model.init, KEY, x)
    assert shapes["params"]["Dense_1"]["kernel"].dtype == jnp.bfloat16


def test_linen_with_partitioning(nn):
    init = nn.with_partitioning(ij.he_normal(), ("in", "out"))
    model, x = mlp(nn, init), jnp.ones((2, 8))
    variables = jax.jit(model.init)(KEY, x)
    assert nn.get_partition_spec(variables)["params"]["Dense_0"]["kernel"] == jax.P("in", "out")
    same_trees(nn.unbox(variables), mlp(nn, ij.he_normal()).init(KEY, x))


@pytest.mark.parametrize("remat", [False, True])
def test_linen_scan_over_layers(nn, remat):
    class Layer(nn.Module):
        @nn.compact
        def __call__(self, x, _):
            return nn.Dense(8, kernel_init=ij.lecun_normal())(x), None

    class Stack(nn.Module):
        @nn.compact
        def __call__(self, x):
            layer = nn.remat(Layer) if remat else Layer
            scanned = nn.scan(
                layer, variable_axes={"params": 0}, split_rngs={"params": True}, length=3
            )
            return scanned()(x, None)[0]

    x = jnp.ones((2, 8))
    variables = jax.jit(Stack().init)(KEY, x)
    same_trees(variables, Stack().init(KEY, x))
    (kernel,) = [leaf for leaf in jax.tree.leaves(variables) if leaf.ndim == 3]
    assert kernel.shape == (3, 8, 8)
    assert len({layer.tobytes() for layer in np.asarray(kernel)}) == 3


# ---- Flax NNX


@pytest.fixture(scope="module")
def nnx():
    return pytest.importorskip("flax.nnx")


def network(nnx):
    class Network(nnx.Module):
        def __init__(self, rngs):
            self.inner = nnx.Linear(8, 16, kernel_init=ij.he_normal(), rngs=rngs)
            self.outer = nnx.Linear(16, 8, kernel_init=ij.glorot_uniform(), rngs=rngs)

    return Network


def weights(nnx, module):
    return nnx.to_pure_dict(nnx.state(module, nnx.Param))


def test_nnx(nnx):
    create = network(nnx)
    plain = weights(nnx, create(nnx.Rngs(42)))
    same_trees(weights(nnx, nnx.jit(lambda: create(nnx.Rngs(42)))()), plain)
    same_trees(weights(nnx, nnx.jit(lambda rngs: create(rngs))(nnx.Rngs(42))), plain)
    shapes = nnx.eval_shape(lambda: create(nnx.Rngs(42)))
    assert shapes.inner.kernel.get_value().shape == (8, 16)


def test_nnx_layers_by_vmap(nnx):
    create = network(nnx)

    @nnx.vmap(in_axes=0, out_axes=0)
    def stack(rngs):
        return create(rngs)

    plain = weights(nnx, stack(nnx.Rngs(42).split(3)))
    compiled = nnx.jit(lambda rngs: stack(rngs))(nnx.Rngs(42).split(3))
    same_trees(weights(nnx, compiled), plain)
    kernel = np.asarray(plain["inner"]["kernel"])
    assert kernel.shape == (3, 8, 16)
    assert len({layer.tobytes() for layer in kernel}) == 3


# ---- Equinox: its layers draw their weights, which are then replaced


def test_equinox():
    eqx = pytest.importorskip("equinox")
    init = ij.he_normal(in_axis=-1, out_axis=-2)

    def kernels(model):
        return [layer.weight for layer in model.layers]

    def create(key):
        model = eqx.nn.MLP(8, 4, 16, 2, key=key)
        keys = jax.random.split(key, len(model.layers))
        weights = [init(k, old.shape) for k, old in zip(keys, kernels(model), strict=True)]
        return eqx.tree_at(kernels, model, weights)

    same_trees(kernels(eqx.filter_jit(create)(KEY)), kernels(create(KEY)))
    keys = jax.random.split(KEY, 3)
    many = eqx.filter_vmap(create)(keys)
    same_trees(many.layers[1].weight, np.stack([create(key).layers[1].weight for key in keys]))


# ---- eight devices, as in MaxText


def test_a_sharded_model_of_scanned_layers():
    pytest.importorskip("flax")
    case = Path(__file__).parent / "cases" / "maxtext.py"
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8"
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    process = subprocess.run(
        [sys.executable, str(case)], capture_output=True, text=True, env=environment
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout.split() == ["auto", "explicit", "linen"]
