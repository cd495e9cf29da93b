"""Random cases: any part of any array, by any initializer, in any memory, equals that part of the
whole.

Each case is decoded from a string of bytes, which is fast and which hypothesis can still shrink,
because 0 is always the simplest choice. INITFAST_PROPERTY_CASES sets the number of cases. The
default is 500, and 10,000 in the long tier."""

import math
import os
import random
from ctypes import c_ubyte

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from memory import bits, poisoned, untouched
from tiers import number

import initfast as ift
from initfast.core import indexing
from initfast.core.buffers import view
from initfast.core.dtypes import FLOATING, resolve_numeric

# Any parameters and shapes may occur, also unusual ones.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.* of the values are:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:the fan_in of shape"),
]

CASES = int(os.environ.get("INITFAST_PROPERTY_CASES") or number(10_000))
FLOATS = [dtype.name for dtype in FLOATING]
OTHERS = ["int8", "uint16", "int32", "int64", "bool", "complex64"]


class Choices:
    """A sequence of choices, one per byte of a string; after its end each choice is 0."""

    def __init__(self, data):
        self._data = iter(data)

    def below(self, n):
        return next(self._data, 0) % n

    def pick(self, options):
        return options[self.below(len(options))]

    def often(self, option, *options):
        """`option` in about half of the cases."""
        return option if self.below(2) == 0 else self.pick(options)

    def word(self):
        return int.from_bytes(bytes(self.below(256) for _ in range(8)), "little")


# Each row has the shapes that an initializer accepts, and a function that makes it from a seed,
# choices and the logical shape.
ANY, MATRIX, KERNEL, LARGER = "any shape", "rank 2", "rank 3 with 1 in the middle", "rank 2 or more"
INITIALIZERS = {
    "uniform": (ANY, lambda seed, c, shape: ift.RandomUniform(-1.0, 1.0, seed)),
    "uniform(3,3.5)": (ANY, lambda seed, c, shape: ift.RandomUniform(3.0, 3.5, seed)),
    "normal": (ANY, lambda seed, c, shape: ift.RandomNormal(0.5, 2.0, seed)),
    "truncated_normal": (ANY, lambda seed, c, shape: ift.TruncatedNormal(0.5, 2.0, seed)),
    "truncated_normal(-1,3)": (
        ANY,
        lambda seed, c, shape: ift.TruncatedNormal(0.0, 1.0, seed, -1.0, 3.0),
    ),
    "truncated_normal(8,9)": (
        ANY,
        lambda seed, c, shape: ift.TruncatedNormal(0.0, 1.0, seed, 8.0, 9.0),
    ),
    "truncated_normal(-99,99)": (
        ANY,
        lambda seed, c, shape: ift.TruncatedNormal(0.0, 1.0, seed, -99.0, 99.0),
    ),
    "glorot_uniform": (ANY, lambda seed, c, shape: ift.GlorotUniform(seed)),
    "he_normal": (ANY, lambda seed, c, shape: ift.HeNormal(seed)),
    "lecun_normal with axes": (LARGER, lambda seed, c, shape: ift.LecunNormal(seed, [1], [0])),
    "variance_scaling": (
        ANY,
        lambda seed, c, shape: ift.VarianceScaling(2.0, "fan_out", "untruncated_normal", seed),
    ),
    "orthogonal": (LARGER, lambda seed, c, shape: ift.Orthogonal(2.0, seed)),
    "zeros": (ANY, lambda seed, c, shape: ift.Zeros()),
    "ones": (ANY, lambda seed, c, shape: ift.Ones()),
    "constant": (ANY, lambda seed, c, shape: ift.Constant(3)),
    "constant array": (ANY, lambda seed, c, shape: ift.Constant(array_of(shape, c))),
    "identity": (MATRIX, lambda seed, c, shape: ift.Identity(2)),
    "stft": (
        KERNEL,
        lambda seed, c, shape: ift.STFT(c.pick(["real", "imag"]), scaling=None, periodic=True),
    ),
}
CONSTANTS = ("zeros", "ones", "constant", "constant array", "identity")


def array_of(shape, c):
    """Return an array that broadcasts to the shape: some of its last dims, each whole or 1."""
    dims = shape[c.below(len(shape) + 1) :]
    sizes = tuple(c.often(n, 1) for n in dims)
    return (np.arange(math.prod(sizes)) % 100).reshape(sizes)


def a_shape(c, takes):
    """Return a shape with 0 to 8 dims.

    It is small, or its last dim is longer than any tile and batch, or it is large enough for
    several threads."""
    rank = {ANY: c.below(9), MATRIX: 2, KERNEL: 3, LARGER: 2 + c.below(3)}[takes]
    sizes = (1, 2, 3, 0, 4, 5) if rank < 5 else (1, 2, 3, 0)
    dims = [c.pick(sizes) for _ in range(rank)]
    if takes == KERNEL:
        return (dims[0], 1, 2 + dims[2] + c.below(100))
    if 0 < rank < 5:
        dims[-1] = c.often(dims[-1], 1 + c.below(256), 1 + 16 * c.below(256))
    if rank == 2 and takes == ANY and c.below(8) == 7:
        dims = [300 + c.below(256), 500 + c.below(256)]
    return tuple(dims)


def an_index(c, shape):
    """Return an index with an entry per dim; some have an Ellipsis, new dims or fewer entries."""
    items = []
    for n in shape:
        kind = c.below(8) if n else c.below(6)
        if kind < 2:
            items.append(slice(None))
        elif kind < 6:
            first, last = (c.often(None, c.below(n + 3), c.below(n + 3) - n) for _ in range(2))
            items.append(slice(first, last, c.often(None, 2, -1, 3, -2, 7, -(2**62))))
        else:
            items.append(c.below(256) % (2 * n) - n)
    if c.below(2):
        start = c.below(len(items) + 1)
        items[start : start + c.below(3)] = [...]
    elif c.below(4) == 3:
        del items[-1:]
    if c.below(8) == 7:
        items.insert(c.below(len(items) + 1), None)
    # `fill` treats None as no index, so a single np.newaxis must be in a tuple.
    return tuple(items) if len(items) != 1 or items == [None] or c.below(2) else items[0]


def some_ids(c, rows):
    """Return row ids of any rank and integer type, in any order, with repeats."""
    lead = tuple(c.pick((3, 1, 7, 0, 20)) for _ in range(c.often(1, 0, 2, 3))) if rows else (0,)
    ids = [c.below(256) % rows for _ in range(math.prod(lead))]
    return np.array(ids, c.pick(["int64", "uint8", "int32", "uint64"])).reshape(lead)


def some_strides(c, shape, itemsize):
    """Return strides: C order, or any order of the dims, some reversed, with or without gaps."""
    axes, plain = list(range(len(shape)))[::-1], c.below(2) == 0
    strides, reach = [0] * len(shape), itemsize
    while axes:
        axis = axes.pop(0 if plain else c.below(len(axes)))
        pitch = reach if plain else reach + itemsize * c.often(0, 1, 5)
        strides[axis] = pitch if plain else pitch * c.often(1, -1)
        reach = pitch * max(1, shape[axis])
    return tuple(strides)


class Case:
    """All random choices of one case."""

    def __init__(self, data, by_rows):
        c = Choices(data)
        self.name = c.pick(list(INITIALIZERS))
        takes, self._make = INITIALIZERS[self.name]
        self.dtype = (
            c.pick(FLOATS) if self.name not in CONSTANTS else c.often(c.pick(FLOATS), *OTHERS)
        )
        self.threads = c.pick([1, 2, 3, 7])
        self.seed = ift.Seed(c.word(), c.word())
        self.shape = a_shape(c, takes)
        if by_rows and not self.shape:
            self.shape = (3,)
        self._rest = [c.below(256) for _ in range(6)]
        self.index = None if by_rows else an_index(c, self.shape)
        self.ids = some_ids(c, self.shape[0]) if by_rows else None
        part = (
            indexing.take(self.shape, self.ids)
            if by_rows
            else indexing.select(self.shape, self.index)
        )
        self.part = part
        self.strides = some_strides(c, part.shape, resolve_numeric(self.dtype).itemsize)

    def initializer(self):
        return self._make(self.seed, Choices(self._rest), self.shape)

    def __repr__(self):
        where = f"index={self.index!r}" if self.ids is None else f"ids={self.ids!r}"
        return (
            f"<{self.initializer()!r} of {self.shape}, {self.dtype}, {where} "
            f"into strides {self.strides}, {self.threads} threads>"
        )


def check(case, other=None):
    """Assert that a part is equal in strided memory, as a new array, and as a slice of the whole.

    `other` replaces the initializer of the first two."""
    initializer = case.initializer() if other is None else other
    whole = bits(
        np.ascontiguousarray(case.initializer()(case.shape, case.dtype)).reshape(-1)
    ).reshape(case.shape)
    expected = (
        whole[case.index] if case.ids is None else np.take(whole, case.ids.astype(np.int64), axis=0)
    )
    memory, out = poisoned(case.part.shape, case.strides, whole.itemsize)
    with ift.threads(case.threads):
        if case.ids is None:
            assert initializer.fill(out, case.shape, case.index, dtype=case.dtype) is out
            block = initializer.block(case.shape, case.index, case.dtype)
        else:
            initializer._write(view(out, case.dtype), case.shape, case.part)
            block = initializer.rows(case.shape, case.ids, case.dtype)
    assert out.shape == block.shape == expected.shape
    assert block.dtype.name == case.dtype
    assert out.tobytes() == expected.tobytes(), case
    assert block.tobytes() == expected.tobytes(), case
    assert untouched(memory, out), case


strings = st.binary(min_size=96, max_size=96)
any_case = settings(
    database=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@given(strings)
@settings(any_case, max_examples=CASES * 4 // 5)
def test_a_part_is_the_part_of_the_whole(data):
    check(Case(data, by_rows=False))


@given(strings)
@settings(any_case, max_examples=CASES // 5)
def test_rows_are_the_rows_of_the_whole(data):
    check(Case(data, by_rows=True))


def test_the_cases_reach_everything():
    """Assert that 3,000 cases (with a fixed seed) include every kind of choice."""
    random.seed(1)
    cases = [Case(random.randbytes(96), by_rows=i % 5 == 0) for i in range(3000)]
    parts = [case for case in cases if case.ids is None]
    steps = [
        step
        for case in cases
        for n, step in zip(case.part.shape, case.part.steps, strict=True)
        if n > 1
    ]
    assert {case.name for case in cases} == set(INITIALIZERS)
    assert {(case.name, case.dtype) for case in cases} >= {
        (name, dtype) for name in INITIALIZERS for dtype in FLOATS
    }
    assert {case.dtype for case in cases} == {*FLOATS, *OTHERS}
    for ranks in ({len(case.shape) for case in cases}, {len(case.part.shape) for case in cases}):
        assert ranks >= set(range(9))
    assert {case.threads for case in cases} == {1, 2, 3, 7}
    assert min(steps) < -1 and max(steps) > 100
    assert any(stride < 0 for case in cases for stride in case.strides)
    assert max(math.prod(case.part.shape) for case in cases) > 2**17  # worth 2 threads of 4 bytes
    for share, count in (
        (0.4, sum(0 not in case.part.shape for case in cases)),
        (
            0.02,
            sum(
                case.index is ... or (type(case.index) is tuple and ... in case.index)
                for case in parts
            ),
        ),
        (0.02, sum(type(case.index) is tuple and None in case.index for case in parts)),
        (0.02, sum(case.part.shape == () for case in parts)),
        (0.02, sum(math.prod(case.part.shape) > 1000 for case in cases)),
        (0.02, sum(case.ids is not None and case.ids.ndim > 1 for case in cases)),
    ):
        assert count > share * len(cases)


class Wrong(ift.Initializer):
    """An initializer with one wrong bit, in the byte `offset` bytes from the first element."""

    def __init__(self, right, offset):
        self.right, self.offset = right, offset

    def _write(self, target, shape, part):
        self.right._write(target, shape, part)
        if self.offset is not None:
            c_ubyte.from_address(target.address + self.offset).value ^= 1
            self.offset = None  # new arrays have no poison around them


@pytest.mark.parametrize("by_rows", [False, True])
@pytest.mark.parametrize("offset", [0, -1])
def test_the_properties_can_fail(offset, by_rows):
    random.seed(2)
    cases = [Case(random.randbytes(96), by_rows) for _ in range(100)]
    cases = [case for case in cases if 0 not in case.part.shape]
    assert len(cases) > 40
    for case in cases:
        check(case)
        with pytest.raises(AssertionError):
            check(case, Wrong(case.initializer(), offset))
