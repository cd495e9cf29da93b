"""Chunks cover all data once, and `walk` yields them in order for any number of threads."""

import math

import numpy as np
import pytest

import initfast as ift
from initfast.core import dtypes
from initfast.files import chunks
from initfast.files.formats import RAW, SAFETENSORS, Tensor
from initfast.files.walker import walk

SHAPES = [[(5,)], [()], [(0,)], [(2000, 3)], [(7, 11), (0, 4), (), (1500,)], [], [(0,), (0, 3)]]


def tensors(shapes, dtype="float32", init=None):
    kind = dtypes.resolve_numeric(dtype)
    listed = [Tensor(f"t{i}", init or ift.Zeros(), s, kind) for i, s in enumerate(shapes)]
    return SAFETENSORS.file("x", listed)


@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8", "float64"])
@pytest.mark.parametrize("shapes", SHAPES)
@pytest.mark.parametrize("size", [8, 100, 4096])
def test_chunks_cover_all_data_once(shapes, dtype, size):
    file = tensors(shapes, dtype)
    marks = np.zeros(file.size, np.uint8)
    end = len(file.header)
    for chunk in chunks.chunks(file.tensors, size):
        assert 0 < chunk.nbytes <= size
        assert chunk.offset == end
        end += chunk.nbytes
        marks[chunk.offset : end] += 1
    assert (marks[: len(file.header)] == 0).all()
    assert (marks[len(file.header) :] == 1).all()


def grouped(file, size=512):
    return list(chunks.groups(chunks.chunks(file.tensors, size), size))


@pytest.mark.parametrize("shapes", [*SHAPES, [(3,)] * 3000, [(9,), (200,), (1,), (128,), (2,)]])
def test_groups_hold_all_chunks_in_order(shapes):
    file = tensors(shapes)
    groups = grouped(file)
    listed = [chunk for group in groups for chunk in group.chunks]
    assert listed == list(chunks.chunks(file.tensors, 512))
    for group in groups:
        assert group.offset == group.chunks[0].offset
        assert 0 < group.nbytes == sum(chunk.nbytes for chunk in group.chunks) <= 512
        raw = np.arange(group.nbytes, dtype=np.uint16).astype(np.uint8)
        parts = [part for _, part in group.parts(raw)]
        assert b"".join(part.tobytes() for part in parts) == raw.tobytes()
    assert len(groups) <= 2 * file.data_bytes / 512 + 1


def test_a_group_keeps_its_chunks_aligned():
    """Files of other programs may have an odd number of bytes before a float64."""
    kinds = ["uint8", "float64", "float64", "uint8", "float16"]
    listed, end = [], 64
    for name in kinds:
        dtype = np.dtype(name)
        listed.append(Tensor(None, ift.Ones(), (1,), dtype, end))
        end += dtype.itemsize
    groups = list(chunks.groups(chunks.chunks(listed)))
    assert [len(group.chunks) for group in groups] == [1, 3, 1]
    apart = [tensor._replace(offset=1000 * n) for n, tensor in enumerate(listed)]
    assert len(list(chunks.groups(chunks.chunks(apart)))) == len(apart)
    for group in groups:
        (step,) = walk([group], lambda group, raw: None)
        assert [chunks.values(*part)[0] for part in group.parts(step[1])] == [1] * len(group.chunks)


def test_rows():
    (tensor,) = tensors([(10, 6)]).tensors
    listed = list(chunks.chunks([tensor], 40, rows=(3, 5)))
    assert [(chunk.start, chunk.size) for chunk in listed] == [(18, 10), (28, 2)]
    assert list(chunks.chunks([tensor], 40, rows=(4, 4))) == []
    assert list(chunks.chunks(tensors([(0, 6)]).tensors, 40, rows=(0, 0))) == []


def test_an_array_far_beyond_memory_is_cut_lazily():
    huge = RAW.file("x.bin", [Tensor(None, ift.Zeros(), (2**31, 2**31), dtypes.FLOAT32)])
    chunk = next(chunks.chunks(huge.tensors, 4096, rows=(2**30, 2**31)))
    assert (chunk.start, chunk.size) == (2**61, 1024)


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("init", [ift.HeNormal(seed=3), ift.Orthogonal(seed=3)])
def test_a_walk_is_in_order(threads, init):
    file = tensors([(40, 30), (30, 20)], init=init)
    parts = []
    with ift.threads(threads):
        for group, raw, offset, _ in walk(grouped(file), lambda group, raw: group.offset):
            assert offset == group.offset == len(file.header) + sum(map(len, parts))
            parts.append(raw.tobytes())
    whole = [init.block(tensor.shape, ...).tobytes() for tensor in file.tensors]
    assert b"".join(parts) == b"".join(whole)


def test_an_error_in_a_worker_ends_the_walk():
    def fail(chunk, raw):
        raise OSError("broken")

    file = tensors([(4000,)])
    with pytest.raises(OSError, match="broken"):
        list(walk(grouped(file), fail))


def test_equal():
    one = np.arange(100, dtype=np.uint8)
    for size in (0, 1, 7, 8, 9, 64, 100):
        assert chunks.equal(one[:size], one[:size].copy())
        for place in {0, size // 2, size - 1} if size else ():
            other = one[:size].copy()
            other[place] ^= 1
            assert not chunks.equal(one[:size], other)
    assert not chunks.equal(one[:8], one[:9])


def test_flat_runs_of_every_initializer():
    shape = (13, 7, 5)
    inits = [ift.RandomNormal(seed=1), ift.Orthogonal(seed=4), ift.Constant(np.arange(5.0))]
    for init in inits:
        whole = init.block(shape, ...).reshape(-1)
        for start, count in ((0, math.prod(shape)), (3, 100), (454, 1), (455, 0)):
            out = init.fill_run(np.full(count, np.nan, np.float32), shape, start)
            assert out.tobytes() == whole[start : start + count].tobytes()
    init = ift.HeNormal(seed=1)
    raw = init.fill_run(bytearray(8), (9, 9), 77, dtype="bfloat16")
    assert bytes(raw) == init.block((9, 9), np.s_[8, 5:], "bfloat16").tobytes()
    for start, out, message in (
        (-1, np.empty(2), "within the 81 elements"),
        (80, np.empty(2), "within the 81 elements"),
        (0, np.empty((2, 2)), r"one dim; received shape \(2, 2\)"),
    ):
        with pytest.raises(ValueError, match=message):
            init.fill_run(out, (9, 9), start)
