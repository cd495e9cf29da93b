"""One job by each of several libraries, in turns: checked first, then timed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

import initfast as ift
from initfast.bench import rounds
from initfast.bench.fills import Job, as_numpy
from initfast.bench.peers import INITFAST, Peer, ready
from initfast.bench.tasks import Array, Task, Wrong, check, poison

Row = dict[str, Any]


def aligned_memory(size: int, dtype: str = "float32") -> Array:
    """Memory that starts at a cache line for every library alike, and that the system has already
    given (warm).
    """
    memory: Array = ift.Zeros()((size,), dtype)
    poison(memory)
    return memory


def prepared(peer: Peer, job: Job) -> rounds.Fill:
    """The fill of one library, seen to do its job. Raises Wrong if not, and what the library
    raises.
    """
    ready(peer)
    if job.memory is not None:
        poison(job.memory)
    fill = peer.prepare(job)
    result = fill()
    if peer.random:
        check(job.task, job.memory if job.memory is not None else as_numpy(result))
    return fill


def compare(
    peers: Sequence[Peer],
    task: Task,
    dtype: str,
    size: int,
    *,
    memory: Array | None = None,
    count: int = 5,
    limit: float = math.inf,
    least: float = 0.0,
) -> list[Row]:
    """A row for each library that can do the job: its seconds, and how many times faster the first
    of them is.

    Args:
        memory: filled in place by those who can; the others, and all of them where it is None, make
            new arrays.
        count, limit, least: the rounds, see `rounds.interleaved`.

    A library that fails has a row that says how, under "error".
    """
    rows: list[Row] = []
    fills: dict[str, rounds.Fill] = {}
    for peer in peers:
        in_place = memory is not None and peer.does(task, dtype, in_place=True)
        if not in_place and not peer.does(task, dtype, in_place=False):
            continue
        row: Row = {
            "library": peer.name,
            "task": task.name,
            "dtype": dtype,
            "elements": size,
            "in_place": in_place,
        }
        rows.append(row)
        try:
            fills[peer.name] = prepared(peer, Job(task, dtype, size, memory if in_place else None))
        except Wrong as error:
            row["error"] = f"wrong: {error}"
        except (
            Exception
        ) as error:  # other people's code: whatever it raises, the others are still to be compared
            row["error"] = f"failed: {type(error).__name__}: {error}".splitlines()[0][:200]
    seconds = rounds.interleaved(fills, count, limit, least)
    for row in rows:
        name = row["library"]
        if name not in seconds:
            continue
        typical = rounds.median(seconds, name)
        bytes_ = size * (2 if dtype == "bfloat16" else np.dtype(dtype).itemsize)
        row |= {"bytes": bytes_, "seconds": typical, "rounds": len(seconds[name])}
        row |= {"GB/s": bytes_ / typical / 1e9, "ns/element": typical / size * 1e9}
        if INITFAST.name in seconds:
            row["initfast is faster by"] = rounds.ratio(seconds, name, INITFAST.name)
    return rows
