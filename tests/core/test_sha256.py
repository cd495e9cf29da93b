"""Compare SHA-256 digests of 2^20 elements of every case (2^24 in the long tier) on fast backends.

Also compare those of the tables of coefficients.

The stored digests are those of the reference's values (tests/helpers/sha256.py). `python
tests/trust/evidence.py bits` does the same with other compilers, optimization levels, eight threads
and NEON."""

import hashlib
import re

import numpy as np
import pytest
from cases import SOURCES
from sha256 import LONG, SEED, SHORT, STREAM, VECTORS, first_of, pinned
from tiers import sample

import coefficients
import reference
from initfast import _kernels, backends

TABLES = [
    line.split()
    for line in (VECTORS.parent / "sha256-tables.txt").read_text().splitlines()
    if not line.startswith("#")
]
# The cases that the portable backend computes in less than a minute.
QUICK = re.compile(r"bits|uniform|normal\(0,1\) float(32|16)")


def elements(source: _kernels.Source, first: int, count: int) -> np.ndarray:
    memory = np.full(count * source.itemsize, 0xA5, np.uint8)
    _kernels.fill_flat(source, SEED, STREAM, memory.ctypes.data, first, count, 2)
    return memory


def test_every_case_is_pinned() -> None:
    lines = pinned()
    assert [line.name for line in lines] == [name for name, _ in SOURCES]
    assert [line.first for line in lines] == [first_of(source) for _, source in SOURCES]
    assert len({line.long for line in lines} | {line.short for line in lines}) == 2 * len(lines)


@pytest.mark.parametrize("count", sample([SHORT, LONG], SHORT))
def test_all_elements(backend: str, count: int) -> None:
    slow = backend == backends.compiled()[0]
    if slow and count == LONG:
        pytest.skip("takes the portable backend minutes")
    lines = [line for line in pinned() if not slow or QUICK.match(line.name)]
    wrong = [
        line.name for line in lines if _digest(line.source, line.first, count) != line.digest(count)
    ]
    assert lines
    assert wrong == []


def _digest(source: _kernels.Source, first: int, count: int) -> str:
    return hashlib.sha256(elements(source, first, count)).hexdigest()


def test_the_digests_are_those_of_the_reference() -> None:
    """Compute the first 2^20 elements of one case and the ends of all with the reference.

    More would take longer than a minute."""
    line = next(line for line in pinned() if line.name == "normal(0,1) bfloat16")
    assert (
        hashlib.sha256(
            reference.values(line.source, SEED, STREAM, line.first, SHORT).tobytes()
        ).hexdigest()
        == line.short
    )
    for each in pinned():
        for at in (each.first, each.first + LONG - 100):
            assert (
                elements(each.source, at, 100).tobytes()
                == reference.values(each.source, SEED, STREAM, at, 100).tobytes()
            )


@pytest.mark.parametrize(("name", "count", "digest"), TABLES, ids=[table[0] for table in TABLES])
def test_tables_of_coefficients(name: str, count: str, digest: str) -> None:
    values = getattr(coefficients, name)
    assert len(values) == int(count)
    assert hashlib.sha256(",".join(value.hex() for value in values).encode()).hexdigest() == digest


def test_all_tables_are_pinned() -> None:
    assert [name for name, *_ in TABLES] == [name for name in vars(coefficients) if name.isupper()]
