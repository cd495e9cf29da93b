"""The parameters of free truncation bounds, and values with these bounds, compared with mpmath."""

import mpmath as mp
import numpy as np
import pytest
from cases import inverse_of
from tiers import sample

import reference
from initfast.core import distributions
from initfast.core.dtypes import FLOAT32, FLOAT64, DType
from initfast.core.truncation import free_parameters

BOUNDS = [
    (-1.0, 3.0), (0.0, 1.0), (-3.0, 3.0), (0.5, 0.50001), (8.0, 9.0), (-40.0, -38.0), (-1e-3, 2e-3),
    (3.9, 20.0), (4.0, 4.5), (-6.0, 6.0), (5.0, 30.0), (37.9, 38.5), (-1.0, -0.5), (1.0, 2.0),
    (-9.0, 0.1),
]  # fmt: skip


def upper_tail(x: mp.mpf) -> mp.mpf:
    return mp.erfc(x / mp.sqrt(2)) / 2


def mass(a: mp.mpf, b: mp.mpf) -> mp.mpf:
    return upper_tail(a) - upper_tail(b) if a > 0 else upper_tail(-b) - upper_tail(-a)


def quantile(p: mp.mpf, q: mp.mpf) -> mp.mpf:
    """Return x with probability p below it and q above it.

    It is found with Newton's method for the logarithm of the smaller one."""
    tail = min(p, q)
    x = mp.sqrt(2) * mp.erfinv(1 - 2 * tail) if tail > 0.01 else mp.sqrt(-2 * mp.log(tail))
    for _ in range(60):
        step = (
            mp.log(upper_tail(x) / tail) * upper_tail(x) / (mp.exp(-x * x / 2) / mp.sqrt(2 * mp.pi))
        )
        x += step
        if abs(step) < mp.mpf(10) ** -40:
            break
    return x if q < p else -x


@pytest.mark.parametrize("bounds", BOUNDS)
def test_parameters(bounds: tuple[float, float]) -> None:
    with mp.workdps(60):
        a, b = map(mp.mpf, bounds)
        below, above, high, low, centre, centre_low, log_scale, far = free_parameters(*bounds)
        assert bool(far) == (a >= 4 or b <= -4)
        scale = mp.exp(mp.mpf(log_scale) / 2)
        tolerance = 1e-13 if far else mp.mpf(10) ** -30
        assert abs((mp.mpf(high) + mp.mpf(low)) / (mass(a, b) * scale) - 1) < tolerance
        if not far:
            assert below == float(upper_tail(-a))
            assert above == float(upper_tail(b))
            assert (
                abs(mp.mpf(centre) + mp.mpf(centre_low) - (upper_tail(-a) - mp.mpf(1) / 2))
                < mp.mpf(10) ** -31
            )


@pytest.mark.parametrize("dtype", [FLOAT32, FLOAT64], ids=lambda dtype: dtype.name)
@pytest.mark.parametrize(
    "bounds", sample(BOUNDS, "(-1.0, 3.0)", "(8.0, 9.0)", "(-40.0, -38.0)", ids=map(str, BOUNDS))
)
def test_values_within_four_ulp(bounds: tuple[float, float], dtype: DType) -> None:
    count = 60
    words = reference.blocks(np.arange(count, dtype=np.uint64), 5, 0)
    source = inverse_of(distributions.truncated_normal(0.0, 1.0, *bounds, dtype))
    values = reference.values(source, 5, 0, 0, count)
    with mp.workdps(60):
        a, b = map(mp.mpf, bounds)
        whole = mass(a, b)
        for i, value in enumerate(values):
            if dtype is FLOAT64:
                u = (mp.mpf(int(words.view(np.uint64).ravel()[i]) >> 12) + mp.mpf(1) / 2) / 2**52
            else:
                u = (mp.mpf(int(words.ravel()[i])) + mp.mpf(1) / 2) / 2**32
            exact = quantile(upper_tail(-a) + u * whole, upper_tail(b) + (1 - u) * whole)
            ulp = mp.mpf(float(np.spacing(np.abs(dtype.type(float(exact))))))
            assert abs(mp.mpf(float(value)) - exact) <= 4 * ulp, f"element {i}: {value} for {exact}"


@pytest.mark.parametrize("width", [1e-30, 1e-60, 1e-80, 1e-200, 1e-300])
def test_narrow_bounds(width: float) -> None:
    """Test bounds near 0, where the density is flat and the values are uniform."""
    source = distributions.truncated_normal(0.0, 1.0, -width, 2 * width, FLOAT64)
    values = np.sort(reference.values(source, 1, 2, 0, 1000)) / width
    assert len(np.unique(values)) == 1000
    assert np.abs(values - np.linspace(-1, 2, 1000)).max() < 0.2
    with mp.workdps(400):
        low, high = mp.mpf(-width), mp.mpf(2 * width)
        flat = (high - low) / mp.sqrt(2 * mp.pi) * (1 - (high**2 + high * low + low**2) / 6)
        assert free_parameters(-width, 2 * width)[2] == pytest.approx(float(flat), rel=1e-15)
