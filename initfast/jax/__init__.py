"""JAX arrays, sharded or not, and initializers with JAX's own signature: `import initfast.jax`.

Each device's block is made on the host, by the process that holds the device, and equals that part
of the unsharded array byte for byte. On a CPU JAX adopts the memory without a copy.

The initializers also work within `jit`, `vmap` over keys, `lax.scan`, `jax.checkpoint`,
`jax.eval_shape` and `shard_map`, with keys of any implementation, and draw the bytes of a plain
call. A program on CPU devices calls the kernels through XLA's FFI, without Python; each device
makes its own shard, for any sharding that XLA or `out_sharding=` gives the array (within a
`shard_map` over some axes of a mesh, not cut over the others). Where
`initfast.set_num_threads` or the environment says n threads, all devices together start at most
n - 1 in addition to XLA's; `initfast.threads` does not reach these.

Orthogonal matrices, complex dtypes and devices without these kernels (GPU, TPU) call back to
Python, on one device; over several, `jit` raises TypeError: make the array outside, with
`out_sharding=`.

`jax.export` of a program for one device needs
`disabled_checks=[jax.export.DisabledSafetyCheck.custom_call("initfast_fill_1")]`, and whoever calls
it imports `initfast.jax` first. The number is the stream's version: a program of another version
finds no handler of its name. `jax.export` cannot write programs that are sharded over devices."""

try:
    from jax.nn.initializers import constant, ones, zeros  # JAX's own: nothing is drawn
except ImportError:
    raise ImportError("initfast.jax needs JAX: pip install --upgrade jax") from None

from initfast.jax.arrays import array
from initfast.jax.initializers import (
    delta_orthogonal,
    glorot_normal,
    glorot_uniform,
    he_normal,
    he_uniform,
    kaiming_normal,
    kaiming_uniform,
    lecun_normal,
    lecun_uniform,
    normal,
    orthogonal,
    truncated_normal,
    uniform,
    variance_scaling,
    xavier_normal,
    xavier_uniform,
)
from initfast.jax.keys import seed_of

__all__ = [
    "array", "constant", "delta_orthogonal", "glorot_normal", "glorot_uniform", "he_normal",
    "he_uniform", "kaiming_normal", "kaiming_uniform", "lecun_normal", "lecun_uniform", "normal",
    "ones", "orthogonal", "seed_of", "truncated_normal", "uniform", "variance_scaling",
    "xavier_normal", "xavier_uniform", "zeros",
]  # fmt: skip
