"""Stream version 1 in plain NumPy: an implementation of src/README.md that is easy to read.

Tests compare every backend with it; the package does not import it. Its input is a `Source`, whose
numbers come from initfast/core/distributions.py. `fma` here rounds correctly, so the results have
the same bits as those of the kernels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

import coefficients as tables
from initfast import _kernels
from initfast._kernels import Source
from initfast.core.dtypes import CODES

Array = npt.NDArray[Any]
U32, U64 = np.uint32, np.uint64


def blocks(numbers: Array, seed: int, stream: int, rounds: int = 10) -> Array:
    """Return the four 32-bit words of each block number: uint32 of shape (len(numbers), 4).

    The generator is Philox4x32 (Salmon et al., SC 2011)."""
    low = np.uint64(0xFFFFFFFF)
    counter = [numbers & low, numbers >> U64(32)] + [
        np.full_like(numbers, part) for part in (stream & 0xFFFFFFFF, stream >> 32)
    ]
    key = [seed & 0xFFFFFFFF, seed >> 32]
    for _ in range(rounds):
        product0, product1 = counter[0] * U64(0xD2511F53), counter[2] * U64(0xCD9E8D57)
        counter = [
            product1 >> U64(32) ^ counter[1] ^ U64(key[0]),
            product1 & low,
            product0 >> U64(32) ^ counter[3] ^ U64(key[1]),
            product0 & low,
        ]
        key = [(key[0] + 0x9E3779B9) & 0xFFFFFFFF, (key[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return np.stack(counter, axis=1).astype(U32)


def values(source: Source, seed: int, stream: int, start: int, count: int) -> Array:
    """Return elements start, start + 1, ... of the array that the source describes, in its dtype.

    Bits are uint32 words."""
    return _rounded(unrounded(source, seed, stream, start, count), source)


def unrounded(source: Source, seed: int, stream: int, start: int, count: int) -> Array:
    """Return the elements before they are kept within the bounds and rounded to the dtype."""
    per_block = 2 if source.dtype == 1 else 4
    first = start // per_block
    last = (start + count - 1) // per_block if count else first - 1
    numbers = np.arange(first, last + 1, dtype=U64) if count else np.zeros(0, U64)
    words = blocks(numbers, seed, stream, 7 if source.distribution == _kernels.BITS_7 else 10)
    wide = source.distribution == _kernels.TRUNCATED_WIDE
    second = blocks(numbers + U64(1 << 63), seed, stream) if wide else None
    return of_words(source, words, second)[start - first * per_block :][:count]


def of_words(source: Source, words: Array, second: Array | None = None) -> Array:
    """Return the unrounded elements of the (n, 4) words of n blocks.

    `second` holds the words of the second blocks, for bounds that keep at least half of the mass.
    """
    if source.distribution in (_kernels.BITS, _kernels.BITS_7):
        return words.ravel()
    if source.distribution == _kernels.TRUNCATED_FREE:
        return _inverse(source, words)
    elements = _float64(source, words.view(U64)) if source.dtype == 1 else _float32(source, words)
    elements = elements.ravel()
    if second is None:
        return elements
    least, most = (elements.dtype.type(bound) for bound in source.numbers[1][8:])
    outside = (elements < least) | (elements > most)
    return np.where(outside, _inverse(source, second), elements)


def _inverse(source: Source, words: Array) -> Array:
    """Return the inverse distribution function at each word, not yet kept within the bounds."""
    scale, shift = source.numbers[0][:2]
    if source.dtype == 1:
        u = ((words.view(U64).ravel() >> U64(12)).astype(np.float64) + 0.5) * 2.0**-52
        return fma(_free(u, source.numbers[1]), scale, shift)
    u = (words.ravel().astype(np.float64) + 0.5) * 2.0**-32
    return fma(_free(u, source.numbers[1]), scale, shift).astype(np.float32)


def _rounded(elements: Array, source: Source) -> Array:
    """Return the elements kept within the bounds and rounded to the dtype.

    The order of these two steps does not matter, because the bounds are numbers of the dtype."""
    if source.distribution in (_kernels.BITS, _kernels.BITS_7):
        return elements
    if source.distribution != _kernels.NORMAL:
        low, high = (elements.dtype.type(bound) for bound in source.numbers[0][2:])
        elements = np.where(elements < high, elements, high)
        elements = np.where(elements > low, elements, low)
    return elements.astype(next(dtype for dtype, code in CODES.items() if code == source.dtype))


def _float32(source: Source, words: Array) -> Array:
    """Return the elements of the (n, 4) words of n blocks, in float32."""
    scale, shift = source.numbers[0][:2]
    narrow = np.float32
    if source.distribution == _kernels.UNIFORM:
        return fma((words >> U32(8)).astype(narrow), narrow(scale), narrow(shift))
    if source.distribution == _kernels.TRUNCATED_NORMAL:
        t = fma((words >> U32(8)).astype(narrow), narrow(2.0**-23), narrow(-1 + 2.0**-24))
        return fma(
            _truncated(t, tables.TRUNCATED_NUMERATOR_F32, tables.TRUNCATED_DENOMINATOR_F32),
            narrow(scale),
            narrow(shift),
        )
    radius_words, angle_words = words[:, 0::2], words[:, 1::2]
    y = fma(radius_words.view(np.int32).astype(narrow), narrow(2.0**-31), narrow(2.0**-32))
    radius = _radius(y, narrow(-1.3862944), tables.LOG_F32)
    x = fma(
        (angle_words << U32(2)).view(np.int32).astype(narrow), narrow(2.0**-32), narrow(2.0**-31)
    )
    cosine, sine = _turn(x, narrow(np.pi / 2), tables.COS_F32, tables.SIN_F32)
    return _box_muller(
        radius * narrow(scale), cosine, sine, angle_words >> U32(30), narrow(shift)
    ).reshape(-1, 4)


def _float64(source: Source, words: Array) -> Array:
    """Return the elements of the (n, 2) 64-bit words of n blocks, in float64."""
    scale, shift = source.numbers[0][:2]
    if source.distribution == _kernels.UNIFORM:
        return fma((words >> U64(11)).astype(np.float64), scale, shift)
    if source.distribution == _kernels.TRUNCATED_NORMAL:
        t = fma((words >> U64(11)).astype(np.float64), 2.0**-52, -1 + 2.0**-53)
        return fma(
            _truncated(t, tables.TRUNCATED_NUMERATOR_F64, tables.TRUNCATED_DENOMINATOR_F64),
            scale,
            shift,
        )
    radius_words, angle_words = words[:, 0:1], words[:, 1:2]
    y = fma(radius_words.view(np.int64).astype(np.float64), 2.0**-63, 2.0**-64)
    radius = _radius(y, np.float64.fromhex("-0x1.62e42fefa39efp0"), tables.LOG_F64)
    x = fma((angle_words << U64(2)).view(np.int64).astype(np.float64), 2.0**-64, 2.0**-63)
    cosine, sine = _turn(x, np.float64(np.pi / 2), tables.COS_F64, tables.SIN_F64)
    return _box_muller(
        radius * scale, cosine, sine, angle_words >> U64(62), np.float64(shift)
    ).reshape(-1, 2)


def _radius(y: Array, minus_two_ln_2: Any, log: Sequence[float]) -> Array:
    """Return sqrt(-2 ln u), where y is 2 u if u < 1/2, else 2 (u - 1)."""
    half, exponent = np.frexp(y)
    g = np.where(y < 0, y, 2 * half - y.dtype.type(2))
    return np.sqrt(
        _minus_two_log(np.where(y < 0, 0, exponent - 1).astype(y.dtype), g, minus_two_ln_2, log)
    )


def _minus_two_log(exponent: Array, g: Array, minus_two_ln_2: Any, log: Sequence[float]) -> Array:
    """Return -2 ln(2^exponent (1 + g / 2))."""
    return fma(exponent, minus_two_ln_2, g * polynomial(g, log))


def _turn(
    x: Array, half_pi: Any, cos: Sequence[float], sin: Sequence[float]
) -> tuple[Array, Array]:
    """Return the cosine and sine of x quarter turns."""
    z = x * x
    return fma(z, polynomial(z, cos), x.dtype.type(1)), fma(x, half_pi, x * polynomial(z, sin))


def _box_muller(radius: Array, cosine: Array, sine: Array, top_bits: Array, shift: Any) -> Array:
    """Return pairs of normals along the last axis (Box and Muller, 1958).

    The upper of the two top bits is a half turn, the lower a reflection at the diagonal."""
    radius = np.where(top_bits & top_bits.dtype.type(2), -radius, radius)
    reflected = (top_bits & top_bits.dtype.type(1)).astype(bool)
    first, second = np.where(reflected, sine, cosine), np.where(reflected, cosine, sine)
    return np.stack([fma(radius, first, shift), fma(radius, second, shift)], axis=-1)


def _truncated(t: Array, numerator: Sequence[float], denominator: Sequence[float]) -> Array:
    """Return the standard normal within [-2, 2] of the centred uniform t in (-1, 1)."""
    v = fma(t, t, t.dtype.type(-1))
    return fma(t, polynomial(v, numerator) / polynomial(v, denominator), t)


def _free(u: Array, parameters: tuple[float, ...]) -> Array:
    """Return the standard normal within the bounds of `parameters` of u in (0, 1).

    initfast/core/truncation.py computes the parameters; src/truncated.h explains the formula."""
    below, above, mass, mass_low, centre, centre_low, log_scale, far = (
        np.float64(number) for number in parameters[:8]
    )
    product = u * mass
    product_low = fma(u, mass, -product)
    total = centre + product
    difference = total - centre
    total_low = (centre - (total - difference)) + (product - difference)
    c = total + (total_low + (product_low + fma(u, mass_low, centre_low)))

    v = fma(-c, c, float.fromhex("0x1.71eb851eb851fp-3"))
    central = c * (
        polynomial(v, tables.CENTRAL_NUMERATOR_F64) / polynomial(v, tables.CENTRAL_DENOMINATOR_F64)
    )

    tail = np.where(np.signbit(c), fma(u, mass, below), fma(1 - u, mass, above))
    half, exponent = np.frexp(tail)
    minus_two_ln_2 = np.float64.fromhex("-0x1.62e42fefa39efp0")
    r = np.sqrt(
        _minus_two_log(exponent.astype(np.float64), 2 * half - 2, minus_two_ln_2, tables.LOG_F64)
        + log_scale
    )
    if far:
        outer = polynomial(r, tables.FAR_TAIL_NUMERATOR_F64) / polynomial(
            r, tables.FAR_TAIL_DENOMINATOR_F64
        )
    else:
        r = r - 2.25
        outer = polynomial(r, tables.NEAR_TAIL_NUMERATOR_F64) / polynomial(
            r, tables.NEAR_TAIL_DENOMINATOR_F64
        )
    x: Array = np.where(np.signbit(v), np.copysign(outer, c), central)
    return x


def polynomial(x: Array, table: Sequence[float]) -> Array:
    """Return the polynomial's values by Horner's scheme, with one rounding per step."""
    y: Array = np.full_like(x, table[-1])
    for coefficient in table[-2::-1]:
        y = fma(y, x, x.dtype.type(coefficient))
    return y


def fma(a: Any, b: Any, c: Any) -> Array:
    """Return a * b + c rounded once, for float32, or float64 without overflow or underflow.

    The method is from Boldo and Melquiond, "Emulation of FMA and correctly rounded sums: proved
    algorithms using rounding to odd" (2008)."""
    a, b, c = np.broadcast_arrays(a, b, c)
    if a.dtype == np.float32:
        # The product is exact in float64. Its sum with c, rounded to odd in float64, rounds to
        # float32 as the exact sum does.
        return _sum_to_odd(
            a.astype(np.float64) * b.astype(np.float64), c.astype(np.float64)
        ).astype(np.float32)
    high = a * b
    low = _product_error(a, b, high)
    c_high, c_low = _two_sum(c, low)
    total, total_low = _two_sum(high, c_high)
    return total + _sum_to_odd(c_low, total_low)


def _two_sum(a: Array, b: Array) -> tuple[Array, Array]:
    """Return a + b rounded, and the error of that rounding (Knuth)."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def _product_error(a: Array, b: Array, product: Array) -> Array:
    """Return a * b - product exactly, where product is a * b rounded (Dekker, 1971)."""

    def halves(x: Array) -> tuple[Array, Array]:
        wide = x * np.float64(2**27 + 1)
        high = wide - (wide - x)
        return high, x - high

    (a_high, a_low), (b_high, b_low) = halves(a), halves(b)
    error: Array = a_low * b_low - (((product - a_high * b_high) - a_low * b_high) - a_high * b_low)
    return error


def _sum_to_odd(a: Array, b: Array) -> Array:
    """Return a + b in float64, rounded to odd: if not exact, the neighbour whose last bit is 1."""
    total, error = _two_sum(a, b)
    even = (total.view(U64) & U64(1)) == 0
    return np.where(
        (error != 0) & even, np.nextafter(total, np.where(error > 0, np.inf, -np.inf)), total
    )
