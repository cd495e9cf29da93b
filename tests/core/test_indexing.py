"""Parts of a logical array, compared with NumPy's indexing of an array of element numbers."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from parts import elements, indices, rows, shapes
from tiers import cases

from initfast.core.indexing import Part, normalize_shape, select, take, whole


def numbered(shape):
    return np.arange(math.prod(shape)).reshape(shape)


@given(shapes)
def test_whole(shape):
    np.testing.assert_array_equal(elements(whole(shape)), numbered(shape))


@given(st.data())
@cases(1000)
def test_select_is_numpys_indexing(data):
    shape = data.draw(shapes)
    index = data.draw(indices(shape))
    part, expected = select(shape, index), numbered(shape)[index]
    assert part.shape == expected.shape
    assert part.starts is None
    np.testing.assert_array_equal(elements(part), expected)


@given(rows())
@cases(500)
def test_take_is_numpys_take(case):
    shape, ids = case
    part, expected = take(shape, ids), np.take(numbered(shape), ids, axis=0)
    assert part.shape == expected.shape
    np.testing.assert_array_equal(elements(part), expected)


@pytest.mark.parametrize(
    "ids", [2, np.int8(2), [2, 0, 2], [], (1,), [[1], [2]], range(3), np.zeros((2, 0), "u4")]
)
def test_take_accepts_any_integers(ids):
    expected = np.take(numbered((3, 5)), np.asarray(ids).astype(int), axis=0)
    np.testing.assert_array_equal(elements(take((3, 5), ids)), expected)


def test_take_of_rows_without_elements():
    assert take((3, 0), [2, 1]).shape == (2, 0)
    assert elements(take((3,), [2, 1, 1])).tolist() == [2, 1, 1]


# No overflow: 2**63 elements have numbers up to 2**63 - 1, the largest C integer.
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
    ),  # an empty part starts at 0; 2**63 would be out of range
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
    result = normalize_shape(shape)
    assert result == dims
    assert all(type(n) is int for n in result)


def test_normalize_shape_of_torch():
    torch = pytest.importorskip("torch")
    dims = normalize_shape(torch.zeros(2, 3).shape)
    assert type(dims) is tuple
    assert dims == (2, 3)


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


ENTRIES = r"an index must hold only integers, slices, Ellipsis and np.newaxis .*; received "


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
            r"an index may have at most one entry per dim, 2 here; received \(0, 0, 0\)",
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
