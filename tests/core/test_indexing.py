"""Parts of a logical array, held against NumPy's own indexing of an array that numbers its
elements.
"""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiers import cases

from initfast.core.indexing import Part, forward, normalize_shape, select, spaced, take, walk, whole


def elements(part):
    """The logical element of every entry of a part, enumerated as the docstring of `Part` says."""
    found = np.full(part.shape, part.start, np.int64)
    for axis, step in enumerate(part.steps):
        n = part.shape[axis]
        found += (np.arange(n) * step).reshape((n,) + (1,) * (len(part.shape) - axis - 1))
    if part.starts is not None:
        assert part.starts.dtype == np.uint64
        lead = next(
            k
            for k in range(1, len(part.shape) + 1)
            if math.prod(part.shape[:k]) == len(part.starts)
        )
        found += part.starts.astype(np.int64).reshape(
            part.shape[:lead] + (1,) * (len(part.shape) - lead)
        )
    return found


def numbered(shape):
    return np.arange(math.prod(shape)).reshape(shape)


shapes = (
    st.lists(st.integers(0, 4), max_size=8)
    .map(tuple)
    .filter(lambda shape: math.prod(shape) <= 5000)
)


@st.composite
def indices(draw, shape):
    """Any basic index of an array of `shape`: integers and slices, fewer than dims or not,
    Ellipsis, newaxis.
    """
    items = []
    for n in shape[: draw(st.integers(0, len(shape)))]:
        bound = st.none() | st.integers(-n - 3, n + 3)
        step = st.none() | st.integers(-4, 4).filter(bool)
        one = st.builds(slice, bound, bound, step)
        if n:
            place = st.integers(-n, n - 1)
            one |= place | place.map(np.int32)
        items.append(draw(one))
    if draw(st.booleans()):
        # Whatever follows the Ellipsis indexes the last dims, which have other sizes: slices fit
        # any.
        tail = draw(
            st.lists(
                st.builds(slice, *[st.none() | st.integers(-3, 3)] * 2),
                max_size=len(shape) - len(items),
            )
        )
        items += [Ellipsis, *tail]
    for _ in range(draw(st.integers(0, 2))):
        items.insert(draw(st.integers(0, len(items))), np.newaxis)
    if len(items) == 1 and draw(st.booleans()):
        return items[0]
    return tuple(items)


@st.composite
def memories(draw, shape):
    """Bytes from one entry to the next of `shape` in memory that does not overlap: any order, gaps,
    any direction.
    """
    strides, reach = [0] * len(shape), 4
    for axis in draw(st.permutations(range(len(shape)))):
        gap = draw(st.sampled_from([0, 0, 0, 4, 12]))
        strides[axis] = (reach + gap) * draw(st.sampled_from([1, 1, -1]))
        reach = (reach + gap) * max(1, shape[axis])
    return tuple(strides)


@st.composite
def rows(draw):
    shape = draw(st.lists(st.integers(1, 4), min_size=1, max_size=5).map(tuple))
    lead = tuple(draw(st.lists(st.integers(0, 3), max_size=3)))
    ids = draw(
        st.lists(st.integers(0, shape[0] - 1), min_size=math.prod(lead), max_size=math.prod(lead))
    )
    return shape, np.array(
        ids, draw(st.sampled_from(["i1", "u1", "i4", "u4", "i8", "u8"]))
    ).reshape(lead)


@given(shapes)
def test_whole(shape):
    np.testing.assert_array_equal(elements(whole(shape)), numbered(shape))


@given(st.data())
@cases(1000)
def test_select_is_numpys_indexing(data):
    shape = data.draw(shapes)
    index = data.draw(indices(shape))
    part, wanted = select(shape, index), numbered(shape)[index]
    assert part.shape == wanted.shape
    assert part.starts is None
    np.testing.assert_array_equal(elements(part), wanted)


@given(rows())
@cases(500)
def test_take_is_numpys_take(case):
    shape, ids = case
    part, wanted = take(shape, ids), np.take(numbered(shape), ids, axis=0)
    assert part.shape == wanted.shape
    np.testing.assert_array_equal(elements(part), wanted)


@pytest.mark.parametrize(
    "ids", [2, np.int8(2), [2, 0, 2], [], (1,), [[1], [2]], range(3), np.zeros((2, 0), "u4")]
)
def test_take_accepts_any_integers(ids):
    wanted = np.take(numbered((3, 5)), np.asarray(ids).astype(int), axis=0)
    np.testing.assert_array_equal(elements(take((3, 5), ids)), wanted)


def test_take_of_rows_without_elements():
    assert take((3, 0), [2, 1]).shape == (2, 0)
    assert elements(take((3,), [2, 1, 1])).tolist() == [2, 1, 1]


def visited(shape, steps, strides, start, address, starts=None):
    """address -> logical element for every entry that nested loops visit."""
    found = {}
    for at in itertools.product(*map(range, shape)):
        place = address + sum(i * s for i, s in zip(at, strides, strict=True))
        element = start + sum(i * s for i, s in zip(at, steps, strict=True))
        if starts is not None:
            element += int(starts[at[0]]) - at[0] * steps[0]
        assert place not in found
        found[place] = element
    return found


def walked(part, strides):
    """address -> logical element for every entry that the walks of a part visit, the way `fill`
    runs them.
    """
    found = {}
    for offset, piece, apart in spaced(part, strides):
        piece, apart, shift = forward(piece, apart)
        assert all(step >= 0 for n, step in zip(piece.shape, piece.steps, strict=True) if n)
        shape, steps, apart = walk(piece, apart)
        assert len(shape) <= 8
        assert all(n != 1 for n in shape[piece.starts is not None :])
        found.update(visited(shape, steps, apart, piece.start, offset + shift, piece.starts))
    return found


@given(st.data())
@cases(1000)
def test_walks_visit_every_element_at_its_place(data):
    shape = data.draw(shapes)
    part = select(shape, data.draw(indices(shape)))
    strides = data.draw(memories(part.shape))
    assert walked(part, strides) == visited(part.shape, part.steps, strides, part.start, 0)


@given(st.data())
@cases(500)
def test_walks_over_rows(data):
    part = take(*data.draw(rows()))
    strides = data.draw(memories(part.shape))
    numbers = elements(part)
    wanted = {
        sum(i * s for i, s in zip(at, strides, strict=True)): int(numbers[at])
        for at in np.ndindex(*part.shape)
    }
    assert walked(part, strides) == wanted


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
    ((4, 6), np.s_[:, ::3], (8, 4), ((8,), (3,), (4,))),  # even steps that carry on from row to row
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
    turned, strides, shift = forward(part, (-24, -4))
    assert walk(turned, strides) == ((30,), (1,), (4,))
    assert (turned.start, shift) == (0, -29 * 4)


# Nothing wraps: 2**63 elements have numbers up to 2**63 - 1, beyond which a C integer would go.
HUGE = [
    ((2**63,), -1, (), 2**63 - 1, ()),
    ((2**63,), np.s_[:], (2**63,), 0, (1,)),
    ((2**63,), np.s_[::-1], (2**63,), 2**63 - 1, (-1,)),
    ((2**63,), np.s_[-3:], (3,), 2**63 - 3, (1,)),
    ((2**63,), np.s_[:: 2**62], (2,), 0, (2**62,)),
    ((2**63,), np.s_[: 2**70], (2**63,), 0, (1,)),
    ((2**31, 2**32), np.s_[-1, -1], (), 2**63 - 1, ()),
    ((2**31, 2**32), np.s_[-2:, 5], (2,), (2**31 - 2) * 2**32 + 5, (2**32,)),
    ((2**50, 2**12), np.s_[2**49, ::-1], (2**12,), 2**61 + 2**12 - 1, (-1,)),
    ((2**21,) * 3, np.s_[-1, ..., -1:], (2**21, 1), 2**63 - 2**42 + 2**21 - 1, (2**21, 1)),
    ((0, 2**62), np.s_[:], (0, 2**62), 0, (2**62, 1)),
    (
        (2**63,),
        np.s_[2**63 :],
        (0,),
        0,
        (1,),
    ),  # nothing has no first element; 2**63 would be out of range
]


@pytest.mark.parametrize(("shape", "index", "dims", "start", "steps"), HUGE)
def test_huge_shapes_are_exact(shape, index, dims, start, steps):
    part = select(normalize_shape(shape), index)
    assert part == Part(dims, start, steps)
    assert all(type(n) is int for n in (*part.shape, part.start, *part.steps))


def test_rows_of_a_huge_array_are_exact():
    part = take((2**43, 2**20), [2**43 - 1, 0])
    assert part.starts.tolist() == [2**63 - 2**20, 0]
    assert take((2**63,), np.uint64(2**63 - 1)) == Part((), 2**63 - 1, ())


@pytest.mark.parametrize(
    ("shape", "dims"),
    [
        (5, (5,)),
        (np.int64(5), (5,)),
        (np.array(5), (5,)),
        ((), ()),
        ([], ()),
        ([2, 3], (2, 3)),
        (np.array([2, 3]), (2, 3)),
        ((np.uint8(200), np.int16(3)), (200, 3)),
        (range(3), (0, 1, 2)),
        ((0,) * 8, (0,) * 8),
        ((0, 2**63), (0, 2**63)),
        ((2**31, 2**32), (2**31, 2**32)),
    ],
)
def test_normalize_shape(shape, dims):
    found = normalize_shape(shape)
    assert found == dims
    assert all(type(n) is int for n in found)


def test_normalize_shape_of_torch():
    torch = pytest.importorskip("torch")
    found = normalize_shape(torch.zeros(2, 3).shape)
    assert type(found) is tuple
    assert found == (2, 3)


SIZES = "every size in a shape must be an integer >= 0; received "
SHAPES = "a shape must|shape must be an integer or a sequence of integers; received "


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (-1, SIZES + r"-1$"),
        ((2, -1), SIZES + r"\(2, -1\)"),
        ((2, None), SIZES + r"\(2, None\)"),
        ((2, 3.0), SIZES + r"\(2, 3.0\)"),
        ((2, np.float32(3)), SIZES),
        ((2, True), SIZES + r"\(2, True\)"),
        ((2, np.True_), SIZES),
        (True, SIZES + "True"),
        ((2, "3"), SIZES),
        ([[2, 3]], SIZES),
        (np.zeros(2), SIZES),
        (None, SHAPES + "None"),
        (2.0, SHAPES + "2.0"),
        ("23", SHAPES + "'23'"),
        (b"23", SHAPES),
        ({2: 3}, SHAPES),
        ({2, 3}, SHAPES),
        (iter([2]), SHAPES),
        ((1,) * 9, r"a shape may have at most 8 dims; received 9 in \(1, 1, "),
        (
            (2**63 + 1,),
            r"a shape may hold at most 2\*\*63 elements; received \(9223372036854775809,\)",
        ),
        ((2**32, 2**32), r"at most 2\*\*63 elements"),
        ((0, 2**63 + 1), r"at most 2\*\*63 elements"),
        ((2**64, 2**64, 0), r"at most 2\*\*63 elements"),
    ],
)
def test_bad_shapes(shape, message):
    with pytest.raises(ValueError, match=message):
        normalize_shape(shape)


ENTRIES = r"an index must hold integers, slices, Ellipsis and np.newaxis only .*; received "


@pytest.mark.parametrize(
    ("index", "error", "message"),
    [
        (4, IndexError, r"index 4 is out of bounds for axis 0 with size 4; received 4$"),
        (-5, IndexError, r"index -5 is out of bounds for axis 0 with size 4"),
        ((0, 6), IndexError, r"index 6 is out of bounds for axis 1 with size 6; received \(0, 6\)"),
        (
            (0, None, ..., 2**70),
            IndexError,
            r"index 1180591620717411303424 is out of bounds for axis 1 with size 6",
        ),
        (
            (0, 0, 0),
            IndexError,
            r"an index may have at most one entry a dim, 2 here; received \(0, 0, 0\)",
        ),
        ((..., 0, ...), IndexError, r"an index may have at most one Ellipsis; received 2 in "),
        (True, TypeError, ENTRIES + "True"),
        ((0, np.True_), TypeError, ENTRIES),
        (1.0, TypeError, ENTRIES + r"1\.0"),
        (np.float64(1), TypeError, ENTRIES),
        ([0, 1], TypeError, ENTRIES + r"\[0, 1\]"),
        (np.array([0, 1]), TypeError, ENTRIES + r"array\(\[0, 1\]\)"),
        (np.array([1]), TypeError, ENTRIES),
        ("0", TypeError, ENTRIES + "'0'"),
        (np.s_[1.0:], TypeError, "slice indices must be integers"),
        (np.s_[::0], ValueError, "slice step cannot be zero"),
    ],
)
def test_bad_indices(index, error, message):
    with pytest.raises(error, match=message):
        select((4, 6), index)


@pytest.mark.parametrize(
    ("ids", "error", "message"),
    [
        ([0, 4], IndexError, r"row ids must lie in \[0, 4\); received 4"),
        ([0, -1], IndexError, r"row ids must lie in \[0, 4\); received -1"),
        (2**63, IndexError, r"row ids must lie in \[0, 4\); received 9223372036854775808"),
        ([0.0], TypeError, "row ids must be integers; received an array of float64"),
        (np.zeros(0), TypeError, "row ids must be integers; received an array of float64"),
        ([True, False], TypeError, "row ids must be integers; received an array of bool"),
        (None, TypeError, "row ids must be integers; received an array of object"),
    ],
)
def test_bad_ids(ids, error, message):
    with pytest.raises(error, match=message):
        take((4, 6), ids)


def test_rows_need_rows():
    with pytest.raises(
        IndexError, match=r"rows need a logical array of at least one dim; received shape \(\)"
    ):
        take((), [0])
    with pytest.raises(IndexError, match=r"row ids must lie in \[0, 0\)"):
        take((0, 6), [0])
    assert take((0, 6), []).shape == (0, 6)
