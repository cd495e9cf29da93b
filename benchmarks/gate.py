"""Has initfast become slower? `python benchmarks/gate.py`; exit code 1 if so, 0 if not or if it
cannot be said here.

Without arguments: the instructions of an element, of every kernel and way through the fill loop,
beside those that `expected.json` holds for the compiler of the extension. Exact, so that it can
fail on a busy machine and never by chance; what executes as many instructions and waits longer for
them it does not see.

`--timed`: cycles of an element too, beside those of `expected.json` for this CPU, if it has them:
times in units of a chain of additions that take one cycle each. `--against FOLDER`: counts and
times beside another checkout that was built in place (`python setup.py build_ext --inplace`). Times
are the least of many, see `times.py`.

`--write` makes today's counts (with `--timed`: cycles too) the expectation: commit it with the
change that explains it."""

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
SAME_COMPILER, OTHER_COMPILER = (
    0.03,
    0.15,
)  # instructions: a new major version schedules a little differently
TIMES = 0.10
Figures = dict[str, float]


def slower(found: Mapping[str, float], wanted: Mapping[str, float], tolerance: float) -> list[str]:
    """A line for each case in which `found` exceeds `wanted` by more than the tolerance."""
    return [
        f"{name}: {found[name]:.3f}, expected {wanted[name]:.3f} "
        f"({found[name] / wanted[name] - 1:+.1%})"
        for name in found
        if name in wanted and found[name] > wanted[name] * (1 + tolerance)
    ]


def expectation(compiler: str, stored: Mapping[str, Mapping[str, float]]) -> tuple[str, float]:
    """Which compiler's counts to compare with, and the tolerance: its own, or the nearest of its
    family, or any.
    """
    if compiler in stored:
        return compiler, SAME_COMPILER
    family, _, version = compiler.partition(" ")
    near = sorted(
        stored,
        key=lambda name: (name.split()[0] != family, abs(int(version or 0) - int(name.split()[1]))),
    )
    return near[0], OTHER_COMPILER


def counted(folder: Path | None) -> dict[str, Any]:
    """The compiler and the counts of initfast as installed, or as built in another folder."""
    told = subprocess.run(
        [sys.executable, HERE / "instructions.py"],
        env=times.environment(folder),
        capture_output=True,
        text=True,
    )
    if told.returncode:
        raise SystemExit(f"instructions could not be counted: {told.stderr.strip()}")
    found: dict[str, Any] = json.loads(told.stdout)
    return found


def judged(what: str, found: Figures, wanted: Figures, beside: str, tolerance: float) -> list[str]:
    """Print what was compared; return the lines of what became slower."""
    lines = slower(found, wanted, tolerance)
    better = slower(wanted, found, tolerance)
    print(
        f"{what}: {len(found)} cases beside {beside}:"
        f" {len(lines)} higher and {len(better)} lower by over {tolerance:.0%}"
    )
    for names, why in (
        (set(wanted) - set(found), "not measured here"),
        (set(found) - set(wanted), "no expectation"),
    ):
        if names:
            print(f"  {why}: {', '.join(sorted(names))}")
    return [f"slower: {what}, {line}" for line in lines]


def cycles(only: set[str] | None = None) -> Figures:
    """Cycles an element, by the clock that a chain of additions shows."""
    (least,) = times.least_times([None], None if only is None else only | {times.CYCLE})
    cycle = least.pop(times.CYCLE)
    return {name: round(value / cycle, 4) for name, value in least.items()}


def settled(
    measure: Callable[[set[str] | None], tuple[Figures, Figures]],
) -> tuple[Figures, Figures]:
    """(found, wanted), where what looks slower is measured again, twice at most, and only the least
    counts.
    """
    found, wanted = measure(None)
    for _ in range(2):
        doubtful = {line.partition(":")[0] for line in slower(found, wanted, TIMES)}
        if not doubtful:
            break
        more_found, more_wanted = measure(doubtful)
        for kept, more in ((found, more_found), (wanted, more_wanted)):
            kept |= {name: min(kept[name], more[name]) for name in doubtful}
    return found, wanted


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--timed", action="store_true", help="compare cycles too")
    parser.add_argument(
        "--against", type=Path, metavar="FOLDER", help="a checkout that was built in place"
    )
    parser.add_argument(
        "--write", action="store_true", help=f"store the figures in {EXPECTED.name}"
    )
    arguments = parser.parse_args()
    if sys.platform != "linux" or platform.machine() != "x86_64":
        print(
            f"NOT MEASURED: instructions are counted on Linux, x86-64; this is {sys.platform}, "
            f"{platform.machine()}"
        )
        return 0
    found = counted(None)
    compiler, counts = found["compiler"], found["counts"]
    here = f"{machine.cpu()}, {compiler}"
    stored = (
        json.loads(EXPECTED.read_text(encoding="utf-8"))
        if EXPECTED.exists()
        else {"instructions": {}, "cycles": {}}
    )
    if arguments.write:
        kept = stored["instructions"].get(compiler, {})
        stored["instructions"][compiler] = {
            **kept,
            **counts,
        }  # backends that this CPU does not run stay
        if arguments.timed:
            stored["cycles"][here] = cycles()
        EXPECTED.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
        print(f"{len(counts)} counts of {compiler} stored in {EXPECTED.name}")
        return 0
    lines = []
    if arguments.against:
        other = str(arguments.against)
        lines += judged(
            "instructions", counts, counted(arguments.against)["counts"], other, SAME_COMPILER
        )
        ours, theirs = settled(
            lambda only: tuple(times.least_times([None, arguments.against], only))
        )
        for name, value in ours.items():
            print(
                f"  {name:40} {value:7.3f} ns/element, there {theirs[name]:7.3f} "
                f"({value / theirs[name] - 1:+.1%})"
            )
        lines += judged("ns", ours, theirs, other, TIMES)
    else:
        beside, tolerance = expectation(compiler, stored["instructions"])
        lines += judged(
            "instructions", counts, stored["instructions"][beside], f"those of {beside}", tolerance
        )
        if arguments.timed and here not in stored["cycles"]:
            print(
                f"NOT TIMED: {EXPECTED.name} has no cycles of {here}; --timed --write stores them"
            )
        elif arguments.timed:
            wanted = stored["cycles"][here]
            lines += judged(
                "cycles", *settled(lambda only: (cycles(only), dict(wanted))), here, TIMES
            )
    print(*lines, sep="\n", end="\n" if lines else "")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
