"""Measure the shortest time per element of the kernels of several builds, in turns.

Each build runs in a worker process. The shortest of many runs is the time that the code needs: on a
machine with six times as many busy processes as cores, two copies of one build differed by 1.5%.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Collection, Sequence
from pathlib import Path

TURNS, TURN_SECONDS = 60, 0.010
CYCLE = "cycle"  # another case: the nanoseconds of one cycle


def environment(folder: Path | None) -> dict[str, str]:
    """Return the variables of a process that imports initfast as installed or from a folder."""
    variables = {
        name: value for name, value in os.environ.items() if not name.startswith("INITFAST_")
    }
    if folder is not None:
        variables["PYTHONPATH"] = str(folder.resolve())
    return variables


def least_times(
    folders: Sequence[Path | None], only: Collection[str] | None = None
) -> list[dict[str, float]]:
    """Return a table per build: the shortest ns/element of the cases that all builds have."""
    workers = [
        subprocess.Popen(
            [sys.executable, __file__],
            env=environment(folder),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for folder in folders
    ]
    cases_of_builds = [json.loads(_answer(worker)) for worker in workers]
    cases = [
        name
        for name in cases_of_builds[0]
        if all(name in names for names in cases_of_builds) and (only is None or name in only)
    ]
    least = [dict.fromkeys(cases, float("inf")) for _ in workers]
    for _ in range(TURNS):
        for name in cases:
            for table, worker in zip(least, workers, strict=True):
                table[name] = min(table[name], float(_answer(worker, name)))
    for worker in workers:
        worker.communicate()
    return least


def _answer(worker: subprocess.Popen[str], question: str | None = None) -> str:
    assert worker.stdin and worker.stdout
    if question is not None:
        print(question, file=worker.stdin, flush=True)
    return worker.stdout.readline()


def work() -> None:
    """Print the cases, then time one turn of each case whose name is read from stdin."""
    import instructions
    from compiled import library

    import initfast as ift

    best = ift.backends.active()
    chain = library("roof").dependent_additions
    ready = {CYCLE: (best, lambda: chain(200), 200 * 64)}
    for backend in set(ift.backends.available()) - instructions.SLOW:
        for name in instructions.SOURCES:
            for dtype in ("float32", "float64"):
                # 40 tiles of 60 kB in all stay in the second-level cache
                ready[f"{backend} {name} {dtype}"] = backend, *instructions.tiles(name, dtype, 40)
        for name, make in instructions.PARTS.items():
            ready[f"{backend} {name}"] = backend, *make(32)
    print(json.dumps(sorted(ready)), flush=True)
    for line in sys.stdin:
        backend, call, elements = ready[line.strip()]
        least, end = float("inf"), time.perf_counter() + TURN_SECONDS
        with ift.backends.use(backend):
            while (start := time.perf_counter()) < end:
                call()
                least = min(least, time.perf_counter() - start)
        print(least / elements * 1e9, flush=True)


if __name__ == "__main__":
    work()
