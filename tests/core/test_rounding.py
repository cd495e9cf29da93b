"""Exact rounding to each dtype, compared with rounding and neighbours in NumPy and ml_dtypes."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from initfast.core.dtypes import FLOATING, DType
from initfast.core.rounding import GRIDS

EVERY_DTYPE = pytest.mark.parametrize("dtype", FLOATING, ids=lambda dtype: dtype.name)
FINITE = st.floats(-400, 400) | st.floats(-1e-3, 1e-3)


def test_every_floating_dtype_has_a_grid() -> None:
    assert list(GRIDS) == [dtype.name for dtype in FLOATING]


@EVERY_DTYPE
@given(value=FINITE)
def test_nearest(dtype: DType, value: float) -> None:
    assert GRIDS[dtype.name].nearest(Fraction(value)) == Fraction(
        float(np.float64(value).astype(dtype))
    )


@EVERY_DTYPE
@given(value=FINITE)
def test_down_up_and_below_enclose(dtype: DType, value: float) -> None:
    grid, exact = GRIDS[dtype.name], Fraction(value)
    low, high, below = grid.down(exact), grid.up(exact), grid.below(exact)
    assert low <= exact <= high
    assert below < exact
    for number in (low, high, below):
        assert grid.nearest(number) == number
    # Nothing of the format lies strictly between.
    assert low == high == exact or grid.nearest((low + high) / 2) in (low, high)
    assert below == low or grid.up((below + low) / 2) == low


@pytest.mark.parametrize("name", ["float32", "float64", "float16"])
def test_below_is_the_neighbour(name: str) -> None:
    kind = np.dtype(name).type
    for value in (1.0, 2.0, 0.5, 1.5, -1.0, -2.0, 0.0, 65504.0, 2.0**-14, -(2.0**-14)):
        assert GRIDS[name].below(Fraction(value)) == Fraction(
            float(np.nextafter(kind(value), kind(-np.inf)))
        )


@EVERY_DTYPE
def test_largest_and_least_normal(dtype: DType) -> None:
    if dtype.name in ("float32", "float64", "float16"):
        info = np.finfo(dtype)
    else:
        ml_dtypes = pytest.importorskip("ml_dtypes")
        info = ml_dtypes.finfo(dtype)
    assert GRIDS[dtype.name].largest == Fraction(float(info.max))
    assert GRIDS[dtype.name].least_normal == Fraction(float(info.smallest_normal))
