"""Hypothesis strategies for parts of logical arrays, and the elements of a part."""

import math

import numpy as np
from hypothesis import strategies as st


def elements(part):
    """Return the logical element of every entry of a part, as the docstring of `Part` defines it."""
    numbers = np.full(part.shape, part.start, np.int64)
    for axis, step in enumerate(part.steps):
        n = part.shape[axis]
        numbers += (np.arange(n) * step).reshape((n,) + (1,) * (len(part.shape) - axis - 1))
    if part.starts is not None:
        assert part.starts.dtype == np.uint64
        lead = next(
            k
            for k in range(1, len(part.shape) + 1)
            if math.prod(part.shape[:k]) == len(part.starts)
        )
        numbers += part.starts.astype(np.int64).reshape(
            part.shape[:lead] + (1,) * (len(part.shape) - lead)
        )
    return numbers


shapes = (
    st.lists(st.integers(0, 4), max_size=8)
    .map(tuple)
    .filter(lambda shape: math.prod(shape) <= 5000)
)


@st.composite
def indices(draw, shape):
    """Draw any basic index of an array of `shape`: integers, slices, Ellipsis and newaxis, perhaps
    fewer than dimensions.
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
        # Items after the Ellipsis index the last dimensions, which have other sizes. Slices fit any
        # size.
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
    """Draw strides in bytes for `shape` in memory without overlap: any order, gap and direction."""
    strides, reach = [0] * len(shape), 4
    for axis in draw(st.permutations(range(len(shape)))):
        gap = draw(st.sampled_from([0, 0, 0, 4, 12]))
        strides[axis] = (reach + gap) * draw(st.sampled_from([1, 1, -1]))
        reach = (reach + gap) * max(1, shape[axis])
    return tuple(strides)


@st.composite
def rows(draw):
    """Draw a shape, and ids of its rows."""
    shape = draw(st.lists(st.integers(1, 4), min_size=1, max_size=5).map(tuple))
    lead = tuple(draw(st.lists(st.integers(0, 3), max_size=3)))
    ids = draw(
        st.lists(st.integers(0, shape[0] - 1), min_size=math.prod(lead), max_size=math.prod(lead))
    )
    return shape, np.array(
        ids, draw(st.sampled_from(["i1", "u1", "i4", "u4", "i8", "u8"]))
    ).reshape(lead)
