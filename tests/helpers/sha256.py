"""SHA-256 of 2^24 elements of every case: `PYTHONPATH=src python tests/helpers/sha256.py` writes
vectors/sha256-stream-1.txt anew; with names of distributions, their lines of it alone.

About 20 minutes. Only src/reference.py makes the values, one NumPy operation at a time; no
backend takes part. The elements lie around 2^34 (float64: 2^33), so that the block number's carry
into its high word is among the first 2^20, and begin inside a block. A changed line is a new stream
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
    """A line of the file: what to draw, and the digests of SHORT and of LONG elements."""

    name: str
    source: Source
    first: int
    short: str
    long: str

    def digest(self, count: int) -> str:
        return {SHORT: self.short, LONG: self.long}[count]


def first_of(source: Source) -> int:
    """Where the elements begin: 3 elements before a block, 2^19 before the carry."""
    return (2**33 if source.dtype == 1 else 2**34) - 2**19 - 3


def pinned() -> list[Pinned]:
    """The lines of the file, in the order of cases.SOURCES."""
    sources = dict(SOURCES)
    found = []
    for line in VECTORS.read_text().splitlines():
        if not line.startswith("#"):
            name, seed, stream, first, short, long = line.rsplit(" ", 5)
            assert (int(seed, 16), int(stream, 16)) == (SEED, STREAM)
            found.append(Pinned(name, sources[name], int(first), short, long))
    return found


def lines(distributions: Sequence[str]) -> Iterator[str]:
    """What the file should hold of these distributions. The narrow dtypes of one distribution are the same float32
    numbers, rounded.
    """
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
        for done in range(0, LONG, CHUNK):
            made = reference.unrounded(members[0], SEED, STREAM, first + done, CHUNK)
            for k, member in enumerate(members):
                if done == SHORT:
                    short[k] = hashes[k].hexdigest()
                hashes[k].update(reference._rounded(made, member).tobytes())
        for name, early, total in zip(group, short, hashes, strict=True):
            yield f"{name} {SEED:#x} {STREAM:#x} {first} {early} {total.hexdigest()}"


def _arithmetic(source: Source) -> tuple[object, ...]:
    """What the numbers before the last rounding rest on."""
    return source.distribution, source.dtype == 1, source.numbers[0][:2], source.numbers[1]


if __name__ == "__main__":
    head = [f"# {line}".rstrip() for line in (__doc__ or "").splitlines() if line]
    wanted = sys.argv[1:] or [*DISTRIBUTIONS, "bits"]
    kept = [line for line in VECTORS.read_text().splitlines() if not line.startswith("#")]
    found = {line.rsplit(" ", 5)[0]: line for line in kept}
    for line in lines(wanted):
        found[line.rsplit(" ", 5)[0]] = line
        print(line, file=sys.stderr, flush=True)
    VECTORS.write_text("\n".join([*head, *(found[name] for name, _ in SOURCES)]) + "\n")
