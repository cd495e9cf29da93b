"""Compare a file with what its tensors should be: each is made again, run by run, and nothing is
kept.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from initfast.core import buffers
from initfast.files import containers, pumping, runs
from initfast.files.containers import File, Found, Tensor
from initfast.files.runs import Run


@dataclass(frozen=True, slots=True)
class Difference:
    """The first thing in which a tensor is not what it should be.

    Args:
        tensor: its name; None where the container has none.
        index: the element, an entry for each dim; None if the header differs.
        offset: byte of the file at which that element lies; None likewise.
        expected, found: both as text.
    """

    tensor: str | None
    index: tuple[int, ...] | None
    offset: int | None
    expected: str
    found: str

    def __str__(self) -> str:
        place = (
            "the header" if self.index is None else f"element {self.index} at byte {self.offset}"
        )
        name = "" if self.tensor is None else f"tensor {self.tensor!r}: "
        return f"{name}{place} should be {self.expected}; found {self.found}"


def compare(
    found: Found,
    tensors: Sequence[Tensor],
    *,
    part: tuple[int, int] | None = None,
    advance: Callable[[int], object] | None = None,
) -> list[Difference]:
    """The first difference of each tensor that differs, in order of the file; none if all bytes are
    as they should be.

    Args:
        found: from `containers.read`; tensors lie where its header says, in any order.
        tensors: what it should hold, all of it; their offsets are not looked at.
        part: rows (first, last) of the first dim to compare; for one tensor. Default: everything.
        advance: called with a count of bytes of data as they are compared, on the calling thread.

    Uses `get_num_threads()` threads, and memory that does not grow with the file.
    """
    differences, located = _headers(found, tensors)
    located.sort(key=lambda tensor: tensor.offset)
    whole = File(found.path, b"", tuple(located))
    low, high = 0, whole.data_bytes
    if part is not None:
        row = high // located[0].shape[0] if located and high else 0
        low, high = part[0] * row, part[1] * row
    wrong: set[int] = set()
    memory = threading.local()
    descriptor = os.open(found.path, os.O_RDONLY)
    try:

        def work(run: Run, raw: pumping.Bytes) -> Difference | None:
            if not hasattr(memory, "buffer"):
                memory.buffer = buffers.empty((runs.CHUNK_BYTES,), np.dtype("u1"))
            there = memory.buffer[: run.nbytes]
            _read(descriptor, there, run.offset)
            return _first(run, raw, there)

        def todo() -> Iterator[Run]:
            # Of a tensor that is known to differ, the rest is not looked at.
            yield from (
                run for run in runs.runs([whole], low, high) if run.tensor.offset not in wrong
            )

        with contextlib.closing(pumping.in_order(work, todo())) as made:
            for run, _, difference in made:
                if difference is not None and run.tensor.offset not in wrong:
                    wrong.add(run.tensor.offset)
                    differences.append(difference)
                if advance is not None:
                    advance(run.nbytes)
    finally:
        os.close(descriptor)
    return differences


def _headers(found: Found, tensors: Sequence[Tensor]) -> tuple[list[Difference], list[Tensor]]:
    """Tensors that are missing, different or too many; and those that can be compared, where the
    file has them.
    """
    differences, located = [], []
    for tensor in tensors:
        try:
            located.append(containers.locate(found, tensor))
        except ValueError:
            held = [
                held
                for held in found.tensors
                if held.name == tensor.name or found.container != "safetensors"
            ]
            received = containers.described(found.container, held[0]) if held else "no such tensor"
            differences.append(
                Difference(
                    tensor.name, None, None, containers.described(found.container, tensor), received
                )
            )
    if found.container == "safetensors":
        expected = {tensor.name for tensor in tensors}
        for other in found.tensors:
            if other.name not in expected:
                received = containers.described(found.container, other)
                differences.append(Difference(other.name, None, None, "without it", received))
    return differences, located


def _read(descriptor: int, out: pumping.Bytes, offset: int) -> None:
    view = out.data
    while view:
        count = os.preadv(descriptor, [view], offset)
        if not count:
            raise OSError(
                f"the file must keep its size while it is read; received its end at byte {offset}"
            )
        view, offset = view[count:], offset + count


def _first(run: Run, expected: pumping.Bytes, found: pumping.Bytes) -> Difference | None:
    """The first element whose bytes differ."""
    size = run.tensor.dtype.itemsize
    wide = len(expected) // 8 * 8
    # Eight bytes at a time, and only where these differ one at a time.
    if np.array_equal(expected[:wide].view("u8"), found[:wide].view("u8")) and np.array_equal(
        expected[wide:], found[wide:]
    ):
        return None
    place = int(np.flatnonzero(expected != found)[0]) // size
    element = run.start + place
    index = (
        tuple(int(entry) for entry in np.unravel_index(element, run.tensor.shape))
        if run.tensor.shape
        else ()
    )
    texts = [_text(run, raw[place * size : (place + 1) * size]) for raw in (expected, found)]
    if texts[0] == texts[1]:  # such as two kinds of NaN
        texts = [
            raw[place * size : (place + 1) * size].tobytes().hex(" ") for raw in (expected, found)
        ]
    return Difference(run.tensor.name, index, run.offset + place * size, *texts)


def _text(run: Run, raw: pumping.Bytes) -> str:
    value: Any = pumping.values(run, raw.copy())[0]
    return str(value)
