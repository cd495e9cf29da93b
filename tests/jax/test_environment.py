"""The rounding mode of the host does not change the values of JAX's initializers."""

import pytest
from host import NEEDED, check_parameters

pytest.importorskip("jax")

from initfast import Seed
from initfast.initializers import sources
from initfast.jax import initializers
from initfast.jax.complex_values import ComplexNormal, Disk

pytestmark = NEEDED
SHAPES = [(13, 11), (3, 5, 7), (6, 10)]


def on_host(build, key, shape, dtype, sharding):
    """Return the values of `draw` without XLA, which sets the rounding mode itself."""
    return build(shape, Seed(key)).block(shape, ..., dtype)


def draws():
    for cached in (sources.uniform, sources.normal, sources.truncated_normal):
        cached.cache_clear()
    draws_in_bytes = {}
    for mode in ("fan_in", "fan_avg", "fan_geo_avg"):
        for law in ("truncated_normal", "normal", "uniform"):
            for shape in SHAPES:
                init = initializers.variance_scaling(0.7, mode, law)
                draws_in_bytes[f"{mode} {law} {shape}"] = init(1, shape, "float64").tobytes()
    for init in (ComplexNormal(0.7, 1), Disk(0.7, 1, True), Disk(0.7, 1, False)):
        draws_in_bytes[repr(init)] = init.block((7, 9), ..., "complex128").tobytes()
    return draws_in_bytes


def test_parameters(monkeypatch):
    monkeypatch.setattr(initializers, "draw", on_host)
    check_parameters(draws)
