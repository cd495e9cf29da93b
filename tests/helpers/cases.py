"""The distributions of the kernel tests: one for each path through a kernel, in every dtype."""

from collections.abc import Callable

from initfast import _kernels
from initfast._kernels import Source
from initfast.core import distributions
from initfast.core.dtypes import FLOATING, DType

DISTRIBUTIONS: dict[str, Callable[[DType], Source]] = {
    "uniform(-0.05,0.05)": lambda dtype: distributions.uniform(-0.05, 0.05, dtype),
    "uniform(3,3.5)": lambda dtype: distributions.uniform(3.0, 3.5, dtype),
    "normal(0,1)": lambda dtype: distributions.normal(0.0, 1.0, dtype),
    "normal(0.5,0.02)": lambda dtype: distributions.normal(0.5, 0.02, dtype),
    "truncated_normal(0,0.05,-2,2)": lambda dtype: distributions.truncated_normal(
        0.0, 0.05, -2.0, 2.0, dtype
    ),
    "truncated_normal(1,2,-2,2)": lambda dtype: distributions.truncated_normal(
        1.0, 2.0, -2.0, 2.0, dtype
    ),
    "truncated_normal(0,1,-1,3)": lambda dtype: distributions.truncated_normal(
        0.0, 1.0, -1.0, 3.0, dtype
    ),
    "truncated_normal(0,0.02,-3,3)": lambda dtype: distributions.truncated_normal(
        0.0, 0.02, -3.0, 3.0, dtype
    ),
    "truncated_normal(0,1,1,3)": lambda dtype: distributions.truncated_normal(
        0.0, 1.0, 1.0, 3.0, dtype
    ),
    "truncated_normal(0,1,-40,-37)": lambda dtype: distributions.truncated_normal(
        0.0, 1.0, -40.0, -37.0, dtype
    ),
    "truncated_normal(0,1,8,9)": lambda dtype: distributions.truncated_normal(
        0.0, 1.0, 8.0, 9.0, dtype
    ),
    "truncated_normal(0,0.02,-100,100)": lambda dtype: distributions.truncated_normal(
        0.0, 0.02, -100.0, 100.0, dtype
    ),
}


def inverse_of(source: Source) -> Source:
    """Return the source that computes every element by the inverse, as for values outside wide
    bounds.
    """
    numbers, free = source.numbers
    return Source(
        _kernels.TRUNCATED_FREE, source.dtype, source.itemsize, *numbers, free[:8], pattern=0
    )


DRAWN = [
    (f"{name} {dtype.name}", make(dtype))
    for name, make in DISTRIBUTIONS.items()
    for dtype in FLOATING
]
SOURCES = [*DRAWN, ("bits uint32", distributions.bits())]
IDS = [name for name, _ in SOURCES]
# A sample: each distribution once, each dtype at least once.
SOME = [
    "uniform(-0.05,0.05) bfloat16",
    "uniform(3,3.5) float16",
    "normal(0,1) float32",
    "normal(0.5,0.02) float64",
    "truncated_normal(0,0.05,-2,2) float32",
    "truncated_normal(1,2,-2,2) float64",
    "truncated_normal(0,1,-1,3) float8_e4m3fn",
    "truncated_normal(0,0.02,-3,3) bfloat16",
    "truncated_normal(0,1,1,3) float64",
    "truncated_normal(0,1,-40,-37) bfloat16",
    "truncated_normal(0,1,8,9) float32",
    "truncated_normal(0,0.02,-100,100) float8_e5m2",
    "bits uint32",
]
