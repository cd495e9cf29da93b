"""Create a model as MaxText does, on eight devices: one compiled function with `out_shardings`, and
layers by `nnx.vmap`, by `lax.scan` and by `nn.scan`. Print the name of each passed check.
"""

import functools
import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import initfast.jax as ij
from initfast.jax import ffi

LAYERS, WIDTH, HIDDEN = 3, 16, 32


class Layer(nnx.Module):
    def __init__(self, rngs):
        init = ij.variance_scaling(1.0, "fan_in", "truncated_normal")
        self.up = nnx.Linear(
            WIDTH, HIDDEN, kernel_init=nnx.with_partitioning(init, ("x", "y")), rngs=rngs
        )
        self.down = nnx.Linear(
            HIDDEN, WIDTH, kernel_init=nnx.with_partitioning(init, ("y", "x")), rngs=rngs
        )


class Model(nnx.Module):
    def __init__(self, rngs):
        table = nnx.with_partitioning(ij.normal(1.0), ("x", "y"))
        self.embedding = nnx.Embed(64, WIDTH, embedding_init=table, rngs=rngs)

        @nnx.vmap(in_axes=0, out_axes=0, transform_metadata={nnx.PARTITION_NAME: None})
        def layers(rngs):
            return Layer(rngs)

        self.layers = layers(rngs.split(LAYERS))


def kernels(state):
    pure = (
        nnx.to_pure_dict(nnx.state(state, nnx.Param))
        if isinstance(state, nnx.Module)
        else nnx.to_pure_dict(state)
    )
    return {
        jax.tree_util.keystr(path): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(pure)
        if leaf.ndim > 2 or "embedding" in str(path)
    }


mesh = jax.make_mesh((4, 2), ("x", "y"), axis_types=(AxisType.Auto,) * 2)
with jax.set_mesh(mesh):
    plain = {name: np.asarray(leaf) for name, leaf in kernels(Model(nnx.Rngs(params=7))).items()}
assert len(plain) == 3


def check(name, array, spec):
    assert array.sharding.is_equivalent_to(NamedSharding(mesh, spec), array.ndim), (
        name,
        array.sharding,
    )
    for shard in array.addressable_shards:
        assert np.asarray(shard.data).tobytes() == plain[name][shard.index].tobytes(), name


def specs(name):
    if "embedding" in name:
        return P("x", "y")
    return P(None, "x", "y") if "up" in name else P(None, "y", "x")


def shapes_of_calls(text):
    return {
        tuple(map(int, dims.split(",")))
        for dims in re.findall(rf"\w+\[([\d,]*)\]\S* custom-call\(.*{ffi.TARGET}", text)
    }


def abstract_of():
    return nnx.state(nnx.eval_shape(lambda: Model(nnx.Rngs(params=7))))


# One compiled function, and the shardings of its results.
def sharding_of(path, leaf):
    name = jax.tree_util.keystr(path)
    return NamedSharding(mesh, specs(name) if leaf.ndim > 2 or "embedding" in name else P())


with jax.set_mesh(mesh):
    out_shardings = jax.tree_util.tree_map_with_path(sharding_of, abstract_of())


@functools.partial(jax.jit, out_shardings=out_shardings)
def create():
    return nnx.state(Model(nnx.Rngs(params=7)))


with jax.set_mesh(mesh):
    text = create.lower().compile().as_text()
    created = create()
assert "all-gather" not in text
assert shapes_of_calls(text) == {(16, 8), (LAYERS, 4, 16), (LAYERS, 16, 4)}, shapes_of_calls(text)
for name, leaf in kernels(created).items():
    check(name, leaf, specs(name))
print("auto")

# The layers by lax.scan, with an explicit mesh.
explicit = jax.make_mesh((4, 2), ("x", "y"), axis_types=(AxisType.Explicit,) * 2)
keys = jax.random.split(jax.random.key(3), LAYERS)
init = ij.he_normal()
with jax.set_mesh(explicit):

    @jax.jit
    def layers(keys):
        def one(carry, key):
            return carry, init(key, (WIDTH, HIDDEN), out_sharding=P("x", "y"))

        return jax.lax.scan(one, 0, keys)[1]

    stacked = layers(keys)
    assert shapes_of_calls(layers.lower(keys).compile().as_text()) == {(4, 16)}
expected = np.stack([init(key, (WIDTH, HIDDEN)) for key in keys])
for shard in stacked.addressable_shards:
    assert shard.data.shape == (LAYERS, 4, 16)
    assert np.asarray(shard.data).tobytes() == expected[shard.index].tobytes()
print("explicit")


# Linen: nn.scan, and the shardings of its metadata.
class Block(nn.Module):
    @nn.compact
    def __call__(self, x, _):
        kernel_init = nn.with_partitioning(ij.he_normal(), ("x", "y"))
        return nn.Dense(WIDTH, use_bias=False, kernel_init=kernel_init)(x), None


class Stack(nn.Module):
    @nn.compact
    def __call__(self, x):
        scanned = nn.scan(
            Block, variable_axes={"params": 0}, split_rngs={"params": True}, length=LAYERS,
            metadata_params={nn.PARTITION_NAME: None},
        )  # fmt: skip
        return scanned()(x, None)[0]


model, x, key = Stack(), jnp.ones((2, WIDTH)), jax.random.key(5)
shardings = nn.get_sharding(jax.eval_shape(model.init, key, x), mesh)
initialize = jax.jit(model.init, out_shardings=shardings)
text = initialize.lower(key, x).compile().as_text()
assert "all-gather" not in text
assert shapes_of_calls(text) == {(4, 8)}, shapes_of_calls(text)
(kernel,) = jax.tree.leaves(nn.unbox(initialize(key, x)))
(whole,) = jax.tree.leaves(nn.unbox(model.init(key, x)))
for shard in kernel.addressable_shards:
    assert shard.data.shape == (LAYERS, 4, 8)
    assert np.asarray(shard.data).tobytes() == np.asarray(whole)[shard.index].tobytes()
print("linen")
