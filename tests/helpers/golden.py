"""Golden vectors of stream version 1, from the reference: `PYTHONPATH=src python
tests/helpers/golden.py` writes vectors/stream-1.txt.

A changed line is a new stream version, not a patch. Each line: distribution, dtype, seed, stream,
first element, count, the first four elements and the SHA-256 of all, as bytes in memory order."""

import hashlib
from pathlib import Path

from cases import SOURCES

import reference
from initfast._kernels import Source

VECTORS = Path(__file__).parent.parent / "vectors" / "stream-1.txt"
DRAWS = [(0, 0, 0, 65536), (0x0123456789ABCDEF, 0xFEDCBA9876543210, 2**33 - 1001, 4099)]


def lines() -> list[str]:
    found = []
    for name, source in SOURCES:
        for seed, stream, first, count in DRAWS:
            digests = digest(source, seed, stream, first, count)
            found.append(f"{name} {seed:#x} {stream:#x} {first} {count} {digests}")
    return found


def digest(source: Source, seed: int, stream: int, first: int, count: int) -> str:
    made = reference.values(source, seed, stream, first, count).tobytes()
    return f"{made[: 4 * source.itemsize].hex()} {hashlib.sha256(made).hexdigest()}"


if __name__ == "__main__":
    header = (__doc__ or "").splitlines()[2:]
    VECTORS.write_text(
        "\n".join([*(f"# {line}".rstrip() for line in header if line), *lines()]) + "\n"
    )
