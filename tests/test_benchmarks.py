"""The benchmarks: the rows of libraries are right, and the gate notices slower kernels."""

import itertools
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import gate
import numpy as np
import pytest
import report
import rivals
import tiers

from initfast.cli import _race as race

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"

# ---- libraries on several threads; `pytest benchmarks` runs all of them on one


THREADED = [row for row in rivals.others() if row.module.startswith("mkl") or not row.random]


@pytest.mark.parametrize("library", THREADED, ids=lambda library: library.name)
def test_every_part_is_filled(library):
    if not rivals.installed(library.module):
        pytest.skip(f"{library.module} is not installed")
    size = 2**18  # large enough for threads
    for task, dtype in itertools.product(library.tasks, library.dtypes):
        memory = race.aligned_memory(size, dtype) if library.in_place else None
        with race.using_threads(3):
            race.checked_fill(library, race.Job(task, dtype, size, memory))
        if memory is not None:  # the stores skip incomplete cache lines
            assert np.isnan(memory).mean() < 0.001


@pytest.mark.parametrize("name", ["torch", "jax"])
def test_rivals_draw_within_other_bounds(name):
    """Bounds -3, 3: the check accepts this distribution, and refuses bounds -2, 2."""
    if not rivals.installed(name):
        pytest.skip(f"{name} is not installed")
    rows = {row.name: row for row in rivals.everyone() if row.name in ("initfast", name)}
    result = race.compare(list(rows.values()), rivals.WIDE, "float32", 2**14)
    assert [row["library"] for row in result if "seconds" in row] == ["initfast", name]
    narrow_job = race.Job(race.TRUNCATED, "float32", 2**16)
    with pytest.raises(race.WrongResult, match=r"std must be 0\.98"):
        race.check(rivals.WIDE, race.as_numpy(rows[name].prepare(narrow_job)()))


# ---- pytest-benchmark


def run_pytest(*arguments):
    """Run pytest on the benchmarks, with this project's options as users do."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "benchmarks", "-p", "no:cacheprovider", *arguments],
        capture_output=True,
        text=True,
        cwd=BENCHMARKS.parent,
        # The variables of this pytest would make the other one its worker.
        env={name: value for name, value in os.environ.items() if "PYTEST_" not in name},
        timeout=300,
    )


def test_the_json_has_plain_values(tmp_path):
    target = tmp_path / "times.json"
    cases = "normal-float32-cache-all-threads-initfast or 4x4-initfast or test_import[python]"
    quick = ("--benchmark-max-time=0.001", "--benchmark-min-rounds=1")
    result = run_pytest("-k", cases, f"--benchmark-json={target}", *quick)
    assert result.returncode == 0, result.stdout + result.stderr
    cases_by_name = {row["name"]: row for row in json.loads(target.read_text())["benchmarks"]}
    assert len(cases_by_name) == 4
    for name, row in cases_by_name.items():
        assert re.fullmatch(r"test_\w+\[[\w.-]+\]", name)
        assert all(isinstance(value, str) for value in row["params"].values())
        assert all(isinstance(value, str | int | float) for value in row["extra_info"].values())
        assert row["stats"]["min"] > 0
    fill = cases_by_name["test_fill[normal-float32-cache-all-threads-initfast]"]
    assert fill["params"]["task"] == "normal" and fill["params"]["library"] == "initfast"
    assert fill["extra_info"]["bytes"] == 2**18 and fill["extra_info"]["GB/s"] > 0


@pytest.mark.parametrize(
    ("options", "code", "text"),
    [
        (("-n0",), 0, "not timed; --benchmark-only times them"),
        (("--benchmark-only", "--benchmark-max-time=0.01"), 0, "Outliers: 1 Standard Deviation"),
        (("--benchmark-disable", "--benchmark-json=x", "--co"), 0, "not timed"),
        (("--benchmark-only", "-n2"), 4, "benchmarks are timed in one process"),
        pytest.param(
            ("--benchmark-json=x", "-n2"),
            4,
            "benchmarks are timed in one process",
            marks=pytest.mark.long,
        ),
        (("--benchmark-storage=/nowhere", "--benchmark-compare", "--co"), 0, "Can't compare"),
    ],
    ids=["default", "only", "disable", "only-n2", "json-n2", "nothing-to-compare"],
)
def test_options_start_timing_or_say_why_not(options, code, text):
    result = run_pytest("-k", "4x4-initfast", *options)
    assert result.returncode == code, result.stdout + result.stderr
    assert text in result.stdout + result.stderr
    assert ("Rounds" in result.stdout) == ("Outliers" in text)


def test_names_have_no_commas_spaces_or_parentheses():
    result = run_pytest("--collect-only", "-q", "-m", "")
    names = [line for line in result.stdout.splitlines() if "::" in line]
    assert len(names) > 100 and len(set(names)) == len(names)
    for name in names:
        assert re.fullmatch(r"benchmarks/test_\w+\.py::test_\w+\[[\w.-]+\]", name)


# ---- the gate


def test_the_gate_reports_more_work_only():
    expected = {"a": 2.0, "b": 4.0}
    assert gate.slower({"a": 2.0, "b": 4.1}, expected, 0.03) == []
    assert gate.slower({"a": 1.0, "b": 4.8, "c": 9.0}, expected, 0.03) == [
        "b: 4.800, expected 4.000 (+20.0%)"
    ]


def test_the_compiler_that_the_gate_compares_with():
    stored = {"gcc 12": {}, "gcc 14": {}, "clang 17": {}}
    assert gate.expectation("gcc 12", stored) == ("gcc 12", gate.SAME_COMPILER)
    assert gate.expectation("gcc 15", stored) == ("gcc 14", gate.OTHER_COMPILER)
    assert gate.expectation("clang 19", stored) == ("clang 17", gate.OTHER_COMPILER)
    assert gate.expectation("unknown", stored)[1] == gate.OTHER_COMPILER


@pytest.mark.skipif(
    not (sys.platform == "linux" and os.uname().machine == "x86_64"),
    reason="steps on Linux, x86-64",
)
def test_instructions_are_counted_exactly():
    """Counts repeat; each tile costs the same; Philox with 7 rounds costs less than with 10."""
    code = (
        "import json, instructions as i\n"
        "from initfast import _kernels as k\n"
        "from initfast.core import distributions as d\n"
        "from initfast.backends import available, use\n"
        "use('avx2' if 'avx2' in available() else 'portable')\n"
        "count = i.Counter()\n"
        "ten = d.bits()\n"
        "s = k.Source(k.BITS_7, ten.dtype, 4, 0.0, 0.0, 0.0, 0.0, (), 0)\n"
        "address = i.MEMORY.ctypes.data\n"
        "tiles = lambda source, n: count(i.partial(k.tiles, source, 1, 1, 0, n, address))\n"
        "counts = [tiles(ten, n) for n in (1, 2, 3, 1, 2, 3)], [tiles(s, n) for n in (1, 2)]\n"
        "print(json.dumps(counts))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=BENCHMARKS,
        timeout=300,
    )
    ten, seven = json.loads(result.stdout)
    assert ten[:3] == ten[3:]
    assert ten[2] - ten[1] == ten[1] - ten[0] > 384
    assert 0.6 < (seven[1] - seven[0]) / (ten[1] - ten[0]) < 0.85


# ---- the tables


def stored(backend, rows, **machine):
    """Return results of a machine with one section."""
    names = ("cpu", "cores", "memory", "python", "compiler")
    here = dict.fromkeys(names, "some") | {"backend": backend, "versions": {"initfast": "2.0"}}
    section = {"date": "2026-01-02", "threads": 1, "missing": ["mkl"], "rows": rows}
    return {"sections": {"float32, 1 thread": {**section, "machine": here | machine}}}


def test_both_readmes_are_rewritten_with_a_column_per_machine(tmp_path):
    row = {"library": "initfast", "task": "normal", "GB/s": 12.34, "speed-up": 1.0}
    wrong = {"library": "other", "task": "normal", "error": "wrong: normal: not everything written"}
    losing = {"library": "torch", "task": "normal", "GB/s": 24.68, "speed-up": 0.5}
    machines = {
        "a": stored("avx2", [row, wrong, losing], cpu="Old CPU"),
        "b": stored("avx512", [{**row, "GB/s": 20.0}], cpu="New CPU", cores=8),
    }
    readme, tables = tmp_path / "README.md", tmp_path / "tables.md"
    for path in (readme, tables):
        path.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    for _ in range(2):
        report.write(machines, readme, tables)
    for path in (readme, tables):
        text = path.read_text()
        assert text.startswith("before\n") and text.endswith("\nafter\n") and "old" not in text
        assert "Old CPU" in text and "New CPU" in text and "2026-01-02" in text
    assert "| avx2, 1 thread | avx512, 1 thread |" in text
    assert "| initfast | 12.3 | 20 |" in text
    assert "| torch | 24.7 (0.50x) |  |" in text
    assert "| other | wrong |  |" in text and "avx2: other, normal: not everything written" in text
    assert "| mkl |" in text  # not installed
    assert "| normal | 12.3 (torch 0.50x) | 20 |" in readme.read_text()
    assert "Not installed on New CPU: mkl." in readme.read_text()


def test_sections_measured_with_different_versions_have_separate_lines():
    machine = stored("avx2", [])
    later = stored("avx2", [], versions={"initfast": "2.1"})["sections"]["float32, 1 thread"]
    machine["sections"]["files"] = later
    lines = report.text({"a": machine}).splitlines()
    assert [line.split(" | ")[-1] for line in lines[2:]] == ["float32, 1 thread |", "files |"]


def test_the_readmes_agree_with_the_results():
    """The tables equal the generated ones."""
    for path in (BENCHMARKS.parent / "README.md", BENCHMARKS / "README.md"):
        text = path.read_text(encoding="utf-8")
        generated = text.split(report.BEGIN)[1].split(report.END)[0].strip()
        make = report.tables if path.parent == BENCHMARKS else report.summary
        assert generated == make(report.read())


README = (BENCHMARKS / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^python -m pytest benchmarks .*", README, re.MULTILINE)
OWN_COMMANDS = re.findall(r"^python (-m pytest test_speed.py .*)", README, re.MULTILINE)


def test_links_and_commands_of_the_readme():
    for target in re.findall(r"\]\(((?!https?:)[^)#]+)\)", README):
        assert (BENCHMARKS / target).exists(), target
    assert len(COMMANDS) == 3


@pytest.mark.parametrize("command", tiers.sample(COMMANDS, COMMANDS[-1]))
def test_the_commands_of_the_readme_choose_benchmarks(command):
    result = run_pytest(*shlex.split(command)[4:], "--collect-only", "-q")
    assert result.returncode == 0 and "::test_fill[" in result.stdout


@pytest.mark.long
def test_the_benchmark_of_ones_own_project(tmp_path):
    """Save a baseline and compare with it, as the README says, without its limit on noise."""
    (block,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    (tmp_path / "test_speed.py").write_text(block, encoding="utf-8")
    assert [command.rpartition("median:")[2] for command in OWN_COMMANDS][1:] == ["30%"]
    for command in OWN_COMMANDS:
        arguments = shlex.split(command.replace("median:30%", "median:100000%"))
        result = subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env={name: os.environ[name] for name in os.environ if not name.startswith("PYTEST")},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert result.returncode == 0, result.stderr
    assert "test_embedding (0001_baselin" in result.stdout


def test_measure_lists_its_sections_and_refuses_others():
    command = [sys.executable, BENCHMARKS / "measure.py"]
    result = subprocess.run([*command, "--list"], capture_output=True, text=True, timeout=60)
    assert {"float32, 1 thread", "bounds -3, 3, 1 thread", "files"} < set(
        result.stdout.splitlines()
    )
    result = subprocess.run([*command, "nothing"], capture_output=True, text=True, timeout=60)
    assert result.returncode == 2 and "no section has 'nothing' in its name" in result.stderr


def test_files_are_compared_with_dd():
    import measure

    rows = {row["task"]: row for row in measure.files(measure.QUICK)}
    assert set(rows) == {"uniform", "normal", "dd"} and rows["dd"]["relative to dd"] == 1
    assert all(row["bytes"] == 2**20 and row["file system"] for row in rows.values())
