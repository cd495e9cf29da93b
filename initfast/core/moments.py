"""Mean, standard deviation, minimum and maximum of more numbers than fit in memory, in float64.

Values that a kernel draws are measured in its pass, by src/moments.c; `measure` is for all others.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

# A block's float64 copy, 2 MiB, is passed over three times: 0.5 ns a float32 in all on Zen 4.
# Smaller blocks would stay in the second-level cache, but threads would then spend longer in
# handing Python's lock around between the passes. Its rows are short enough that no BLAS starts
# threads for their dot products (OpenBLAS does above 10,000).
_BLOCK = (32, 8192)
# Where the squared mean exceeds this many variances, a value is taken off first: else the variance,
# the difference of two large sums, keeps less than 10 of its 16 digits.
_FAR = 1e6
# A factor with which even 2**63 numbers have a finite sum; it changes no bit of large ones.
_SMALLER = 2.0**-64


@dataclass(frozen=True, slots=True)
class Moments:
    """The moments of numbers, in float64.

    Args:
        count: how many numbers.
        mean: their mean; NaN if there are none.
        square: the sum of their squared distances from the mean, infinite beyond float64.
        minimum, maximum: the least and the largest number; NaN if there are none.
    """

    count: int = 0
    mean: float = math.nan
    square: float = 0.0
    minimum: float = math.nan
    maximum: float = math.nan

    @property
    def std(self) -> float:
        """Return the standard deviation of the population, as `numpy.std` gives it; NaN of no
        numbers.
        """
        return math.sqrt(self.square / self.count) if self.count else math.nan

    def merged(self, other: "Moments") -> "Moments":
        """Return the moments of these numbers and those of `other` together.

        By Chan, Golub and LeVeque (1979)."""
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
    found = _about(values, 0.0)
    if not math.isfinite(found.mean):  # their sum is too large for a float
        return _about(values, 0.0, _SMALLER)
    if found.mean * found.mean > _FAR * found.square / found.count:
        found = _about(values, float(values.flat[0]))
    return found


def _about(values: np.ndarray[Any, Any], pivot: float, factor: float = 1.0) -> Moments:
    """Return the moments from sums of the distances from `pivot`, times `factor`, and of their
    squares.
    """
    # A slice of `flat` is a copy: a view is faster, where there is one.
    source = values.reshape(-1) if values.flags.c_contiguous else values.flat
    scratch = np.empty(_BLOCK)
    flat = scratch.reshape(-1)
    first = second = 0.0
    minimum, maximum = math.inf, -math.inf
    for start in range(0, values.size, flat.size):
        block = source[start : start + flat.size]
        copy = flat[: block.size]
        np.copyto(copy, block, casting="unsafe")
        found = (
            copy if block.itemsize < 4 else block
        )  # NumPy compares float32 twice as fast, and narrower types slowly
        minimum, maximum = min(minimum, float(found.min())), max(maximum, float(found.max()))
        if pivot:
            copy -= pivot
        if factor != 1.0:
            copy *= factor
        flat[block.size :] = 0.0
        with np.errstate(
            over="ignore", invalid="ignore"
        ):  # squares of float64 values may be infinite, and are then
            first += float(np.einsum("ij->", scratch))
            second += float(np.matmul(scratch[:, None, :], scratch[:, :, None]).sum())
    step = first / values.size
    square = max(0.0, second - first * step) if math.isfinite(second) else math.inf
    return Moments(values.size, pivot + step / factor, square / factor / factor, minimum, maximum)
