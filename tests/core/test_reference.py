"""Every backend equals the reference at every length and alignment; the reference's fma is right."""

from fractions import Fraction

import numpy as np
import pytest
from cases import IDS, SOME, SOURCES
from hypothesis import given
from hypothesis import strategies as st
from tiers import sample

import reference
from initfast import _kernels
from initfast._kernels import Source

SEED, STREAM = 0x0123456789ABCDEF, 0xFEDCBA9876543210
LONGEST = 4099
POISON = 0xA5
SOME_FIRST = pytest.mark.parametrize("source", sample(dict(SOURCES).values(), *SOME, ids=IDS))
EVERY = pytest.mark.parametrize("source", [source for _, source in SOURCES], ids=IDS)


def fill(
    source: Source, memory: np.ndarray, offset: int, start: int, count: int, threads: int = 1
) -> None:
    _kernels.fill_flat(source, SEED, STREAM, memory.ctypes.data + offset, start, count, threads)


@SOME_FIRST
def test_every_length(backend: str, source: Source) -> None:
    expected = reference.values(source, SEED, STREAM, 0, LONGEST).tobytes()
    size = source.itemsize
    # The portable backend is slow, and only lengths around a tile use different code.
    lengths = (
        range(LONGEST + 1)
        if backend != "portable"
        else [*range(70), *range(374, 394), *range(1530, 1545), LONGEST]
    )
    memory = np.empty(LONGEST * size + 64, np.uint8)
    for length in lengths:
        memory[: length * size + 64] = POISON
        fill(source, memory, 0, 0, length)
        assert memory[: length * size].tobytes() == expected[: length * size], f"length {length}"
        assert (memory[length * size : length * size + 64] == POISON).all(), (
            f"written past length {length}"
        )


@SOME_FIRST
def test_every_start_and_misalignment(backend: str, source: Source) -> None:
    size, length = source.itemsize, 1700 if backend != "portable" else 500
    all_expected = reference.values(source, SEED, STREAM, 2**40, length + 64).tobytes()
    memory = np.empty(length * size + 256, np.uint8)
    for start in range(64):
        # The offset depends on the start so that all pairs modulo 8 occur.
        offset = 64 + (start * 7 % 64) * size % 64
        memory[:] = POISON
        fill(source, memory, offset, 2**40 + start, length)
        expected = all_expected[start * size : (start + length) * size]
        assert memory[offset : offset + length * size].tobytes() == expected, f"start {start}"
        assert (memory[:offset] == POISON).all(), f"written before start {start}"
        assert (memory[offset + length * size :] == POISON).all(), f"written past start {start}"


@pytest.mark.parametrize("threads", sample([1, 2, 3, 7], 3))
@SOME_FIRST
def test_every_thread_count(source: Source, threads: int) -> None:
    """Compare a fill that has chunks for every thread with one thread, and its end with the
    reference."""
    count = 3 * 2**20 // source.itemsize + 5
    alone = np.full(count * source.itemsize, POISON, np.uint8)
    shared = np.full(count * source.itemsize + 64, POISON, np.uint8)
    fill(source, alone, 0, 3, count)
    fill(source, shared, 0, 3, count, threads)
    assert (shared[:-64] == alone).all()
    assert (shared[-64:] == POISON).all()
    assert (
        shared[-64 - 100 * source.itemsize : -64].tobytes()
        == reference.values(source, SEED, STREAM, 3 + count - 100, 100).tobytes()
    )


@EVERY
def test_element_numbers_beyond_32_bits(backend: str, source: Source) -> None:
    """Test elements around 2^34, whose block numbers exceed 32 bits, and the last elements."""
    for start in (2**34 - 100, 2**33 - 100, 2**63 - 200):
        memory = np.full(200 * source.itemsize, POISON, np.uint8)
        fill(source, memory, 0, start, 200)
        assert memory.tobytes() == reference.values(source, SEED, STREAM, start, 200).tobytes()


def exact_fma(a: float, b: float, c: float, kind: type[np.floating]) -> np.floating:
    """Return a * b + c, computed with fractions and rounded once.

    Python's division rounds to float64; for float32 the nearest neighbour is chosen."""
    exact = Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c))
    if kind is np.float64:
        return np.float64(exact.numerator / exact.denominator)
    guess = np.float32(exact.numerator / exact.denominator)
    near = [
        np.nextafter(guess, np.float32(-np.inf)),
        guess,
        np.nextafter(guess, np.float32(np.inf)),
    ]
    return min(near, key=lambda x: (abs(Fraction(float(x)) - exact), int(x.view(np.uint32)) & 1))


NUMBERS = st.floats(-1e9, 1e9).filter(lambda x: x == 0 or abs(x) > 1e-9)


@given(NUMBERS, NUMBERS, NUMBERS, st.sampled_from([np.float32, np.float64]), st.booleans())
def test_fma_is_exact(a: float, b: float, c: float, kind: type[np.floating], cancel: bool) -> None:
    a, b, c = kind(a), kind(b), kind(c)
    if cancel:
        c = -kind(a * b)
    assert reference.fma(a, b, c) == exact_fma(a, b, c, kind)


def test_fma_where_two_roundings_would_differ() -> None:
    """Compute a sum next to a float32 tie: a first rounding to float64 would make it the tie."""
    a, b, c = np.float32(1 + 2**-12), np.float32(1 + 2**-12), np.float32(2**-54)
    assert float(reference.fma(a, b, np.float32(2.0**-60))) == float(
        exact_fma(a, b, 2.0**-60, np.float32)
    )
    assert (
        float(reference.fma(np.float32(1), np.float32(1 + 2**-23), np.float32(2**-24) + c))
        == 1 + 2**-22
    )
