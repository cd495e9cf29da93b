"""Visit a part of a logical array in memory with as few nested loops as possible."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from itertools import accumulate

from initfast.core.indexing import Dims, Part, c_steps


def walk(part: Part, strides: Dims) -> tuple[Dims, Dims, Dims]:
    """Return (shape, steps, strides) of the fewest nested loops that visit `part` in memory.

    Dims of size 1 are removed. Neighbouring dims are merged if one loop with one logical step and
    one memory stride visits both, so that a whole contiguous array needs one loop, and a single
    element none. With `starts`, loop 0 visits these and is not merged.

    Args:
        part: the elements to visit.
        strides: bytes from one entry to the next in each dim of ``part.shape``.

    Raises:
        ValueError: if the rows of `starts` are not evenly spaced in memory; `spaced` splits them.
    """
    dims, steps = part.shape, part.steps
    if part.starts is None:
        return _merge(dims, steps, strides)
    lead = _lead_dims(dims, len(part.starts))
    outer, _, outer_strides = _merge(dims[:lead], c_steps(dims[:lead]), strides[:lead])
    if len(outer) > 1:
        raise ValueError(
            f"the rows of one walk must be evenly spaced in memory; received strides {strides} "
            f"for {dims}"
        )
    inner, inner_steps, inner_strides = _merge(dims[lead:], steps[lead:], strides[lead:])
    return (len(part.starts), *inner), (0, *inner_steps), (*(outer_strides or (0,)), *inner_strides)


def forward(part: Part, strides: Dims) -> tuple[Part, Dims, int]:
    """Reverse every dim with a negative logical step, so that element numbers increase.

    Every element keeps its address. Returns (part, strides, bytes to add to the address)."""
    start, shift = part.start, 0
    steps, new_strides = list(part.steps), list(strides)
    for axis, (n, step) in enumerate(zip(part.shape, part.steps, strict=True)):
        if step < 0 < n:
            start += (n - 1) * step
            shift += (n - 1) * strides[axis]
            steps[axis], new_strides[axis] = -step, -strides[axis]
    return part._replace(start=start, steps=tuple(steps)), tuple(new_strides), shift


def spaced(part: Part, strides: Dims) -> Iterator[tuple[int, Part, Dims]]:
    """Yield pieces of `part` that `walk` accepts: (bytes to add to the address, part, strides).

    More than one piece is needed only for rows whose ids have two dims or more, if these dims are
    not evenly spaced in memory."""
    lead = 0 if part.starts is None else _lead_dims(part.shape, len(part.starts))
    if (
        part.starts is None
        or len(_merge(part.shape[:lead], c_steps(part.shape[:lead]), strides[:lead])[0]) < 2
    ):
        yield 0, part, strides
        return
    rows = part.starts.reshape(part.shape[0], -1)
    for i in range(part.shape[0]):
        piece = Part(part.shape[1:], 0, part.steps[1:], rows[i])
        for offset, inner, inner_strides in spaced(piece, strides[1:]):
            yield i * strides[0] + offset, inner, inner_strides


def _lead_dims(dims: Dims, rows: int) -> int:
    """Return how many leading dims hold `rows` entries together."""
    sizes = accumulate(dims, operator.mul)
    return next(axis for axis, count in enumerate(sizes, 1) if count == rows)


def _merge(dims: Dims, steps: Dims, strides: Dims) -> tuple[Dims, Dims, Dims]:
    """Return (shape, steps, strides) without dims of size 1 and with neighbours merged."""
    loops: list[tuple[int, int, int]] = []
    for n, step, stride in zip(dims, steps, strides, strict=True):
        if n == 1:
            continue
        if loops and loops[-1][1:] == (step * n, stride * n):
            n *= loops.pop()[0]
        loops.append((n, step, stride))
    return (
        tuple(loop[0] for loop in loops),
        tuple(loop[1] for loop in loops),
        tuple(loop[2] for loop in loops),
    )
