"""Find the block and stream with four given words, by running Philox backwards."""

import numpy as np

import reference
from initfast import _kernels
from initfast.core.buffers import empty
from initfast.core.dtypes import DType

SEED = 0x0123456789ABCDEF
ONES = 2**32 - 1
# Both ends, and both sides of a sign, of a quarter turn and of the discarded bits.
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
    """Return the block and the stream in which a seed gives these words."""
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
    """Return the values of the active backend for a block of these words at `lane` of a tile."""
    block, stream = place(words)
    out = empty((_kernels.TILE_BLOCKS, 16 // max(4, dtype.itemsize)), dtype)
    _kernels.tiles(source, SEED, stream, (block - lane) % 2**64, 1, out.ctypes.data)
    return out[lane]


def expected(source: _kernels.Source, words: tuple[int, int, int, int]) -> np.ndarray:
    """Return the values of the reference for a block of these words."""
    block, stream = place(words)
    first, second = reference.blocks(np.array([block, block ^ 1 << 63], np.uint64), SEED, stream)
    wide = source.distribution == _kernels.TRUNCATED_WIDE
    values = reference.of_words(source, first[None], second[None] if wide else None)
    return reference._rounded(values, source)
