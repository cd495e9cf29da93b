"""Mean, standard deviation, minimum and maximum of more numbers than fit in memory, in float64.

src/moments.c computes the moments of values that a kernel draws; `measure` is for all others.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

# Three passes over a block's float64 copy (2 MiB) take 0.5 ns per float32 on Zen 4. Smaller blocks
# would stay in the second-level cache, but threads would then wait longer for Python's lock between
# the passes. The rows are short enough that no BLAS starts threads for their dot products (OpenBLAS
# does above 10,000 numbers).
_BLOCK = (32, 8192)
# If the squared mean exceeds this many variances, one of the values is subtracted from all first:
# else the variance, a difference of two large sums, keeps less than 10 of its 16 digits.
_FAR = 1e6
# A factor with which even 2**63 numbers have a finite sum. It changes no bit of large numbers.
_SMALLER = 2.0**-64


@dataclass(frozen=True, slots=True)
class Moments:
    """The count, mean, spread and extremes of a set of numbers, in float64.

    Args:
        count: the number of numbers.
        mean: their mean; NaN if count is 0.
        square: the sum of their squared distances from the mean; infinite if it exceeds float64.
        minimum, maximum: the smallest and the largest number; NaN if count is 0.
    """

    count: int = 0
    mean: float = math.nan
    square: float = 0.0
    minimum: float = math.nan
    maximum: float = math.nan

    @property
    def std(self) -> float:
        """Return the population standard deviation, as `numpy.std` does; NaN if count is 0."""
        return math.sqrt(self.square / self.count) if self.count else math.nan

    def merged(self, other: "Moments") -> "Moments":
        """Return the moments of the union of these numbers and the numbers of `other`.

        The formula is that of Chan, Golub and LeVeque (1979)."""
        if not self.count or not other.count:
            return self if self.count else other
        count = self.count + other.count
        step = other.mean - self.mean
        mean = self.mean + step * (other.count / count)
        if math.isinf(step):
            mean = self.mean * (self.count / count) + other.mean * (other.count / count)
        return Moments(
            count,
            mean,
            self.square + other.square + step * step * (self.count / count * other.count),
            min(self.minimum, other.minimum),
            max(self.maximum, other.maximum),
        )


def measure(values: np.ndarray[Any, Any]) -> Moments:
    """Return the moments of an array of numbers, computed in float64 in blocks."""
    if not values.size:
        return Moments()
    moments = _about(values, 0.0)
    if not math.isfinite(moments.mean):  # their sum is too large for a float
        return _about(values, 0.0, _SMALLER)
    if moments.mean * moments.mean > _FAR * moments.square / moments.count:
        moments = _about(values, float(values.flat[0]))
    return moments


def _about(values: np.ndarray[Any, Any], pivot: float, factor: float = 1.0) -> Moments:
    """Return the moments, from the sums of factor * (value - pivot) and of its square."""
    # A slice of `values.flat` is a copy, a view is faster.
    source = values.reshape(-1) if values.flags.c_contiguous else values.flat
    scratch = np.empty(_BLOCK)
    flat = scratch.reshape(-1)
    first = second = 0.0
    minimum, maximum = math.inf, -math.inf
    for start in range(0, values.size, flat.size):
        block = source[start : start + flat.size]
        copy = flat[: block.size]
        np.copyto(copy, block, casting="unsafe")
        # NumPy compares float32 twice as fast as float64, and narrower types slowly.
        compared = copy if block.itemsize < 4 else block
        minimum = min(minimum, float(compared.min()))
        maximum = max(maximum, float(compared.max()))
        if pivot:
            copy -= pivot
        if factor != 1.0:
            copy *= factor
        flat[block.size :] = 0.0
        with np.errstate(over="ignore", invalid="ignore"):  # squares of float64 may overflow
            first += float(np.einsum("ij->", scratch))
            second += float(np.matmul(scratch[:, None, :], scratch[:, :, None]).sum())
    step = first / values.size
    square = max(0.0, second - first * step) if math.isfinite(second) else math.inf
    return Moments(values.size, pivot + step / factor, square / factor / factor, minimum, maximum)
