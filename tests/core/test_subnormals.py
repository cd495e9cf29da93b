"""Subnormal numbers are kept and rounded as all others, on every backend.

Some instructions treat them as 0, for example the conversion to bfloat16. A kernel may use such an
instruction only if no result can be subnormal. The tests use widths and distances on both sides of
that limit."""

import numpy as np
import pytest
from words import EDGES, ONES, drawn, expected

import reference
from initfast import _kernels
from initfast.core import distributions
from initfast.core.buffers import empty
from initfast.core.dtypes import FLOATING, DType, resolve

SINGLE = [dtype for dtype in FLOATING if dtype.name in ("float32", "bfloat16")]
BFLOAT16 = resolve("bfloat16")
LEAST = 2.0**-126
SMALL = {
    "normal(0,2^-126)": lambda dtype: distributions.normal(0.0, LEAST, dtype),
    "normal(0,2^-110)": lambda dtype: distributions.normal(0.0, 2.0**-110, dtype),
    "normal(2^-128,2^-126)": lambda dtype: distributions.normal(2.0**-128, LEAST, dtype),
    "normal(-2^-127,1e-3)": lambda dtype: distributions.normal(-(2.0**-127), 1e-3, dtype),
    "truncated_normal(0,2^-126)": lambda dtype: distributions.truncated_normal(
        0.0, LEAST, -2.0, 2.0, dtype
    ),
    "truncated_normal(0,2^-126,-1,3)": lambda dtype: distributions.truncated_normal(
        0.0, LEAST, -1.0, 3.0, dtype
    ),
    "truncated_normal(0,2^-126,-9,9)": lambda dtype: distributions.truncated_normal(
        0.0, LEAST, -9.0, 9.0, dtype
    ),
    "uniform(0,2^-102)": lambda dtype: distributions.uniform(0.0, 2.0**-102, dtype),
    "uniform(-2^-103,2^-103+2^-126)": lambda dtype: distributions.uniform(
        -(2.0**-103), 2.0**-103 + LEAST, dtype
    ),
    "uniform(2^-130,2^-100)": lambda dtype: distributions.uniform(2.0**-130, 2.0**-100, dtype),
    "uniform(-2^-127,1)": lambda dtype: distributions.uniform(-(2.0**-127), 1.0, dtype),
    "uniform(-1,2^-127)": lambda dtype: distributions.uniform(-1.0, 2.0**-127, dtype),
}  # fmt: skip


def bits_of(values: np.ndarray) -> np.ndarray:
    """Return the magnitudes as integers."""
    return values.view(f"u{values.itemsize}") & np.array(
        2 ** (8 * values.itemsize - 1) - 1, f"u{values.itemsize}"
    )


@pytest.mark.parametrize("dtype", SINGLE, ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("make", SMALL.values(), ids=SMALL)
def test_values_are_those_of_the_reference(backend: str, make, dtype: DType) -> None:
    source, count = make(dtype), 5000
    values = empty((count,), dtype)
    _kernels.fill_flat(source, 42, 7, values.ctypes.data, 3, count, 1)
    assert values.tobytes() == reference.values(source, 42, 7, 3, count).tobytes()
    for words in (
        (0, 0, 0, 0),
        (ONES, ONES, ONES, ONES),
        (0, ONES, 2**31, 2**30),
        (2**23, 2**24, 2**31 - 1, 2**31),
    ):
        assert drawn(source, dtype, words).tobytes() == expected(source, words).tobytes(), words


def test_some_are_subnormal() -> None:
    """Assert that half of the values above are subnormal, and that none became 0."""
    source = distributions.normal(0.0, LEAST, BFLOAT16)
    values = bits_of(reference.values(source, 42, 7, 0, 5000))
    assert 0.5 < np.mean(values < 0x0080) < 0.9
    assert np.mean(values == 0) < 0.01


# Just above where a kernel may take subnormal numbers for impossible: widths of 2^-30, and
# distances of 2^-100 from 0.
@pytest.mark.parametrize(
    "mean", [0.0, 2.0**-100, -(2.0**-100), 2.0**-46, -(2.0**-31), 1.5 * 2.0**-61]
)
def test_none_is_at_the_least_width(mean: float) -> None:
    """Assert that no pair of edge words gives a number between 0 and 2^-126."""
    edges = [*EDGES, 2, 3, 0x3FFFFFFE, 0x40000001, 0x7FFFFFFE, 0x80000001, ONES - 1, ONES // 3]
    words = np.array([(a, b, b, a) for a in edges for b in edges], np.uint32)
    f32 = resolve("float32")
    for source in (
        distributions.normal(mean, 2.0**-30, f32),
        distributions.truncated_normal(mean, 2.0**-30, -2.0, 2.0, f32),
        distributions.uniform(mean, mean + 2.0**-30, f32),
        distributions.uniform(-(2.0**-31), 2.0**-31, f32),
    ):
        values = reference._float32(source, words).ravel()
        assert not ((values != 0) & (np.abs(values) < LEAST)).any()
