"""A host's rounding mode, FTZ and DAZ change no value, and a fill does not change them."""

import hashlib
from collections.abc import Iterator

import numpy as np
import pytest
from cases import SOURCES
from host import DAZ, FTZ, NEEDED, STATES, Host, check_parameters
from own_classes import DepthScaled

import initfast as ift
import reference
from initfast import _kernels
from initfast.core import distributions, truncation
from initfast.core.dtypes import FLOATING
from initfast.initializers import sources, variance_scaling
from initfast.initializers.fixed_rows import FixedRows, Rows

pytestmark = NEEDED
# Subnormal float32 and float64 numbers by the dozen: what a host that flushes them would lose.
SMALL = [
    (f"normal(0,least) {dtype.name}", distributions.normal(0.0, least, dtype))
    for dtype, least in ((FLOATING[0], 2.0**-126), (FLOATING[1], 2.0**-1022))
]
CASES = [*SOURCES, *SMALL]
TENTHS = np.arange(11) / 10
COUNT = 2011
LONG_COUNT = 300_001  # enough for two threads


@pytest.fixture
def host() -> Iterator[Host]:
    result = Host()
    yield result
    result.write(result.kept)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("threads", [1, 2])
def test_values_and_registers_stay(backend: str, host: Host, state: str, threads: int) -> None:
    for name, source in CASES if threads == 1 else SMALL:
        count = COUNT if threads == 1 else LONG_COUNT
        plain, changed = (np.full(count * source.itemsize, 0xA5, np.uint8) for _ in range(2))
        _kernels.fill_flat(source, 7, 9, plain.ctypes.data, 5, count, threads)
        before = host.set(STATES[state])
        _kernels.fill_flat(source, 7, 9, changed.ctypes.data, 5, count, threads)
        after = host.controls()
        host.write(host.kept)
        assert before & STATES[state] == STATES[state]
        assert after == before, name
        assert (
            hashlib.sha256(changed.tobytes()).digest() == hashlib.sha256(plain.tobytes()).digest()
        ), name


def test_the_host_does_flush(host: Host) -> None:
    """Show that the states above have an effect: NumPy flushes the same numbers to 0."""
    small = np.full(100, 2.0**-126, np.float32)
    host.set(FTZ | DAZ)
    flushed = small * np.float32(0.5)
    host.write(host.kept)
    assert (flushed == 0).all()
    assert (small * np.float32(0.5) != 0).all()


@pytest.mark.parametrize(("name", "source"), SMALL)
def test_subnormals_are_drawn(backend: str, name: str, source: _kernels.Source) -> None:
    values = np.zeros(COUNT, reference.values(source, 7, 9, 0, 1).dtype)
    _kernels.fill_flat(source, 7, 9, values.ctypes.data, 5, COUNT, 1)
    assert (
        (np.abs(values) < np.finfo(values.dtype).smallest_normal) & (values != 0)
    ).sum() > COUNT // 2


@pytest.mark.parametrize("state", STATES)
def test_moments_stay(backend: str, host: Host, state: str) -> None:
    for name, source in CASES:
        if name.startswith("bits"):
            continue
        values = np.empty(COUNT * source.itemsize, np.uint8)
        plain = _kernels.fill_flat(source, 7, 9, values.ctypes.data, 5, COUNT, 1, True)
        before = host.set(STATES[state])
        changed = _kernels.fill_flat(source, 7, 9, values.ctypes.data, 5, COUNT, 1, True)
        after = host.controls()
        host.write(host.kept)
        assert (changed, after) == (plain, before), name


def initialized() -> dict[str, bytes]:
    """Return the values of every initializer that computes parameters or values in Python."""
    for cached in (
        sources.normal,
        sources.truncated_normal,
        sources.uniform,
        variance_scaling._scaled,
    ):
        cached.cache_clear()
    truncation.free_parameters.cache_clear()
    initializers = {
        "he_normal": ift.HeNormal(seed=1),
        "he_uniform": ift.HeUniform(seed=1),
        "glorot_normal": ift.GlorotNormal(seed=1),
        "glorot_uniform": ift.GlorotUniform(seed=1),
        "lecun_uniform": ift.LecunUniform(seed=1),
        "untruncated": ift.VarianceScaling(0.7, "fan_avg", "untruncated_normal", seed=1),
        "normal": ift.RandomNormal(0.1, 0.3, seed=1),
        "uniform": ift.RandomUniform(-0.1, 0.3, seed=1),
        "truncated": ift.TruncatedNormal(0.1, 0.3, seed=1, lower=-1.3, upper=1.7),
        "far": ift.TruncatedNormal(0.1, 0.3, seed=1, lower=5.1, upper=7.3),
        "text": ift.get('{"class_name": "RandomNormal", "config": {"stddev": 0.3, "seed": 1}}'),
        "kaiming": ift.get("kaiming_normal(a=0.3)").with_seed(1),
        "trunc_normal": ift.get("trunc_normal(std=0.3, a=-0.7)").with_seed(1),
        "constant": ift.Constant(0.1),
        "constants": ift.Constant(TENTHS),
        "identity": ift.Identity(0.1),
        "own": DepthScaled(3, seed=1),
        "fixed rows": FixedRows(ift.Zeros(), [Rows(0, 7, 0.1)]),
    }
    shapes = [(name, initializers[name], (13, 11)) for name in initializers]
    shapes += [(f"stft {side}", ift.STFT(side), (13, 1, 11)) for side in ("real", "imag")]
    return {
        f"{name} {dtype}": initializer.block(shape, ..., dtype).tobytes()
        for name, initializer, shape in shapes
        for dtype in ("float64", "float32", "bfloat16")
    }


def test_parameters_stay() -> None:
    check_parameters(initialized)
