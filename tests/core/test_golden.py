"""Every backend computes the golden vectors: stream version 1 has not changed."""

import hashlib

import numpy as np
import pytest
from cases import SOURCES
from golden import DRAWS, VECTORS, digest

from initfast import _kernels

GOLDEN = [
    line.rsplit(" ", 6) for line in VECTORS.read_text().splitlines() if not line.startswith("#")
]
BY_NAME = dict(SOURCES)


def test_every_case_is_pinned() -> None:
    assert [name for name, *_ in GOLDEN] == [name for name, _ in SOURCES for _ in DRAWS]


@pytest.mark.parametrize(("name", "seed", "stream", "first", "count", "start", "sha256"), GOLDEN)
def test_backend(
    backend: str, name: str, seed: str, stream: str, first: str, count: str, start: str, sha256: str
) -> None:
    source = BY_NAME[name]
    memory = np.full(int(count) * source.itemsize, 0xA5, np.uint8)
    _kernels.fill_flat(
        source, int(seed, 16), int(stream, 16), memory.ctypes.data, int(first), int(count), 1
    )
    assert memory[: 4 * source.itemsize].tobytes().hex() == start
    assert hashlib.sha256(memory.tobytes()).hexdigest() == sha256


@pytest.mark.parametrize(
    ("name", "seed", "stream", "first", "count", "start", "sha256"), [GOLDEN[0], GOLDEN[-1]]
)
def test_reference(
    name: str, seed: str, stream: str, first: str, count: str, start: str, sha256: str
) -> None:
    assert (
        digest(BY_NAME[name], int(seed, 16), int(stream, 16), int(first), int(count))
        == f"{start} {sha256}"
    )
