"""What the benchmarks rest on: results are checked, turns are fair, and a kernel that became slower
is noticed.
"""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import initfast as ift
from initfast.bench import rounds, tasks

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
SIZE = 100_000


def good(task):
    made = {
        "uniform": ift.RandomUniform(0.0, 1.0, seed=3),
        "normal": ift.RandomNormal(0.0, 1.0, seed=3),
        "truncated_normal": ift.TruncatedNormal(0.0, 1.0, seed=3),
    }[task.name]
    return made((SIZE,)).copy()


# ---- the check of results


@pytest.mark.parametrize("task", tasks.TASKS, ids=lambda task: task.name)
def test_what_is_right_passes(task):
    tasks.check(task, good(task))


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
    """Mean and standard deviation are right, and nothing else."""
    values[:] = values.mean() + values.std() * np.where(np.arange(SIZE) % 2, 1, -1)


@pytest.mark.parametrize("task", tasks.TASKS, ids=lambda task: task.name)
@pytest.mark.parametrize("spoil", [unwritten, constant, shifted, stretched, outside, two_points])
def test_what_is_wrong_does_not(task, spoil):
    values = good(task)
    spoil(values)
    with pytest.raises(tasks.Wrong, match=task.name):
        tasks.check(task, values)


@pytest.mark.parametrize(
    ("task", "other"), [(a, b) for a in tasks.TASKS for b in tasks.TASKS if a is not b]
)
def test_another_distribution_does_not(task, other):
    with pytest.raises(tasks.Wrong):
        tasks.check(task, good(other))


def test_poison_is_seen_in_every_dtype():
    for dtype in tasks.DTYPES:
        memory = ift.Zeros()((100,), dtype)
        tasks.poison(memory)
        assert np.isnan(memory.astype("f8")).all()


# ---- turns


def test_contenders_take_turns():
    seen = []
    found = rounds.interleaved({"a": lambda: seen.append("a"), "b": lambda: seen.append("b")}, 3)
    assert "".join(seen) == "abababab"  # the first round does not count
    assert [len(found[name]) for name in "ab"] == [3, 3]


def test_a_slow_contender_sits_out_but_is_timed():
    seen = []
    clock = rounds.time.perf_counter
    end = [0.0]

    def slow():
        seen.append("slow")
        end[0] = clock() + 0.02
        while clock() < end[0]:
            pass

    found = rounds.interleaved({"slow": slow, "fast": lambda: None}, 5, limit=0.01)
    assert (len(seen), len(found["slow"]), len(found["fast"])) == (1, 1, 5)
    assert rounds.ratio(found, "slow", "fast") > 1


def test_short_ones_are_repeated():
    calls = []
    rounds.interleaved({"short": lambda: calls.append(1)}, 2, least=0.001)
    assert len(calls) > 50


def test_ratios_are_of_the_same_round():
    seconds = {"slow": [2.0, 20.0, 200.0], "fast": [1.0, 10.0, 100.0]}
    assert rounds.ratio(seconds, "slow", "fast") == 2.0


# ---- the gate


@pytest.fixture
def gate(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import gate

    return gate


def test_the_gate_sees_more_work_and_no_less(gate):
    wanted = {"a": 2.0, "b": 4.0}
    assert gate.slower({"a": 2.0, "b": 4.1}, wanted, 0.03) == []
    assert gate.slower({"a": 1.0, "b": 4.8, "c": 9.0}, wanted, 0.03) == [
        "b: 4.800, expected 4.000 (+20.0%)"
    ]


def test_the_gate_knows_which_compiler_to_compare_with(gate):
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
    """The same number each time; a tile more costs a tile more; Philox with 7 rounds costs less
    than with 10.
    """
    code = (
        "import json, instructions as i\n"
        "from initfast import _kernels as k, distributions as d\n"
        "from initfast.backends import use\n"
        "use('avx2' if 'avx2' in __import__('initfast').backends.available() else 'portable')\n"
        "count = i.Counter()\n"
        "ten = d.bits()\n"
        "s = k.Source(k.BITS_7, ten.dtype, 4, 0.0, 0.0, 0.0, 0.0, (), 0)\n"
        "tiles = lambda source, n: count(i.partial(k.tiles, source, 1, 1, 0, n, i.MEMORY.ctypes.data))\n"
        "print(json.dumps([[tiles(ten, n) for n in (1, 2, 3, 1, 2, 3)], [tiles(s, n) for n in (1, 2)]]))\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=BENCHMARKS,
        timeout=300,
    )
    ten, seven = json.loads(told.stdout)
    assert ten[:3] == ten[3:]
    assert ten[2] - ten[1] == ten[1] - ten[0] > 384
    assert 0.6 < (seven[1] - seven[0]) / (ten[1] - ten[0]) < 0.85


# ---- what is written


def test_the_readme_is_rewritten_between_its_markers(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import report

    row = {"library": "initfast", "task": "normal", "GB/s": 12.34, "initfast is faster by": 1.0}
    wrong = {
        "library": "other",
        "task": "normal",
        "error": "wrong: normal: not everything was written",
    }
    losing = {"library": "faster", "task": "normal", "GB/s": 24.68, "initfast is faster by": 0.5}
    sections = {
        "float32, 1 thread": {
            "date": "2026-01-02",
            "scale": {"log2_size": 20},
            "rows": [row, wrong, losing],
        }
    }
    machine = dict.fromkeys(["cpu", "cores", "memory", "python", "compiler", "backend"], "CPU") | {
        "versions": {"numpy": "2"}
    }
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    for _ in range(2):
        report.write({"machine": machine, "sections": sections}, readme, tmp_path / "picture.png")
    text = readme.read_text()
    assert text.startswith("before\n") and text.endswith("\nafter\n") and "old" not in text
    assert "| initfast |  | 12.3 |  |" in text
    assert "| faster |  | 24.7 (0.50x) |  |" in text
    assert "| other |  | wrong |  |" in text and "other, normal: not everything was written" in text
    assert "2026-01-02" in text and "1,048,576" in text
