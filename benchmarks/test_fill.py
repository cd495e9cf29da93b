"""Fills: a group per dtype, situation and threads; a row per distribution and library.

The situations are existing memory in the cache, existing memory larger than the cache, and a new
array in each round."""

import pytest
import rivals
from parameters import case

import initfast as ift
from initfast.cli import _race as race
from initfast.core.dtypes import resolve

THREADS = {"1-thread": 1, "all-threads": ift.get_num_threads()}
TASKS = {task.name: task for task in rivals.ALL_TASKS}
LIBRARIES = {library.name: library for library in rivals.everyone()}


def cases():
    for dtype in race.DTYPES:
        for situation in ("cache", "memory", "new"):
            for threads in THREADS if ift.get_num_threads() > 1 else ["1-thread"]:
                for task in TASKS.values():
                    for library in LIBRARIES.values():
                        if library.does(task, dtype, in_place=situation != "new"):
                            ours = library.name == "initfast" and dtype != "float16"
                            yield case(
                                task.name,
                                dtype,
                                situation,
                                threads,
                                library.name,
                                group=f"{dtype}-{situation}-{threads}",
                                ours=ours and (situation != "new" or dtype == "float32"),
                            )


@pytest.mark.parametrize(("task", "dtype", "situation", "threads", "library"), list(cases()))
def test_fill(benchmark, record, sizes, task, dtype, situation, threads, library):
    row, count = LIBRARIES[library], THREADS[threads]
    size = sizes[situation] // resolve(dtype).itemsize
    memory = None if situation == "new" else race.aligned_memory(size, dtype)
    try:
        rivals.load(row.module)
    except ImportError as error:
        pytest.skip(f"{library} is installed and cannot be imported: {error}")
    with race.using_threads(count):
        benchmark(race.checked_fill(row, race.Job(TASKS[task], dtype, size, memory)))
    record(size, sizes[situation], threads=count)
