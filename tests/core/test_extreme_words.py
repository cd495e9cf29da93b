"""Words at will: Philox run backwards tells at which block of which stream four given words stand.

What rounds past a bound, or loses its sign, does so at one word in 2^24 or 2^53, which no test
would draw."""

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from cases import SOURCES

import reference
from initfast import _kernels
from initfast.core import distributions
from initfast.core.buffers import empty
from initfast.core.dtypes import CODES, FLOATING, DType

DTYPES = {CODES[dtype]: dtype for dtype in FLOATING}
SEED = 0x0123456789ABCDEF
ONES = 2**32 - 1
# Both ends, and both sides of a sign, of a quarter turn and of the bits that are thrown away.
EDGES = (
    0,
    1,
    0xFF,
    0x100,
    0x3FFFFFFF,
    0x40000000,
    0x7FFFFFFF,
    0x80000000,
    0xBFFFFFFF,
    0xC0000000,
    ONES - 0xFF,
    ONES,
)


def place(words: tuple[int, int, int, int], seed: int = SEED) -> tuple[int, int]:
    """The block and the stream at which `words` are what the seed gives."""
    inverses = pow(0xD2511F53, -1, 2**32), pow(0xCD9E8D57, -1, 2**32)
    x0, x1, x2, x3 = words
    for number in reversed(range(10)):
        keys = (seed + number * 0x9E3779B9) % 2**32, ((seed >> 32) + number * 0xBB67AE85) % 2**32
        c0, c2 = x3 * inverses[0] % 2**32, x1 * inverses[1] % 2**32
        x0, x1, x2, x3 = (
            c0,
            x0 ^ keys[0] ^ (c2 * 0xCD9E8D57 >> 32),
            c2,
            x2 ^ keys[1] ^ (c0 * 0xD2511F53 >> 32),
        )
    return x0 | x1 << 32, x2 | x3 << 32


def drawn(
    source: _kernels.Source, dtype: DType, words: tuple[int, int, int, int], lane: int = 0
) -> np.ndarray:
    """What the active backend makes of a block of these words, which stands at `lane` of a tile."""
    block, stream = place(words)
    out = empty((_kernels.TILE_BLOCKS, 16 // max(4, dtype.itemsize)), dtype)
    _kernels.tiles(source, SEED, stream, (block - lane) % 2**64, 1, out.ctypes.data)
    return out[lane]


def test_words_are_where_they_are_said_to_be() -> None:
    for words in ((0, 0, 0, 0), (ONES, ONES, ONES, ONES), (1, 2, 3, 4)):
        block, stream = place(words)
        assert (
            tuple(reference.blocks(np.array([block], np.uint64), SEED, stream)[0].tolist()) == words
        )


EVERY_SOURCE = pytest.mark.parametrize(
    "source", [pytest.param(source, id=name) for name, source in SOURCES if source.dtype in DTYPES]
)


@EVERY_SOURCE
def test_edges_are_those_of_the_reference(backend: str, source: _kernels.Source) -> None:
    given = [(first, second, second, first) for first, second in product(EDGES, repeat=2)]
    words = np.array(given, np.uint32)
    made = (
        reference._float64(source, words.view(np.uint64))
        if source.dtype == 1
        else reference._float32(source, words)
    )
    wanted = reference._rounded(made.ravel(), source).reshape(len(given), -1)
    for block, values in zip(given, wanted, strict=True):
        assert drawn(source, DTYPES[source.dtype], block).tobytes() == values.tobytes(), block


@pytest.mark.parametrize("dtype", FLOATING, ids=lambda dtype: dtype.name)
def test_bounds_hold_at_both_ends(backend: str, dtype: DType) -> None:
    """[low, high) of uniforms and [low, high] of truncated normals, where rounding to nearest would
    leave many.
    """
    r = np.random.default_rng(6)
    # The further from 0, the coarser the steps, and the more is left to the clamps. Of 8 bits, few
    # are left there.
    reach = 3 if dtype.itemsize == 1 else 200
    for number in range(200):
        mean, stddev, lane = r.uniform(-reach, reach), r.uniform(0.5, 2), number % 8
        low, high = (Fraction(mean) + k * Fraction(stddev) for k in (-2, 2))
        cut = distributions.truncated_normal(mean, stddev, -2.0, 2.0, dtype)
        free = distributions.truncated_normal(mean, stddev, -2.0, 2.5, dtype)
        uniform = distributions.uniform(mean, mean + 2 * stddev, dtype)
        for words in ((0, 0, ONES, ONES), (ONES, ONES, 0, 0)):
            made = [float(x) for x in drawn(cut, dtype, words, lane).astype(np.float64)]
            assert low <= min(made) <= max(made) <= high, (mean, stddev)
            made = [float(x) for x in drawn(free, dtype, words, lane).astype(np.float64)]
            assert low <= min(made) <= max(made) <= high + Fraction(stddev) / 2, (mean, stddev)
            made = [float(x) for x in drawn(uniform, dtype, words, lane).astype(np.float64)]
            assert mean <= min(made) <= max(made) < mean + 2 * stddev, (mean, stddev)
