"""Measure the evidence and write its tables: `python tests/trust/evidence.py [PART...] [--quick]
[--write]`.

Each part is a module with `run(quick) -> list[Row]`. Its rows are stored in results/<part>.json,
with the date, the machine and the compilers. `--write` writes the tables of README.md from all of
these files. `--quick` does a small part of the work, to see that everything runs; it prints rows
and stores nothing. The exit status is 1 if a goal was missed. Install the package with its `test`
extra first; the docstrings of the parts list further requirements."""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from typing import NamedTuple

from rows import Row, load, section, store, table, write


class Part(NamedTuple):
    """A part of the evidence: its name on the command line and in results/, its module, and its
    heading.
    """

    name: str
    module: str
    about: str


PARTS = [
    Part("bits", "bits", "The same bits everywhere"),
    Part("float32", "accuracy_float32", "Accuracy of float32, all words"),
    Part("float64", "accuracy_float64", "Accuracy of float64, and of other bounds"),
    Part("dtypes", "accuracy_dtypes", "Bounds and rounding in every dtype"),
    Part("mutants", "mutants", "Mutants and the tests that kill them"),
    Part("draws", "draws", "Statistics of 2^33 draws"),
    Part("dieharder", "dieharder", "The raw words through dieharder"),
    Part("peers", "peers", "Known failures of other libraries"),
    Part("sanitizers", "sanitizers", "Sanitizers and valgrind"),
    Part("fuzz", "fuzz", "Fuzzing"),
    Part("hosts", "hosts", "Hostile hosts"),
    Part("faults", "faults", "Faults: kills, failing system calls, damaged and hostile input"),
]


def run(part: Part, quick: bool) -> list[Row]:
    """Measure a part, print its rows, store them unless `quick`, and return them."""
    start = time.perf_counter()
    rows: list[Row] = importlib.import_module(part.module).run(quick)
    seconds = time.perf_counter() - start
    print(f"\n{part.about} ({seconds:.0f} s)\n{table(rows)}", flush=True)
    if not quick:
        print(store(part.name, rows, seconds))
    return rows


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    names = [part.name for part in PARTS]
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"one or more of {', '.join(names)}, or all"
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="do a small part of the work; print the rows and store nothing",
    )
    parser.add_argument(
        "--write", action="store_true", help="write the tables of tests/trust/README.md afterwards"
    )
    options = parser.parse_args(arguments)
    selected = names if options.parts == ["all"] else options.parts
    unknown = [name for name in selected if name not in names]
    if unknown:
        parser.error(
            f"PART must be one of {', '.join(names)}, or all; received {' '.join(unknown)}"
        )
    if not (selected or options.write):
        parser.error(f"PART is required: one of {', '.join(names)}, or all")
    missed = [
        row
        for part in PARTS
        if part.name in selected
        for row in run(part, options.quick)
        if row.met is False
    ]
    if options.write:
        stored = [(part, load(part.name)) for part in PARTS]
        write(section(part.name, part.about, result) for part, result in stored if result)
    for row in missed:
        print(f"missed goal: {row.what}: {row.measured} (goal: {row.goal})")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
