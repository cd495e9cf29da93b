"""Writing files: whole or not at all, the same bytes however often it is stopped and however many
share the work.
"""

import contextlib
import errno
import hashlib
import math
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

import initfast as ift
from initfast.core import dtypes
from initfast.core.moments import measure
from initfast.files import containers, journal, pumping, runs, targets, writing
from initfast.files.containers import Tensor
from initfast.files.writing import Job, write


@pytest.fixture(autouse=True)
def small_runs(monkeypatch):
    monkeypatch.setattr(runs, "CHUNK_BYTES", 4096)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def tensor(name, init, shape, dtype="float32"):
    return Tensor(name, init, shape, dtypes.resolve_numeric(dtype))


def job(folder, seed=5, shape=(100, 70), out="w.npy"):
    made = tensor(None, ift.HeNormal(seed=seed), shape)
    return Job(
        (containers.npy(folder / out, made),), {"seed": seed, "shape": list(shape)}, folder / out
    )


def expected(seed=5, shape=(100, 70)):
    return (
        containers.npyfile.header(shape, dtypes.FLOAT32) + ift.HeNormal(seed=seed)(shape).tobytes()
    )


class Stop(Exception):
    pass


def stop_at(count, error=Stop):
    """An `advance` that ends the write after so many calls, once a claim has been made."""
    calls = iter(range(1, 1 << 30))

    def advance(_):
        if next(calls) == count:
            raise error

    return advance


@pytest.fixture
def claimed(monkeypatch):
    """Claims at every run, so that a write can be stopped with something said."""
    real = writing.Claims.reached

    def reached(self, done, moments=None):
        real(self, done, moments)
        self._claim()

    monkeypatch.setattr(writing.Claims, "reached", reached)


def stopped(folder, at=3, **options):
    """A write that was stopped in the middle."""
    with pytest.raises(Stop):
        write(job(folder), advance=stop_at(at), **options)
    assert names(folder) == ["w.npy.partial", "w.npy.partial.json"]


# ---- runs and spans

SHAPES = [
    [(5,)],
    [(1,)],
    [()],
    [(0,)],
    [(2000, 3)],
    [(7, 11), (0, 4), (), (1500,), (3,)],
    [],
    [(0,), (0, 3)],
]


def files(shapes, dtype="float32", split=2):
    tensors = [tensor(f"t{i}", ift.Zeros(), shape, dtype) for i, shape in enumerate(shapes)]
    return [
        containers.safetensors(f"{i}", tensors[i : i + split])
        for i in range(0, max(1, len(tensors)), split)
    ]


@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8", "float64"])
@pytest.mark.parametrize("shapes", SHAPES)
@pytest.mark.parametrize("workers", [1, 2, 3, 7, 50])
def test_spans_and_runs_cover_all_data_once(shapes, dtype, workers):
    made = files(shapes, dtype)
    total = sum(file.data_bytes for file in made)
    cut = runs.cuts(made, workers)
    assert (len(cut), cut[0], cut[-1]) == (workers + 1, 0, total)
    assert list(cut) == sorted(cut)
    covered = [np.zeros(file.size, np.uint8) for file in made]
    position = 0
    for low, high in pairwise(cut):
        for run in runs.runs(made, low, high):
            assert 0 < run.nbytes <= runs.CHUNK_BYTES
            assert run.position == position
            position += run.nbytes
            covered[run.file][run.offset : run.offset + run.nbytes] += 1
            assert run.offset + run.nbytes <= run.tensor.offset + run.tensor.nbytes
    for file, marks in zip(made, covered, strict=True):
        assert (marks[: len(file.header)] == 0).all()
        assert (marks[len(file.header) :] == 1).all()
    owners = [runs.owner(position, cut) for position in range(total + 1)]
    assert owners == sorted(owners)
    assert owners[-1] == workers


@pytest.mark.parametrize("workers", [2, 3, 8, 64])
def test_spans_are_nearly_equal(workers, monkeypatch):
    monkeypatch.undo()
    shapes = [(50257, 768), (1024, 768), (768,), (768, 2304), (2304,), (4096, 4096)]
    cut = runs.cuts(files(shapes, "bfloat16"), workers)
    lengths = np.diff(cut)
    assert lengths.max() <= 1.3 * cut[-1] / workers
    assert lengths.min() >= 0.7 * cut[-1] / workers


def test_runs_do_not_depend_on_where_a_write_begins():
    made = files([(5000,), (3000,)])
    whole = list(runs.runs(made, 0, 32_000))
    for number, run in enumerate(whole):
        assert list(runs.runs(made, run.position, 32_000)) == whole[number:]


def test_runs_of_an_array_far_beyond_memory_are_made_one_at_a_time():
    huge = [containers.raw("x.bin", tensor(None, ift.Zeros(), (2**31, 2**31)))]
    run = next(runs.runs(huge, 2**40, 2**64))
    assert (run.start, run.size) == (2**38, 1024)


# ---- what is written


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("workers", [1, 2, 5])
def test_the_bytes_depend_on_neither_threads_nor_workers(tmp_path, threads, workers):
    with ift.threads(threads):
        results = [write(job(tmp_path), worker=(k, workers)) for k in range(1, workers + 1)]
    assert (tmp_path / "w.npy").read_bytes() == expected()
    assert names(tmp_path) == ["w.npy"]
    assert [result.complete for result in results] == [False] * (workers - 1) + [True]
    assert sum(result.written for result in results) == 28_000
    spans = [writing.span_bytes(job(tmp_path), (k, workers)) for k in range(1, workers + 1)]
    assert spans == [result.written for result in results]


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
    write(Job((containers.safetensors(path, tensors, containers.metadata(7)),), {}, path))
    if dtype in ("float16", "float32", "float64"):
        found = pytest.importorskip("safetensors.numpy").load_file(path)
    else:
        torch, reader = pytest.importorskip("torch"), pytest.importorskip("safetensors.torch")
        bits = {1: torch.uint8, 2: torch.uint16}[kind.itemsize]
        found = {name: loaded.view(bits).numpy() for name, loaded in reader.load_file(path).items()}
    assert set(found) == set(INITS)
    for name, init in INITS.items():
        whole = init.block((70, 60), ..., dtype).tobytes()
        assert found[name].tobytes() == whole, name
        alone = containers.raw(tmp_path / f"{name}.bin", tensor(None, init, (70, 60), dtype))
        write(Job((alone,), {}, alone.path))
        assert alone.path.read_bytes() == whole, name


@pytest.mark.parametrize("dtype", ["int64", "bool", "uint8", "int16"])
def test_constants_of_other_dtypes(tmp_path, dtype):
    numpy = pytest.importorskip("safetensors.numpy")
    path = tmp_path / "w.safetensors"
    tensors = [tensor("a", ift.Ones(), (3000,), dtype), tensor("b", ift.Zeros(), (), dtype)]
    write(Job((containers.safetensors(path, tensors),), {}, path))
    found = numpy.load_file(path)
    assert found["a"].dtype == dtype
    assert (found["a"] == 1).all()
    assert found["b"].shape == ()


def test_numpy_loads_ours(tmp_path):
    write(job(tmp_path))
    np.testing.assert_array_equal(np.load(tmp_path / "w.npy"), ift.HeNormal(seed=5)((100, 70)))
    made = tensor(None, ift.HeNormal(seed=5), (100, 70), "bfloat16")
    write(Job((containers.npy(tmp_path / "b.npy", made),), {}, tmp_path / "b.npy"))
    np.testing.assert_array_equal(
        np.load(tmp_path / "b.npy").view(ml_dtypes.bfloat16),
        ift.HeNormal(seed=5)((100, 70), "bfloat16"),
    )


def test_a_tensor_that_is_made_whole_is_made_once(tmp_path, monkeypatch):
    calls = []
    real = ift.Orthogonal._whole
    monkeypatch.setattr(
        ift.Orthogonal, "_whole", lambda self, *a, **k: calls.append(self) or real(self, *a, **k)
    )
    tensors = [tensor(name, ift.Orthogonal(seed=1), (64, 64)) for name in "ab"]
    file = containers.safetensors(tmp_path / "w.safetensors", tensors)
    for _ in range(2):
        write(
            Job((file,), {}, tmp_path / "w"), force=True
        )  # twice: the same seed is no mistake here
    assert len(calls) == 4


def test_moments_digest_and_progress(tmp_path):
    digest, seen = hashlib.sha256(), []
    result = write(job(tmp_path), measure=True, digest=digest, advance=seen.append)
    raw = (tmp_path / "w.npy").read_bytes()
    assert digest.hexdigest() == hashlib.sha256(raw).hexdigest()
    assert (sum(seen), max(seen)) == (28_000, 4096)
    exact = measure(np.load(tmp_path / "w.npy").reshape(-1))
    assert (result.moments.count, result.moments.minimum, result.moments.maximum) == (
        7000,
        exact.minimum,
        exact.maximum,
    )
    assert result.moments.std == pytest.approx(exact.std, rel=1e-12)
    assert write(job(tmp_path, out="x.npy")).moments is None


def test_files_without_data(tmp_path):
    none = job(tmp_path, shape=(0, 5))
    assert write(none, measure=True).moments.count == 0
    assert np.load(tmp_path / "w.npy").shape == (0, 5)
    made = files([(0,), (0, 3), (2,), (0,)], split=1)
    made = tuple(replace(file, path=tmp_path / f"{i}.safetensors") for i, file in enumerate(made))
    for k in (1, 2, 3):
        write(Job(made, {}, tmp_path / "model"), worker=(k, 3))
    assert names(tmp_path) == [
        "0.safetensors",
        "1.safetensors",
        "2.safetensors",
        "3.safetensors",
        "w.npy",
    ]
    assert all(
        (tmp_path / f"{i}.safetensors").read_bytes()[: len(f.header)] == f.header
        for i, f in enumerate(made)
    )


def test_blank_files_are_zero_whatever_lay_there(tmp_path):
    (tmp_path / "w.npy.partial").write_bytes(b"x" * 100_000)
    write(job(tmp_path), blank=True, force=True)
    assert not np.load(tmp_path / "w.npy").any()
    assert names(tmp_path) == ["w.npy"]


def test_rows_in_any_order_make_the_file(tmp_path):
    write(job(tmp_path), blank=True)
    path = tmp_path / "w.npy"
    located = containers.locate(
        containers.read(path), tensor(None, ift.HeNormal(seed=5), (100, 70))
    )
    for first, last in ((60, 100), (0, 1), (1, 60), (7, 7)):
        moments = writing.write_rows(path, located, first, last, measure=True)
        assert moments.count == 70 * (last - first)
        np.testing.assert_array_equal(
            np.load(path)[first:last], ift.HeNormal(seed=5)((100, 70))[first:last]
        )
    assert path.read_bytes() == expected()


# ---- stopped and continued


def test_nothing_is_under_the_final_name_before_the_end(tmp_path):
    seen = set()
    write(job(tmp_path), advance=lambda _: seen.add(tuple(names(tmp_path))))
    assert seen == {("w.npy.partial", "w.npy.partial.json")}


@pytest.mark.parametrize("at", range(1, 8))
def test_a_write_goes_on_where_it_was_stopped(tmp_path, claimed, at):
    first, whole = hashlib.sha256(), hashlib.sha256()
    undisturbed = write(job(tmp_path, out="x.npy"), measure=True, digest=whole)
    (tmp_path / "x.npy").unlink()
    stopped(tmp_path, at, measure=True, digest=first)
    digest, seen = hashlib.sha256(), []
    result = write(job(tmp_path), resume=True, measure=True, digest=digest, advance=seen.append)
    assert (tmp_path / "w.npy").read_bytes() == expected()
    assert digest.digest() == hashlib.sha256(expected()).digest() == whole.digest()
    assert result.resumed == min(4096 * at, 28_000)
    assert result.written + result.resumed == sum(seen) == 28_000
    assert result.moments == undisturbed.moments  # to the last digit
    assert names(tmp_path) == ["w.npy"]


def test_moments_that_are_not_known_are_measured_again(tmp_path, claimed):
    stopped(tmp_path)
    assert write(job(tmp_path), resume=True, measure=True).moments.count == 7000
    assert (tmp_path / "w.npy").read_bytes() == expected()


def test_before_anything_is_said_nothing_is_kept(tmp_path):
    with pytest.raises(Stop):
        write(job(tmp_path), advance=stop_at(3))
    assert names(tmp_path) == []


def test_resume_begins_where_there_is_nothing(tmp_path):
    assert write(job(tmp_path), resume=True).resumed == 0
    assert (tmp_path / "w.npy").read_bytes() == expected()


def test_an_unfinished_write_wants_a_word(tmp_path, claimed):
    stopped(tmp_path)
    with pytest.raises(FileExistsError, match="--resume continues it, --force starts again"):
        write(job(tmp_path))
    assert names(tmp_path) == ["w.npy.partial", "w.npy.partial.json"]
    assert write(job(tmp_path, seed=6), force=True).resumed == 0
    assert (tmp_path / "w.npy").read_bytes() == expected(6)
    assert names(tmp_path) == ["w.npy"]


@pytest.mark.parametrize("force", [False, True])
def test_another_identity_is_not_continued(tmp_path, claimed, force):
    stopped(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for other, message in (
        (job(tmp_path, seed=6), "with what it began with, seed 5; received 6 "),
        (job(tmp_path, shape=(70, 100)), r"shape \[100, 70\]; received \[70, 100\]"),
        (
            replace(job(tmp_path), identity={**job(tmp_path).identity, "new": 1}),
            "new nothing; received 1",
        ),
        (replace(job(tmp_path), identity={"seed": 5}), r"shape \[100, 70\]; received nothing"),
        (replace(job(tmp_path), notes=((tmp_path / "note", b"x"),)), "layout"),
    ):
        with pytest.raises(OSError, match=message):
            write(other, resume=True, force=force)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    write(job(tmp_path), resume=True)
    assert (tmp_path / "w.npy").read_bytes() == expected()


def test_another_version_of_initfast_is_not_continued(tmp_path, claimed, monkeypatch):
    stopped(tmp_path)
    monkeypatch.setattr(ift, "__version__", "9.9")
    with pytest.raises(OSError, match=r'initfast "[0-9.]+"; received "9.9"'):
        write(job(tmp_path), resume=True)


def test_a_partial_that_is_gone_or_cut_is_not_continued(tmp_path, claimed):
    stopped(tmp_path)
    waiting = tmp_path / "w.npy.partial"
    os.truncate(waiting, 100)
    with pytest.raises(
        OSError,
        match=r"must have 28,128 bytes, by the sidecar .*; received 100 \(--force starts again",
    ):
        write(job(tmp_path), resume=True)
    waiting.unlink()
    with pytest.raises(OSError, match="received no file"):
        write(job(tmp_path), resume=True)
    assert names(tmp_path) == ["w.npy.partial.json"]
    write(job(tmp_path), force=True)
    assert (tmp_path / "w.npy").read_bytes() == expected()


@pytest.mark.parametrize("resume", [False, True])
def test_a_partial_without_a_sidecar(tmp_path, resume):
    (tmp_path / "w.npy.partial").write_bytes(b"someone's")
    with pytest.raises(FileExistsError, match=r"must have a sidecar; received .* without one"):
        write(job(tmp_path), resume=resume)
    assert names(tmp_path) == ["w.npy.partial"]
    assert (tmp_path / "w.npy.partial").read_bytes() == b"someone's"
    write(job(tmp_path), resume=resume, force=True)
    assert (tmp_path / "w.npy").read_bytes() == expected()


def test_foreign_and_damaged_sidecars(tmp_path, claimed):
    sidecar = tmp_path / "w.npy.partial.json"
    sidecar.write_bytes(b'{"my": "notes"}\n')
    for options in ({}, {"resume": True}, {"force": True}):
        with pytest.raises(journal.DamagedError, match="move it away"):
            write(job(tmp_path), **options)
        assert sidecar.read_bytes() == b'{"my": "notes"}\n'
    sidecar.unlink()
    stopped(tmp_path)
    text = sidecar.read_bytes()
    spoiled = text.replace(b'{"done": 8192}', b'{"done": 8292}')
    assert spoiled != text
    sidecar.write_bytes(spoiled)
    for options in ({}, {"resume": True}, {"resume": True, "force": True}):
        with pytest.raises(
            journal.DamagedError, match=r"received .* in line 3 \(--force starts again\)"
        ):
            write(job(tmp_path), **options)
    assert sidecar.read_bytes() == spoiled
    sidecar.write_bytes(text + b'{"done": 999')  # torn
    assert write(job(tmp_path), resume=True).resumed == 12_288
    assert (tmp_path / "w.npy").read_bytes() == expected()


def test_a_sidecar_that_says_more_than_there_is(tmp_path):
    with journal.lock(tmp_path / "w.npy.partial.json") as held:
        plan = writing.plan(job(tmp_path), (1, 1))
        held.begin(plan.header(1))
        held.done(10**9)
    with pytest.raises(journal.DamagedError, match="1000000000 bytes of a span of 28000"):
        write(job(tmp_path), resume=True)


def test_an_existing_file_stays_unless_forced(tmp_path, claimed):
    out = tmp_path / "w.npy"
    out.write_bytes(b"precious")
    for options in ({}, {"resume": True}):
        with pytest.raises(FileExistsError, match="only with --force"):
            write(job(tmp_path), **options)
        assert names(tmp_path) == ["w.npy"]
    with pytest.raises(Stop):
        write(job(tmp_path), force=True, advance=stop_at(3))
    assert out.read_bytes() == b"precious"
    with pytest.raises(FileExistsError, match="only with --force"):
        write(job(tmp_path), resume=True)
    assert write(job(tmp_path), resume=True, force=True).resumed == 12_288
    assert out.read_bytes() == expected()


def test_a_file_that_came_meanwhile_is_not_replaced(tmp_path):
    out = tmp_path / "w.npy"
    with pytest.raises(
        FileExistsError,
        match=r"only with --force; received .*; what is written stays: rerun with --resume --force",
    ):
        write(job(tmp_path), advance=lambda _: out.write_bytes(b"theirs"))
    assert out.read_bytes() == b"theirs"
    assert write(job(tmp_path), resume=True, force=True).written == 0
    assert out.read_bytes() == expected()
    assert names(tmp_path) == ["w.npy"]


def test_a_link_is_written_through(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "w.npy").symlink_to(tmp_path / "real" / "out.npy")
    write(job(tmp_path))
    assert (tmp_path / "w.npy").is_symlink()
    assert (tmp_path / "real" / "out.npy").read_bytes() == expected()
    assert names(tmp_path / "real") == ["out.npy"]


# ---- several workers


def test_workers_of_another_division_or_job_are_refused(tmp_path):
    write(job(tmp_path), worker=(2, 3))
    for worker, message in (
        ((1, 1), "3 in all; received worker 1 of 1"),
        ((1, 2), "3 in all; received worker 1 of 2"),
    ):
        with pytest.raises(FileExistsError, match=message):
            write(job(tmp_path), worker=worker, force=True)
    with pytest.raises(OSError, match=r"seed 5; received 6 .*delete it to start again"):
        write(job(tmp_path, seed=6), worker=(1, 3), force=True)
    assert names(tmp_path) == ["w.npy.partial", "w.npy.partial.2-of-3.json"]
    with pytest.raises(FileExistsError, match="--resume continues it"):
        write(job(tmp_path), worker=(2, 3))
    assert write(job(tmp_path), worker=(2, 3), resume=True).written == 0
    for k in (3, 1):
        write(job(tmp_path), worker=(k, 3))
    assert (tmp_path / "w.npy").read_bytes() == expected()


@pytest.mark.parametrize("worker", [(0, 1), (2, 1), (-1, 3), (1, 0)])
def test_workers_that_cannot_be(tmp_path, worker):
    with pytest.raises(ValueError, match=r"must be \(K, N\) with K from 1 to N"):
        write(job(tmp_path), worker=worker)


def test_a_worker_that_starts_again_does_not_spoil_the_others(tmp_path):
    write(job(tmp_path), worker=(2, 2))
    with pytest.raises(Stop):
        write(job(tmp_path), worker=(1, 2), advance=stop_at(1))
    write(job(tmp_path), worker=(1, 2), force=True)
    assert (tmp_path / "w.npy").read_bytes() == expected()


def test_two_finishers_at_once(tmp_path, monkeypatch):
    """Both have said that they are finished, and both look at the same time."""
    barrier, real = threading.Barrier(2, timeout=60), writing.finishing.finish

    def finish(plan, *, force):
        barrier.wait()
        return real(plan, force=force)

    monkeypatch.setattr(writing.finishing, "finish", finish)
    for round_ in range(10):
        results = []

        def work(k):
            results.append(write(job(tmp_path), worker=(k, 2)).complete)  # noqa: B023

        workers = [threading.Thread(target=work, args=(k,)) for k in (1, 2)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert results == [True, True], round_
        assert (tmp_path / "w.npy").read_bytes() == expected()
        assert names(tmp_path) == ["w.npy"]
        (tmp_path / "w.npy").unlink()


def test_a_live_process_is_not_disturbed(tmp_path):
    def meanwhile(_):
        for options in ({}, {"resume": True}, {"force": True}):
            with pytest.raises(BlockingIOError, match="one process at a time"):
                write(job(tmp_path), **options)

    write(job(tmp_path), advance=meanwhile)
    assert (tmp_path / "w.npy").read_bytes() == expected()


def test_names_that_are_one_file(tmp_path):
    (tmp_path / "b.npy").symlink_to(tmp_path / "a.npy")
    two = tuple(job(tmp_path, out=name).files[0] for name in ("a.npy", "b.npy"))
    with pytest.raises(ValueError, match="must have different names"):
        write(Job(two, {}, tmp_path / "model"))


# ---- what the system refuses


def test_an_error_half_way(tmp_path, monkeypatch, claimed):
    real = os.pwrite

    def break_down(descriptor, data, offset):
        if offset > 20_000:
            raise OSError(errno.EIO, "Input/output error")
        return real(descriptor, data, offset)

    monkeypatch.setattr(os, "pwrite", break_down)
    with pytest.raises(
        OSError, match=r"Input/output error; what is written stays: rerun with --resume$"
    ) as caught:
        write(job(tmp_path))
    assert caught.value.errno == errno.EIO
    monkeypatch.setattr(os, "pwrite", real)
    assert write(job(tmp_path), resume=True).resumed > 0
    assert (tmp_path / "w.npy").read_bytes() == expected()


def test_a_disk_that_does_not_keep_its_word(tmp_path, monkeypatch, claimed):
    """After a sync that failed, nothing more is claimed: what the disk has lost, it may not tell
    again.
    """
    real, calls = targets.sync_data, []

    def refuse(descriptor):
        calls.append(descriptor)
        if len(calls) == 3:
            raise OSError(errno.EIO, "Input/output error")
        real(descriptor)

    monkeypatch.setattr(targets, "sync_data", refuse)
    with pytest.raises(OSError, match="rerun with --resume"):
        write(job(tmp_path))
    assert len(calls) == 3
    assert journal.read(tmp_path / "w.npy.partial.json").done == 8192


def test_out_of_memory_half_way(tmp_path, monkeypatch, claimed):
    def refuse(*_):
        raise MemoryError

    stopped(tmp_path)
    monkeypatch.setattr(pumping.buffers, "empty", refuse)
    with pytest.raises(
        MemoryError, match="out of memory; what is written stays: rerun with --resume"
    ):
        write(job(tmp_path), resume=True)


def test_ctrl_c_claims_what_is_written(tmp_path, claimed):
    with pytest.raises(
        KeyboardInterrupt, match="interrupted; what is written stays: rerun with --resume"
    ):
        write(job(tmp_path), advance=stop_at(3, KeyboardInterrupt))
    assert write(job(tmp_path), resume=True).resumed >= 12_288
    assert (tmp_path / "w.npy").read_bytes() == expected()


def test_ctrl_c_before_anything_is_said(tmp_path):
    with pytest.raises(KeyboardInterrupt) as caught:
        write(job(tmp_path), advance=stop_at(3, KeyboardInterrupt))
    assert not str(caught.value)
    assert names(tmp_path) == []


def test_a_disk_that_fills_up_while_space_is_reserved(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(OSError, match=r"No space left on device$"):
        write(job(tmp_path))
    assert names(tmp_path) == []


@contextlib.contextmanager
def mounted(folder, *options):
    """A tmpfs of its own; skips where that is not allowed."""
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", ",".join(options), "none", folder], capture_output=True
    )
    if done.returncode:
        pytest.skip("only root may mount a file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_full_disk(tmp_path, monkeypatch):
    with mounted(tmp_path / "disk", "size=64k") as disk:
        with pytest.raises(
            OSError,
            match=r"the file must fit on the disk: 80,128 bytes needed, 6[0-9],[0-9]+ available",
        ):
            write(job(disk, shape=(200, 100)))
        assert names(disk) == []
        monkeypatch.setattr(targets, "check_space", lambda *_: None)
        with pytest.raises(OSError, match="No space left on device") as caught:
            write(job(disk, shape=(200, 100)))
        assert caught.value.errno == errno.ENOSPC
        assert names(disk) == []


def test_a_full_disk_that_cannot_reserve(tmp_path, monkeypatch, claimed):
    """It shows in the middle; once there is room, the rest is written."""
    with mounted(tmp_path / "disk", "size=64k") as disk:
        (disk / "ballast").write_bytes(bytes(48_000))
        monkeypatch.setattr(targets, "check_space", lambda *_: None)
        monkeypatch.setattr(
            targets, "reserve", lambda descriptor, size, *_: os.ftruncate(descriptor, size)
        )
        with pytest.raises(OSError, match=r"No space left on device.*rerun with --resume"):
            write(job(disk))
        assert names(disk) == ["ballast", "w.npy.partial", "w.npy.partial.json"]
        (disk / "ballast").unlink()
        assert write(job(disk), resume=True).resumed > 0
        assert (disk / "w.npy").read_bytes() == expected()


def test_a_read_only_folder(tmp_path):
    with mounted(tmp_path / "disk", "size=64k") as disk:
        (disk / "old.npy").write_bytes(b"old")
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        for options in ({}, {"resume": True}, {"force": True}):
            with pytest.raises(OSError, match="Read-only file system"):
                write(job(disk), **options)
        assert names(disk) == ["old.npy"]


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere"
)
def test_a_folder_that_is_not_ours(tmp_path):
    tmp_path.chmod(0o555)
    with pytest.raises(PermissionError):
        write(job(tmp_path))
    tmp_path.chmod(0o755)
    assert names(tmp_path) == []


def test_a_file_size_limit(tmp_path):
    """As a quota, it comes from the system in the middle of nothing: an error, and nothing left."""
    resource = pytest.importorskip("resource")
    code = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        "import sys; from initfast.cli import main; sys.exit(main())"
    )
    assert resource.RLIMIT_FSIZE
    command = [
        sys.executable,
        "-c",
        code,
        "fill",
        tmp_path / "w.npy",
        "--shape",
        "100x70",
        "--init",
        "ones",
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "initfast: error: File too large\n"
    assert names(tmp_path) == []


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="kills are POSIX's")
def test_a_killed_process_frees_its_lock(tmp_path):
    code = f"""
import sys, time
from initfast.files import pumping, runs
real = pumping.make
pumping.make = lambda *arguments: (time.sleep(0.05), real(*arguments))
runs.CHUNK_BYTES = 4096
from initfast import cli
sys.exit(cli.main(["fill", {str(tmp_path / "w.npy")!r}, "--shape", "100x70", "--init", "he_normal", "--seed", "5"]))
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    while not (tmp_path / "w.npy.partial").exists() and process.poll() is None:
        time.sleep(0.01)
    sidecar = tmp_path / "w.npy.partial.json"
    with pytest.raises(BlockingIOError):
        journal.lock(sidecar)
    process.kill()
    process.communicate()
    with journal.lock(sidecar) as held:
        assert held.state() is not None


def test_where_flat_runs_come_from():
    shape = (13, 7, 5)
    for name, init in INITS.items():
        if name == "identity":
            continue
        if name == "table":
            init = ift.Constant(np.arange(5.0))
        alone = ift.deserialize(ift.serialize(init))
        whole = alone(shape).reshape(-1)
        for start, count in ((0, math.prod(shape)), (3, 100), (454, 1), (455, 0)):
            out = init.fill_run(np.full(count, np.nan, np.float32), shape, start)
            assert out.tobytes() == whole[start : start + count].tobytes(), name
    init = ift.HeNormal(seed=1)
    raw = init.fill_run(bytearray(8), (9, 9), 77, dtype="bfloat16")
    assert bytes(raw) == init.block((9, 9), np.s_[8, 5:], "bfloat16").tobytes()
    for start, out, message in (
        (-1, np.empty(2), "must lie within the 81 elements"),
        (80, np.empty(2), "from element 80 on"),
        (0, np.empty((2, 2)), r"one dim; received shape \(2, 2\)"),
    ):
        with pytest.raises(ValueError, match=message):
            init.fill_run(out, (9, 9), start)


def test_paths_may_be_relative(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(job(Path()))
    assert names(tmp_path) == ["w.npy"]
