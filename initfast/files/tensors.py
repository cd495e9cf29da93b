"""Tensors in files: a `Tensor` with its initializer is to be written, a `StoredTensor` is in the
header of an existing file.
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
        name: the name in the file; None if the format has no names.
        initializer: the initializer, with one fixed stream unless `seed` is set.
        shape: the logical shape.
        dtype: the dtype, from `dtypes.resolve_numeric`.
        offset: its first byte in the file; `Format.file` and `locate` set it.
        seed: its stream, so that many tensors can share an initializer. None: the initializer's.
    """

    name: str | None
    initializer: Initializer
    shape: Dims
    dtype: DType
    offset: int = 0
    seed: Seed | None = None

    @property
    def nbytes(self) -> int:
        """Return the bytes of the tensor."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def seeded_initializer(self) -> Initializer:
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
        """Return the bytes of all tensors."""
        return self.size - len(self.header)

    @property
    def size(self) -> int:
        """Return the bytes of the header and all tensors."""
        if not self.tensors:
            return len(self.header)
        return self.tensors[-1].offset + self.tensors[-1].nbytes


class StoredTensor(NamedTuple):
    """A tensor of an existing file; `dtype` is as the format spells it, '' in a raw file."""

    name: str | None
    dtype: str
    shape: Dims
    offset: int
    nbytes: int
