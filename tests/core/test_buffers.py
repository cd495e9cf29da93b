"""Memory to fill: a Buffer has the right addresses; an error names the reason, writes nothing."""

import array
import ctypes
import itertools
import math
import mmap
import subprocess
import sys
from multiprocessing.shared_memory import SharedMemory

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.lib.stride_tricks import as_strided
from tiers import cases

import initfast as ift
from initfast.core.buffers import ALIGNMENT, empty, new, overlaps, view
from initfast.core.dtypes import FLOATING, UINT32, bits_of, resolve

BF16, E4, E5 = ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2
F32, F64, BFLOAT16, FLOAT8 = (
    resolve("float32"),
    resolve("float64"),
    resolve("bfloat16"),
    resolve("float8_e5m2"),
)
PLAIN = [
    np.dtype(name)
    for name in (
        "bool",
        "int8",
        "uint16",
        "int32",
        "uint64",
        "complex64",
        "complex128",
        "longdouble",
    )
]


def poke(buffer):
    """Write 1, 2, ... in C order to the addresses that a Buffer gives; return their bits."""
    size = buffer.dtype.itemsize
    numbers = np.arange(1, math.prod(buffer.shape) + 1).astype(f"u{size}").reshape(buffer.shape)
    for at in itertools.product(*map(range, buffer.shape)):
        place = buffer.address + sum(i * s for i, s in zip(at, buffer.strides, strict=True))
        ctypes.memmove(place, numbers[at].tobytes(), size)
    return numbers


def accepts(out, bits, dtype, *args):
    """Assert that `view(out, *args)` has the memory of `out`.

    `bits` reads `out` as unsigned integers without initfast."""
    buffer = view(out, *args)
    assert buffer.dtype == dtype
    expected = poke(buffer)
    np.testing.assert_array_equal(bits(), expected)
    assert buffer.array.dtype == dtype
    np.testing.assert_array_equal(buffer.array.view(expected.dtype), expected)


# ---- new arrays


@pytest.mark.parametrize("dtype", [*FLOATING, UINT32, *PLAIN], ids=lambda dtype: dtype.name)
@pytest.mark.parametrize(
    "shape", [(), (0,), (3,), (64, 64), (2, 0, 3), (1,) * 8, (1, 2, 3, 1, 2, 1, 1, 5)], ids=str
)
def test_new(dtype, shape):
    buffer = new(shape, dtype)
    owner = buffer.owner
    assert (buffer.shape, buffer.dtype, buffer.strides) == (shape, dtype, owner.strides)
    assert owner.shape == shape
    assert owner.dtype == dtype
    assert owner.flags.c_contiguous
    assert owner.flags.writeable
    assert owner.flags.aligned
    assert buffer.address == owner.ctypes.data
    assert buffer.address % ALIGNMENT == 0
    owner[...] = 1
    assert empty(shape, dtype).shape == shape


def test_alignment_is_no_accident():
    arrays = [empty((n,), F32) for n in range(1, 400)]
    assert {a.ctypes.data % 64 for a in arrays} == {0}


def test_too_large_for_memory():
    for shape in ((2**62,), (2**63, 1), (2**40, 2**19), (0, 2**63)):
        with pytest.raises(
            MemoryError,
            match=r"not enough memory: shape \(.* of float64 needs \d+ bytes$",
        ):
            empty(shape, F64)


# ---- NumPy

VIEWS = {
    "contiguous": lambda a: a,
    "fortran": lambda a: a.T,
    "negative": lambda a: a[::-1, ::-2],
    "gaps": lambda a: a[1::2, ::3],
    "column": lambda a: a[:, 2],
    "swapped": lambda a: a.reshape(4, 3, 2).transpose(1, 2, 0),
    "newaxis": lambda a: a[:, None, 1:3],
    "scalar": lambda a: a[1, 2, ...],
    "empty": lambda a: a[:0],
}


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("dtype", FLOATING, ids=lambda dtype: dtype.name)
def test_numpy(dtype, name):
    out = VIEWS[name](np.zeros((4, 6), dtype))
    buffer = view(out)
    assert (buffer.shape, buffer.strides) == (out.shape, out.strides)
    accepts(out, lambda: out.view(bits_of(dtype)), dtype)
    accepts(out, lambda: out.view(bits_of(dtype)), dtype, dtype.name, out.shape)


@pytest.mark.parametrize("dtype", [dtype for dtype in PLAIN if dtype.itemsize <= 8], ids=str)
def test_numpys_other_numbers(dtype):
    out = np.zeros((2, 3), dtype)
    accepts(out, lambda: out.view(f"u{dtype.itemsize}"), dtype)


def test_long_double_is_accepted():
    assert view(np.zeros(3, "longdouble")).dtype == np.dtype("longdouble")


@pytest.mark.parametrize(
    ("raw", "dtype"),
    [
        ("u2", "bfloat16"),
        ("u1", "float8_e4m3fn"),
        ("u1", "float8_e5m2"),
        ("u4", "float32"),
        ("V2", "bfloat16"),
        ("V8", "float64"),
    ],
)
def test_raw_bits_can_be_read_as_another_dtype(raw, dtype):
    out = np.zeros((3, 4), raw)[::-1, ::2]
    accepts(out, lambda: out.view(bits_of(resolve(dtype))), resolve(dtype), dtype)


def test_memmap(tmp_path):
    path = tmp_path / "matrix"
    out = np.memmap(path, np.float32, "w+", offset=16, shape=(3, 4))
    poke(view(out))
    out.flush()
    np.testing.assert_array_equal(np.fromfile(path, np.uint32, offset=16), np.arange(1, 13))


def test_a_saved_bfloat16_matrix(tmp_path):
    np.save(tmp_path / "bf16.npy", np.zeros((3, 4), BF16))
    out = np.load(tmp_path / "bf16.npy", mmap_mode="r+")
    if out.dtype.type is not np.void:
        pytest.skip("this NumPy has bfloat16")
    accepts(out, lambda: out.view("u2"), BFLOAT16, "bfloat16", (3, 4))


# ---- the buffer protocol


def untyped():
    data = bytearray(48)
    yield "bytearray", data, lambda: np.frombuffer(bytes(data), np.uint8)
    mapped = mmap.mmap(-1, 48)
    yield "mmap", mapped, lambda: np.frombuffer(mapped[:], np.uint8)
    window = memoryview(bytearray(48))
    yield "memoryview", window, lambda: np.frombuffer(bytes(window), np.uint8)
    folded = memoryview(bytearray(48)).cast("B", (4, 12))
    yield "folded", folded, lambda: np.frombuffer(folded.tobytes(), np.uint8)
    octets = array.array("B", bytes(48))
    yield "array", octets, lambda: np.frombuffer(octets.tobytes(), np.uint8)
    signed = array.array("b", bytes(48))
    yield "signed", signed, lambda: np.frombuffer(signed.tobytes(), np.uint8)
    chars = (ctypes.c_char * 48)()
    yield "c_char", chars, lambda: np.frombuffer(chars.raw, np.uint8)
    ubytes = (ctypes.c_ubyte * 48)()
    yield "c_ubyte", ubytes, lambda: np.frombuffer(bytes(ubytes), np.uint8)


@pytest.mark.parametrize(
    ("out", "read"), [pytest.param(*case, id=name) for name, *case in untyped()]
)
@pytest.mark.parametrize(
    "dtype", [*FLOATING, np.dtype("int32"), np.dtype("uint8")], ids=lambda dtype: dtype.name
)
def test_untyped_bytes(out, read, dtype):
    count = 48 // dtype.itemsize
    for shape in ((count,), (2, count // 2), None):
        dims = shape or (count,)
        accepts(
            out,
            lambda dims=dims: read().view(f"u{dtype.itemsize}").reshape(dims),
            dtype,
            dtype,
            shape,
        )


def test_untyped_bytes_need_their_size():
    with pytest.raises(
        ValueError,
        match=r"out must hold 16 bytes for shape \(2, 2\) of float32; received bytearray of 24",
    ):
        view(bytearray(24), "float32", (2, 2))
    with pytest.raises(
        ValueError,
        match=r"out must hold 64 bytes for shape \(4, 4\) of float32; received bytearray of 24",
    ):
        view(bytearray(24), "float32", (4, 4))
    with pytest.raises(
        ValueError,
        match="out must hold a multiple of 8 bytes of float64; received bytearray of 25 bytes",
    ):
        view(bytearray(25), "float64")
    assert view(bytearray(), "float64").shape == (0,)
    assert view(bytearray(), "float64", (3, 0)).shape == (3, 0)


def typed():
    yield "array.f", array.array("f", [0] * 6), F32, (6,)
    yield "array.d", array.array("d", [0] * 6), F64, (6,)
    yield "array.i", array.array("i", [0] * 6), np.dtype("int32"), (6,)
    yield "c_float", (ctypes.c_float * 6)(), F32, (6,)
    yield "c_double 2-D", (ctypes.c_double * 3 * 2)(), F64, (2, 3)
    yield "one c_float", ctypes.c_float(), F32, ()
    yield "memoryview", memoryview(np.zeros((3, 4), "f4").T[::-1]), F32, (4, 3)
    yield "cast", memoryview(bytearray(24)).cast("f"), F32, (6,)
    yield "half", memoryview(np.zeros(6, "f2")), resolve("float16"), (6,)


@pytest.mark.parametrize(
    ("out", "dtype", "shape"), [pytest.param(*case, id=name) for name, *case in typed()]
)
def test_typed_buffers(out, dtype, shape):
    assert view(out).shape == shape
    uint = f"u{dtype.itemsize}"
    accepts(out, lambda: np.asarray(memoryview(out)).view(uint), dtype)
    accepts(out, lambda: np.asarray(memoryview(out)).view(uint), dtype, dtype, shape)


def test_a_flat_typed_buffer_takes_any_shape():
    out = array.array("f", [0] * 6)
    accepts(out, lambda: np.frombuffer(out, np.uint32).reshape(2, 3), F32, None, (2, 3))
    with pytest.raises(
        ValueError, match=r"out must have the shape \(2, 2\); received array.array of shape \(6,\)"
    ):
        view(out, None, (2, 2))
    with pytest.raises(
        ValueError, match=r"out must have the shape \(6,\); received .* of shape \(2, 3\)"
    ):
        view((ctypes.c_float * 3 * 2)(), None, (6,))
    with pytest.raises(
        ValueError,
        match=r"out must have the shape \(3, 2\); received numpy.ndarray of shape \(2, 3\)",
    ):
        view(np.zeros((2, 3)), None, (3, 2))


def test_the_owner_keeps_memory_alive():
    buffer = view(bytearray(b"\xff" * 24), "float32", (2, 3))
    np.testing.assert_array_equal(poke(buffer), buffer.array.view(np.uint32))
    data = bytearray(24)
    buffer = view(data, "float32")
    with pytest.raises(BufferError):
        data.clear()  # it cannot be resized while a Buffer refers to its memory
    del buffer
    data.clear()


@pytest.fixture
def shared():
    memory = SharedMemory(create=True, size=96)
    yield memory
    memory.close()
    memory.unlink()


def test_shared_memory(shared):
    def read():
        return np.frombuffer(bytes(shared.buf[:96]), np.uint32).reshape(4, 6)

    accepts(shared.buf[:96], read, F32, "float32", (4, 6))
    shared.buf[:] = bytes(shared.size)
    accepts(shared, read, F32, "float32", (4, 6))


def test_shared_memory_may_be_rounded_up_to_pages(shared):
    expected = poke(view(shared, "float32", (5,)))
    np.testing.assert_array_equal(np.frombuffer(bytes(shared.buf[:20]), np.uint32), expected)
    with pytest.raises(
        ValueError,
        match=r"out must hold 128 bytes for shape \(32,\) of float32; received .*SharedMemory",
    ):
        view(shared, "float32", (32,))
    with pytest.raises(ValueError, match="out must hold 20 bytes"):
        view(shared.buf, "float32", (5,))
    large = SharedMemory(create=True, size=4 * mmap.PAGESIZE)
    try:
        with pytest.raises(ValueError, match="out must hold 20 bytes"):
            view(large, "float32", (5,))
    finally:
        large.close()
        large.unlink()


def test_closed_shared_memory():
    memory = SharedMemory(create=True, size=96)
    memory.close()
    memory.unlink()
    with pytest.raises(
        TypeError,
        match=r"out must be a writable CPU buffer; received multiprocessing.shared_memory",
    ):
        view(memory, "float32")


def test_closed_and_released_memory():
    closed, released = mmap.mmap(-1, 48), memoryview(bytearray(48))
    closed.close()
    released.release()
    for out in (closed, released):
        with pytest.raises(TypeError, match="out must be a writable CPU buffer; received"):
            view(out, "float32")


# ---- errors for every kind of buffer


def readonly(a):
    a.flags.writeable = False
    return a


def refusals():
    base = np.zeros((4, 6), np.float32)
    yield (
        "read-only",
        readonly(base.copy()),
        (),
        "out must be writable; received a read-only numpy.ndarray",
    )
    yield (
        "broadcast",
        np.broadcast_to(base, (2, 4, 6)),
        (),
        "out must be writable; received a read-only numpy.ndarray",
    )
    yield "bytes", bytes(24), ("float32",), "out must be writable; received a read-only bytes"
    yield (
        "numpy scalar",
        np.float32(1),
        (),
        "out must be writable; received a read-only numpy.float32",
    )
    yield (
        "read-only view",
        memoryview(bytearray(8)).toreadonly(),
        ("float32",),
        "out must be writable; received a read-only",
    )
    yield (
        "big-endian",
        np.zeros(3, ">f4"),
        (),
        r"dtype must be in native byte order; received '>f4' in numpy.ndarray",
    )
    yield (
        "big-endian ctypes",
        (ctypes.c_float.__ctype_be__ * 3)(),
        (),
        "dtype must be in native byte order; received '>f4'",
    )
    yield (
        "stride 0",
        as_strided(base, (4, 6), (0, 4)),
        (),
        r"elements of out must not overlap in memory; received shape \(4, 6\), strides \(0, 4\)",
    )
    yield (
        "window",
        as_strided(base, (4, 4), (4, 4)),
        (),
        "elements of out must not overlap in memory",
    )
    yield (
        "overlap",
        as_strided(base, (4, 6), (20, 4)),
        (),
        "elements of out must not overlap in memory",
    )
    yield (
        "address",
        np.zeros(41, "u1")[1:].view("f4"),
        (),
        r"out must be aligned to 4 bytes for float32, strides included; received address 0x",
    )
    yield (
        "strides",
        np.zeros((4, 9), "u1")[:, :8].view("f4"),
        (),
        r"out must be aligned to 4 .*, strides \(9, 4\)",
    )
    yield (
        "misaligned bytes",
        memoryview(bytearray(24))[1:9],
        ("float32",),
        "out must be aligned to 4 bytes for float32",
    )
    yield (
        "misaligned complex",
        np.zeros(17, "u1")[1:].view("c8"),
        (),
        "out must be aligned to 4 bytes for complex64",
    )
    yield (
        "contradiction",
        np.zeros(3, "f4"),
        ("float64",),
        "dtype must be the buffer's dtype, 'float32'; received 'float64'",
    )
    yield (
        "same size",
        np.zeros(3, "f2"),
        ("bfloat16",),
        "dtype must be the buffer's dtype, 'float16'; received 'bfloat16'",
    )
    yield (
        "signed",
        np.zeros(3, "i2"),
        ("bfloat16",),
        "dtype must be the buffer's dtype, 'int16'; received 'bfloat16'",
    )
    yield (
        "bf16 as uint16",
        np.zeros(3, BF16),
        ("uint16",),
        "dtype must be the buffer's dtype, 'bfloat16'; received 'uint16'",
    )
    yield (
        "sizes",
        np.zeros(3, "u1"),
        ("float32",),
        "dtype must have the itemsize of the buffer, 1; received 'float32' of itemsize 4",
    )
    yield (
        "void",
        np.zeros(3, "V2"),
        (),
        r"a buffer of raw bits needs dtype=; received a buffer of '\|V2'",
    )
    yield (
        "void sizes",
        np.zeros(3, "V2"),
        ("float32",),
        "dtype must have the itemsize of the buffer, 2",
    )
    yield "untyped", bytearray(24), (), "a buffer of untyped bytes needs dtype=; received bytearray"
    yield (
        "bytes with gaps",
        memoryview(bytearray(24))[::2],
        ("float32",),
        r"a buffer of untyped bytes must be contiguous; received strides \(2,\)",
    )
    yield (
        "unknown dtype",
        np.zeros(3, "f4"),
        ("float31",),
        "dtype must be one of 'float32', .*; received 'float31'",
    )
    yield (
        "object",
        np.zeros(3, "O"),
        (),
        r"dtype must be one of 'float32', .*; received dtype\('O'\) in numpy.ndarray",
    )
    yield "text", np.zeros(3, "U3"), (), "dtype must be one of 'float32'"
    yield "dates", np.zeros(3, "M8[s]"), (), "dtype must be one of 'float32'"
    yield "record", np.zeros(3, [("a", "f4")]), (), "dtype must be one of 'float32'"
    text = array.array("u" if sys.version_info < (3, 13) else "w", "abc")
    yield "array of text", text, (), "dtype must be one of 'float32'|out must hold numbers"
    yield "float8_e4m3", np.zeros(3, ml_dtypes.float8_e4m3), (), "dtype must be one of 'float32'"


CASES = [pytest.param(*case, id=name) for name, *case in refusals()]


@pytest.mark.parametrize(("out", "args", "message"), CASES)
def test_refused(out, args, message):
    with pytest.raises(ValueError, match=message):
        view(out, *args)


@pytest.mark.parametrize(
    "out",
    [None, 1.0, 3, [1.0], (1.0,), {}, "text", object(), iter([]), np.float32, range(3)],
    ids=lambda out: repr(out).partition(" at 0x")[0],
)
def test_no_buffer_at_all(out):
    with pytest.raises(
        TypeError, match=f"^out must be a writable CPU buffer; received {type(out).__name__} "
    ):
        view(out)


def test_alignment_of_a_single_element_asks_nothing_of_strides():
    out = as_strided(np.zeros(4, "f4"), (1, 4), (3, 4))
    assert view(out).shape == (1, 4)
    assert view(as_strided(np.zeros(4, "f4"), (0, 4), (3, 0))).shape == (0, 4)


def entries(shape, strides, itemsize):
    """Return every byte address of an array, once for each element that includes it."""
    starts = [
        sum(i * s for i, s in zip(at, strides, strict=True))
        for at in itertools.product(*map(range, shape))
    ]
    return [start + byte for start in starts for byte in range(itemsize)]


@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(-20, 20)), max_size=3),
    st.sampled_from([1, 2, 4]),
)
@cases(500)
def test_no_overlap_is_missed(dims, itemsize):
    shape, strides = tuple(n for n, _ in dims), tuple(s for _, s in dims)
    touched = entries(shape, strides, itemsize)
    if len(set(touched)) < len(touched):
        assert overlaps(shape, strides, itemsize)


@given(st.data())
@cases(300)
def test_no_view_of_an_array_is_refused(data):
    shape = data.draw(st.lists(st.integers(1, 5), max_size=4).map(tuple))
    steps = tuple(slice(None, None, data.draw(st.sampled_from([1, 2, 3, -1, -2]))) for _ in shape)
    out = np.zeros(shape, "f4")[(*steps, ...)].transpose(
        data.draw(st.permutations(range(len(shape))))
    )
    assert not overlaps(out.shape, out.strides, out.itemsize)
    assert view(out).strides == out.strides


def test_overlap_errs_on_the_safe_side():
    assert overlaps((3, 2), (2, 3), 1)  # bytes 0, 2, 4 and 3, 5, 7 interleave


# ---- torch


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


TENSORS = {
    "contiguous": lambda t: t,
    "transposed": lambda t: t.t(),
    "gaps": lambda t: t[1::2, ::3],
    "offset": lambda t: t[2, 3:],
    "scalar": lambda t: t[1, 2],
    "empty": lambda t: t[:0],
    "squeezed": lambda t: t[:1].expand(1, 6),
}


@pytest.mark.parametrize("name", TENSORS)
@pytest.mark.parametrize("dtype", FLOATING, ids=lambda dtype: dtype.name)
def test_tensors(torch, dtype, name):
    whole = torch.zeros(4, 6, dtype=getattr(torch, dtype.name))
    out = TENSORS[name](whole)
    bits = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[dtype.itemsize]
    accepts(
        out,
        lambda: np.array(out.contiguous().view(bits).tolist(), bits_of(dtype)).reshape(out.shape),
        dtype,
    )
    assert view(out, getattr(torch, dtype.name), tuple(out.shape)).dtype == dtype
    assert (whole.view(bits) != 0).sum() == out.numel()  # and nowhere else


def test_parameters_and_grad(torch):
    for out in (
        torch.nn.Parameter(torch.zeros(3)),
        torch.zeros(3, requires_grad=True),
        torch.nn.Linear(3, 4).weight,
    ):
        expected = poke(view(out))
        assert np.array_equal(out.detach().view(torch.int32).numpy(), expected)
        assert out.requires_grad


@pytest.mark.parametrize("name", ["bool", "uint8", "int32", "int64", "complex64"])
def test_tensors_of_other_numbers(torch, name):
    out = torch.zeros(2, 3, dtype=getattr(torch, name))
    assert view(out).dtype == np.dtype(name)
    view(out).array[...] = 1
    assert out.tolist() == [[1, 1, 1], [1, 1, 1]]


def test_tensors_of_raw_bits(torch):
    assert view(torch.zeros(3, dtype=torch.uint8), torch.float8_e5m2).dtype == FLOAT8
    assert view(torch.zeros(3, dtype=torch.uint16), torch.bfloat16).dtype == BFLOAT16


def lazy(torch):
    return torch.zeros(3, dtype=torch.complex64).conj()


class Wrapped:
    """A factory of a tensor subclass, which needs torch only when it is called."""

    @staticmethod
    def of(torch, **members):
        return torch.zeros(3).as_subclass(type("Wrapped", (torch.Tensor,), members))


def shrunk(torch, size):
    out = torch.zeros(4, 6)
    out.untyped_storage().resize_(size)
    return out


STRIDED = "a tensor must have strided memory; "
STORAGE = "out must have memory for its elements; received a tensor with a smaller storage"
META = (
    r"must be on the CPU; received one on device 'meta'; materialise it .*to_empty\(device='cpu'\)"
)
SHARED = "elements of out must not overlap in memory; received shape "
SUBCLASS = r"out must be a plain torch.Tensor or Parameter \(%s\); received .*%s"
REFUSED_TENSORS = {
    "meta": (lambda t: t.zeros(3, device="meta"), ValueError, META),
    "expanded": (
        lambda t: t.zeros(3, 1).expand(3, 4),
        ValueError,
        SHARED + r"\(3, 4\), strides \(4, 0\)",
    ),
    "as_strided": (
        lambda t: t.zeros(9).as_strided((3, 3), (1, 1)),
        ValueError,
        SHARED + r"\(3, 3\)",
    ),
    "sparse": (lambda t: t.eye(3).to_sparse(), ValueError, STRIDED + "received torch.sparse_coo"),
    "conjugate": (lambda t: lazy(t), ValueError, STRIDED + "received a lazy negative or conjugate"),
    "negative": (
        lambda t: lazy(t).imag,
        ValueError,
        STRIDED + "received a lazy negative or conjugate",
    ),
    "zero tensor": (
        lambda t: t._efficientzerotensor(3),
        ValueError,
        STRIDED + "torch says: ",
    ),
    "no storage": (lambda t: shrunk(t, 0), ValueError, STORAGE),
    "small storage": (lambda t: shrunk(t, 40), ValueError, STORAGE),
    "dtype": (
        lambda t: t.zeros(3, dtype=t.float8_e4m3fnuz),
        ValueError,
        "dtype must be one of .*; received torch.float8_e4m3fnuz",
    ),
    "subclass": (
        lambda t: Wrapped.of(t),
        TypeError,
        SUBCLASS % ("fill the plain tensor inside it", "Wrapped"),
    ),
    "to_local": (
        lambda t: Wrapped.of(t, to_local=None),
        TypeError,
        SUBCLASS % ("use initfast.torch, which fills the local part", "Wrapped"),
    ),
    "uninitialized": (
        lambda t: t.nn.UninitializedParameter(),
        TypeError,
        SUBCLASS % (".*", "UninitializedParameter"),
    ),
}


def test_the_storage_of_a_filled_tensor_can_be_resized():
    torch = pytest.importorskip("torch")
    for dtype in (torch.float32, torch.bfloat16):
        tensor = torch.empty(4, 3, dtype=dtype)
        view(tensor).array[...] = 1
        assert (tensor == 1).all()
        tensor.untyped_storage().resize_(0)  # as FSDP frees gathered parameters


@pytest.mark.parametrize("name", REFUSED_TENSORS)
def test_refused_tensors(torch, name):
    make, error, message = REFUSED_TENSORS[name]
    with pytest.raises(error, match=message):
        view(make(torch))


def test_a_tensor_with_just_enough_storage(torch):
    enough, little = torch.zeros(4, 6)[1:, 1::2], torch.zeros(4, 6)[1:, 1::2]
    enough.untyped_storage().resize_(96)
    little.untyped_storage().resize_(95)
    assert view(enough).shape == (3, 3)
    with pytest.raises(ValueError, match=STORAGE):
        view(little)


def test_refused_dtypes_of_tensors(torch):
    with pytest.raises(
        ValueError, match="dtype must be the buffer's dtype, 'float32'; received 'bfloat16'"
    ):
        view(torch.zeros(3), torch.bfloat16)
    with pytest.raises(
        ValueError, match=r"out must have the shape \(2,\); received torch.Tensor of shape \(3,\)"
    ):
        view(torch.zeros(3), None, (2,))


def test_tensors_inside_a_transform(torch):
    def fill(x):
        with pytest.raises(ValueError, match=STRIDED + "torch says"):
            view(x)
        return x

    torch.func.vmap(fill)(torch.zeros(3, 4))


def test_a_fill_within_functionalize_is_not_lost(torch):
    def call(x):
        copy = x + 0
        ift.RandomNormal(seed=1).fill(copy)
        return copy + 0

    with pytest.raises(ValueError, match="a tensor must have strided memory"):
        torch.func.functionalize(call)(torch.zeros(3))


@pytest.mark.long  # the import takes seconds
def test_fake_tensors(torch):
    from torch._subclasses import FakeTensorMode

    with (
        FakeTensorMode(),
        pytest.raises(TypeError, match=r"received torch\._subclasses\.fake_tensor\.FakeTensor"),
    ):
        view(torch.zeros(3))


def test_dtensor(torch):
    distributed = torch.distributed
    if not distributed.is_available():
        pytest.skip("needs torch.distributed")
    from torch.distributed.tensor import Shard, distribute_tensor, init_device_mesh

    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    try:
        out = distribute_tensor(torch.zeros(4, 4), init_device_mesh("cpu", (1,)), [Shard(0)])
        for tensor in (out, torch.nn.Parameter(out)):
            with pytest.raises(
                TypeError,
                match=r"\(use initfast.torch, which fills the local part\); received .*DTensor",
            ):
                view(tensor)
        assert view(out.to_local()).shape == (4, 4)
    finally:
        distributed.destroy_process_group()


def test_torch_is_not_imported_to_look_for_tensors():
    code = (
        "import sys; from initfast.core.buffers import view;"
        "view(bytearray(8), 'float32'); print('torch' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout == "False\n"


# ---- DLPack, and arrays that are read-only with it


class Exporter:
    """An array of a library that supports only DLPack."""

    def __init__(self, array, device=(1, 0)):
        self.array, self.device = array, device

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.device


def test_dlpack():
    array = np.zeros((3, 4), "f4")
    accepts(Exporter(array.T), lambda: array.T.view("u4"), F32)
    accepts(Exporter(array), lambda: array.view("u4"), F32, "float32", (3, 4))
    accepts(Exporter(array.view("u4")), lambda: array.view("u4"), F32, "float32")


def test_refused_dlpack():
    with pytest.raises(
        ValueError, match=r"out must be on the CPU; received .*Exporter on DLPack device \(2, 0\)"
    ):
        view(Exporter(np.zeros(3), (2, 0)))
    with pytest.raises(
        (TypeError, ValueError), match=r"out must be a?.*writable.*; received .*Exporter"
    ):
        view(Exporter(readonly(np.zeros(3))))
    with pytest.raises(TypeError, match=r"out must be a writable CPU buffer; received .*Exporter"):
        view(Exporter(np.zeros(3, BF16)))


@pytest.mark.parametrize("name", ["float32", "bfloat16", "int32"])
def test_jax_arrays_are_immutable(name):
    jnp = pytest.importorskip("jax.numpy")
    with pytest.raises(
        (TypeError, ValueError), match=r"out must be (a )?writable.*; received .*ArrayImpl"
    ):
        view(jnp.zeros(3, name))


@pytest.mark.parametrize("name", ["float32", "bfloat16"])
def test_tensorflow_tensors_are_immutable(name):
    tensorflow = pytest.importorskip("tensorflow")
    with pytest.raises((TypeError, ValueError), match=r"out must be (a )?writable"):
        view(tensorflow.zeros(3, name))
    with pytest.raises((TypeError, ValueError), match=r"out must be (a )?writable"):
        view(tensorflow.Variable(tensorflow.zeros(3, name)))


class Wide(np.ndarray):
    """A subclass that reports a wider type, other strides and another shape than its memory has."""

    dtype = property(lambda self: np.dtype("f8"))
    itemsize = property(lambda self: 8)
    shape = property(lambda self: (16,))
    strides = property(lambda self: (8,))
    __array_interface__ = property(lambda self: {"data": (0, False)})

    def __array__(self, *_, **__):
        return np.zeros(16)


@pytest.mark.parametrize("shape", [None, (8,)])
def test_a_subclass_cannot_overrule_its_memory(shape):
    memory = np.zeros(64, np.uint8)
    ift.RandomNormal(seed=1).fill(memory[:32].view(np.float32).view(Wide), shape=shape)
    assert memory[:32].tobytes() == ift.RandomNormal(seed=1)(8).tobytes()
    assert not memory[32:].any()


def test_a_proxy_is_not_taken_for_an_array():
    class Proxy:
        """A proxy as in wrapt: NumPy would copy it, so that the values would be lost."""

        __class__ = np.ndarray

        def __array__(self, *_, **__):
            return np.zeros(8, np.float32)

    with pytest.raises(TypeError, match="out must be a writable CPU buffer"):
        ift.RandomNormal(seed=1).fill(Proxy())
