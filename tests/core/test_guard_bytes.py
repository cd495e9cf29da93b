"""Nothing is written outside a buffer: guard bytes on both sides, and protected pages.

Every kernel is tested at both ends, with lengths around its tile and offsets from a cache line.
test_properties.py tests the gaps between strided elements."""

import ctypes
import mmap

import numpy as np
import pytest
from cases import IDS, SOME, SOURCES
from memory import POISON
from tiers import sample

from initfast import _kernels
from initfast.core import distributions

GUARD = 256
TILE = 4 * _kernels.TILE_BLOCKS  # elements of 32-bit words
LENGTHS = [
    1,
    2,
    3,
    4,
    5,
    7,
    8,
    15,
    16,
    17,
    31,
    64,
    65,
    TILE - 1,
    TILE,
    TILE + 1,
    2 * TILE + 3,
    5 * TILE - 2,
]


def poisoned(size: int, offset: int) -> np.ndarray:
    """Return `size` bytes at `offset` from a cache line, between poisoned guard bytes."""
    whole = np.full(64 + GUARD + offset + size + GUARD, POISON, np.uint8)
    first = -whole.ctypes.data % 64 + GUARD + offset
    return whole[first - GUARD : first + size + GUARD]


@pytest.mark.parametrize("number", sample(range(len(SOURCES)), *SOME, ids=IDS))
def test_guard_bytes_about_every_length(number, backend):
    source = SOURCES[number][1]
    lengths = LENGTHS if backend != "portable" else LENGTHS[:15]
    for length in lengths:
        for offset in (0, source.itemsize, 64 - source.itemsize):
            for start in (0, 1, TILE - 1):
                memory = poisoned(length * source.itemsize, offset)
                _kernels.fill_flat(source, 1, 2, memory.ctypes.data + GUARD, start, length, 1)
                assert (memory[:GUARD] == POISON).all(), (length, offset, start)
                assert (memory[-GUARD:] == POISON).all(), (length, offset, start)
                # A few bytes may equal the poison by chance, but not 4 elements in a row.
                inner = memory[GUARD:-GUARD] != POISON
                assert inner[: 4 * source.itemsize].any(), (length, offset, start)
                assert inner[-4 * source.itemsize :].any(), (length, offset, start)


@pytest.mark.parametrize("threads", [2, 3])
def test_guard_bytes_about_the_chunks_of_threads(threads):
    source = distributions.bits()
    for length in (2**19 - 1, 2**20 + 1):
        memory = poisoned(4 * length, 4)
        _kernels.fill_flat(source, 1, 2, memory.ctypes.data + GUARD, 3, length, threads)
        assert (memory[:GUARD] == POISON).all()
        assert (memory[-GUARD:] == POISON).all()


def test_guard_bytes_are_seen_to_be_written():
    source = distributions.bits()
    memory = poisoned(400, 0)
    _kernels.fill_flat(source, 1, 2, memory.ctypes.data + GUARD, 0, 101, 1)  # one element too many
    assert not (memory[-GUARD:] == POISON).all()


@pytest.mark.parametrize("end", ["first", "last"])
@pytest.mark.parametrize("number", sample(range(len(SOURCES)), *SOME, ids=IDS))
def test_pages_that_nobody_may_touch(number, end, backend):
    """Fill memory between protected pages: an access outside would end the process here."""
    source = SOURCES[number][1]
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mprotect"):
        pytest.skip("needs mprotect")
    page = mmap.PAGESIZE
    area = mmap.mmap(-1, 4 * page)
    first_byte = ctypes.c_char.from_buffer(area)
    address = ctypes.addressof(first_byte)
    outside = [ctypes.c_void_p(address), ctypes.c_void_p(address + 3 * page)]
    protect = [libc.mprotect(where, ctypes.c_size_t(page), 0) for where in outside]
    try:
        assert protect == [0, 0]
        for length in LENGTHS[:15]:
            size = length * source.itemsize
            where = address + page if end == "first" else address + 3 * page - size
            _kernels.fill_flat(source, 1, 2, where, 0, length, 1)
            columns = (length // 4, 2) if length >= 4 else (1, 1)
            steps, strides = (7, 1), (2 * source.itemsize, source.itemsize)
            lowest = (
                where
                if end == "first"
                else address + 3 * page - columns[0] * columns[1] * source.itemsize
            )
            _kernels.fill(source, 1, 2, lowest, 5, columns, steps, strides, None, 1)
    finally:
        for where in outside:
            libc.mprotect(where, ctypes.c_size_t(page), 3)
        del first_byte
        area.close()
