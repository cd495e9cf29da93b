"""Walks visit every element of a part at its address, with as few loops as possible."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from parts import elements, indices, memories, rows, shapes
from tiers import cases

from initfast.core.indexing import select, take
from initfast.core.walks import forward, spaced, walk


def visit(shape, steps, strides, start, address, starts=None):
    """Return {address: logical element} of every entry that nested loops visit."""
    elements_at = {}
    for at in itertools.product(*map(range, shape)):
        place = address + sum(i * s for i, s in zip(at, strides, strict=True))
        element = start + sum(i * s for i, s in zip(at, steps, strict=True))
        if starts is not None:
            element += int(starts[at[0]]) - at[0] * steps[0]
        assert place not in elements_at
        elements_at[place] = element
    return elements_at


def visit_part(part, strides):
    """Return {address: logical element} of every entry that the walks of a part visit."""
    elements_at = {}
    for offset, piece, piece_strides in spaced(part, strides):
        piece, piece_strides, shift = forward(piece, piece_strides)
        assert all(step >= 0 for n, step in zip(piece.shape, piece.steps, strict=True) if n)
        shape, steps, piece_strides = walk(piece, piece_strides)
        assert len(shape) <= 8
        assert all(n != 1 for n in shape[piece.starts is not None :])
        elements_at.update(
            visit(shape, steps, piece_strides, piece.start, offset + shift, piece.starts)
        )
    return elements_at


@given(st.data())
@cases(1000)
def test_walks_visit_every_element_at_its_place(data):
    shape = data.draw(shapes)
    part = select(shape, data.draw(indices(shape)))
    strides = data.draw(memories(part.shape))
    assert visit_part(part, strides) == visit(part.shape, part.steps, strides, part.start, 0)


@given(st.data())
@cases(500)
def test_walks_over_rows(data):
    part = take(*data.draw(rows()))
    strides = data.draw(memories(part.shape))
    numbers = elements(part)
    expected = {
        sum(i * s for i, s in zip(at, strides, strict=True)): int(numbers[at])
        for at in np.ndindex(*part.shape)
    }
    assert visit_part(part, strides) == expected


@given(st.data())
@cases(500)
def test_no_two_loops_of_a_walk_could_be_one(data):
    shape = data.draw(shapes)
    part = select(shape, data.draw(indices(shape)))
    sizes, steps, strides = walk(part, data.draw(memories(part.shape)))
    for k in range(len(sizes) - 1):
        assert (steps[k], strides[k]) != (
            steps[k + 1] * sizes[k + 1],
            strides[k + 1] * sizes[k + 1],
        )


# shape, index, strides of the memory -> the loops
WALKS = [
    ((), ..., (), ((), (), ())),
    ((1, 1), ..., (4, 4), ((), (), ())),
    ((6,), ..., (4,), ((6,), (1,), (4,))),
    ((5, 6), ..., (24, 4), ((30,), (1,), (4,))),
    ((2, 3, 4, 5), ..., (240, 80, 20, 4), ((120,), (1,), (4,))),
    ((5, 6), ..., (4, 20), ((5, 6), (6, 1), (4, 20))),  # Fortran order
    (
        (5, 6),
        np.s_[:, 2:4],
        (8, 4),
        ((5, 2), (6, 1), (8, 4)),
    ),  # a column shard in memory of its own
    ((5, 6), np.s_[:, 2:4], (24, 4), ((5, 2), (6, 1), (24, 4))),  # and in place
    ((5, 6), np.s_[1:3], (24, 4), ((12,), (1,), (4,))),
    ((5, 6), np.s_[:, 3], (4,), ((5,), (6,), (4,))),
    ((5, 6), np.s_[::2, ::3], (8, 4), ((3, 2), (12, 3), (8, 4))),
    ((4, 6), np.s_[:, ::3], (8, 4), ((8,), (3,), (4,))),  # the step is the same from row to row
    ((5, 1, 6), np.s_[:, :, None], (24, 99, 77, 4), ((30,), (1,), (4,))),
]


@pytest.mark.parametrize(("shape", "index", "strides", "loops"), WALKS)
def test_known_walks(shape, index, strides, loops):
    assert walk(select(shape, index), strides) == loops


def test_walk_keeps_the_rows_apart():
    part = take((9, 6), [3, 4, 5])
    assert walk(part, (24, 4)) == ((3, 6), (0, 1), (24, 4))
    assert walk(take((9, 6), [3]), (24, 4)) == ((1, 6), (0, 1), (0, 4))
    assert walk(take((9,), [3, 1]), (4,)) == ((2,), (0,), (4,))
    assert walk(take((9, 6), [[3], [4]]), (24, 24, 4)) == ((2, 6), (0, 1), (24, 4))


def test_rows_unevenly_spaced_need_more_than_one_walk():
    part, strides = take((9, 6), [[3, 1], [4, 5]]), (100, 24, 4)
    with pytest.raises(ValueError, match="the rows of one walk must be evenly spaced in memory"):
        walk(part, strides)
    assert [offset for offset, _, _ in spaced(part, strides)] == [0, 100]
    assert [offset for offset, _, _ in spaced(part, (48, 24, 4))] == [0]


def test_forward_turns_a_reversed_array_into_one_loop():
    part = select((5, 6), np.s_[::-1, ::-1])
    reversed_part, strides, shift = forward(part, (-24, -4))
    assert walk(reversed_part, strides) == ((30,), (1,), (4,))
    assert (reversed_part.start, shift) == (0, -29 * 4)
