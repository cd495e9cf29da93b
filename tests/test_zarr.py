"""Zarr: a filled array equals the initializer's, for any chunks, threads and processes."""

import itertools
import subprocess
import sys

import numpy as np
import pytest
from tiers import sample

import initfast as ift

zarr = pytest.importorskip("zarr", minversion="3")

import initfast.zarr as iz  # noqa: E402

LAYOUTS = {
    "chunks": {"shape": (101, 57), "chunks": (10, 7)},
    "shards": {"shape": (101, 57), "chunks": (5, 7), "shards": (20, 14)},
    "three dims": {"shape": (9, 4, 5), "chunks": (2, 3, 2)},
    "one chunk": {"shape": (30, 20), "chunks": (30, 20)},
    "one dim": {"shape": (1000,), "chunks": (33,)},
    "no dims": {"shape": (), "chunks": ()},
    "no elements": {"shape": (0, 4), "chunks": (1, 4)},
    "the old format": {"shape": (30, 20), "chunks": (7, 6), "zarr_format": 2, "order": "F"},
    "plain bytes": {"shape": (30, 20), "chunks": (7, 6), "compressors": None},
}
INITIALIZERS = {
    "he_normal": lambda: ift.HeNormal(seed=ift.Seed(3).named("kernel")),
    "uniform": lambda: ift.RandomUniform(seed=3),
    "free bounds": lambda: ift.TruncatedNormal(lower=-1.0, upper=3.0, seed=3),
    "constant": lambda: ift.Constant(0.25),
    "zeros": ift.Zeros,
}


def create(dtype, store=None, **layout):
    """Return an array full of other values."""
    return zarr.create_array({} if store is None else store, dtype=dtype, fill_value=7, **layout)


def same(array, expected):
    actual = np.asarray(array[...])
    return (actual.shape, actual.dtype, actual.tobytes()) == (
        expected.shape,
        expected.dtype,
        expected.tobytes(),
    )


@pytest.fixture(params=[1, 2000, 8 << 20], ids=["chunk by chunk", "a few chunks", "many chunks"])
def room(request, monkeypatch):
    monkeypatch.setattr(iz, "_REGION_BYTES", request.param)


@pytest.mark.usefixtures("room")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_it_is_the_whole_array(layout):
    array = create("float32", **LAYOUTS[layout])
    with ift.threads(3):
        assert iz.fill(array, ift.HeNormal(seed=3)) is array
    assert same(array, ift.HeNormal(seed=3)(array.shape))


@pytest.mark.parametrize("name", INITIALIZERS)
@pytest.mark.parametrize("dtype", sample(["float32", "float64", "float16"], "float16"))
def test_initializers(name, dtype):
    array = create(dtype, **LAYOUTS["shards"])
    iz.fill(array, INITIALIZERS[name]())
    assert same(array, INITIALIZERS[name]().block(array.shape, ..., dtype))


@pytest.mark.usefixtures("room")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_parts_make_the_whole(layout):
    array = create("float32", **LAYOUTS[layout])
    init = ift.HeNormal(seed=3)
    for k in (3, 1, 2):
        iz.fill(array, init, part=(k, 3))  # without a warning about a reused stream
    assert same(array, ift.HeNormal(seed=3)(array.shape))


def test_a_part_writes_nothing_else():
    array = create("float32", shape=(100, 40), chunks=(10, 40))
    iz.fill(array, ift.HeNormal(seed=3), index=np.s_[20:50])
    expected = np.full((100, 40), 7, np.float32)
    expected[20:50] = ift.HeNormal(seed=3).block((100, 40), np.s_[20:50])
    assert same(array, expected)
    iz.fill(array, ift.HeNormal(seed=3), index=(slice(90, None), slice(None)))
    iz.fill(array, ift.HeNormal(seed=3), index=np.s_[5:5])
    expected[90:] = ift.HeNormal(seed=3).block((100, 40), np.s_[90:])
    assert same(array, expected)


def test_orthogonal_and_a_users_initializer():
    class Mine(ift.Initializer):
        calls = 0

        def __call__(self, shape, dtype=None):
            Mine.calls += 1
            return np.arange(np.prod(shape), dtype=dtype or "float32").reshape(shape)

    array = create("float32", shape=(40, 30), chunks=(7, 30))
    assert same(iz.fill(array, ift.Orthogonal(seed=3)), ift.Orthogonal(seed=3)((40, 30)))
    assert same(iz.fill(array, Mine()), np.arange(1200, dtype=np.float32).reshape(40, 30))
    assert Mine.calls == 1


@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool", "complex64"])
def test_constants_of_other_numbers(dtype):
    array = zarr.create_array({}, shape=(9, 4), chunks=(2, 3), dtype=dtype)
    assert same(iz.fill(array, ift.Ones()), np.ones((9, 4), dtype))
    with pytest.raises(ValueError, match="random values need a floating dtype"):
        iz.fill(array, ift.HeNormal(seed=1))


PROGRAM = """
import sys
import initfast as ift, initfast.zarr, zarr
path, k, n = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
initfast.zarr._REGION_BYTES = 20_000
array = zarr.open_array(path, mode="r+")
initfast.zarr.fill(array, ift.HeNormal(seed=ift.Seed(3).named("table")), part=(k, n))
"""


@pytest.mark.parametrize("layout", sample(["chunks", "shards"], "shards"))
def test_parallel_processes(layout, tmp_path):
    path = tmp_path / "table.zarr"
    create("float32", path, **LAYOUTS[layout])
    running = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", PROGRAM, path, str(k), "3"],
            stderr=subprocess.PIPE,
        )
        for k in (1, 2, 3)
    ]
    for each in running:
        assert each.communicate()[1] == b"" and each.returncode == 0
    array = zarr.open_array(path, mode="r")
    assert same(array, ift.HeNormal(seed=ift.Seed(3).named("table"))(array.shape))


@pytest.mark.parametrize("layout", ["chunks", "shards", "three dims", "one dim"])
@pytest.mark.parametrize("room", [1, 2000, 10**9])
def test_regions_hold_whole_chunks_once(layout, room, monkeypatch):
    monkeypatch.setattr(iz, "_REGION_BYTES", room)
    shape, chunks = LAYOUTS[layout]["shape"], LAYOUTS[layout]["chunks"]
    unit = LAYOUTS[layout].get("shards", chunks)
    grid = iz._grid(shape, unit, 4, None)
    counts = np.zeros(shape, int)
    for number in range(grid.regions):
        region = grid.region(number)
        counts[region] += 1
        assert all(part.start % size == 0 for part, size in zip(region, unit, strict=True))
        assert all(
            part.stop % size == 0 or part.stop == n
            for part, size, n in zip(region, unit, shape, strict=True)
        )
    assert (counts == 1).all()
    most = max(room, 4 * int(np.prod(unit)))
    assert all(4 * counts[grid.region(number)].size <= most for number in range(grid.regions))


def test_an_array_of_countless_chunks_needs_no_list_of_them():
    array = zarr.create_array({}, shape=(2**40, 2**20), chunks=(1, 4), dtype="float32")
    iz.fill(array, ift.RandomNormal(seed=3), index=np.s_[2**39 : 2**39 + 2, 8:16])
    expected = ift.RandomNormal(seed=3).block((2**40, 2**20), np.s_[2**39 : 2**39 + 2, 8:16])
    assert np.array_equal(array[2**39 : 2**39 + 2, 8:16], expected)


MEMORY = """
import resource, sys
import initfast as ift, initfast.zarr, zarr
array = zarr.create_array(sys.argv[1], shape=(40_000, 1000), chunks=(1000, 1000), dtype="float32", compressors=None)
initfast.zarr.fill(array, ift.HeNormal(seed=3), index=slice(0, 4000))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
initfast.zarr.fill(array, ift.HeNormal(seed=3))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.long
def test_memory_does_not_grow_with_the_array(tmp_path):
    process = subprocess.run(
        [sys.executable, "-c", MEMORY, tmp_path / "a"], capture_output=True, text=True, check=True
    )
    assert int(process.stdout) < 60, "MiB more for 160 MB than for 16"


def small_array(**changes):
    return zarr.create_array(
        {}, **{"shape": (10, 8), "chunks": (3, 4), "dtype": "float32", **changes}
    )


def read_only():
    store = zarr.storage.MemoryStore()
    create("float32", store, shape=(4,), chunks=(2,))
    return zarr.open_array(store, mode="r")


HE = ift.HeNormal(seed=1)
REFUSALS = [
    (
        lambda: iz.fill(zarr.create_group({}), HE),
        TypeError,
        "must be an open zarr.Array.*received zarr.core.group.Group",
    ),
    (
        lambda: iz.fill(np.empty(3, "f4"), HE),
        TypeError,
        "must be an open zarr.Array.*received numpy.ndarray",
    ),
    (lambda: iz.fill("table.zarr", HE), TypeError, "must be an open zarr.Array"),
    (
        lambda: iz.fill(small_array()._async_array, HE),
        TypeError,
        "must be an open zarr.Array.*AsyncArray",
    ),
    (lambda: iz.fill(read_only(), HE), ValueError, "array must be open for writing"),
    (lambda: iz.fill(small_array(dtype=">f4"), HE), ValueError, "native byte order"),
    (
        lambda: iz.fill(small_array(dtype="datetime64[s]", zarr_format=2), HE),
        ValueError,
        "dtype must be one of",
    ),
    (
        lambda: iz.fill(small_array(), "he_normal"),
        TypeError,
        "initializer must be an initializer of initfast",
    ),
    (
        lambda: iz.fill(small_array(shape=(10,), chunks=(3,)), ift.Identity()),
        ValueError,
        "Identity matrix",
    ),
    (
        lambda: iz.fill(small_array(), HE, part=(0, 3)),
        ValueError,
        r"part must be \(K, N\) with K from 1 to N; received",
    ),
    (lambda: iz.fill(small_array(), HE, part=(4, 3)), ValueError, "part must be"),
    (lambda: iz.fill(small_array(), HE, part=(1.0, 3)), ValueError, "part must be"),
    (lambda: iz.fill(small_array(), HE, part=3), ValueError, "part must be"),
    (
        lambda: iz.fill(small_array(), HE, part=(1, 2), index=np.s_[:3]),
        ValueError,
        "part cannot be combined with index",
    ),
    (
        lambda: iz.fill(small_array(), ift.HeNormal(), part=(1, 2)),
        ValueError,
        "a part needs a seed",
    ),
    (
        lambda: iz.fill(small_array(), HE, index=np.s_[1:3]),
        ValueError,
        "must begin and end at multiples of .* 3, or at the end of the dim, 10",
    ),
    (
        lambda: iz.fill(small_array(), HE, index=np.s_[0:4]),
        ValueError,
        "must begin and end at multiples",
    ),
    (
        lambda: iz.fill(small_array(), HE, index=np.s_[:, 4:7]),
        ValueError,
        "length 4, or at the end of the dim, 8",
    ),
    (
        lambda: iz.fill(small_array(), HE, index=np.s_[::2]),
        ValueError,
        "index must be at most 2 slices without steps",
    ),
    (lambda: iz.fill(small_array(), HE, index=3), ValueError, "index must be at most 2 slices"),
    (
        lambda: iz.fill(small_array(), HE, index=np.s_[:, :, :]),
        ValueError,
        "index must be at most 2 slices without steps",
    ),
    (
        lambda: iz.fill(small_array(shards=(6, 4)), HE, index=np.s_[:3]),
        ValueError,
        "length 6, or at the end",
    ),
]


@pytest.mark.parametrize(("work", "kind", "message"), REFUSALS)
def test_refusals(work, kind, message):
    with pytest.raises(kind, match=message):
        work()


def test_refusals_write_nothing():
    array = create("float32", shape=(10, 8), chunks=(3, 4))
    for arguments in (
        {"index": np.s_[1:3]},
        {"part": (3, 2)},
        {"part": (1, 2), "index": np.s_[:3]},
    ):
        with pytest.raises(ValueError):
            iz.fill(array, HE, **arguments)
    assert array.nchunks_initialized == 0


def test_an_error_in_a_thread_is_raised_and_stops_the_others(monkeypatch):
    array = create("float32", shape=(1000, 4), chunks=(1, 4))
    monkeypatch.setattr(iz, "_REGION_BYTES", 1)
    blocks = itertools.count()

    class Breaking(ift.RandomUniform):
        def block(self, shape, index, dtype=None):
            if next(blocks) == 20:
                raise OSError("the disk is full")
            return super().block(shape, index, dtype)

    with ift.threads(3), pytest.raises(OSError, match="the disk is full"):
        iz.fill(array, Breaking(seed=1))
    assert next(blocks) < 100


def test_no_seed_is_drawn_once_for_all_chunks():
    array = create("float32", shape=(64, 64), chunks=(8, 8))
    init = ift.HeNormal()
    iz.fill(array, init)
    assert same(array, ift.HeNormal(seed=init.seed)((64, 64)))
    generator = ift.SeedGenerator(5)
    iz.fill(array, ift.HeNormal(seed=generator))
    assert same(array, ift.HeNormal(seed=5)((64, 64))) and generator.counter == 1


def test_zarr_lacks_bfloat16():
    """If this fails, Zarr supports bfloat16: update the README and the docstring of `fill`."""
    with pytest.raises((TypeError, ValueError)):
        small_array(dtype="bfloat16")


def test_without_zarr_the_error_says_what_to_install():
    code = "import sys; sys.modules['zarr'] = None; import initfast.zarr"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (
        process.returncode == 1
        and "ImportError: initfast.zarr needs Zarr 3: pip install 'zarr>=3'" in process.stderr
    )
