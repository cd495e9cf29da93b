"""Fills: a group for each distribution, dtype, warm memory or new array, and number of threads; a
row a library.
"""

import contenders
import numpy as np
import pytest

import initfast as ift
from initfast.bench import comparison, peers, tasks
from initfast.bench.fills import Job

ALL = ift.get_num_threads()


def rows():
    for task in tasks.TASKS:
        for dtype in tasks.DTYPES:
            for situation in ("warm", "new"):
                for threads in sorted({1, ALL}):
                    group = f"{task.name}-{dtype}-{situation}-{threads}-threads"
                    for peer in contenders.everyone():
                        if peer.does(task, dtype, in_place=situation == "warm"):
                            mark = pytest.mark.benchmark(group=group)
                            name = f"{group}-{peer.name.replace(' ', '-')}"
                            yield pytest.param(
                                task, dtype, situation, threads, peer, marks=mark, id=name
                            )


@pytest.mark.parametrize(("task", "dtype", "situation", "threads", "peer"), list(rows()))
def test_fill(benchmark, told, size, task, dtype, situation, threads, peer):
    memory = comparison.aligned_memory(size, dtype) if situation == "warm" else None
    try:
        peers.ready(peer)
    except ImportError as error:
        pytest.skip(f"{peer.name} is installed and cannot be imported: {error}")
    with peers.using_threads(threads):
        fill = comparison.prepared(peer, Job(task, dtype, size, memory))
        benchmark(fill)
    itemsize = 2 if dtype == "bfloat16" else np.dtype(dtype).itemsize
    told(size, size * itemsize, backend=ift.backends.active())
