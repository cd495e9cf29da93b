"""Convert a distribution and its parameters to a `Source`: the numbers that the kernels use.

Every parameter is computed exactly and rounded once, by the table in src/README.md ("Parameters").
Parameters that a dtype cannot represent (no finite value, or no value within the bounds) raise
ValueError here, before anything is written."""

from __future__ import annotations

from decimal import Decimal, localcontext
from fractions import Fraction

from initfast import _kernels
from initfast._kernels import Source
from initfast.core.dtypes import CODES, UINT32, DType
from initfast.core.rounding import GRIDS, Grid, in_fixed_environment
from initfast.core.truncation import FARTHEST, free_parameters, keeps_half

# sqrt(-2 ln u) at the smallest u, rounded up: no normal is further from the mean, in standard
# deviations.
REACH_FLOAT32 = 6.77
REACH_FLOAT64 = 9.5


@in_fixed_environment
def uniform(minval: float, maxval: float, dtype: DType) -> Source:
    """Return the source of uniform values on [minval, maxval), or of minval if both are equal.

    Raises:
        ValueError: if the dtype has no value in the interval, or cannot represent its ends or its
            width.
    """
    target, compute = _grids(dtype)
    low, high = Fraction(minval), Fraction(maxval)
    if low == high:
        nearest = _within_range("minval", target.nearest(low), target, dtype)
        return _source(_kernels.UNIFORM, dtype, Fraction(0), nearest, nearest, nearest)
    bits = 53 if dtype.name == "float64" else 24
    scale = compute.nearest((high - low) / 2**bits)
    if scale < compute.least_normal:
        least = float(compute.least_normal * 2**bits)
        raise ValueError(
            f"maxval - minval must be 0 or at least {least:.6g} for {dtype.name}; received "
            f"{minval} and {maxval}"
        )
    first, last = target.up(low), target.below(high)
    if first > last:
        raise ValueError(
            f"[minval, maxval) must contain a {dtype.name} number; received minval={minval}, "
            f"maxval={maxval}"
        )
    _within_range("minval", low, target, dtype)
    _within_range("maxval", last, target, dtype)
    return _source(_kernels.UNIFORM, dtype, scale, compute.up(low), first, last)


@in_fixed_environment
def normal(mean: float, stddev: float, dtype: DType) -> Source:
    """Return the source of normal values, or of the mean if stddev is 0.

    Raises:
        ValueError: if a value up to 6.77 (float64: 9.5) standard deviations from the mean is too
            large for the dtype, or stddev too small for the arithmetic.
    """
    target, compute = _grids(dtype)
    scale, shift = _scale_and_shift(mean, stddev, compute, dtype)
    _check_reach(mean, stddev, target, dtype)
    return _source(_kernels.NORMAL, dtype, scale, shift, Fraction(0), Fraction(0))


@in_fixed_environment
def truncated_normal(
    mean: float, stddev: float, lower: float, upper: float, dtype: DType
) -> Source:
    """Return the source of normal values within [mean + lower * stddev, mean + upper * stddev].

    Raises:
        ValueError: if the dtype has no value within the bounds or cannot represent them, or if the
            bounds are more than 38 standard deviations from the mean.
    """
    target, compute = _grids(dtype)
    scale, shift = _scale_and_shift(mean, stddev, compute, dtype)
    if not scale:
        nearest = _within_range("mean", target.nearest(Fraction(mean)), target, dtype)
        return _source(_kernels.UNIFORM, dtype, Fraction(0), nearest, nearest, nearest)
    reach = _reach(dtype)
    if lower > FARTHEST or upper < -FARTHEST:
        raise ValueError(
            f"[lower, upper] must overlap [-{FARTHEST:g}, {FARTHEST:g}] (standard deviations); "
            f"received [{lower}, {upper}]"
        )
    first = target.up(Fraction(mean) + Fraction(lower) * Fraction(stddev))
    last = target.down(Fraction(mean) + Fraction(upper) * Fraction(stddev))
    if first > last:
        raise ValueError(
            f"the bounds must contain a {dtype.name} number; "
            f"received mean={mean}, stddev={stddev}, lower={lower}, upper={upper}"
        )
    if lower <= -reach and upper >= reach:
        # Only the values must be finite, not the bounds.
        _check_reach(mean, stddev, target, dtype)
        first, last = max(first, -target.largest), min(last, target.largest)
        return _source(_kernels.NORMAL_WITHIN, dtype, scale, shift, first, last)
    for end in (first, last):
        _within_range("each bound", end, target, dtype)
    if (lower, upper) == (-2.0, 2.0):
        return _source(_kernels.TRUNCATED_NORMAL, dtype, scale, shift, first, last)
    free = free_parameters(lower, upper)
    if not keeps_half(free):
        return _source(_kernels.TRUNCATED_FREE, dtype, scale, shift, first, last, free)
    # The kernel compares each normal with the bounds in its arithmetic, before the last rounding.
    least = compute.up(Fraction(mean) + Fraction(lower) * Fraction(stddev))
    most = compute.down(Fraction(mean) + Fraction(upper) * Fraction(stddev))
    within = (*free, float(least), float(most))
    return _source(_kernels.TRUNCATED_WIDE, dtype, scale, shift, first, last, within)


def bits() -> Source:
    """Return the source of the generator's 32-bit words."""
    return Source(_kernels.BITS, CODES[UINT32], UINT32.itemsize, 0.0, 0.0, 0.0, 0.0, (), 0)


def constant(pattern: bytes) -> Source:
    """Return the source that writes the same 1, 2, 4 or 8 bytes to every element."""
    return Source(
        _kernels.CONSTANT,
        0,
        len(pattern),
        0.0,
        0.0,
        0.0,
        0.0,
        (),
        int.from_bytes(pattern, "little"),
    )


def _grids(dtype: DType) -> tuple[Grid, Grid]:
    """Return the grid of the dtype, and the grid of the arithmetic that computes its values."""
    return GRIDS[dtype.name], GRIDS["float64" if dtype.name == "float64" else "float32"]


def _reach(dtype: DType) -> float:
    return REACH_FLOAT64 if dtype.name == "float64" else REACH_FLOAT32


def _scale_and_shift(
    mean: float, stddev: float, compute: Grid, dtype: DType
) -> tuple[Fraction, Fraction]:
    scale = compute.nearest(Fraction(stddev))
    if stddev and scale < compute.least_normal:
        raise ValueError(
            f"stddev must be 0 or at least {float(compute.least_normal):.6g} for {dtype.name}; "
            f"received {stddev}"
        )
    _within_range("stddev", scale, compute, dtype)
    return scale, _within_range("mean", compute.nearest(Fraction(mean)), compute, dtype)


def _check_reach(mean: float, stddev: float, grid: Grid, dtype: DType) -> None:
    reach = Fraction(_reach(dtype)) * Fraction(stddev)
    for end in (Fraction(mean) - reach, Fraction(mean) + reach):
        _within_range(
            f"mean - {_reach(dtype)} * stddev and mean + {_reach(dtype)} * stddev",
            end,
            grid,
            dtype,
        )


def _within_range(name: str, value: Fraction, grid: Grid, dtype: DType) -> Fraction:
    if abs(value) > grid.largest:
        raise ValueError(
            f"{name} must be finite in {dtype.name} (at most {float(grid.largest):.6g}); received "
            f"{_format(value)}"
        )
    return value


def _format(value: Fraction) -> str:
    """Return a number as text with 6 digits; it may be larger than any float."""
    try:
        return f"{float(value):.6g}"
    except OverflowError:
        with localcontext(prec=12):
            return f"{Decimal(value.numerator) / value.denominator:.6g}"


def _source(
    kind: int,
    dtype: DType,
    scale: Fraction,
    shift: Fraction,
    low: Fraction,
    high: Fraction,
    free: tuple[float, ...] = (),
) -> Source:
    return Source(
        kind,
        CODES[dtype],
        dtype.itemsize,
        float(scale),
        float(shift),
        float(low),
        float(high),
        free,
        0,
    )
