"""`initfast bench`: what it compares, what it says of what is not there, and what it refuses."""

import itertools
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from initfast.bench import comparison, fills, peers, tasks
from initfast.cli import bench as cli_bench
from initfast.cli import main


@pytest.fixture
def run(capsys):
    def call(*arguments):
        try:
            code = main(["bench", *map(str, arguments)])
        except SystemExit as error:
            code = error.code
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_the_table(run):
    code, out, err = run("--size", "64K", "--libraries", "numpy", "--threads", 1)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert all(len(line) <= 100 for line in lines)
    assert lines[0].startswith("16,384 float32 (0.0655 MB), 1 thread, ")
    assert lines[1].split() == ["uniform", "normal", "truncated", "normal"]
    assert [line[:22].rstrip() for line in lines[2:]] == [
        "initfast",
        "numpy PCG64",
        "numpy SFC64",
        "numpy Philox",
        "memset",
    ]
    for line in lines[3:6]:
        assert line.endswith(" -")  # NumPy draws no truncated normals
        assert len(re.findall(r"\d\.\d\dx( |$)", line)) == 2


@pytest.mark.parametrize("dtype", tasks.DTYPES)
def test_json(run, dtype):
    code, out, err = run(
        "--size", "16K", "--dtype", dtype, "--libraries", "numpy", "--threads", 2, "--json"
    )
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["threads"] == 2 and found["missing"] == {}
    assert {row["library"] for row in found["rows"]} >= {"initfast", "memset"}
    for row in found["rows"]:
        assert row["dtype"] == dtype and row["bytes"] == 2**14 and "error" not in row
        assert row["GB/s"] == pytest.approx(row["bytes"] / row["seconds"] / 1e9)
        if row["library"] == "initfast":
            assert row["initfast is faster by"] == 1.0


def test_what_is_not_installed_is_told(run, monkeypatch):
    monkeypatch.setattr(peers, "is_installed", lambda peer: peer.module != "torch")
    _, out, _ = run("--size", "16K", "--libraries", "numpy,torch", "--threads", 1)
    assert out.splitlines()[-1] == "torch: not installed"
    assert "numpy SFC64" in out


def test_what_cannot_be_imported_is_told(run, monkeypatch):
    def broken(peer):
        if peer.module == "mkl":
            raise ImportError("libmkl_rt does not load: it is broken\nsecond line")

    monkeypatch.setattr(peers, "is_installed", lambda peer: True)
    monkeypatch.setattr(peers, "ready", broken)
    code, out, _ = run("--size", "16K", "--libraries", "mkl", "--threads", 1)
    assert code == 0
    assert out.splitlines()[-1] == "mkl: cannot be imported: libmkl_rt does not load: it is broken"
    assert "mkl ARS5" not in out


def test_a_library_that_draws_something_else_has_no_speed(run, monkeypatch):
    half = peers.Peer("half", "numpy", lambda job: lambda: job.memory[: job.size // 2].fill(0.5))
    broken = peers.Peer("broken", "numpy", lambda job: 1 / 0)
    monkeypatch.setattr(peers, "others", lambda: [half, broken, peers.MEMSET])
    code, out, _ = run("--size", "16K", "--libraries", "numpy", "--threads", 1)
    assert code == 0
    rows = {line[:22].rstrip(): line[22:].split() for line in out.splitlines()}
    assert rows["half"] == ["wrong"] * 3
    assert rows["broken"] == ["failed"] * 3
    assert "half: wrong: normal: not everything was written, or not with numbers" in out
    assert "broken: failed: ZeroDivisionError: division by zero" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--size", "64Q"],
            "--size must be bytes, at least 64 elements, such as 64K, 32M or 1G; received '64Q'",
        ),
        (
            ["--size", "63"],
            "--size must be bytes, at least 64 elements, such as 64K, 32M or 1G; received '63'",
        ),
        (
            ["--dtype", "int8"],
            "--dtype must be one of float32, float64, float16, bfloat16; received 'int8'",
        ),
        (["--threads", "0"], "--threads must be an integer from 1 to 1024; received '0'"),
        (
            ["--libraries", "numpy,nampy"],
            "--libraries must be among numpy, torch, jax, tensorflow, mkl, keras, mkl_random; received 'nampy'",
        ),
    ],
)
def test_what_is_refused(run, arguments, message):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err.splitlines()[0] == f"initfast: error: {message}"


def test_no_engine_is_imported_that_was_not_asked_for():
    code = (
        "import sys; from initfast.cli import main; main(['bench', '--size', '16K', '--libraries', 'numpy']);"
        "print([name for name in ('torch', 'jax', 'tensorflow', 'keras', 'matplotlib') if name in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.splitlines()[-1] == "[]"


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system has no affinities")
def test_the_process_has_its_cores_back():
    before = os.sched_getaffinity(0)
    with cli_bench.confined_to(1):
        assert len(os.sched_getaffinity(0)) == 1
    assert os.sched_getaffinity(0) == before


def test_every_peer_that_is_installed_does_what_it_says(monkeypatch):
    """Every library by every route that its row names, on one thread and on three."""
    monkeypatch.setattr(fills, "_WORTH_THREADS", 0)
    size = 5000
    for peer in [*peers.own(), *peers.others()]:
        if not peers.is_installed(peer) or peer.module in (
            "tensorflow",
            "keras",
            "jax",
        ):  # seconds to import
            continue
        for task, dtype, threads in itertools.product(peer.tasks, peer.dtypes, (1, 3)):
            for memory in (comparison.aligned_memory(size, dtype), None):
                if peer.does(task, dtype, in_place=memory is not None):
                    with peers.using_threads(threads):
                        comparison.prepared(peer, fills.Job(task, dtype, size, memory))
                if memory is not None and peer.random and peer.in_place:
                    parts = np.array_split(memory.astype("f8"), 3)
                    assert not np.array_equal(parts[0][:1600], parts[1][:1600]), (
                        "threads that draw the same"
                    )
