"""Tensors in files: a `Tensor` is to be written and has an initializer, a `StoredTensor` is one
that the header of an existing file names.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from initfast.core.dtypes import DType
from initfast.core.indexing import Dims
from initfast.core.seeds import Seed
from initfast.initializers.base import Initializer

__all__ = ["File", "StoredTensor", "Tensor"]


class Tensor(NamedTuple):
    """A tensor to be written.

    Args:
        name: its name in the file; None if the format has no names.
        initializer: with one fixed stream, unless `seed` says it.
        shape: logical shape.
        dtype: from `dtypes.resolve_numeric`.
        offset: byte of the file at which it begins; `Format.file` and `locate` set it.
        seed: its stream; many tensors can then share an initializer. None: the initializer's.
    """

    name: str | None
    initializer: Initializer
    shape: Dims
    dtype: DType
    offset: int = 0
    seed: Seed | None = None

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def drawn(self) -> Initializer:
        """Return the initializer with the stream of this tensor."""
        return self.initializer if self.seed is None else self.initializer.with_seed(self.seed)

    def at(self, offset: int) -> Tensor:
        """Return this tensor at another byte of the file."""
        return Tensor(self.name, self.initializer, self.shape, self.dtype, offset, self.seed)


@dataclass(frozen=True, slots=True)
class File:
    """A file to be written: its final name, its header, and the tensors that follow, in order."""

    path: Path
    header: bytes
    tensors: tuple[Tensor, ...] = ()

    @property
    def data_bytes(self) -> int:
        return self.size - len(self.header)

    @property
    def size(self) -> int:
        """Bytes of the header and the data."""
        if not self.tensors:
            return len(self.header)
        return self.tensors[-1].offset + self.tensors[-1].nbytes


class StoredTensor(NamedTuple):
    """A tensor of an existing file; `dtype` is in the format's spelling, '' in a raw file."""

    name: str | None
    dtype: str
    shape: Dims
    offset: int
    nbytes: int
