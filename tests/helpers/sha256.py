"""Write SHA-256 of 2^24 elements of every case: `PYTHONPATH=src python tests/helpers/sha256.py`
writes vectors/sha256-stream-1.txt; with names of distributions, it writes only their lines.

This takes about 20 minutes. All values come from src/reference.py, in single NumPy operations; no
backend is used. The elements are around 2^34 (float64: 2^33), so that the carry into the high word
of the block number is among the first 2^20, and start inside a block. A changed line is a new stream
version. Each line: distribution, dtype, seed, stream, first element, SHA-256 of the first 2^20
elements and of all 2^24, as little-endian bytes in memory order."""

import hashlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from cases import DISTRIBUTIONS, SOURCES

import reference
from initfast._kernels import Source
from initfast.core.dtypes import FLOATING

VECTORS = Path(__file__).parent.parent / "vectors" / "sha256-stream-1.txt"
SEED, STREAM = 0x0123456789ABCDEF, 0xFEDCBA9876543210
SHORT, LONG = 2**20, 2**24
CHUNK = 2**18


class Pinned(NamedTuple):
    """A line of the file: a source, and the digests of SHORT and of LONG elements."""

    name: str
    source: Source
    first: int
    short: str
    long: str

    def digest(self, count: int) -> str:
        """Return the digest of SHORT or LONG elements."""
        return {SHORT: self.short, LONG: self.long}[count]


def first_of(source: Source) -> int:
    """Return the first element: 3 elements before a block, 2^19 before the carry."""
    return (2**33 if source.dtype == 1 else 2**34) - 2**19 - 3


def pinned() -> list[Pinned]:
    """Return the lines of the file, in the order of cases.SOURCES."""
    sources = dict(SOURCES)
    result = []
    for line in VECTORS.read_text().splitlines():
        if not line.startswith("#"):
            name, seed, stream, first, short, long = line.rsplit(" ", 5)
            assert (int(seed, 16), int(stream, 16)) == (SEED, STREAM)
            result.append(Pinned(name, sources[name], int(first), short, long))
    return result


def lines(distributions: Sequence[str]) -> Iterator[str]:
    """Yield the lines of these distributions.

    The narrow dtypes of a distribution are roundings of the same float32 numbers."""
    sources = dict(SOURCES)
    wide = [[f"{name} float64"] for name in distributions if name != "bits"]
    narrow = [
        [f"{name} {dtype.name}" for dtype in FLOATING if dtype.name != "float64"]
        for name in distributions
        if name != "bits"
    ]
    for group in (*wide, *narrow, *([["bits uint32"]] if "bits" in distributions else [])):
        members = [sources[name] for name in group]
        assert all(_arithmetic(member) == _arithmetic(members[0]) for member in members)
        hashes, short = [hashlib.sha256() for _ in members], [""] * len(members)
        first = first_of(members[0])
        for offset in range(0, LONG, CHUNK):
            numbers = reference.unrounded(members[0], SEED, STREAM, first + offset, CHUNK)
            for k, member in enumerate(members):
                if offset == SHORT:
                    short[k] = hashes[k].hexdigest()
                hashes[k].update(reference._rounded(numbers, member).tobytes())
        for name, early, total in zip(group, short, hashes, strict=True):
            yield f"{name} {SEED:#x} {STREAM:#x} {first} {early} {total.hexdigest()}"


def _arithmetic(source: Source) -> tuple[object, ...]:
    """Return the properties of a source that determine its numbers before the last rounding."""
    return source.distribution, source.dtype == 1, source.numbers[0][:2], source.numbers[1]


if __name__ == "__main__":
    head = [f"# {line}".rstrip() for line in (__doc__ or "").splitlines() if line]
    distributions = sys.argv[1:] or [*DISTRIBUTIONS, "bits"]
    old_lines = [line for line in VECTORS.read_text().splitlines() if not line.startswith("#")]
    by_case = {line.rsplit(" ", 5)[0]: line for line in old_lines}
    for line in lines(distributions):
        by_case[line.rsplit(" ", 5)[0]] = line
        print(line, file=sys.stderr, flush=True)
    VECTORS.write_text("\n".join([*head, *(by_case[name] for name, _ in SOURCES)]) + "\n")
