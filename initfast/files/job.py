"""The files of a model: the tensors of each file, in order, and the index."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from initfast.core import garbage
from initfast.core.seeds import Seed
from initfast.files import formats, safetensorsfile
from initfast.files.entries import Entry
from initfast.files.formats import File, Tensor

__all__ = ["INDEX", "SUFFIX", "WHOLE", "Job"]

SUFFIX = ".safetensors"
WHOLE, INDEX = f"model{SUFFIX}", f"model{SUFFIX}.index.json"


@dataclass(frozen=True, slots=True)
class Job:
    """The files of a model. The `Tensor`s of a file are created when they are needed.

    Args:
        folder: the folder of the files.
        names: the names of the files.
        entries: the tensors of each file.
        root: the seed within which tensors have separate streams.
        is_folder: whether the output is a folder, not one file.
    """

    folder: Path
    names: tuple[str, ...]
    entries: tuple[tuple[Entry, ...], ...]
    root: Seed
    is_folder: bool

    @property
    def paths(self) -> list[Path]:
        """Return the paths of all files."""
        return [self.folder / name for name in self.names]

    @property
    def files(self) -> Iterator[File]:
        """Return an iterator over all files."""
        return map(self.file, range(len(self.names)))

    def file(self, number: int) -> File:
        """Return file `number`, from 0."""
        header = self.header(number)
        tensors = self.tensors(number, len(header))
        return File(self.folder / self.names[number], header, tensors)

    def header(self, number: int) -> bytes:
        """Return the header of file `number`."""
        metadata = formats.metadata(self.root.seed if self.root.name is None else None)
        entries = _ordered(self.entries[number])
        return safetensorsfile.header(
            ((entry.name, entry.dtype, entry.shape) for entry in entries), metadata
        )

    @garbage.paused()
    def tensors(self, number: int, offset: int = 0) -> tuple[Tensor, ...]:
        """Return the tensors of file `number`, in order. `offset` is the byte of the first one."""
        tensors = []
        for entry in _ordered(self.entries[number]):
            name, shape, dtype, _, stream, _ = entry
            tensors.append(
                Tensor(name, entry.values, shape, dtype, offset, self.root.named(stream))
            )
            offset += entry.nbytes
        return tuple(tensors)

    def numbers(self, worker: tuple[int, int]) -> range:
        """Return the numbers of the files of worker (K, N)."""
        return range(worker[0] - 1, len(self.names), worker[1])

    def data_bytes(self, worker: tuple[int, int] = (1, 1)) -> int:
        """Return how many bytes of data worker (K, N) writes."""
        return sum(
            entry.nbytes for number in self.numbers(worker) for entry in self.entries[number]
        )

    @property
    def index(self) -> File | None:
        """Return the index as a file without tensors; None if the model has one file."""
        if len(self.names) == 1:
            return None
        places = {
            entry.name: name
            for name, entries in zip(self.names, self.entries, strict=True)
            for entry in _ordered(entries)
        }
        index = {"metadata": {"total_size": self.data_bytes()}, "weight_map": places}
        text = json.dumps(index, indent=2, ensure_ascii=False).encode() + b"\n"
        return File(self.folder / INDEX, text)


def _ordered(entries: Sequence[Entry]) -> list[Entry]:
    """Return the tensors in their order in the file, larger elements first.

    So each tensor is aligned to its elements, which the loader of torch needs.
    """
    return sorted(entries, key=lambda entry: -entry.dtype.itemsize)
