"""The kernels' numbers are exact, and parameters that a dtype cannot represent raise ValueError."""

from fractions import Fraction

import numpy as np
import pytest

from initfast import _kernels
from initfast.core import distributions
from initfast.core.dtypes import BFLOAT16, FLOAT8_E4M3FN, FLOAT16, FLOAT32, FLOAT64, FLOATING, DType

UNIFORM, NORMAL, TRUNCATED = (
    distributions.uniform,
    distributions.normal,
    distributions.truncated_normal,
)


def test_uniform_numbers() -> None:
    scale, shift, low, high = UNIFORM(-0.05, 0.05, FLOAT32).numbers[0]
    assert Fraction(scale) == Fraction(
        float(np.float32(float((Fraction(0.05) - Fraction(-0.05)) / 2**24)))
    )
    assert shift == float(np.nextafter(np.float32(-0.05), np.float32(0)))
    # float32(-0.05) is below -0.05, so the first value is the next larger number. The last value is
    # found in the same way.
    assert low == float(np.nextafter(np.float32(-0.05), np.float32(0)))
    assert high == float(np.nextafter(np.float32(0.05), np.float32(0)))


@pytest.mark.parametrize("dtype", FLOATING, ids=lambda dtype: dtype.name)
def test_degenerate_parameters_are_constants(dtype: DType) -> None:
    nearest = float(np.float64(0.3).astype(dtype))
    for source in (UNIFORM(0.3, 0.3, dtype), TRUNCATED(0.3, 0.0, -2.0, 2.0, dtype)):
        assert source.numbers[0] == (0.0, nearest, nearest, nearest)


@pytest.mark.parametrize(
    ("bounds", "dtype", "kind"),
    [
        ((-2.0, 2.0), FLOAT32, _kernels.TRUNCATED_NORMAL),
        ((-2.0, 2.0), FLOAT64, _kernels.TRUNCATED_NORMAL),
        ((-6.77, 6.77), FLOAT32, _kernels.NORMAL_WITHIN),
        ((-6.77, 6.77), FLOAT64, _kernels.TRUNCATED_WIDE),
        ((-9.5, 9.5), FLOAT64, _kernels.NORMAL_WITHIN),
        ((-6.76, 7.0), FLOAT32, _kernels.TRUNCATED_WIDE),
        ((-2.0, 2.5), FLOAT32, _kernels.TRUNCATED_WIDE),
        ((0.0, 10.0), FLOAT32, _kernels.TRUNCATED_WIDE),
        ((0.0, 5.0), FLOAT32, _kernels.TRUNCATED_FREE),
        ((4.0, 9.0), FLOAT64, _kernels.TRUNCATED_FREE),
    ],
)
def test_which_way_truncation_goes(bounds: tuple[float, float], dtype: DType, kind: int) -> None:
    assert TRUNCATED(0.0, 1.0, *bounds, dtype).distribution == kind


def test_wide_bounds_may_lie_beyond_the_dtype() -> None:
    low, high = TRUNCATED(0.0, 0.02, -1e9, 1e9, FLOAT16).numbers[0][2:]
    assert (low, high) == (-65504.0, 65504.0)


REFUSED = [
    (
        lambda: UNIFORM(0.0, 1e39, FLOAT32),
        r"maxval must be finite in float32 \(at most 3\.40282e\+38\); received 1e\+39",
    ),
    (
        lambda: UNIFORM(-1e5, 1.0, FLOAT16),
        r"minval must be finite in float16 \(at most 65504\); received -100000",
    ),
    (
        lambda: UNIFORM(0.0, 1e-35, FLOAT32),
        r"maxval - minval must be 0 or at least 1\.97215e-31 for float32; received 0\.0 and 1e-35",
    ),
    (
        lambda: UNIFORM(1.001, 1.002, BFLOAT16),
        r"\[minval, maxval\) must contain a bfloat16 number; received minval=1\.001",
    ),
    (
        lambda: UNIFORM(500.0, 500.0, FLOAT8_E4M3FN),
        r"minval must be finite in float8_e4m3fn \(at most 448\); received 512",
    ),
    (
        lambda: NORMAL(0.0, 1e38, FLOAT32),
        r"mean - 6\.77 \* stddev and mean \+ 6\.77 \* stddev must be finite in float32",
    ),
    (
        lambda: NORMAL(0.0, 1e4, FLOAT16),
        r"mean \+ 6\.77 \* stddev must be finite in float16 \(at most 65504\); received -67700",
    ),
    (
        lambda: NORMAL(0.0, 1e-40, FLOAT32),
        r"stddev must be 0 or at least 1\.17549e-38 for float32; received 1e-40",
    ),
    (lambda: NORMAL(1e300, 1.0, FLOAT32), r"mean must be finite in float32"),
    (
        lambda: TRUNCATED(0.0, 4e4, -2.0, 2.0, FLOAT16),
        r"each bound must be finite in float16 \(at most 65504\); received -80000",
    ),
    (
        lambda: TRUNCATED(0.0, 1.0, 39.0, 50.0, FLOAT32),
        r"\[lower, upper\] must overlap \[-38, 38\] \(standard deviations\); received \[39\.0, 50\.0\]",
    ),
    (
        lambda: TRUNCATED(0.1, 1e-9, -2.0, 2.0, BFLOAT16),
        r"the bounds must contain a bfloat16 number; received mean=0\.1",
    ),
]


@pytest.mark.parametrize(("make", "message"), REFUSED)
def test_refused(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]


def test_constant_pattern() -> None:
    out = np.full(1000, 7, np.uint16)
    _kernels.fill_flat(distributions.constant(b"\x34\x12"), 0, 0, out.ctypes.data, 0, 999, 1)
    assert (out[:999] == 0x1234).all()
    assert out[999] == 7
