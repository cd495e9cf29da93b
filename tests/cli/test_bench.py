"""`initfast bench`: its comparison, its checks, its timing, and its errors."""

import argparse
import itertools
import json
import math
import re
import sys

import numpy as np
import pytest

import initfast as ift
from initfast.cli import _race as race
from initfast.cli import bench

SIZE = 100_000


def table(capsys, *arguments, rivals=()):
    """Return the cells of the table with other rivals, by library, and the text."""
    parser = argparse.ArgumentParser()
    bench.add_arguments(parser)
    bench.run(parser.parse_args(["--size", "16K", "--threads", "1", *arguments]), rivals)
    text = capsys.readouterr().out
    return {line[:16].rstrip(): line[16:].split() for line in text.splitlines()}, text


# ---- the command


def test_the_table(cli):
    result = cli("bench", "--size", "64K", "--libraries", "numpy", "--threads", 1, check=True)
    assert result.err == ""
    lines = result.out.splitlines()
    assert all(len(line) <= 100 for line in lines)
    assert lines[0].startswith("16,384 float32 (0.0655 MB), 1 thread, ")
    assert lines[1].split() == ["uniform", "normal", "truncated", "normal"]
    assert [line[:16].rstrip() for line in lines[2:]] == [
        "initfast",
        "numpy PCG64",
        "numpy SFC64",
        "numpy Philox",
        "memset",
    ]
    for line in lines[3:6]:
        assert line.endswith(" -")  # NumPy has no truncated normal
        assert len(re.findall(r"\d\.\d\dx( |$)", line)) == 2


@pytest.mark.parametrize("dtype", race.DTYPES)
def test_json(cli, dtype):
    arguments = ["--size", "16K", "--dtype", dtype, "--libraries", "numpy", "--threads", 2]
    report = json.loads(cli("bench", *arguments, "--json", check=True).out)
    assert report["threads"] == 2 and report["missing"] == {}
    assert report["config"]["version"] == ift.__version__
    assert {row["library"] for row in report["rows"]} >= {"initfast", "memset"}
    for row in report["rows"]:
        assert row["dtype"] == dtype and row["bytes"] == 2**14 and "error" not in row
        assert row["GB/s"] == pytest.approx(row["bytes"] / row["seconds"] / 1e9)
        if row["library"] == "initfast":
            assert row["speed-up"] == 1.0


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """Two libraries that can be imported, one that is broken, and one that is not installed."""
    for name in ("fine_library", "other_library"):
        (tmp_path / f"{name}.py").touch()
        monkeypatch.delitem(sys.modules, name, raising=False)
    (tmp_path / "broken_library.py").write_text("raise ImportError('it is broken\\nsecond line')")
    monkeypatch.syspath_prepend(tmp_path)
    names = ("fine_library", "other_library", "broken_library", "no_library")
    return [race.Library(name[:5], name, bench.with_initfast) for name in names]


def test_libraries_that_are_missing_or_broken(capsys, modules):
    rows, text = table(capsys, rivals=modules)
    assert {"initfast", "fine_", "other", "memset"} <= set(rows) and "broke" not in rows
    assert text.endswith(
        "\nbroken_library: cannot be imported: it is broken\nno_library: not installed\n"
    )


def test_only_the_libraries_named_are_imported(capsys, modules):
    rows, _ = table(capsys, "--libraries", "fine_library", rivals=modules)
    assert "fine_library" in sys.modules and "other_library" not in sys.modules
    assert "fine_" in rows and "other" not in rows


def test_a_library_that_draws_something_else_has_no_speed(capsys):
    half = race.Library("half", "numpy", lambda job: lambda: job.memory[: job.size // 2].fill(0.5))
    failing = race.Library("failing", "numpy", lambda job: 1 / 0)
    rows, text = table(capsys, rivals=[half, failing])
    assert rows["half"] == ["wrong"] * 3
    assert rows["failing"] == ["failed"] * 3
    assert "half: wrong: normal: some elements were not written" in text
    assert "failing: failed: ZeroDivisionError: division by zero" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--size", "64Q"],
            "--size must be a number of bytes, at least 64 elements, .*; received '64Q'",
        ),
        (
            ["--size", "63"],
            "--size must be a number of bytes, at least 64 elements, .*; received '63'",
        ),
        (["--dtype", "int8"], "--dtype must be one of float32, .*; received 'int8'"),
        (["--threads", "0"], "threads must be an integer from 1 to 1024; received 0"),
        (
            ["--libraries", "numpy,nampy"],
            "--libraries must be names among numpy, torch; received 'nampy'",
        ),
    ],
)
def test_what_is_refused(cli, arguments, message):
    result = cli("bench", *arguments)
    assert (result.code, result.out) == (2, "")
    assert re.search(message, result.err.splitlines()[0])


NUMPY = [row for row in bench.RIVALS if row.module == "numpy"]


@pytest.mark.parametrize("library", NUMPY, ids=lambda library: library.name)
def test_threads_draw_different_values(library):
    """In place and in new arrays; `pytest benchmarks` runs every library in every dtype."""
    size = 2**18  # large enough for threads
    for task, threads in itertools.product(library.tasks, (1, 3)):
        with race.using_threads(threads):
            memory = race.aligned_memory(size)
            race.checked_fill(library, race.Job(task, "float32", size, memory))
            race.checked_fill(library, race.Job(task, "float32", size))
        parts = np.array_split(memory, 3)
        assert not np.array_equal(parts[0][:1600], parts[1][:1600])


# ---- results are checked


def good(task):
    job = race.Job(task, "float32", SIZE, race.aligned_memory(SIZE))
    race.checked_fill(bench.INITFAST, job)
    return job.memory


def unwritten(values):
    values[-1] = math.nan


def constant(values):
    values[:] = values.mean()


def shifted(values):
    values += 0.05 * values.std()


def stretched(values):
    values *= 0.97


def outside(values):
    values[SIZE // 2] = 9.5


def two_points(values):
    """Keep only the mean and the standard deviation."""
    values[:] = values.mean() + values.std() * np.where(np.arange(SIZE) % 2, 1, -1)


@pytest.mark.parametrize("task", race.TASKS, ids=lambda task: task.name)
@pytest.mark.parametrize("spoil", [unwritten, constant, shifted, stretched, outside, two_points])
def test_spoilt_values_are_wrong(task, spoil):
    values = good(task)
    race.check(task, values)
    spoil(values)
    with pytest.raises(race.WrongResult, match=task.name):
        race.check(task, values)


@pytest.mark.parametrize(("task", "other"), list(itertools.permutations(race.TASKS, 2)))
def test_another_distribution_is_wrong(task, other):
    with pytest.raises(race.WrongResult):
        race.check(task, good(other))


@pytest.mark.parametrize("dtype", race.DTYPES)
def test_poison_is_nan_in_every_dtype(dtype):
    assert np.isnan(race.aligned_memory(100, dtype).astype("f8")).all()


# ---- libraries take turns


def test_libraries_take_turns():
    calls = []
    seconds = race.interleaved({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 3)
    assert "".join(calls) == "abababab"  # the first round does not count
    assert [len(seconds[name]) for name in "ab"] == [3, 3]


def test_a_slow_library_skips_rounds_but_is_timed():
    calls = []

    def slow():
        calls.append("slow")
        race.time.sleep(0.02)

    seconds = race.interleaved({"slow": slow, "fast": lambda: None}, 5, limit=0.01)
    assert (len(calls), len(seconds["slow"]), len(seconds["fast"])) == (1, 1, 5)
    assert race.ratio(seconds, "slow", "fast") > 1


def test_short_fills_are_repeated():
    calls = []
    race.interleaved({"short": lambda: calls.append(1)}, 2, least=0.001)
    assert len(calls) > 50


def test_ratios_are_of_the_same_round():
    seconds = {"slow": [2.0, 20.0, 200.0], "fast": [1.0, 10.0, 100.0]}
    assert race.ratio(seconds, "slow", "fast") == 2.0
