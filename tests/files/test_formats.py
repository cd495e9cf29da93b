"""Formats: the libraries read our files, we read theirs, and hostile files are refused."""

import json
import math

import ml_dtypes
import numpy as np
import pytest

import initfast as ift
from initfast.core import dtypes
from initfast.files import formats, npyfile, safetensorsfile
from initfast.files.formats import NPY, RAW, SAFETENSORS, StoredTensor, Tensor

# ---- .npy


@pytest.mark.parametrize(
    "dtype",
    ["float16", "float32", "float64", "bfloat16", "float8_e4m3fn", "int64", "bool", "uint8"],
)
@pytest.mark.parametrize("shape", [(0,), (5,), (3, 4), (1,) * 8, (10**9, 10**9), ()])
def test_the_header_is_that_of_numpy_save(tmp_path, dtype, shape):
    kind = dtypes.resolve_numeric(dtype)
    small = tuple(min(size, 3) for size in shape)
    np.save(tmp_path / "a.npy", np.zeros(small, kind))
    data = math.prod(small) * kind.itemsize
    whole = (tmp_path / "a.npy").read_bytes()
    assert npyfile.header(small, kind) == whole[: len(whole) - data]
    assert len(npyfile.header(shape, kind)) % 64 == 0
    stored = formats.read(tmp_path / "a.npy")
    assert stored.tensors == (
        StoredTensor(None, npyfile.dtype_name(kind), small, len(whole) - data, data),
    )


def test_what_numpy_cannot_read_is_refused():
    with pytest.raises(ValueError, match=r"numpy\.load cannot read float8_e5m2"):
        npyfile.header((3,), dtypes.resolve("float8_e5m2"))


def test_only_dtypes_without_a_numpy_name_need_a_recipe():
    needing = {kind.name for kind in dtypes.FLOATING if npyfile.load_hint(kind)}
    assert needing == {"bfloat16", "float8_e4m3fn"}


def test_other_npy_files_are_read_as_what_they_are(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((3, 4), ">f8"))
    assert formats.read(path).tensors[0].dtype == ">f8"
    np.save(path, np.zeros((1, 5), order="F"))  # one dimension: both orders are the same
    assert formats.read(path).tensors[0].shape == (1, 5)
    with open(path, "wb") as file:
        np.lib.format.write_array(file, np.arange(3.0), version=(2, 0))
    assert formats.read(path).tensors[0] == (None, "<f8", (3,), 128, 24)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda raw: b"", "must be an .npy file of version 1 or 2"),
        (lambda raw: raw[:50], "must be an .npy file"),
        (lambda raw: b"PK" + raw[2:], "must be an .npy file"),
        (lambda raw: raw[:6] + b"\x09" + raw[7:], "must be an .npy file"),
        (lambda raw: raw.replace(b"'<f8'", b"'<f1'"), "must be an .npy file"),
        (lambda raw: raw.replace(b"(3, 4)", b"(3, x)"), "must be an .npy file"),
        (lambda raw: raw.replace(b"(3, 4)", b"(-3,4)"), ">= 0"),
        (lambda raw: raw.replace(b"False", b"True "), "must be in C order"),
        (
            lambda raw: raw[:-1],
            "must end with its data; received 223 bytes, but the header says 224",
        ),
        (lambda raw: raw + b"x", "must end with its data; received 225 bytes"),
    ],
)
def test_broken_npy_files_are_refused(tmp_path, spoil, message):
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((3, 4)))
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(ValueError, match=message):
        formats.read(path)


# ---- .safetensors

NAMED = {
    "wte.weight": ("float32", (11, 7)),
    'späße/"q"': ("float16", (3, 1, 5)),
    "half": ("bfloat16", (9,)),
    "e4": ("float8_e4m3fn", (5,)),
    "e5": ("float8_e5m2", (3,)),
    "double": ("float64", (2, 2)),
    "none": ("float32", (0, 4)),
    "one": ("float64", ()),
    "steps": ("int64", (3,)),
    "mask": ("bool", (2, 3)),
    "small": ("uint8", (5,)),
}


def named(names=NAMED):
    return [(name, dtypes.resolve_numeric(dtype), shape) for name, (dtype, shape) in names.items()]


def file_of(tensors, metadata=None):
    """Return a file of these tensors, with random bytes that are finite in every dtype."""
    head = safetensorsfile.header(tensors, metadata)
    size = sum(math.prod(shape) * dtype.itemsize for _, dtype, shape in tensors)
    return head + np.random.default_rng(0).integers(0, 2, size, np.uint8).tobytes()


def test_the_library_reads_our_header(tmp_path):
    safetensors = pytest.importorskip("safetensors")
    (tmp_path / "a.safetensors").write_bytes(file_of(named(), {"format": "pt", "more": "ü"}))
    with safetensors.safe_open(tmp_path / "a.safetensors", framework="np") as file:
        assert set(file.keys()) == set(NAMED)
        assert file.metadata() == {"format": "pt", "more": "ü"}
        for name, (_, shape) in NAMED.items():
            assert tuple(file.get_slice(name).get_shape()) == shape
        assert file.get_tensor("wte.weight").shape == (11, 7)


def test_we_read_what_the_library_writes(tmp_path):
    numpy = pytest.importorskip("safetensors.numpy")
    path = tmp_path / "a.safetensors"
    arrays = {
        name: np.ones(shape, dtype)
        for name, (dtype, shape) in NAMED.items()
        if hasattr(np, dtype) or dtype == "bool"
    }
    numpy.save_file(arrays, path, metadata={"a": "b"})
    stored = formats.read(path)
    assert stored.metadata == {"a": "b"}
    raw = path.read_bytes()
    for tensor in stored.tensors:
        array = arrays[tensor.name]
        assert tensor.shape == array.shape
        assert raw[tensor.offset : tensor.offset + tensor.nbytes] == array.tobytes()


@pytest.mark.parametrize("count", range(1, 9))
def test_data_begin_at_a_multiple_of_64(tmp_path, count):
    tensors = named(dict(list(NAMED.items())[:count]))
    text = safetensorsfile.header(tensors)
    assert len(text) % 64 == 0
    entries, metadata = safetensorsfile.parse(
        text[8:], sum(math.prod(s) * d.itemsize for _, d, s in tensors)
    )
    assert [(entry.name, entry.shape) for entry in entries] == [
        (name, shape) for name, _, shape in tensors
    ]
    assert metadata == {}


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ([("a", "float32", (1,)), ("a", "float32", (1,))], "received 'a' twice"),
        ([("", "float32", (1,))], "non-empty string"),
        ([("__metadata__", "float32", (1,))], "other than '__metadata__'"),
        ([("a\ud800", "float32", (1,))], "valid Unicode"),
        ([(None, "float32", (1,))], "non-empty string"),
        (
            [("a", "complex128", (1,))],
            "the dtype in .safetensors must be one of 'float64', .*received 'complex128'",
        ),
    ],
)
def test_what_the_format_cannot_hold_is_refused(tensors, message):
    with pytest.raises(ValueError, match=message):
        safetensorsfile.header(
            [(name, dtypes.resolve_numeric(dtype), shape) for name, dtype, shape in tensors]
        )


def entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


HOSTILE = {
    "longer than the file": ((10**6).to_bytes(8, "little") + b"{}", "lie within the file"),
    "longer than any": ((2**63).to_bytes(8, "little") + b"{}", "lie within the file"),
    "no length": (b"\x01\x02", "at least 8 bytes"),
    "no JSON": ("hello", "must be JSON"),
    "no UTF-8": (b"\xff\xfe\xfa{}", "must be JSON"),
    "deep": ("[" * 100_000, "must be JSON"),
    "a list": ("[]", "must be a JSON object"),
    "a gap": (
        {"a": entry(), "b": entry(offsets=(12, 20))},
        "without gaps or overlaps; received 'b' at byte 12, not 8",
    ),
    "an overlap": ({"a": entry(), "b": entry(offsets=(4, 12))}, "without gaps or overlaps"),
    "not from the beginning": ({"a": entry(offsets=(4, 12))}, "without gaps"),
    "too little data": (
        {"a": entry(shape=(9,), offsets=(0, 36))},
        "must fill the file; received 36 bytes",
    ),
    "too much data": (
        {"a": entry(shape=(1,), offsets=(0, 4))},
        "must fill the file; received 4 bytes",
    ),
    "backwards": ({"a": entry(offsets=(8, 0))}, "must match its shape"),
    "other size than its shape": (
        {"a": entry(shape=(3,))},
        "must match its shape and dtype; received 8 bytes",
    ),
    "negative size": ({"a": entry(shape=(-2,))}, "integers >= 0"),
    "negative offset": ({"a": entry(offsets=(-8, 0))}, "integers >= 0"),
    "true": ({"a": entry(shape=(True, 2))}, "integers >= 0"),
    "floats": ({"a": entry(offsets=(0.0, 8.0))}, "integers >= 0"),
    "huge": ({"a": entry(shape=(2**62, 2**62))}, "2\\*\\*63"),
    "many dims": ({"a": entry(shape=(1,) * 20)}, "at most 8 dims"),
    "unknown dtype": ({"a": entry(dtype="F12")}, "the dtype of tensor 'a' must be one of"),
    "dtype of another type": (
        {"a": entry(dtype=["F32"])},
        "the dtype of tensor 'a' must be one of",
    ),
    "no dtype": (
        {"a": {"shape": [2], "data_offsets": [0, 8]}},
        "must have a dtype, a shape and data_offsets",
    ),
    "more keys": ({"a": {**entry(), "x": 1}}, "must have a dtype, a shape and data_offsets"),
    "metadata of numbers": (
        {"__metadata__": {"a": 1}, "a": entry()},
        "must map strings to strings",
    ),
    "twice": (f'{{"a": {json.dumps(entry())}, "a": {json.dumps(entry())}}}', "received 'a' twice"),
}


@pytest.mark.parametrize(("text", "message"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_headers_are_refused(tmp_path, text, message):
    path = tmp_path / "a.safetensors"
    if isinstance(text, bytes) and len(text) != 5:
        path.write_bytes(text)
    else:
        raw = (
            text
            if isinstance(text, bytes)
            else (text if isinstance(text, str) else json.dumps(text)).encode()
        )
        path.write_bytes(len(raw).to_bytes(8, "little") + raw + bytes(8))
    with pytest.raises(ValueError, match=message):
        formats.read(path)


# ---- files and tensors


def tensor(name="a", shape=(3, 4), dtype="float32"):
    return Tensor(name, ift.HeNormal(seed=1), shape, dtypes.resolve_numeric(dtype))


def located(file, tensor):
    return formats.locate(file, [tensor])[0]


def test_tensors_follow_each_other():
    file = SAFETENSORS.file(
        "x.safetensors", [tensor("a"), tensor("b", (0, 2)), tensor("c", (5,), "float16")]
    )
    head = len(file.header)
    assert [t.offset for t in file.tensors] == [head, head + 48, head + 48]
    assert (file.size, file.data_bytes) == (head + 58, 58)
    assert RAW.file("x.bin", [tensor()]).size == 48
    assert NPY.file("x.npy", [tensor()]).size == 176


def test_a_tensor_is_found_where_the_file_has_it(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(file_of([("b", dtypes.FLOAT64, (2,)), ("a", dtypes.FLOAT32, (3, 4))]))
    stored = formats.read(path)
    assert located(stored, tensor()).offset == stored.size - 48
    for wrong, message in (
        (tensor("c"), r"'c' as F32 of shape \(3, 4\); received no such tensor"),
        (
            tensor(shape=(4, 3)),
            r"^'a' as F32 of shape \(4, 3\); received F32 of shape \(3, 4\)",
        ),
        (tensor(dtype="float64"), "^'a' as F64"),
    ):
        with pytest.raises(ValueError, match=message):
            raise located(stored, wrong)


def test_a_raw_file_is_known_by_its_size(tmp_path):
    (tmp_path / "a.bin").write_bytes(bytes(48))
    stored = formats.read(tmp_path / "a.bin")
    assert located(stored, tensor(None)).offset == 0
    with pytest.raises(ValueError, match="40 bytes; received 48 bytes"):
        raise located(stored, tensor(None, (10,)))


@pytest.mark.parametrize("name", ["w", "w.npz", ".npy", "w.txt", "npy"])
def test_other_extensions(name):
    with pytest.raises(
        ValueError, match=r"must end in \.npy, \.safetensors, \.bin, \.raw; received"
    ):
        formats.format_of(name)


@pytest.mark.parametrize(
    ("metadata", "seed"),
    [
        (formats.metadata(42), 42),
        (formats.metadata(None), None),
        ({}, None),
        ({"initfast": "42"}, None),
        ({"initfast": "{"}, None),
        ({"initfast": '{"seed": -1}'}, None),
        ({"initfast": '{"seed": true}'}, None),
        ({"initfast": '{"seed": "1"}'}, None),
        ({"initfast": "[" * 100_000}, None),
    ],
)
def test_the_seed_in_the_metadata(metadata, seed):
    assert formats.seed_of(metadata) == seed


def test_what_our_bytes_mean_to_ml_dtypes():
    assert (
        npyfile.dtype_name(dtypes.BFLOAT16)
        == np.dtype(ml_dtypes.bfloat16).str.replace("|", "<")
        == "<V2"
    )
