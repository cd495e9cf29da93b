"""JAX arrays, sharded or not, and initializers with JAX's own signature: `import initfast.jax`.

Each device's block is made on the host, by the process that holds the device, and equals that part
of the unsharded array byte for byte. On a CPU JAX adopts the memory without a copy."""

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
