"""Writes are atomic, and give the same bytes however often they are stopped and resumed."""

import contextlib
import errno
import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

import initfast as ift
from initfast.core import dtypes
from initfast.core.moments import measure
from initfast.files import formats, npyfile, partial, writer
from initfast.files.formats import NPY, RAW, SAFETENSORS, File, Tensor

CHUNK = 4096


def write(file, **options):
    return writer.write(file, chunk_bytes=CHUNK, **options)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def tensor(name, init, shape, dtype="float32"):
    return Tensor(name, init, shape, dtypes.resolve_numeric(dtype))


def npy(folder, seed=5, shape=(100, 70), out="w.npy", init=ift.HeNormal, dtype="float32"):
    return NPY.file(folder / out, [tensor(None, init(seed=seed), shape, dtype)])


def raw(folder, seed=5, shape=(100, 70), init=ift.HeNormal):
    return RAW.file(folder / "w.bin", [tensor(None, init(seed=seed), shape)])


def expected(seed=5, shape=(100, 70)):
    return npyfile.header(shape, dtypes.FLOAT32) + ift.HeNormal(seed=seed)(shape).tobytes()


class Stop(Exception):
    pass


def stop_at(count, error=Stop):
    """Return an `advance` that stops the write after `count` calls."""
    calls = iter(range(1, 1 << 30))

    def advance(_):
        if next(calls) == count:
            raise error

    return advance


def stopped(folder, at=3, **options):
    """Return the partial of a write that was stopped in the middle."""
    with pytest.raises(Stop):
        write(npy(folder), advance=stop_at(at), **options)
    assert names(folder) == ["w.npy.partial"]
    return folder / "w.npy.partial"


# ---- values and bytes


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_the_bytes_do_not_depend_on_threads(tmp_path, threads):
    with ift.threads(threads):
        result = write(npy(tmp_path))
    assert (tmp_path / "w.npy").read_bytes() == expected()
    assert names(tmp_path) == ["w.npy"]
    assert (result.written, result.resumed, result.complete) == (28_000, 0, True)


INITS = {
    "normal": ift.RandomNormal(seed=1),
    "truncated": ift.TruncatedNormal(seed=2),
    "uniform": ift.GlorotUniform(seed=3),
    "orthogonal": ift.Orthogonal(seed=4),
    "identity": ift.Identity(gain=3),
    "constant": ift.Constant(2.5),
    "table": ift.Constant(np.arange(60.0)),
    "zeros": ift.Zeros(),
}


@pytest.mark.parametrize(
    "dtype", ["float32", "float16", "bfloat16", "float64", "float8_e4m3fn", "float8_e5m2"]
)
def test_every_initializer_and_dtype_as_the_libraries_read_it(tmp_path, dtype):
    kind = dtypes.resolve(dtype)
    tensors = [tensor(name, init, (70, 60), dtype) for name, init in INITS.items()]
    path = tmp_path / "all.safetensors"
    write(SAFETENSORS.file(path, tensors, formats.metadata(7)))
    if dtype in ("float16", "float32", "float64"):
        arrays = pytest.importorskip("safetensors.numpy").load_file(path)
    else:
        torch, reader = pytest.importorskip("torch"), pytest.importorskip("safetensors.torch")
        bits = {1: torch.uint8, 2: torch.uint16}[kind.itemsize]
        arrays = {
            name: loaded.view(bits).numpy() for name, loaded in reader.load_file(path).items()
        }
    assert set(arrays) == set(INITS)
    for name, init in INITS.items():
        whole = init.block((70, 60), ..., dtype).tobytes()
        assert arrays[name].tobytes() == whole, name
        alone = RAW.file(tmp_path / f"{name}.bin", [tensor(None, init, (70, 60), dtype)])
        write(alone)
        assert alone.path.read_bytes() == whole, name


@pytest.mark.parametrize("dtype", ["int64", "bool", "uint8", "int16"])
def test_constants_of_other_dtypes(tmp_path, dtype):
    numpy = pytest.importorskip("safetensors.numpy")
    path = tmp_path / "w.safetensors"
    tensors = [tensor("a", ift.Ones(), (3000,), dtype), tensor("b", ift.Zeros(), (), dtype)]
    write(SAFETENSORS.file(path, tensors), measure=True)
    arrays = numpy.load_file(path)
    assert arrays["a"].dtype == dtype
    assert (arrays["a"] == 1).all()
    assert arrays["b"].shape == ()


def test_numpy_loads_ours(tmp_path):
    write(npy(tmp_path))
    np.testing.assert_array_equal(np.load(tmp_path / "w.npy"), ift.HeNormal(seed=5)((100, 70)))
    write(npy(tmp_path, out="b.npy", dtype="bfloat16"))
    np.testing.assert_array_equal(
        np.load(tmp_path / "b.npy").view(ml_dtypes.bfloat16),
        ift.HeNormal(seed=5)((100, 70), "bfloat16"),
    )


class Counted(ift.Initializer):
    """An initializer that computes only whole arrays, and counts them."""

    def __init__(self):
        self.calls = 0

    def __call__(self, shape, dtype=None):
        self.calls += 1
        return np.arange(np.prod(shape), dtype=dtype).reshape(shape)


def test_a_tensor_that_is_made_whole_is_made_once(tmp_path):
    initializer = Counted()
    file = SAFETENSORS.file(tmp_path / "w.safetensors", [tensor("a", initializer, (64, 64))])
    with pytest.raises(Stop):
        write(file, advance=stop_at(2))
    assert initializer.calls == 1
    write(file, resume=True)
    assert initializer.calls == 2
    assert file.path.read_bytes()[-16384:] == np.arange(4096, dtype="f4").tobytes()


def test_moments_digest_and_progress(tmp_path):
    counts = []
    result = write(npy(tmp_path), measure=True, sha256=True, advance=counts.append)
    assert result.sha256 == hashlib.sha256((tmp_path / "w.npy").read_bytes()).hexdigest()
    assert (sum(counts), max(counts)) == (28_000, CHUNK)
    exact = measure(np.load(tmp_path / "w.npy").reshape(-1))
    assert (result.moments.count, result.moments.minimum, result.moments.maximum) == (
        7000,
        exact.minimum,
        exact.maximum,
    )
    assert result.moments.std == pytest.approx(exact.std, rel=1e-12)
    plain = write(npy(tmp_path, out="x.npy"))
    assert (plain.moments, plain.sha256) == (None, None)


def test_files_without_data(tmp_path):
    assert write(npy(tmp_path, shape=(0, 5)), measure=True).moments.count == 0
    assert np.load(tmp_path / "w.npy").shape == (0, 5)
    write(File(tmp_path / "note", b"text"))
    assert (tmp_path / "note").read_bytes() == b"text"


def test_blank_files_are_zero_whatever_lay_there(tmp_path):
    (tmp_path / "w.npy.partial").write_bytes(b"x" * 100_000)
    file = npy(tmp_path, init=lambda seed: ift.Zeros())
    write(file, blank=True, force=True)
    assert not np.load(tmp_path / "w.npy").any()
    assert names(tmp_path) == ["w.npy"]
    assert write(file, blank=True, resume=True).resumed == 28_000
    writer.write_rows(file.path, npy(tmp_path).tensors[0], 3, 4)
    with pytest.raises(FileExistsError):  # rows that were filled are not lost
        write(file, blank=True, resume=True)


def test_rows_in_any_order_make_the_file(tmp_path):
    write(npy(tmp_path), blank=True)
    path = tmp_path / "w.npy"
    (located,) = formats.locate(formats.read(path), npy(tmp_path).tensors)
    for first, last in ((60, 100), (0, 1), (1, 60), (7, 7)):
        moments = writer.write_rows(path, located, first, last, chunk_bytes=CHUNK)
        assert moments.count == 70 * (last - first)
        np.testing.assert_array_equal(
            np.load(path)[first:last], ift.HeNormal(seed=5)((100, 70))[first:last]
        )
    assert path.read_bytes() == expected()


# ---- stopped and resumed


def test_nothing_is_under_the_final_name_before_the_end(tmp_path):
    folders = set()
    write(npy(tmp_path), advance=lambda _: folders.add(tuple(names(tmp_path))))
    assert folders == {("w.npy.partial",)}


@pytest.mark.parametrize("at", range(1, 8))
def test_a_stopped_write_is_resumed(tmp_path, at):
    undisturbed = write(npy(tmp_path, out="x.npy"), measure=True, sha256=True)
    (tmp_path / "x.npy").unlink()
    stopped(tmp_path, at)
    counts = []
    result = write(npy(tmp_path), resume=True, measure=True, sha256=True, advance=counts.append)
    assert (tmp_path / "w.npy").read_bytes() == expected()
    assert result.resumed >= min(CHUNK * at, 28_000)
    assert result.written + result.resumed == sum(counts) == 28_000
    # To the last digit.
    assert (result.moments, result.sha256) == (undisturbed.moments, undisturbed.sha256)
    assert names(tmp_path) == ["w.npy"]


def test_resume_begins_if_there_is_nothing(tmp_path):
    assert write(npy(tmp_path), resume=True).resumed == 0
    assert (tmp_path / "w.npy").read_bytes() == expected()


def test_a_finished_file_is_compared_by_resume(tmp_path):
    write(npy(tmp_path))
    before = (tmp_path / "w.npy").stat()
    result = write(npy(tmp_path), resume=True, measure=True, sha256=True)
    assert (result.written, result.resumed, result.moments.count) == (0, 28_000, 7000)
    assert result.sha256 == hashlib.sha256(expected()).hexdigest()
    after = (tmp_path / "w.npy").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize("place", [64, 200, 28_127])
def test_a_finished_file_is_never_mended(tmp_path, place):
    write(npy(tmp_path))
    path = tmp_path / "w.npy"
    flip(path, place)
    before = path.read_bytes()
    with pytest.raises(FileExistsError, match="with other values than this command writes"):
        write(npy(tmp_path), resume=True)
    assert path.read_bytes() == before
    assert names(tmp_path) == ["w.npy"]
    write(npy(tmp_path), resume=True, force=True)
    assert path.read_bytes() == expected()


def test_an_unfinished_write_needs_an_option(tmp_path):
    stopped(tmp_path)
    with pytest.raises(FileExistsError, match="use --resume to complete it, or --force"):
        write(npy(tmp_path))
    assert names(tmp_path) == ["w.npy.partial"]
    assert write(npy(tmp_path, seed=6), force=True).resumed == 0
    assert (tmp_path / "w.npy").read_bytes() == expected(6)
    assert names(tmp_path) == ["w.npy"]


def flip(path, place):
    with open(path, "r+b") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 16]))


def zero(path, first, last):
    with open(path, "r+b") as file:
        file.seek(first)
        file.write(bytes(last - first))


DAMAGE = {
    "a bit of the first chunk": lambda path: flip(path, 200),
    "a bit of the last chunk": lambda path: flip(path, 28_000),
    "a page of zeros": lambda path: zero(path, 4096, 8192),
    "no first chunk": lambda path: zero(path, 128, 128 + CHUNK),
    "no header": lambda path: zero(path, 0, 128),
    "half a header": lambda path: zero(path, 64, 128),
    "nothing but the size": lambda path: zero(path, 0, 28_128),
    "cut": lambda path: os.truncate(path, 9000),
    "cut in the header": lambda path: os.truncate(path, 64),
    "empty": lambda path: os.truncate(path, 0),
    "gone": os.unlink,
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_partial_is_mended(tmp_path, damage):
    damage(stopped(tmp_path, 7))
    result = write(npy(tmp_path), resume=True, measure=True)
    assert (tmp_path / "w.npy").read_bytes() == expected()
    assert result.moments.count == 7000
    assert result.written > 0 or "header" in str(damage) or result.resumed == 28_000


def test_only_what_differs_is_written(tmp_path):
    path = stopped(tmp_path, 7)
    flip(path, 10_000)
    result = write(npy(tmp_path), resume=True)
    assert (result.written, result.resumed) == (CHUNK, 28_000 - CHUNK)


OTHERS = {
    "seed": lambda folder: npy(folder, seed=6),
    "shape": lambda folder: npy(folder, shape=(70, 100)),
    "longer": lambda folder: npy(folder, shape=(101, 70)),
    "shorter": lambda folder: npy(folder, shape=(99, 70)),
    "initializer": lambda folder: npy(folder, init=ift.HeUniform),
    "a like initializer": lambda folder: npy(folder, init=ift.LecunNormal),
    "dtype": lambda folder: npy(folder, dtype="float16"),
    "a dtype of the same size": lambda folder: replace(
        npy(folder), header=npyfile.header((100, 70), np.dtype("i4"))
    ),
    "ones": lambda folder: npy(folder, init=lambda seed: ift.Ones()),
    "zeros": lambda folder: npy(folder, init=lambda seed: ift.Zeros()),
}


@pytest.mark.parametrize("at", [1, 7])
@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_a_partial_of_other_values_is_refused(tmp_path, other, at):
    path = stopped(tmp_path, at)
    before = path.read_bytes(), path.stat().st_mtime_ns
    with pytest.raises(
        FileExistsError, match=r"w\.npy\.partial' belongs to another write.*--force"
    ):
        write(other(tmp_path), resume=True)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    write(npy(tmp_path), resume=True)
    assert (tmp_path / "w.npy").read_bytes() == expected()


def test_resume_and_force_start_another_write_again(tmp_path):
    stopped(tmp_path, 7)
    result = write(npy(tmp_path, seed=6), resume=True, force=True)
    assert (result.resumed, (tmp_path / "w.npy").read_bytes()) == (0, expected(6))


def test_another_write_is_known_although_its_first_chunk_is_missing(tmp_path):
    path = stopped(tmp_path, 7)
    zero(path, 128, 128 + CHUNK)
    with pytest.raises(FileExistsError, match="belongs to another write"):
        write(npy(tmp_path, seed=6), resume=True)


@pytest.mark.parametrize(
    "other",
    [
        lambda folder: raw(folder, seed=6),
        lambda folder: raw(folder, shape=(90, 70), init=ift.RandomUniform),
        lambda folder: raw(folder, init=ift.HeUniform),
    ],
)
def test_a_raw_file_has_only_its_values(tmp_path, other):
    first = raw(tmp_path, init=ift.RandomUniform if "Uniform" in str(other) else ift.HeNormal)
    with pytest.raises(Stop):
        write(first, advance=stop_at(7))
    with pytest.raises(FileExistsError, match="belongs to another write"):
        write(other(tmp_path), resume=True)
    write(first, resume=True)
    assert names(tmp_path) == ["w.bin"]


def safetensors(folder, seed=5, init="he_normal"):
    """Return a file of one tensor that does not depend on the seed, and one that does."""
    bias = tensor("bias", ift.Ones(), (2000,))
    kernel = tensor("kernel", ift.get(init).with_seed(ift.Seed(seed).named("kernel")), (100, 70))
    return SAFETENSORS.file(folder / "w.safetensors", [bias, kernel], formats.metadata(None))


@pytest.mark.parametrize("changes", [{"seed": 6}, {"init": "he_uniform"}])
def test_a_first_chunk_of_one_value_says_nothing(tmp_path, changes):
    with pytest.raises(Stop):
        write(safetensors(tmp_path), advance=stop_at(6))
    with pytest.raises(FileExistsError, match="belongs to another write"):
        write(safetensors(tmp_path, **changes), resume=True)
    write(safetensors(tmp_path), resume=True)


def test_the_message_names_what_differs(tmp_path):
    def file(seed, shape=(50, 40)):
        entry = tensor("w", ift.HeNormal(seed=seed), shape)
        return SAFETENSORS.file(tmp_path / "w.safetensors", [entry], formats.metadata(seed))

    with pytest.raises(Stop):
        write(file(1), advance=stop_at(1))
    with pytest.raises(FileExistsError, match="begun with seed 1"):
        write(file(2), resume=True)
    with pytest.raises(FileExistsError, match=r"\(50, 41\); received F32 of shape \(50, 40\)"):
        write(file(1, (50, 41)), resume=True)


@pytest.mark.parametrize("resume", [False, True])
def test_a_file_of_somebody_else_in_the_place_of_the_partial(tmp_path, resume):
    (tmp_path / "w.npy.partial").write_bytes(b"someone's")
    with pytest.raises(FileExistsError, match=r"w\.npy\.partial"):
        write(npy(tmp_path), resume=resume)
    assert (tmp_path / "w.npy.partial").read_bytes() == b"someone's"
    write(npy(tmp_path), resume=resume, force=not resume) if not resume else None


@pytest.mark.parametrize("options", [{}, {"resume": True}, {"force": True}])
def test_a_link_in_the_place_of_the_partial_is_not_written_through(tmp_path, options):
    (tmp_path / "precious").write_bytes(b"precious")
    (tmp_path / "w.npy.partial").symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match="is a symbolic link"):
        write(npy(tmp_path), **options)
    assert (tmp_path / "precious").read_bytes() == b"precious"
    assert names(tmp_path) == ["precious", "w.npy.partial"]


def test_an_existing_file_stays_unless_forced(tmp_path):
    out = tmp_path / "w.npy"
    out.write_bytes(b"precious")
    for options in ({}, {"resume": True}):
        with pytest.raises(FileExistsError, match="use --force to replace it"):
            write(npy(tmp_path), **options)
        assert names(tmp_path) == ["w.npy"]
    with pytest.raises(Stop):
        write(npy(tmp_path), force=True, advance=stop_at(3))
    assert out.read_bytes() == b"precious"
    with pytest.raises(FileExistsError, match="use --force to replace it"):
        write(npy(tmp_path), resume=True)
    assert write(npy(tmp_path), resume=True, force=True).resumed >= 12_288
    assert out.read_bytes() == expected()
    assert names(tmp_path) == ["w.npy"]


def test_a_file_that_came_meanwhile_is_not_replaced(tmp_path):
    out = tmp_path / "w.npy"
    with pytest.raises(FileExistsError, match=r"already exists.*rerun with --resume --force"):
        write(npy(tmp_path), advance=lambda _: out.write_bytes(b"theirs"))
    assert out.read_bytes() == b"theirs"
    assert write(npy(tmp_path), resume=True, force=True).written == 0
    assert out.read_bytes() == expected()
    assert names(tmp_path) == ["w.npy"]


def test_a_kill_between_the_steps_of_the_rename(tmp_path):
    path = stopped(tmp_path, 7)
    path.write_bytes(expected())
    os.link(path, tmp_path / "w.npy")
    assert write(npy(tmp_path), resume=True).written == 0
    assert names(tmp_path) == ["w.npy"]


def test_a_link_as_the_output_is_written_through(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "w.npy").symlink_to(tmp_path / "real" / "out.npy")
    write(npy(tmp_path))
    assert (tmp_path / "w.npy").is_symlink()
    assert (tmp_path / "real" / "out.npy").read_bytes() == expected()
    assert names(tmp_path / "real") == ["out.npy"]


def test_one_writer_at_a_time(tmp_path):
    def meanwhile(_):
        for options in ({}, {"resume": True}, {"force": True}):
            with pytest.raises(BlockingIOError, match="another process is writing"):
                write(npy(tmp_path), **options)

    write(npy(tmp_path), advance=meanwhile)
    assert (tmp_path / "w.npy").read_bytes() == expected()


def test_another_writer_ends_after_the_look_at_the_finished_file(tmp_path, monkeypatch):
    """Compare with the file that another process finished between two steps of this one."""
    file = npy(tmp_path)
    compare, calls = writer._compare_finished, []

    def finish_meanwhile(*arguments, **options):
        result = compare(*arguments, **options)
        calls.append(result)
        if len(calls) == 1:
            assert result is None
            monkeypatch.undo()
            write(file)
            monkeypatch.setattr(writer, "_compare_finished", finish_meanwhile)
        return result

    monkeypatch.setattr(writer, "_compare_finished", finish_meanwhile)
    result = write(file, resume=True)
    assert result.complete and not result.written and calls == [None, result]
    assert names(tmp_path) == ["w.npy"]


def test_two_resumed_writers_at_once(tmp_path):
    """Each writes the file, finds it finished, or gets an error that another process is writing."""
    for _ in range(20):
        results = []

        def work():
            try:
                results.append(write(npy(tmp_path), resume=True).complete)  # noqa: B023
            except BlockingIOError:
                results.append(None)  # noqa: B023

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(results) == 3 and True in results
        assert (tmp_path / "w.npy").read_bytes() == expected()
        assert names(tmp_path) == ["w.npy"]
        (tmp_path / "w.npy").unlink()


def change_partial(change):
    calls = iter(range(1 << 30))

    def advance(_):
        if next(calls) == 2:
            change()

    return advance


def replaced(path):
    path.with_name("other").write_bytes(b"other")
    os.replace(path.with_name("other"), path)


@pytest.mark.parametrize(
    "change",
    [
        lambda path: os.truncate(path, 0),
        os.unlink,
        lambda path: os.replace(path, path.with_name("away")),
        lambda path: os.replace(path.with_name("other"), path),
    ],
)
def test_a_partial_that_is_changed_meanwhile(tmp_path, change):
    (tmp_path / "other").write_bytes(expected())
    path = tmp_path / "w.npy.partial"
    with ift.threads(1), pytest.raises(OSError, match=r"w\.npy\.partial.*run the command again"):
        write(npy(tmp_path), advance=change_partial(lambda: change(path)))
    assert not (tmp_path / "w.npy").exists()


@pytest.mark.parametrize("change", [lambda path: os.truncate(path, 200), os.unlink, replaced])
def test_a_file_that_is_changed_while_its_rows_are_written(tmp_path, change):
    file = npy(tmp_path)
    write(file, blank=True)
    with ift.threads(1), pytest.raises(OSError, match=r"w\.npy.*while its rows.*run the command"):
        writer.write_rows(
            file.path,
            file.tensors[0],
            0,
            100,
            advance=change_partial(lambda: change(file.path)),
            chunk_bytes=CHUNK,
        )
    if file.path.exists():  # no hole, and nothing is written to another file
        assert file.path.stat().st_size in (200, 5)


# ---- errors of the system


def broken_pwrite(monkeypatch, above):
    real = os.pwrite

    def break_down(descriptor, data, offset):
        if offset > above:
            raise OSError(errno.EIO, "Input/output error")
        return real(descriptor, data, offset)

    monkeypatch.setattr(os, "pwrite", break_down)
    return real


def test_an_error_half_way(tmp_path, monkeypatch):
    real = broken_pwrite(monkeypatch, 20_000)
    with pytest.raises(
        OSError, match=r"Input/output error: '.*w.npy.partial'; .* is kept: rerun with --resume$"
    ) as caught:
        write(npy(tmp_path))
    assert caught.value.errno == errno.EIO
    monkeypatch.setattr(os, "pwrite", real)
    assert write(npy(tmp_path), resume=True).resumed > 0
    assert (tmp_path / "w.npy").read_bytes() == expected()


def test_an_error_before_any_data_leaves_nothing(tmp_path, monkeypatch):
    broken_pwrite(monkeypatch, 100)
    with pytest.raises(OSError, match=r"Input/output error: '.*w.npy.partial'$"):
        write(npy(tmp_path))
    assert names(tmp_path) == []


def test_a_disk_that_cannot_sync(tmp_path, monkeypatch):
    def refuse(_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match=r"rerun with --resume"):
        write(npy(tmp_path))
    assert names(tmp_path) == ["w.npy.partial"]


def test_out_of_memory_half_way(tmp_path):
    stopped(tmp_path)
    with pytest.raises(MemoryError, match=r"out of memory; the part already written is kept"):
        write(npy(tmp_path), resume=True, advance=stop_at(2, MemoryError))


@pytest.mark.parametrize("options", ["--resume", "--resume --seed 5"])
def test_ctrl_c(tmp_path, options):
    with pytest.raises(
        KeyboardInterrupt,
        match=rf"interrupted; the part already written is kept: rerun with {options}$",
    ):
        write(npy(tmp_path), advance=stop_at(3, KeyboardInterrupt), resume_options=options)
    assert write(npy(tmp_path), resume=True).resumed >= 12_288
    assert (tmp_path / "w.npy").read_bytes() == expected()


def test_ctrl_c_while_rows_are_written(tmp_path):
    file = npy(tmp_path)
    write(file, blank=True)
    with pytest.raises(KeyboardInterrupt, match="some rows may be written: run the command again"):
        writer.write_rows(
            file.path,
            file.tensors[0],
            0,
            100,
            advance=stop_at(3, KeyboardInterrupt),
            chunk_bytes=CHUNK,
        )
    assert np.load(file.path).any()


def test_a_disk_that_fills_up_while_space_is_reserved(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*partial'$"):
        write(npy(tmp_path))
    assert names(tmp_path) == []


def test_space_is_reserved_in_pieces(tmp_path, monkeypatch):
    """Python hears Ctrl-C only between two calls."""
    pieces = []
    monkeypatch.setattr(
        os, "posix_fallocate", lambda _, start, count: pieces.append((start, count))
    )
    with partial.Partial(tmp_path / "w.npy") as unfinished:
        unfinished.reserve(2**30 + 5)
        unfinished.remove()
    assert max(count for _, count in pieces) <= 2**28
    ends = [start + count for start, count in pieces]
    assert [start for start, _ in pieces] == [0, *ends[:-1]] and ends[-1] == 2**30 + 5


@contextlib.contextmanager
def mounted(folder, *options):
    """Mount a tmpfs at a folder, or skip the test if that is not allowed."""
    folder.mkdir()
    process = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", ",".join(options), "none", folder], capture_output=True
    )
    if process.returncode:
        pytest.skip("only root may mount a file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_full_disk(tmp_path, monkeypatch):
    with mounted(tmp_path / "disk", "size=64k") as disk:
        with pytest.raises(
            OSError,
            match=r"not enough space on the disk: 80,128 bytes needed, [56][0-9],[0-9]+ available",
        ):
            write(npy(disk, shape=(200, 100)))
        assert names(disk) == []
        monkeypatch.setattr(writer, "check_space", lambda *_: None)
        with pytest.raises(OSError, match="No space left on device") as caught:
            write(npy(disk, shape=(200, 100)))
        assert caught.value.errno == errno.ENOSPC
        assert names(disk) == []


def test_a_full_disk_that_cannot_reserve(tmp_path, monkeypatch):
    """The error comes in the middle; once there is space, the rest is written."""

    def refuse(*_):
        raise OSError(errno.EOPNOTSUPP, "not supported")

    with mounted(tmp_path / "disk", "size=64k") as disk:
        (disk / "ballast").write_bytes(bytes(48_000))
        monkeypatch.setattr(writer, "check_space", lambda *_: None)
        monkeypatch.setattr(os, "posix_fallocate", refuse)
        with pytest.raises(OSError, match=r"No space left on device.*rerun with --resume"):
            write(npy(disk))
        assert names(disk) == ["ballast", "w.npy.partial"]
        (disk / "ballast").unlink()
        assert write(npy(disk), resume=True).resumed > 0
        assert (disk / "w.npy").read_bytes() == expected()


def test_a_read_only_folder(tmp_path):
    with mounted(tmp_path / "disk", "size=64k") as disk:
        (disk / "old.npy").write_bytes(b"old")
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        for options in ({}, {"resume": True}, {"force": True}):
            with pytest.raises(OSError, match="Read-only file system"):
                write(npy(disk), **options)
        assert names(disk) == ["old.npy"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_is_not_ours(tmp_path):
    tmp_path.chmod(0o555)
    with pytest.raises(PermissionError):
        write(npy(tmp_path))
    tmp_path.chmod(0o755)
    assert names(tmp_path) == []


LIMITED = """
import resource, signal, sys
from initfast.cli import main  # before the limit, which would also truncate the .pyc files
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
sys.exit(main())
"""


def test_a_file_size_limit(tmp_path):
    """Exceeding a limit such as a quota is an error, and no file is left."""
    arguments = ["fill", tmp_path / "w.npy", "--shape", "100x70", "--init", "ones"]
    process = subprocess.run(
        [sys.executable, "-c", LIMITED, *arguments], capture_output=True, text=True, timeout=60
    )
    assert (process.returncode, process.stdout) == (1, "")
    partial = f"{tmp_path / 'w.npy.partial'}"
    assert process.stderr == f"initfast: error: File too large: {partial!r}\n"
    assert names(tmp_path) == []


@pytest.mark.filterwarnings(
    "ignore:os.fork"
)  # JAX gives this warning if another test has loaded it
def test_a_killed_process_frees_its_lock(tmp_path):
    child = os.fork()
    if not child:
        with contextlib.suppress(BaseException):
            write(npy(tmp_path), advance=lambda _: time.sleep(0.05))
        os._exit(0)
    path = tmp_path / "w.npy.partial"
    while not (path.exists() and path.stat().st_size):
        time.sleep(0.001)
    with pytest.raises(BlockingIOError):
        write(npy(tmp_path), resume=True)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    write(npy(tmp_path), resume=True)
    assert (tmp_path / "w.npy").read_bytes() == expected()


def test_paths_may_be_relative(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(npy(Path()))
    assert names(tmp_path) == ["w.npy"]
    assert partial.partial_path(Path("w.npy")) == Path("w.npy.partial")


@pytest.mark.parametrize("limit", [0, 100])
def test_a_limit_at_the_first_bytes_leaves_nothing(tmp_path, limit):
    arguments = ["fill", tmp_path / "w.npy", "--shape", "100x70", "--init", "ones"]
    script = LIMITED.replace("20_000", str(limit))
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert done.stderr.startswith("initfast: error: File too large: ")
    assert names(tmp_path) == []


AT_THE_RENAME = """
import os, signal, sys
from initfast.cli import main
name = sys.argv.pop(1)
def send(*_, **__):
    os.kill(os.getpid(), getattr(signal, name))
os.link = os.rename = os.replace = send
sys.exit(main())
"""


def at_the_rename(name, *arguments):
    """Start a command line that sends itself a signal when it renames its first file."""
    return subprocess.Popen([sys.executable, "-c", AT_THE_RENAME, name, *map(str, arguments)])


@pytest.mark.parametrize("options", [["--resume"], ["--resume", "--force"]], ids=" ".join)
def test_a_partial_that_is_deleted_after_a_crash(tmp_path, cli, options):
    """The existing file has the same size and header, but the values of another seed."""
    fill = ["fill", tmp_path / "w.npy", "--shape", "30x7", "--init", "he_normal", "--seed"]
    cli(*fill, 1, check=True)
    assert at_the_rename("SIGKILL", *fill, 2, "--force").wait(60) == -signal.SIGKILL
    (tmp_path / "w.npy.partial").unlink()
    done = cli(*fill, 2, *options)
    seed = 2 if "--force" in options else 1
    assert done.code == 2 - seed
    np.testing.assert_array_equal(np.load(tmp_path / "w.npy"), ift.HeNormal(seed=seed)((30, 7)))


def test_a_process_that_is_stopped_at_the_rename_is_not_waited_for(tmp_path, cli):
    fill = ["fill", tmp_path / "w.npy", "--shape", "30x7", "--init", "he_normal", "--seed", 2]
    process = at_the_rename("SIGSTOP", *fill)
    try:
        status = os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        assert status.si_code == os.CLD_STOPPED
        done = cli(*fill, "--resume", timeout=20)
    finally:
        process.kill()
        process.wait()
    assert done.code == 1
    assert "another process is writing" in done.err
    assert done.err.count("\n") == 1
    assert cli(*fill, "--resume").code == 0
    np.testing.assert_array_equal(np.load(tmp_path / "w.npy"), ift.HeNormal(seed=2)((30, 7)))
