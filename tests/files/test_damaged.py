"""Damaged and hostile files are refused with a message, in memory and time proportional to their
size.

tests/trust/faults.py runs `tries` with more files of each kind."""

import contextlib
import io
import json
import os
import random
import time
import tracemalloc
import zipfile

import numpy as np
import pytest
import tiers

import initfast as ift
from initfast.files import checkpoint, formats, specs
from initfast.signal import datasets

SPEC = {
    "tensors": {
        "a": {"shape": [4, 3], "dtype": "float32", "init": "he_normal"},
        "b": {
            "shape": [7],
            "dtype": "bfloat16",
            "init": {"class_name": "Constant", "config": {"value": [1, 2, 3, 4, 5, 6, 7]}},
            "fixed_rows": [[0, 2, 0.5]],
        },
    }
}


def npy():
    memory = io.BytesIO()
    np.save(memory, np.arange(12.0).reshape(3, 4))
    return memory.getvalue()


def npz():
    memory = io.BytesIO()
    np.savez_compressed(memory, x=np.arange(40.0).reshape(20, 2), y=np.arange(20) % 2)
    return memory.getvalue()


def safetensors(folder):
    checkpoint.save(SPEC, folder / "w.safetensors", seed=1, force=True)
    return (folder / "w.safetensors").read_bytes()


def samples(folder):
    """Return a good file of each kind, and the function that reads it."""
    return {
        "w.npy": (npy(), formats.read),
        "w.safetensors": (safetensors(folder), formats.read),
        "w.npz": (npz(), lambda path: datasets.load(str(path))),
        "w.json": (json.dumps(SPEC).encode(), specs.read),
    }


def damaged(good, chance):
    """Return a file with bits or bytes changed, deleted or repeated, mostly in its first 200 bytes."""
    data = bytearray(good)
    for _ in range(chance.choice([1, 1, 2, 5])):
        end = min(len(data), chance.choice([20, 200, 1 << 20])) or 1
        at = chance.randrange(end)
        match chance.randrange(6):
            case 0:
                data[at : at + 1] = bytes([data[at] ^ 1 << chance.randrange(8)]) if data else b"x"
            case 1:
                data[at : at + 1] = bytes([chance.randrange(256)])
            case 2:
                del data[at:]
            case 3:
                data[at:at] = data[: chance.randrange(end)]
            case 4:
                digits = chance.choice(
                    [b"9" * 30, b"-1", b"18446744073709551615", b"[", b"{", b"("]
                )
                data[at : at + len(digits)] = digits
            case 5:
                del data[at : at + chance.randrange(1, 9)]
    return bytes(data)


def tries(folder, name, count, seed):
    """Read `count` damaged files of a kind, and return how many were refused.

    Any error except ValueError, TypeError and OSError fails.
    """
    good, read = samples(folder)[name]
    chance, refused = random.Random(seed), 0
    for _ in range(count):
        path = folder / name
        path.write_bytes(damaged(good, chance))
        try:
            read(path)
        except (ValueError, TypeError, OSError) as error:
            refused += 1
            assert len(str(error)) < 1500, error
    return refused


@pytest.mark.parametrize("name", ["w.npy", "w.safetensors", "w.npz", "w.json"])
def test_damage_is_an_error_in_words(tmp_path, name):
    count = tiers.number(2000)
    assert count / 10 < tries(tmp_path, name, count, 1) <= count


def test_the_samples_are_good(tmp_path):
    for name, (good, read) in samples(tmp_path).items():
        (tmp_path / name).write_bytes(good)
        read(tmp_path / name)


@pytest.mark.parametrize("name", ["x", "y"])
def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path, name):
    path = tmp_path / "w.npz"
    arrays = {"x": np.arange(40.0).reshape(20, 2), "y": np.arange(20) % 2}
    bomb = {"descr": "<f8", "fortran_order": False, "shape": (1 << 25,)}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for key, array in arrays.items():
            with archive.open(f"{key}.npy", "w") as entry:
                if key != name:
                    np.save(entry, array)
                    continue
                np.lib.format.write_array_header_1_0(entry, bomb)
                for _ in range(256):
                    entry.write(bytes(1 << 20))
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="unpacks to more than 200 times its size"):
            datasets.load(str(path))
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_compressed_data_are_no_bomb(tmp_path):
    x = np.zeros((1000, 784))
    x[:, :3] = np.arange(3000.0).reshape(1000, 3)
    np.savez_compressed(tmp_path / "w.npz", x=x, y=np.arange(1000) % 2)
    assert datasets.load(str(tmp_path / "w.npz")).features == 784


def test_a_header_that_claims_more_than_the_file_has(tmp_path):
    """NumPy allocates an array in .npz by its header."""
    memory = io.BytesIO()
    header = {"descr": "<f8", "fortran_order": False, "shape": (1 << 60,)}
    np.lib.format.write_array_header_1_0(memory, header)
    with zipfile.ZipFile(tmp_path / "w.npz", "w") as archive:
        archive.writestr("x.npy", memory.getvalue())
        archive.writestr("y.npy", npy())
    with pytest.raises(ValueError, match="cannot be read"):
        datasets.load(str(tmp_path / "w.npz"))


@pytest.mark.parametrize("name", ["w.npy", "w.npz"])
def test_objects_are_never_unpickled(tmp_path, name):
    class Harm:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "harm"),)

    array = np.array([Harm()], object)
    path = tmp_path / name
    np.save(path, array) if name == "w.npy" else np.savez(path, x=array, y=array)
    with pytest.raises((ValueError, TypeError)):
        samples(tmp_path)[name][1](path)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    "name", ["../x", "/etc/x", "a/../../x", "x\\y", "model.safetensors/../../x", ".", "a\0b"]
)
def test_a_spec_and_an_index_stay_in_their_folder(tmp_path, name):
    """Names are keys in a file, never paths; an index may only name files in its folder."""
    folder = tmp_path / "in" / "m"
    folder.parent.mkdir()
    spec = {"tensors": {name: SPEC["tensors"]["a"]}}
    with contextlib.suppress(ValueError):
        checkpoint.save(spec, folder, seed=1)
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) in (
        [],
        ["model.safetensors"],
    )
    folder.mkdir(exist_ok=True)
    for file in folder.iterdir():
        file.unlink()
    index = {"weight_map": {"a": name, "b": name}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(OSError, match="files of a model in the same folder"):
        checkpoint.expected(SPEC, folder, 1)


@pytest.mark.parametrize("count", [1_000, pytest.param(50_000, marks=pytest.mark.long)])
def test_time_grows_with_the_number_of_tensors(tmp_path, count):
    """Writing, resuming and verifying take seconds; they took minutes once."""

    def seconds(count):
        spec = {
            "tensors": {
                f"layers.{n}.bias": {"shape": [3], "dtype": "float32", "init": "zeros"}
                for n in range(count)
            }
        }
        begun = time.process_time()
        folder = tmp_path / str(count)
        checkpoint.save(spec, folder, seed=1, max_shard_size="1MB")
        checkpoint.save(spec, folder, seed=1, max_shard_size="1MB", resume=True)
        (folder.with_suffix(".json")).write_text(json.dumps(spec))
        assert ift.checkpoint.expected(spec, folder, 1)
        return time.process_time() - begun

    few = seconds(count // 10)
    assert seconds(count) < 25 * max(few, 0.1)


def test_duplicate_names_are_found_at_once(tmp_path):
    text = "{" + ",".join(
        '"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}' for _ in range(40_000)
    )
    data = (text + "}").encode()
    (tmp_path / "w.safetensors").write_bytes(len(data).to_bytes(8, "little") + data)
    begun = time.process_time()
    with pytest.raises(ValueError, match="must differ; received 'a' twice"):
        formats.read(tmp_path / "w.safetensors")
    assert time.process_time() - begun < 5
