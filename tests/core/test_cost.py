"""The work for a part grows with the part, not with the whole: in blocks, and for 2**50 elements.

The whole array would take days and petabytes, so code that computes it to return one row fails."""

import shutil
import subprocess
import sysconfig
from ctypes import CDLL, byref, c_int64, c_uint64, c_void_p
from types import SimpleNamespace

import numpy as np
import places
import pytest

import initfast as ift
import reference
from initfast import _kernels
from initfast.core import engine as filling
from initfast.core.dtypes import FLOATING, resolve

FLOATS = [dtype.name for dtype in FLOATING]
HUGE = (2**40, 2**10)
ROW = 2**10
DRAWN = {
    "uniform": lambda: ift.RandomUniform(-1.0, 1.0, ift.Seed(3, 4)),
    "normal": lambda: ift.RandomNormal(0.5, 2.0, ift.Seed(3, 4)),
    "truncated_normal": lambda: ift.TruncatedNormal(0.5, 2.0, ift.Seed(3, 4)),
    "truncated_normal(-1,3)": lambda: ift.TruncatedNormal(0.0, 1.0, ift.Seed(3, 4), -1.0, 3.0),
}
PLACED = {
    "zeros": (HUGE, lambda: ift.Zeros(), lambda i, j: 0 * j),
    "constant": (HUGE, lambda: ift.Constant(np.arange(ROW)), lambda i, j: j),
    "identity": ((2**25, 2**25), lambda: ift.Identity(2.0), lambda i, j: 2.0 * (i == j)),
    "stft": (
        (2**40, 1, ROW + 1),
        lambda: ift.STFT("real", window=None),
        lambda i, j: np.cos(np.pi * (i * j % (2 * ROW)) / ROW),
    ),
}


@pytest.mark.parametrize("name", DRAWN)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("row", [0, -1])
def test_the_first_and_the_last_row_of_an_enormous_array(name, dtype, row):
    source = DRAWN[name]()._source(HUGE, resolve(dtype))
    expected = reference.values(source, 3, 4, (row % HUGE[0]) * ROW, ROW).tobytes()
    assert DRAWN[name]().block(HUGE, row, dtype).tobytes() == expected
    assert DRAWN[name]().rows(HUGE, [row % HUGE[0]], dtype).tobytes() == expected
    out = np.zeros(ROW, resolve(dtype))
    assert DRAWN[name]().fill(out, HUGE, row).tobytes() == expected


@pytest.mark.parametrize("name", PLACED)
def test_the_first_and_the_last_row_of_an_enormous_array_of_known_values(name):
    shape, make, value = PLACED[name]
    columns = np.arange(shape[-1])[-ROW:]
    for row in (0, -1):
        part = make().block(shape, np.s_[row, ..., -ROW:])
        np.testing.assert_allclose(part.reshape(-1), value(row % shape[0], columns), atol=1e-6)


def library(folder, *files):
    """Compile C files of this project into a library and load it."""
    compiler = str(sysconfig.get_config_var("CC") or "cc").split()[0]
    if shutil.which(compiler) is None:
        pytest.skip(f"needs the C compiler {compiler}")
    target = folder / "library.so"
    options = ["-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-pthread"]
    command = [compiler, *files, *options, f"-I{places.SOURCES}", "-lm", "-o", target]
    subprocess.run(command, check=True)
    return CDLL(str(target))


@pytest.fixture(scope="module")
def counter(tmp_path_factory):
    """Return the loop of every fill, src/fill.c, with a backend that only counts blocks."""
    helper = places.TESTS / "helpers" / "block_counter.c"
    loop = library(tmp_path_factory.mktemp("counter"), helper, places.SOURCES / "fill.c")
    loop.blocks_drawn.restype = c_uint64
    return loop.blocks_drawn


@pytest.fixture
def block_counts(counter, monkeypatch):
    """Return a list to which each fill appends the number of blocks that the kernels compute."""
    counts = []

    def fill(
        source, seed, stream, address, start, shape, steps, strides, starts, threads, measured
    ):
        dims = [
            (kind * len(shape))(*values)
            for kind, values in ((c_uint64, shape), (c_int64, steps), (c_int64, strides))
        ]
        ids = None if starts is None else c_void_p(starts.ctypes.data)
        counts.append(counter(*dims, ids, len(shape), c_uint64(start), c_void_p(address)))

    def fill_flat(source, seed, stream, address, start, count, threads, measured):
        fill(source, seed, stream, address, start, (count,), (1,), (4,), None, threads, measured)

    monkeypatch.setattr(
        filling, "_kernels", SimpleNamespace(CONSTANT=-1, fill=fill, fill_flat=fill_flat)
    )
    return counts


PARTS = {  # a part from `row` on, and the number of blocks of 4 elements that hold it
    "row": (lambda row: np.s_[row], ROW // 4),
    "half a row": (lambda row: np.s_[row, ROW // 2 :], ROW // 8),
    "off the blocks": (lambda row: np.s_[row, 1:-1], ROW // 4),
    "backwards": (lambda row: np.s_[row, ::-1], ROW // 4),
    "every third": (lambda row: np.s_[row, ::3], ROW // 4),
    "every 32nd": (lambda row: np.s_[row, ::32], ROW // 32),
    "one element": (lambda row: np.s_[row, 77], 1),
    "columns": (lambda row: np.s_[row : row + 100, 128:256], 100 * 32),
    "columns off the blocks": (lambda row: np.s_[row : row + 100, 127:255], 100 * 33),
    "one column": (lambda row: np.s_[row : row + 100, 127], 100),
}


@pytest.mark.parametrize("name", PARTS)
def test_cost_grows_with_the_part_alone(name, block_counts):
    index, blocks = PARTS[name]
    for first in (0, 2**20 + 1, HUGE[0] - 100):
        ift.RandomNormal(seed=1).block(HUGE, index(first))
    assert len(set(block_counts)) == 1
    # The last tile is computed whole, even if only a part of it is needed.
    assert blocks <= block_counts[0] < blocks + _kernels.TILE_BLOCKS


def test_cost_of_rows(block_counts):
    for ids in ([0, 1, 2], [2**40 - 1, 0, 2**39], np.full((3, 1), 2**40 - 1)):
        ift.RandomNormal(seed=1).rows(HUGE, ids)
    assert len(set(block_counts)) == 1
    assert 3 * ROW // 4 <= block_counts[0] < 3 * ROW // 4 + _kernels.TILE_BLOCKS


def test_cost_of_a_whole(block_counts):
    ift.RandomNormal(seed=1)((100, 100))
    assert 2500 <= block_counts[0] < 2500 + _kernels.TILE_BLOCKS


def test_memory_for_moments_does_not_grow(tmp_path):
    helper = places.TESTS / "helpers" / "chunk_counter.c"
    sources = [places.SOURCES / f"{stem}.c" for stem in ("fill", "moments")]
    count_chunks = library(tmp_path, helper, *sources).measured_chunks
    count_chunks.restype = c_uint64
    chunk, slice_ = c_uint64(), c_uint64()
    for itemsize in (1, 2, 4, 8):
        for total in (1, 12288, 12289, 10**6, 10**9, 10**12, 2**63 - 1):
            chunks = count_chunks(c_uint64(total), itemsize, byref(chunk), byref(slice_))
            assert chunks <= 1024
            assert (chunks - 1) * chunk.value < total <= chunks * chunk.value
            # Slices limit the delay of Ctrl-C.
            assert chunk.value % 12288 == slice_.value % 12288 == 0
            assert 0 < slice_.value <= 1 << 16
