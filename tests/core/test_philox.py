"""The words of every backend and of the reference equal published answers of Philox4x32."""

import numpy as np
import places
import pytest

import initfast
import reference
from initfast import _kernels
from initfast.core.buffers import empty
from initfast.core.dtypes import CODES, UINT32

VECTORS = [
    [int(field, 16 if column else 10) for column, field in enumerate(line.split())]
    for line in (places.VECTORS / "philox.txt").read_text().splitlines()
    if not line.startswith("#")
]
CASES = pytest.mark.parametrize(
    "vector", VECTORS, ids=lambda vector: f"{vector[0]} rounds, counter {vector[1]:08x}..."
)
# 10000th output of std::philox4x32 with its default seed: C++26 [rand.predef].
CPP26_SEED, CPP26_10000TH = 20111115, 1955073260


def split(vector: list[int]) -> tuple[int, int, int, int, list[int]]:
    """Return the rounds, block, stream, seed and four words of one known answer."""
    rounds, c0, c1, c2, c3, k0, k1, *words = vector
    return rounds, c0 | c1 << 32, c2 | c3 << 32, k0 | k1 << 32, words


def test_all_known_answers_are_there() -> None:
    assert [vector[0] for vector in VECTORS] == [7, 7, 7, 10, 10, 10]


@CASES
def test_reference(vector: list[int]) -> None:
    rounds, block, stream, seed, words = split(vector)
    assert reference.blocks(np.array([block], np.uint64), seed, stream, rounds)[0].tolist() == words


@CASES
def test_backend(backend: str, vector: list[int]) -> None:
    rounds, block, stream, seed, words = split(vector)
    kind = _kernels.BITS_7 if rounds == 7 else _kernels.BITS
    source = _kernels.Source(kind, CODES[UINT32], 4, 0.0, 0.0, 0.0, 0.0, (), 0)
    out = empty((_kernels.TILE_BLOCKS, 4), UINT32)
    out[:] = 0
    # Each lane in turn computes the block. Block numbers wrap at 64 bits, which the known answer
    # for the last block needs.
    for lane in range(_kernels.TILE_BLOCKS):
        _kernels.tiles(source, seed, stream, (block - lane) % 2**64, 1, out.ctypes.data)
        assert out[lane].tolist() == words, f"lane {lane}"


def test_10000th_value_of_cpp26(backend: str) -> None:
    assert initfast.random_bits(1, seed=CPP26_SEED, offset=9999)[0] == CPP26_10000TH


@pytest.mark.parametrize("count", [400, 4000], ids=["in a batch", "in a run"])
def test_carry_between_counter_words(backend: str, count: int) -> None:
    """Compare blocks on both sides of 2^32 with each other and with the reference."""
    first = 2**32 - 50
    words = initfast.random_bits(count, seed=7, stream=9, offset=4 * first)
    expected = reference.blocks(np.arange(first, first + count // 4, dtype=np.uint64), 7, 9)
    assert words.tolist() == expected.ravel().tolist()
