"""Files: whole or not at all, in chunks that add up to the array, measured on the way."""

import errno
import math
import os
import stat

import numpy as np
import pytest

from initfast import atomicfile, dtypes, npyfile
from initfast.atomicfile import check_target, replacing
from initfast.filefill import chunks
from initfast.moments import Moments, measure


def names(folder):
    return sorted(path.name for path in folder.iterdir())


# ---- a file whole or not at all


def test_the_file_appears_only_when_it_is_complete(tmp_path):
    target = tmp_path / "out.bin"
    with replacing(target, 5) as descriptor:
        os.pwrite(descriptor, b"hello", 0)
        assert not target.exists()
        assert len(names(tmp_path)) == 1
    assert target.read_bytes() == b"hello"
    assert names(tmp_path) == ["out.bin"]


def test_space_is_reserved_before_anything_is_written(tmp_path):
    with replacing(tmp_path / "out.bin", 1 << 20) as descriptor:
        found = os.fstat(descriptor)
        assert found.st_size == 1 << 20
        if hasattr(os, "posix_fallocate"):
            assert found.st_blocks * 512 >= 1 << 20


def test_where_nothing_can_be_reserved_the_file_still_has_its_length(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EOPNOTSUPP, "not supported")

    monkeypatch.setattr(os, "posix_fallocate", refuse, raising=False)
    with replacing(tmp_path / "out.bin", 1000):
        pass
    assert (tmp_path / "out.bin").read_bytes() == bytes(1000)


@pytest.mark.parametrize("error", [ValueError("broken"), KeyboardInterrupt(), OSError(errno.EIO, "bad sector")])
@pytest.mark.parametrize("before", [None, b"old"])
def test_after_an_error_all_is_as_it_was(tmp_path, error, before):
    target = tmp_path / "out.bin"
    if before is not None:
        target.write_bytes(before)
    with pytest.raises(type(error)), replacing(target, 3, force=True) as descriptor:
        os.pwrite(descriptor, b"ne", 0)
        raise error
    assert names(tmp_path) == ([] if before is None else ["out.bin"])
    assert before is None or target.read_bytes() == before


def test_a_disk_that_fills_up_while_space_is_reserved(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(OSError, match="No space left"), replacing(tmp_path / "out.bin", 1000):
        pytest.fail("the block must not be entered")
    assert names(tmp_path) == []


def test_a_file_that_came_meanwhile_is_not_replaced(tmp_path):
    target = tmp_path / "out.bin"
    with pytest.raises(FileExistsError, match="only with --force"), replacing(target, 3):
        target.write_bytes(b"theirs")
    assert target.read_bytes() == b"theirs"
    assert names(tmp_path) == ["out.bin"]


def test_new_files_have_the_permissions_of_any_new_file(tmp_path):
    (tmp_path / "any").write_bytes(b"")
    with replacing(tmp_path / "out.bin", 1):
        pass
    assert stat.S_IMODE((tmp_path / "out.bin").stat().st_mode) == stat.S_IMODE((tmp_path / "any").stat().st_mode)


def test_a_link_is_written_through(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link.bin").symlink_to(tmp_path / "real" / "out.bin")
    with replacing(tmp_path / "link.bin", 2) as descriptor:
        os.pwrite(descriptor, b"ok", 0)
    assert (tmp_path / "link.bin").is_symlink()
    assert (tmp_path / "real" / "out.bin").read_bytes() == b"ok"


def test_refusals_come_before_anything_is_written(tmp_path, monkeypatch):
    (tmp_path / "there.bin").write_bytes(b"old")
    with pytest.raises(FileExistsError, match=r"only with --force; received '.*there\.bin'"):
        check_target(tmp_path / "there.bin", 1)
    with pytest.raises(FileNotFoundError, match="folder of the file must exist"):
        check_target(tmp_path / "missing" / "out.bin", 1)
    with pytest.raises(IsADirectoryError, match="not a folder"):
        check_target(tmp_path, 1)
    with pytest.raises(OSError, match="must be a regular file"):
        check_target(os.devnull, 1, force=True)
    free = 12_345
    monkeypatch.setattr(atomicfile.shutil, "disk_usage", lambda _: _Usage(free))
    with pytest.raises(OSError, match="12,346 bytes needed, 12,345 available") as caught:
        check_target(tmp_path / "big.bin", free + 1)
    assert caught.value.errno == errno.ENOSPC
    assert check_target(tmp_path / "big.bin", free) == tmp_path / "big.bin"
    assert names(tmp_path) == ["there.bin"]


class _Usage:
    def __init__(self, free):
        self.free = free


# ---- chunks


@pytest.mark.parametrize(
    "shape",
    [(1,), (7,), (100,), (10, 10), (3, 50), (1, 1, 101), (4, 3, 5), (2, 3, 40), (5, 1), (30, 2, 1), (0,), (3, 0, 2)],
)
@pytest.mark.parametrize("limit", [1, 2, 7, 40, 1000])
def test_chunks_add_up_to_the_array_in_order(shape, limit):
    array = np.arange(math.prod(shape)).reshape(shape)
    found = []
    for chunk in chunks(shape, limit):
        part = array[chunk.index]
        assert part.shape == chunk.shape
        assert 0 < part.size <= limit
        assert part.flags.c_contiguous
        assert part.flat[0] == chunk.start == len(found)
        found += part.ravel().tolist()
    assert found == array.ravel().tolist()


def test_chunks_of_an_array_far_beyond_memory_are_made_one_at_a_time():
    first = next(iter(chunks((2**40, 2**20), 2**19)))
    assert (first.shape, first.start) == ((2**19,), 0)


# ---- moments


@pytest.mark.parametrize("count", [1, 2, 3, 262143, 262144, 262145, 600_003])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "bfloat16", "float8_e4m3fn"])
def test_moments_are_those_of_numpy_in_float64(count, dtype):
    values = np.random.default_rng(count).normal(0.5, 2.0, count).astype(dtypes.resolve(dtype).numpy)
    exact = values.astype(np.float64)
    found = measure(values)
    assert (found.count, found.minimum, found.maximum) == (count, exact.min(), exact.max())
    assert found.mean == pytest.approx(exact.mean(), rel=1e-13)
    assert found.std == pytest.approx(exact.std(), rel=1e-13, abs=1e-15)


def test_a_large_mean_costs_no_digits():
    values = np.random.default_rng(0).normal(0.0, 1e-3, 400_000) + 1e6
    # By hand the squares would be 1e12, and their difference without a digit of 1e-6.
    assert measure(values).std == pytest.approx(float(np.std(values - 1e6)), rel=1e-9)


def test_squares_beyond_float64_are_infinite():
    found = measure(np.array([-1e200, 1e200]))
    assert found == Moments(2, 0.0, math.inf, -1e200, 1e200)
    assert found.merged(found).std == math.inf


def test_equal_numbers_have_no_deviation():
    assert measure(np.full(40_000, 0.1, np.float32)).std == 0.0


def test_of_nothing_nothing_is_known():
    found = measure(np.empty(0, np.float32))
    assert found == Moments() or math.isnan(found.mean)
    assert found.count == 0
    assert math.isnan(found.std)
    assert Moments().merged(Moments(3, 1.0, 2.0, 0.0, 2.0)) == Moments(3, 1.0, 2.0, 0.0, 2.0)
    assert Moments(3, 1.0, 2.0, 0.0, 2.0).merged(Moments()) == Moments(3, 1.0, 2.0, 0.0, 2.0)


# ---- .npy


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "bfloat16", "float8_e4m3fn"])
@pytest.mark.parametrize("shape", [(0,), (5,), (3, 4), (1,) * 8, (10**9, 10**9)])
def test_the_header_is_that_of_numpy_save(tmp_path, dtype, shape):
    kind = dtypes.resolve(dtype)
    small = tuple(min(size, 3) for size in shape)
    np.save(tmp_path / "a.npy", np.zeros(small, kind.numpy))
    data = math.prod(small) * kind.itemsize
    whole = (tmp_path / "a.npy").read_bytes()
    assert npyfile.header(small, kind) == whole[: len(whole) - data]
    assert len(npyfile.header(shape, kind)) % 64 == 0


def test_what_numpy_cannot_read_is_refused():
    with pytest.raises(ValueError, match=r"numpy\.load cannot read float8_e5m2"):
        npyfile.header((3,), dtypes.resolve("float8_e5m2"))


def test_only_dtypes_without_a_numpy_name_need_a_recipe():
    needing = {kind.name for kind in dtypes.FLOATING if npyfile.recipe(kind)}
    assert needing == {"bfloat16", "float8_e4m3fn"}
