"""Check whether initfast has become slower: `python benchmarks/gate.py`.

The exit code is 1 if it has, and 0 if it has not or if nothing can be measured here.

Without options, this counts the instructions per element of every kernel and of every path through
the fill loop, and compares them with `expected.json` for the compiler of the extension. Counts are
exact, also on a busy machine. They do not show code that executes as many instructions and waits
longer for memory.

`--timed` also compares cycles per element with those in `expected.json` for this CPU, if there are
any. A cycle is the time of one addition in a chain of dependent additions. `--against FOLDER`
compares counts and times with another checkout that was built in place (`python setup.py build_ext
--inplace`). Each time is the shortest of many runs, see `times.py`.

`--write` stores the counts (with `--timed` also the cycles) in `expected.json`. Commit the file
together with the change that explains the difference."""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import machine
import times

HERE = Path(__file__).parent
EXPECTED = HERE / "expected.json"
# Tolerances for instructions: another major version of a compiler schedules a little differently.
SAME_COMPILER, OTHER_COMPILER = 0.03, 0.15
TIMES = 0.10  # tolerance for times
Figures = dict[str, float]


def slower(
    actual: Mapping[str, float], expected: Mapping[str, float], tolerance: float
) -> list[str]:
    """Return a line for each case with `actual` over `expected` by more than the tolerance."""
    return [
        f"{name}: {actual[name]:.3f}, expected {expected[name]:.3f} "
        f"({actual[name] / expected[name] - 1:+.1%})"
        for name in actual
        if name in expected and actual[name] > expected[name] * (1 + tolerance)
    ]


def expectation(compiler: str, stored: Mapping[str, Mapping[str, float]]) -> tuple[str, float]:
    """Return the compiler whose counts to compare with, and the tolerance.

    It is the same compiler, or else the nearest version of its family, or else any."""
    if compiler in stored:
        return compiler, SAME_COMPILER
    family, _, version = compiler.partition(" ")
    near = sorted(
        stored,
        key=lambda name: (name.split()[0] != family, abs(int(version or 0) - int(name.split()[1]))),
    )
    return near[0], OTHER_COMPILER


def count(folder: Path | None) -> dict[str, Any]:
    """Return the compiler and counts of the installed initfast, or of one built in a folder."""
    result = subprocess.run(
        [sys.executable, HERE / "instructions.py"],
        env=times.environment(folder),
        capture_output=True,
        text=True,
    )
    if result.returncode:
        raise SystemExit(f"cannot count instructions: {result.stderr.strip()}")
    report: dict[str, Any] = json.loads(result.stdout)
    return report


def compare(
    what: str, actual: Figures, expected: Figures, reference: str, tolerance: float
) -> list[str]:
    """Print a comparison, and return a line for each slower case."""
    lines = slower(actual, expected, tolerance)
    better = slower(expected, actual, tolerance)
    print(
        f"{what}: {len(actual)} cases compared with {reference}: "
        f"{len(lines)} higher and {len(better)} lower by over {tolerance:.0%}"
    )
    for names, why in (
        (set(expected) - set(actual), "not measured here"),
        (set(actual) - set(expected), "no expectation"),
    ):
        if names:
            print(f"  {why}: {', '.join(sorted(names))}")
    return [f"slower: {what}, {line}" for line in lines]


def cycles(only: set[str] | None = None) -> Figures:
    """Return cycles per element, with the clock measured by a chain of additions."""
    (least,) = times.least_times([None], None if only is None else only | {times.CYCLE})
    cycle = least.pop(times.CYCLE)
    return {name: round(value / cycle, 4) for name, value in least.items()}


def shortest(
    measure: Callable[[set[str] | None], tuple[Figures, Figures]],
) -> tuple[Figures, Figures]:
    """Return (actual, expected) times.

    Cases that look slower are measured again, at most twice, and the shortest time is used."""
    actual, expected = measure(None)
    for _ in range(2):
        doubtful = {line.partition(":")[0] for line in slower(actual, expected, TIMES)}
        if not doubtful:
            break
        again_actual, again_expected = measure(doubtful)
        for figures, again in ((actual, again_actual), (expected, again_expected)):
            figures |= {name: min(figures[name], again[name]) for name in doubtful}
    return actual, expected


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--timed", action="store_true", help="also compare cycles")
    parser.add_argument(
        "--against",
        type=Path,
        metavar="FOLDER",
        help="compare with another checkout, built in place",
    )
    parser.add_argument(
        "--write", action="store_true", help=f"store the figures in {EXPECTED.name}"
    )
    arguments = parser.parse_args()
    if sys.platform != "linux" or platform.machine() != "x86_64":
        print(
            "NOT MEASURED: instructions are counted only on Linux, x86-64; "
            f"this is {sys.platform}, {platform.machine()}"
        )
        return 0
    report = count(None)
    compiler, counts = report["compiler"], report["counts"]
    here = f"{machine.cpu()}, {compiler}"
    stored = (
        json.loads(EXPECTED.read_text(encoding="utf-8"))
        if EXPECTED.exists()
        else {"instructions": {}, "cycles": {}}
    )
    if arguments.write:
        stored_counts = stored["instructions"].get(compiler, {})
        # Keep the counts of backends that this CPU cannot run.
        stored["instructions"][compiler] = {**stored_counts, **counts}
        if arguments.timed:
            stored["cycles"][here] = cycles()
        EXPECTED.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
        print(f"stored {len(counts)} counts of {compiler} in {EXPECTED.name}")
        return 0
    lines = []
    if arguments.against:
        other = str(arguments.against)
        lines += compare(
            "instructions", counts, count(arguments.against)["counts"], other, SAME_COMPILER
        )
        ours, theirs = shortest(
            lambda only: tuple(times.least_times([None, arguments.against], only))
        )
        for name, value in ours.items():
            print(
                f"  {name:40} {value:7.3f} ns/element, other {theirs[name]:7.3f} "
                f"({value / theirs[name] - 1:+.1%})"
            )
        lines += compare("ns", ours, theirs, other, TIMES)
    else:
        reference, tolerance = expectation(compiler, stored["instructions"])
        lines += compare(
            "instructions",
            counts,
            stored["instructions"][reference],
            f"those of {reference}",
            tolerance,
        )
        if arguments.timed and here not in stored["cycles"]:
            print(
                f"NOT TIMED: {EXPECTED.name} has no cycles for {here}; "
                "store them with --timed --write"
            )
        elif arguments.timed:
            stored_cycles = stored["cycles"][here]
            lines += compare(
                "cycles", *shortest(lambda only: (cycles(only), dict(stored_cycles))), here, TIMES
            )
    print(*lines, sep="\n", end="\n" if lines else "")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
