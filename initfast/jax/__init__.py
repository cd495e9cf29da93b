"""Create JAX arrays, sharded or not, with JAX's own signatures: `import initfast.jax`.

Without `jit`, each process computes the blocks of its own devices on the host. A block equals the
same part of the unsharded array byte for byte. On a CPU, JAX uses the memory without a copy.

The initializers also work within `jit`, `vmap` over keys, `lax.scan`, `jax.checkpoint`,
`jax.eval_shape` and `shard_map`, with keys of any implementation, and draw the same bytes as a
plain call. On CPU devices, the compiled program calls the kernels through XLA's FFI, without
Python. Each device computes only its own shard, for any sharding that XLA or `out_sharding=` gives
the array. (In a `shard_map` over some axes of a mesh, the array is not split over the other axes.)
If `initfast.set_num_threads` or the environment sets n threads, all devices together start at most
n - 1 threads in addition to XLA's. `initfast.threads` has no effect on compiled programs.

Orthogonal matrices, complex dtypes, GPUs and TPUs call back to Python, on one device. Over several
devices, `jit` raises TypeError: create the array outside of `jit`, with `out_sharding=`.

`jax.export` of a program for one device needs
`disabled_checks=[jax.export.DisabledSafetyCheck.custom_call("initfast_fill_1")]`. Import
`initfast.jax` before you call the exported program. The number is the version of the stream: a
program for another version does not find its handler. `jax.export` cannot export programs that are
sharded over several devices."""

try:
    from jax.nn.initializers import constant, ones, zeros  # JAX's own, since they draw nothing
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
