"""The words at both ends of every range, which helpers/words.py finds in the streams.

An error in rounding to a bound or in a sign may affect only one word in 2^24 or 2^53, which random
tests would miss."""

from fractions import Fraction
from functools import cache
from itertools import product

import numpy as np
import pytest
from cases import DRAWN, SOME
from tiers import sample
from words import EDGES, ONES, SEED, drawn, expected, place

import reference
from initfast import _kernels
from initfast.core import distributions
from initfast.core.dtypes import CODES, FLOATING, DType

NAMES = [dtype.name for dtype in FLOATING]
DTYPES = {CODES[dtype]: dtype for dtype in FLOATING}


def test_words_are_where_they_are_said_to_be() -> None:
    for words in ((0, 0, 0, 0), (ONES, ONES, ONES, ONES), (1, 2, 3, 4)):
        block, stream = place(words)
        assert (
            tuple(reference.blocks(np.array([block], np.uint64), SEED, stream)[0].tolist()) == words
        )


EVERY_SOURCE = pytest.mark.parametrize(
    "source", sample([source for _, source in DRAWN], *SOME[:-1], ids=[name for name, _ in DRAWN])
)


@cache
def edges(source: _kernels.Source) -> dict[tuple[int, ...], bytes]:
    """Return the reference's elements of each pair of edge words, once for all backends."""
    words_of_edges = [(first, second, second, first) for first, second in product(EDGES, repeat=2)]
    return {words: expected(source, words).tobytes() for words in words_of_edges}


@EVERY_SOURCE
def test_edges_are_those_of_the_reference(backend: str, source: _kernels.Source) -> None:
    for words, elements in edges(source).items():
        assert drawn(source, DTYPES[source.dtype], words).tobytes() == elements, words


@pytest.mark.parametrize("dtype", sample(FLOATING, "float32", "float64", "bfloat16", ids=NAMES))
def test_bounds_hold_at_both_ends(backend: str, dtype: DType) -> None:
    """Test the bounds with parameters for which rounding to nearest would often exceed them."""
    r = np.random.default_rng(6)
    # Far from 0 the steps are coarse, so that many values need the clamps. Dtypes of 8 bits have
    # few numbers there.
    reach = 3 if dtype.itemsize == 1 else 200
    for number in range(200):
        mean, stddev, lane = r.uniform(-reach, reach), r.uniform(0.5, 2), number % 8
        low, high = (Fraction(mean) + k * Fraction(stddev) for k in (-2, 2))
        truncated = distributions.truncated_normal(mean, stddev, -2.0, 2.0, dtype)
        free = distributions.truncated_normal(mean, stddev, -2.0, 2.5, dtype)
        uniform = distributions.uniform(mean, mean + 2 * stddev, dtype)
        for words in ((0, 0, ONES, ONES), (ONES, ONES, 0, 0)):
            values = [float(x) for x in drawn(truncated, dtype, words, lane).astype(np.float64)]
            assert low <= min(values) <= max(values) <= high, (mean, stddev)
            values = [float(x) for x in drawn(free, dtype, words, lane).astype(np.float64)]
            assert low <= min(values) <= max(values) <= high + Fraction(stddev) / 2, (mean, stddev)
            values = [float(x) for x in drawn(uniform, dtype, words, lane).astype(np.float64)]
            assert mean <= min(values) <= max(values) < mean + 2 * stddev, (mean, stddev)
