"""Compute exact values with mpmath from the specification in src/README.md, and check
accuracy_reference.h with them.
"""

from __future__ import annotations

import ctypes
from fractions import Fraction
from typing import Any

import mpmath as mp
import numpy as np
from accuracy import BOUNDS, F64, free_source, values
from rows import Row


def mp_radius(word: int, bits: int) -> Any:
    """Return the exact radius of a normal for a word."""
    return mp.sqrt(-2 * mp.log((mp.mpf(word) + 0.5) / mp.mpf(2) ** bits))


def mp_turn(word: int, bits: int) -> tuple[Any, Any]:
    """Return the factors of the radius in elements 2j and 2j + 1, as in src/README.md."""
    rest = (word << 2) % 2**bits
    signed = rest - 2**bits if rest >> (bits - 1) else rest
    angle = (mp.mpf(signed) + 2) / mp.mpf(2) ** bits * mp.pi / 2
    pair = (
        (mp.cos(angle), mp.sin(angle))
        if not word >> (bits - 2) & 1
        else (mp.sin(angle), mp.cos(angle))
    )
    return (-pair[0], -pair[1]) if word >> (bits - 1) else pair


def mp_truncated(t: Fraction) -> Any:
    """Return the exact truncated normal on [-2, 2] for t in (-1, 1)."""
    goal = mp.mpf(t.numerator) / t.denominator * mp.erf(mp.sqrt(2))
    return mp.sqrt(2) * mp.erfinv(goal)


def mp_free(lower: float, upper: float, u: Fraction, start: float) -> Any:
    """Return the exact quantile for free bounds, by Newton on the smaller tail in 60 digits."""
    exact = mp.mpf(u.numerator) / u.denominator
    half = mp.sqrt(mp.mpf(1) / 2)

    def tail(x: Any) -> Any:
        if abs(x) > 1e3:  # the same in 60 digits, and too large for mpmath
            return mp.mpf(x < 0)
        return mp.erfc(x * half) / 2

    below = tail(-mp.mpf(lower)) * (1 - exact) + tail(-mp.mpf(upper)) * exact
    above = tail(mp.mpf(lower)) * (1 - exact) + tail(mp.mpf(upper)) * exact
    x = mp.mpf(start)
    for _ in range(8):
        density = mp.exp(-x * x / 2) / mp.sqrt(2 * mp.pi)
        step = (tail(-x) - below) / density if below < above else (above - tail(x)) / density
        x -= step
        if abs(step) <= mp.mpf(10) ** -45 * abs(x):
            return x
    raise ArithmeticError(f"no convergence within [{lower}, {upper}] at {u}")


def edge_words(bits: int) -> list[int]:
    """Return the words around 0, every power of two, every quarter turn and all ones."""
    places = {0, 2**bits} | {1 << k for k in range(bits)} | {k << (bits - 3) for k in range(8)}
    places |= {2**bits - (1 << k) for k in range(bits)} | {
        (1 << (bits - 1)) + s * (1 << k) for k in range(bits) for s in (1, -1)
    }
    return sorted({(place + d) % 2**bits for place in places for d in range(-3, 4)})


def references(library: ctypes.CDLL, quick: bool) -> list[Row]:
    """Return the rows of the errors of accuracy_reference.h."""
    mp.mp.dps = 60
    rng = np.random.default_rng(1)
    n = 100 if quick else 2000
    out = np.zeros(4)
    worst_32 = worst_truncated = worst_64 = worst_truncated_64 = worst_free = mp.mpf(0)
    for word in [*edge_words(32), *map(int, rng.integers(0, 2**32, n))]:
        library.check_32(word, out.ctypes)
        for value, exact in zip(out[:3], (mp_radius(word, 32), *mp_turn(word, 32)), strict=True):
            worst_32 = max(worst_32, abs((mp.mpf(float(value)) - exact) / exact) * 2**24)
    words_64 = [*edge_words(64), *map(int, rng.integers(0, 2**64, n, np.uint64))]
    for radius_word, angle_word in zip(words_64, reversed(words_64), strict=True):
        library.check_normal_64(radius_word, angle_word, out.ctypes)
        for k, turn in enumerate(mp_turn(angle_word, 64)):
            exact = mp_radius(radius_word, 64) * turn
            value = mp.mpf(float(out[2 * k])) + mp.mpf(float(out[2 * k + 1]))
            worst_64 = max(worst_64, abs((value - exact) / exact) * 2**53)
    for bits, words in (
        (24, [w >> 8 for w in edge_words(32)][:: 4 if quick else 1]),
        (53, [w >> 11 for w in edge_words(64)][:: 8 if quick else 2]),
    ):
        for k in sorted(set(words)):
            t = Fraction(2 * k + 1, 2**bits) - 1
            exact = mp_truncated(t)
            start = float(np.float32(float(exact))) if bits == 24 else float(exact)
            library.check_truncated(float(t), start, out.ctypes)
            error = abs((mp.mpf(float(out[0])) + mp.mpf(float(out[1])) - exact) / exact)
            worst_truncated = max(worst_truncated, error * 2**24) if bits == 24 else worst_truncated
            worst_truncated_64 = (
                max(worst_truncated_64, error * 2**53) if bits == 53 else worst_truncated_64
            )
    for lower, upper in BOUNDS:
        words = [
            0,
            2**64 - 1,
            2**63,
            2**12,
            *map(int, rng.integers(0, 2**64, 4 if quick else 30, np.uint64)),
        ]
        for word in words:
            u = Fraction(2 * (word >> 12) + 1, 2**53)
            source = free_source(lower, upper, F64)
            start = values(library, source, np.array([word] * 16, np.uint64))[0]
            exact = mp_free(lower, upper, u, start)
            library.check_free(lower, upper, word, start, out.ctypes)
            value = mp.mpf(float(out[0])) + mp.mpf(float(out[1]))
            worst_free = max(worst_free, abs((value - exact) / exact) * 2**53)
    return [
        Row(
            f"reference of {name} against mpmath (60 digits)",
            "<= 0.01 ulp",
            f"{float(error):.1g} ulp",
            error <= 0.01,
        )
        for name, error in (
            ("radius, sine and cosine, float32 (double)", worst_32),
            ("truncated normal, float32 (64 bits)", worst_truncated),
            ("normal, float64 (64 bits)", worst_64),
            ("truncated normal, float64 (64 bits)", worst_truncated_64),
            ("other bounds, float64 (113 bits)", worst_free),
        )
    ]
