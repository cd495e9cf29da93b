"""Initializers with constant rows, such as an embedding's padding or the forget gate of an LSTM."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from initfast.core.buffers import Buffer
from initfast.core.dtypes import DType
from initfast.core.indexing import Dims, Part
from initfast.core.rounding import in_fixed_environment
from initfast.core.seeds import AnySeed
from initfast.core.types import Array, DTypeLike
from initfast.initializers.base import Direct, Initializer

__all__ = ["FixedRows", "Rows"]


class Rows(NamedTuple):
    """The rows `start` to `stop` (exclusive) of the first dim, which all hold `value`."""

    start: int
    stop: int
    value: float


class FixedRows(Direct):
    """An initializer that overwrites some rows of another one with constants.

    Args:
        inner: the other initializer.
        rows: (start, stop, value) triples; if they overlap, the last one counts.
    """

    _config_keys = ()

    def __init__(self, inner: Initializer, rows: Sequence[Rows]) -> None:
        self.inner = inner
        self.whole_only = inner.whole_only  # type: ignore[misc]  # depends on the instance
        self.fixed = tuple(rows)
        # The rows at which the value changes, and the index in `fixed` that counts from each of
        # them on; -1: these rows are not fixed.
        edges = np.array([row[:2] for row in self.fixed], np.uint64).reshape(-1, 2)
        self._edges = np.unique(edges)
        self._rules = np.full(len(self._edges), -1)
        for number, (low, high) in enumerate(np.searchsorted(self._edges, edges)):
            self._rules[low:high] = number

    def with_seed(self, seed: AnySeed) -> FixedRows:
        return FixedRows(self.inner.with_seed(seed), self.fixed)

    def _dtype(self, dtype: DTypeLike) -> DType:
        return self.inner._dtype(dtype)

    def _write(self, target: Buffer, shape: Dims, part: Part) -> None:
        self.inner._write(target, shape, part)
        if self.fixed and 0 not in part.shape:
            self._overwrite(target.array, part, math.prod(shape[1:]))

    @in_fixed_environment
    def _overwrite(self, out: Array, part: Part, row_length: int) -> None:
        if part.starts is None and part.steps == (1,):
            self._overwrite_run(out, part, row_length)
            return
        row_numbers = _rows(part, row_length).astype(np.uint64)
        # A row before the first edge has the index -1: the last rule, which is always -1.
        rules = self._rules[np.searchsorted(self._edges, row_numbers, "right") - 1]
        values = np.zeros(len(self.fixed), out.dtype)
        for rule in np.unique(rules[rules >= 0]):
            values[rule] = self.fixed[rule].value
        rules = np.broadcast_to(rules, part.shape)
        is_fixed = rules >= 0
        out[is_fixed] = values[rules[is_fixed]]

    def _overwrite_run(self, out: Array, part: Part, row_length: int) -> None:
        """Overwrite the rows in a run of consecutive elements, which is how files are written."""
        rows = [part.start // row_length, (part.start + part.shape[0] - 1) // row_length]
        first, last = np.searchsorted(self._edges, np.array(rows, np.uint64), "right")
        for edge_number in range(max(first - 1, 0), last):
            rule = self._rules[edge_number]
            if rule >= 0:
                low, high = (
                    min(max(int(edge) * row_length - part.start, 0), part.shape[0])
                    for edge in self._edges[edge_number : edge_number + 2]
                )
                out[low:high] = self.fixed[rule].value


def _rows(part: Part, row_length: int) -> Array:
    """Return the row of each element of a part, in a shape that broadcasts to the part's shape."""
    dims = len(part.shape)
    if part.starts is not None:
        lead = next(n for n in range(dims + 1) if math.prod(part.shape[:n]) == len(part.starts))
        return (part.starts // np.uint64(row_length)).reshape(
            part.shape[:lead] + (1,) * (dims - lead)
        )
    ids = np.full((1,) * dims, part.start, np.int64)
    for axis, (n, step) in enumerate(zip(part.shape, part.steps, strict=True)):
        if n > 1:
            ids = ids + (np.arange(n) * step).reshape((n,) + (1,) * (dims - axis - 1))
    return ids // row_length
