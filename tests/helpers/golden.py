"""Write the golden vectors of stream version 1, vectors/stream-1.txt, from the reference:
`PYTHONPATH=src python tests/helpers/golden.py`.

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
    """Return the lines of the file."""
    result = []
    for name, source in SOURCES:
        for seed, stream, first, count in DRAWS:
            digests = digest(source, seed, stream, first, count)
            result.append(f"{name} {seed:#x} {stream:#x} {first} {count} {digests}")
    return result


def digest(source: Source, seed: int, stream: int, first: int, count: int) -> str:
    """Return the first four elements and the SHA-256 of all, in hexadecimal."""
    data = reference.values(source, seed, stream, first, count).tobytes()
    return f"{data[: 4 * source.itemsize].hex()} {hashlib.sha256(data).hexdigest()}"


if __name__ == "__main__":
    header = (__doc__ or "").splitlines()[2:]
    VECTORS.write_text(
        "\n".join([*(f"# {line}".rstrip() for line in header if line), *lines()]) + "\n"
    )
