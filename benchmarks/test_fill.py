"""Fills: a group per distribution, dtype, situation and number of threads; a row per library."""

import pytest
import rivals

import initfast as ift
from initfast.cli import _race as race
from initfast.core.dtypes import resolve

ALL = ift.get_num_threads()


def rows():
    for task in race.TASKS:
        for dtype in race.DTYPES:
            for situation in ("warm", "new"):
                for threads in sorted({1, ALL}):
                    group = f"{task.name}-{dtype}-{situation}-{threads}-threads"
                    for library in rivals.everyone():
                        if library.does(task, dtype, in_place=situation == "warm"):
                            mark = pytest.mark.benchmark(group=group)
                            name = f"{group}-{library.name.replace(' ', '-')}"
                            yield pytest.param(
                                task, dtype, situation, threads, library, marks=mark, id=name
                            )


@pytest.mark.parametrize(("task", "dtype", "situation", "threads", "library"), list(rows()))
def test_fill(benchmark, record, size, task, dtype, situation, threads, library):
    memory = race.aligned_memory(size, dtype) if situation == "warm" else None
    try:
        rivals.load(library.module)
    except ImportError as error:
        pytest.skip(f"{library.name} is installed and cannot be imported: {error}")
    with race.using_threads(threads):
        fill = race.prepared(library, race.Job(task, dtype, size, memory))
        benchmark(fill)
    record(size, size * resolve(dtype).itemsize, backend=ift.backends.active())
