"""float32 fills of memory that is already there: one group a task and number of threads, one row a library."""

import pytest
from contenders import TASKS, able, aligned_memory, check, using_threads

import initfast as ift

ALL = ift.get_num_threads()


def rows():
    for task in TASKS:
        for threads in sorted({1, ALL}):
            group = f"{task.name}-float32-{threads}-threads"
            mark = pytest.mark.benchmark(group=group)
            for contender in able(task, threads):
                yield pytest.param(task, threads, contender, marks=mark, id=f"{group}-{contender.name}")


@pytest.mark.parametrize(("task", "threads", "contender"), list(rows()))
def test_fill_float32(benchmark, size, task, threads, contender):
    memory = aligned_memory(size)
    with using_threads(threads):
        fill = contender.prepare(task, memory)
        fill()
        if contender.random:
            check(task, memory)
        benchmark(fill)
    benchmark.extra_info.update(elements=size, bytes=memory.nbytes, backend=ift.backends.active())
    if benchmark.stats is not None:  # None where the benchmarks run as tests
        seconds = benchmark.stats.stats.median
        benchmark.extra_info.update({"GB/s": memory.nbytes / seconds / 1e9, "ns/element": seconds / size * 1e9})
