"""A model in files: which tensors each holds, in which order, and the index."""

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
    """A model in files. The tensors of a file are made when they are asked for.

    Args:
        folder: of the files.
        names: names of the files.
        entries: the tensors of each.
        root: the seed within which tensors have separate streams.
        is_folder: whether the model is the folder, and not one file.
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
        """All files."""
        return map(self.file, range(len(self.names)))

    def file(self, number: int) -> File:
        """Return one file, from 0."""
        header = self.header(number)
        tensors = self.tensors(number, len(header))
        return File(self.folder / self.names[number], header, tensors)

    def header(self, number: int) -> bytes:
        """Return the header of one file."""
        metadata = formats.metadata(self.root.seed if self.root.name is None else None)
        entries = _ordered(self.entries[number])
        return safetensorsfile.header(
            ((entry.name, entry.dtype, entry.shape) for entry in entries), metadata
        )

    @garbage.paused()
    def tensors(self, number: int, offset: int = 0) -> tuple[Tensor, ...]:
        """Return the tensors of one file, in its order, from a byte of the file on."""
        found = []
        for entry in _ordered(self.entries[number]):
            name, shape, dtype, _, stream, _ = entry
            found.append(Tensor(name, entry.values, shape, dtype, offset, self.root.named(stream)))
            offset += entry.nbytes
        return tuple(found)

    def numbers(self, worker: tuple[int, int]) -> range:
        """Return the numbers of the files of worker (K, N)."""
        return range(worker[0] - 1, len(self.names), worker[1])

    def data_bytes(self, worker: tuple[int, int] = (1, 1)) -> int:
        """Return how many bytes of data a worker writes."""
        return sum(
            entry.nbytes for number in self.numbers(worker) for entry in self.entries[number]
        )

    @property
    def index(self) -> File | None:
        """Return the index, a file without tensors; None if there is one file."""
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
    """Return the tensors in order of the file: larger elements first, so that each tensor is
    aligned to its elements, which torch's loader needs.
    """
    return sorted(entries, key=lambda entry: -entry.dtype.itemsize)
