"""A job of files to write, and the part of it that one worker has."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from initfast._version import STREAM_VERSION, __version__
from initfast.files import runs, targets
from initfast.files.containers import File


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be written.

    Args:
        files: the files, each with its final name.
        identity: all that decides the bytes, as JSON can hold it: a write that is continued must
            have the same. An error names the first key that differs.
        base: what the sidecars' names begin with: the file, or a name in the folder of the files.
        notes: small files, (path, bytes), that are put in place after all others.
    """

    files: tuple[File, ...]
    identity: Mapping[str, Any]
    base: Path
    notes: tuple[tuple[Path, bytes], ...] = ()


class Share(NamedTuple):
    """What a worker has of a file: its data from byte `first` to `last`, and perhaps the header."""

    file: File
    first: int
    last: int
    header: bool


class Whole(NamedTuple):
    """What a file has to be once it is in place: its name, its first bytes, and its size."""

    path: Path
    header: bytes
    size: int


@dataclass(frozen=True, slots=True)
class Plan:
    """A job as one worker sees it: links followed, and cut into spans.

    Args:
        files, notes, base: as in `Job`.
        worker: (K, N).
        cuts: from `runs.cuts`.
        identity: what the sidecars of all workers have in line 1.
    """

    files: tuple[File, ...]
    notes: tuple[tuple[Path, bytes], ...]
    base: Path
    worker: tuple[int, int]
    cuts: tuple[int, ...]
    identity: Mapping[str, Any]

    @property
    def alone(self) -> bool:
        return self.worker[1] == 1

    @property
    def span(self) -> tuple[int, int]:
        """First and last byte of this worker, in the data of all files in a row."""
        return self.cuts[self.worker[0] - 1], self.cuts[self.worker[0]]

    @property
    def length(self) -> int:
        """Bytes of data of this worker."""
        low, high = self.span
        return high - low

    def header(self, k: int) -> dict[str, Any]:
        """Line 1 of the sidecar of worker k."""
        return {
            **self.identity,
            "worker": [k, self.worker[1]],
            "span": [self.cuts[k - 1], self.cuts[k]],
        }

    def shares(self) -> Iterator[Share]:
        """The files that this worker has something of."""
        low, high = self.span
        begin = 0
        for file in self.files:
            # The header is written by the worker that writes the first byte after it.
            ours = runs.owner(begin, self.cuts) == self.worker[0]
            first, last = max(low - begin, 0), min(high - begin, file.data_bytes)
            if first < last:
                yield Share(file, first, last, ours)
            elif ours:
                yield Share(file, 0, 0, ours)
            begin += file.data_bytes

    def wholes(self) -> Iterator[Whole]:
        """All that is put in place, in order."""
        yield from (Whole(file.path, file.header, file.size) for file in self.files)
        yield from (Whole(path, text, len(text)) for path, text in self.notes)


def plan(job: Job, worker: tuple[int, int]) -> Plan:
    """The plan of worker (K, N), K from 1.

    Raises:
        ValueError: if there is no such worker, or two files have one name.
        OSError: if a name can be none of a file.
    """
    k, n = worker
    if not 1 <= k <= n:
        raise ValueError(f"a worker must be (K, N) with K from 1 to N; received {worker!r}")
    files = tuple(replace(file, path=targets.resolve(file.path)) for file in job.files)
    notes = tuple((targets.resolve(path), text) for path, text in job.notes)
    found = Plan(files, notes, Path(os.path.realpath(job.base)), worker, runs.cuts(files, n), {})
    names = [os.fspath(whole.path) for whole in found.wholes()]
    if len(set(names)) != len(names):
        raise ValueError(f"the files of a job must have different names; received {names!r}")
    layout = hashlib.blake2b(digest_size=16)
    for path, header, size in found.wholes():
        layout.update(json.dumps([path.name, len(header), size]).encode() + header)
    identity = {
        "initfast": __version__,
        "stream_version": STREAM_VERSION,
        "identity": dict(job.identity),
        "layout": layout.hexdigest(),
    }
    return replace(found, identity=identity)
