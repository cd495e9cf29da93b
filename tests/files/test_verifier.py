"""Verifying: equal files pass, and of other files the first element that differs is named."""

import os
import time

import numpy as np
import pytest

import initfast as ift
from initfast.core import dtypes
from initfast.files import formats, verifier
from initfast.files.formats import NPY, SAFETENSORS, Tensor
from initfast.files.verifier import Difference
from initfast.files.writer import write

SHAPE = (61, 53)


def compare(*arguments, **options):
    return verifier.compare(*arguments, chunk_bytes=1024, **options)


def tensor(name=None, seed=5, shape=SHAPE, dtype="float32", init=ift.HeNormal):
    return Tensor(name, init(seed=seed), shape, dtypes.resolve_numeric(dtype))


@pytest.fixture
def path(tmp_path):
    file_path = tmp_path / "w.npy"
    write(NPY.file(file_path, [tensor()]))
    return file_path


def poke(path, offset, value=b"\x7f"):
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(value)


@pytest.mark.parametrize("threads", [1, 3])
def test_equal(path, threads):
    counts = []
    with ift.threads(threads):
        assert compare(formats.read(path), [tensor()], advance=counts.append) == []
    assert sum(counts) == 61 * 53 * 4


@pytest.mark.parametrize("place", [0, 1, 52, 53, 255, 256, 1000, 61 * 53 - 1])
@pytest.mark.parametrize("byte", [0, 3])
def test_the_first_element_that_differs_is_named(path, place, byte):
    whole = np.load(path)
    other = np.load(path).reshape(-1)
    spoiled = other.view(np.uint8)
    spoiled[4 * place + byte] ^= 1
    poke(path, 128, other.tobytes())
    (difference,) = compare(formats.read(path), [tensor()])
    index = tuple(map(int, np.unravel_index(place, SHAPE)))
    assert difference == Difference(
        None, index, 128 + 4 * place, str(whole[index]), str(other[place])
    )
    where = f"element {index} at byte {128 + 4 * place}"
    assert str(difference) == f"{where} should be {whole[index]!s}; found {other[place]!s}"


def test_only_the_first_of_several(path):
    for place in (3000, 200, 2000):
        poke(path, 128 + 4 * place + 3)
    (difference,) = compare(formats.read(path), [tensor()])
    assert difference.index == (200 // 53, 200 % 53)


def test_rows(path):
    poke(path, 128 + 4 * (53 * 40 + 7) + 3)
    stored = formats.read(path)
    assert compare(stored, [tensor()], rows=(0, 40)) == []
    assert compare(stored, [tensor()], rows=(41, 61)) == []
    assert compare(stored, [tensor()], rows=(40, 40)) == []
    assert compare(stored, [tensor()], rows=(40, 41))[0].index == (40, 7)


def test_numbers_that_look_alike_are_told_apart(tmp_path):
    path = tmp_path / "w.bin"
    zeros = Tensor(None, ift.Zeros(), (9,), dtypes.FLOAT32)
    path.write_bytes(np.array([0.0] * 8 + [-0.0], np.float32).tobytes())
    (difference,) = compare(formats.read(path), [zeros])
    assert (difference.expected, difference.found) == ("0.0", "-0.0")

    class Nan(ift.Initializer):
        def __call__(self, shape, dtype=None):
            return np.full(shape, 0x7FC00000, np.uint32).view(np.float32)

    nan = Tensor(None, Nan(), (9,), dtypes.FLOAT32)
    bits = np.full(9, 0x7FC00000, np.uint32)
    path.write_bytes(bits.tobytes())
    assert compare(formats.read(path), [nan]) == []
    bits[4] += 1
    path.write_bytes(bits.tobytes())
    (difference,) = compare(formats.read(path), [nan])
    assert (difference.index, difference.expected, difference.found) == (
        (4,),
        "00 00 c0 7f",
        "01 00 c0 7f",
    )


def model(order="abcd"):
    tensors = {
        "a": tensor("a"),
        "b": tensor("b", 6, (40,), "bfloat16"),
        "c": tensor("c", 7, (8, 9), "float64", ift.Orthogonal),
        "d": Tensor("d", ift.Ones(), (), dtypes.resolve_numeric("int64")),
    }
    return [tensors[name] for name in order]


def saved(folder, tensors):
    file = SAFETENSORS.file(folder / "m.safetensors", tensors)
    write(file, force=True)
    return formats.read(file.path)


def test_tensors_are_compared_where_the_file_has_them(tmp_path):
    stored = saved(tmp_path, model("cadb"))
    assert compare(stored, model("abcd")) == []


def test_each_tensor_that_differs_is_named(tmp_path):
    stored = saved(tmp_path, model())
    for tensor in stored.tensors:
        if tensor.name != "b":
            poke(stored.path, tensor.offset + tensor.nbytes - 1)
    differences = compare(stored, model())
    assert [(d.tensor, d.index) for d in differences] == [("a", (60, 52)), ("c", (7, 8)), ("d", ())]
    assert str(differences[2]) == (
        f"tensor 'd': element () at byte {stored.tensors[3].offset}"
        f" should be 1; found {0x7F << 56 | 1}"
    )


def test_headers_that_differ(tmp_path):
    stored = saved(tmp_path, model("acd"))
    wrong = [tensor("a", shape=(53, 61)), tensor("b"), *model("d")]
    assert [str(d) for d in compare(stored, wrong)] == [
        "tensor 'a' should be F32 of shape (53, 61); found F32 of shape (61, 53)",
        "tensor 'b' should be F32 of shape (61, 53); found no such tensor",
        "tensor 'c' should be absent; found F64 of shape (8, 9)",
    ]


def test_what_the_libraries_write_is_compared_too(tmp_path):
    numpy = pytest.importorskip("safetensors.numpy")
    arrays = {"a": ift.HeNormal(seed=5)(SHAPE), "z": np.ones(3)}
    numpy.save_file(arrays, tmp_path / "x.safetensors")
    stored = formats.read(tmp_path / "x.safetensors")
    assert compare(stored, [Tensor("z", ift.Ones(), (3,), dtypes.FLOAT64), tensor("a")]) == []
    np.save(tmp_path / "x.npy", arrays["a"])
    assert compare(formats.read(tmp_path / "x.npy"), [tensor()]) == []


def test_a_file_that_is_cut_while_it_is_read(path):
    stored = formats.read(path)
    os.truncate(path, 5000)
    with pytest.raises(OSError, match="was truncated while it was read"):
        compare(stored, [tensor()])


def test_tensors_without_elements(tmp_path):
    none = [tensor("a", shape=(0, 3)), tensor("b", shape=(4,)), tensor("c", shape=(0,))]
    assert compare(saved(tmp_path, none), none) == []


def test_tensors_are_looked_up_in_a_table(tmp_path):
    """A search of a list for each name would take many seconds here."""
    many = [Tensor(f"w{n}", ift.Zeros(), (), dtypes.FLOAT32) for n in range(8_000)]
    file = SAFETENSORS.file(tmp_path / "m.safetensors", many)
    file.path.write_bytes(file.header + bytes(file.data_bytes))
    stored = formats.read(file.path)
    started = time.process_time()
    assert formats.locate(stored, many[::-1])[0].offset == file.size - 4
    assert time.process_time() - started < 2
