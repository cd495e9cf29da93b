"""Steps of either sign and any size, by direct calls of the binding.

src/initfast.h allows more steps than initfast/core/indexing.py uses."""

from functools import cache

import numpy as np
import pytest
from cases import SOURCES
from tiers import sample

import reference
from initfast import _kernels

CASES = dict(SOURCES)
SEED, STREAM, START = 3, 4, 2**20
# A batch of fill.c has 384 blocks, for up to 1536 neighbours, or for 384 distant elements.
COUNTS = (1, 2, 5, 383, 384, 385, 1535, 1536, 1537, 3100)
STEPS = (-1, -2, -3, -4, -5, -100, 0, 1, 2, 3, 4, 5, 100)
REACH = max(COUNTS) * 5


@cache
def around(name: str) -> np.ndarray:
    """Return the reference's elements START - REACH, ..., START + REACH + 3, as bytes."""
    source = CASES[name]
    elements = reference.values(source, SEED, STREAM, START - REACH, 2 * REACH + 4)
    return elements.view(np.uint8).reshape(-1, source.itemsize)


@pytest.mark.parametrize(
    "name",
    [
        "bits uint32",
        "normal(0,1) float64",
        "uniform(-0.05,0.05) bfloat16",
        "normal(0,1) float8_e5m2",
    ],
)
@pytest.mark.parametrize("step", sample(STEPS, -3, 1, 2, 100))
def test_any_step(backend: str, name: str, step: int) -> None:
    source = CASES[name]
    for count in [count for count in COUNTS if count * abs(step) <= REACH]:
        for start in range(START, START + 4):
            expected = around(name)[start - START + REACH + step * np.arange(count)]
            for distance in (1, -1, 3):  # items from one element to the next
                places = 16 + distance * np.arange(count) + (count - 1 if distance < 0 else 0)
                memory = np.full((places.max() + 17, source.itemsize), 0xA5, np.uint8)
                address = memory.ctypes.data + int(places[0]) * source.itemsize
                _kernels.fill(
                    source,
                    SEED,
                    STREAM,
                    address,
                    start,
                    (count,),
                    (step,),
                    (distance * source.itemsize,),
                    None,
                    1,
                )
                assert memory[places].tobytes() == expected.tobytes(), (count, start, distance)
                assert (np.delete(memory, places, 0) == 0xA5).all(), (count, start, distance)
