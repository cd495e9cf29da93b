"""Dask: values do not depend on chunks or processes, chunks are lazy, and names are stable."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
from tiers import sample

import initfast as ift

da = pytest.importorskip("dask.array")

import initfast.dask as ida  # noqa: E402

SHAPE = (60, 50)
MAKERS = {
    "he_normal": lambda: ift.HeNormal(seed=ift.Seed(42).named("kernel")),
    "uniform": lambda: ift.RandomUniform(seed=7),
    "normal": lambda: ift.RandomNormal(seed=7),
    "free bounds": lambda: ift.TruncatedNormal(lower=-1.0, upper=3.0, seed=7),
    "constant": lambda: ift.Constant(np.arange(50) / 4),
    "identity": lambda: ift.Identity(gain=2.0),
    "orthogonal": lambda: ift.Orthogonal(seed=3),
}
CHUNKS = ["auto", -1, 7, (20, 25), ((1, 59), (50,)), ((60,), (49, 1)), {0: 11, 1: -1}]


@pytest.fixture(autouse=True)
def one_thread_scheduler():
    import dask

    with dask.config.set(scheduler="synchronous"):
        yield


def same(actual, expected):
    return (actual.shape, actual.dtype, actual.tobytes()) == (
        expected.shape,
        expected.dtype,
        expected.tobytes(),
    )


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize(
    "dtype", sample(["float32", "float64", "float16", "bfloat16", "float8_e4m3fn"], "bfloat16")
)
def test_values_do_not_depend_on_chunks(name, dtype):
    whole = MAKERS[name]()(SHAPE, dtype)
    for chunks in CHUNKS:
        array = ida.array(MAKERS[name](), SHAPE, chunks, dtype)
        assert array.chunks == da.core.normalize_chunks(chunks, SHAPE, dtype=whole.dtype)
        assert array.dtype == array._meta.dtype == whole.dtype
        assert same(array.compute(), whole)
    # 17 is not the end of a chunk.
    assert same(
        np.ascontiguousarray(array[17:40:3, ::-2].compute()),
        np.ascontiguousarray(whole[17:40:3, ::-2]),
    )


@pytest.mark.parametrize("shape", [(), (1,), (0,), (0, 3), (2, 3, 4), (2,) * 8])
def test_any_shape(shape):
    for chunks in ("auto", 1, -1):
        array = ida.array(ift.RandomNormal(seed=3), shape, chunks)
        assert same(np.asarray(array.compute()), ift.RandomNormal(seed=3)(shape))


def test_nothing_is_made_before_it_is_computed():
    class Watched(ift.RandomNormal):
        elements = 0

        def _write(self, target, shape, part):
            Watched.elements += target.owner.size
            super()._write(target, shape, part)

    array = ida.array(Watched(seed=1), (2**40, 2**20), chunks=(2**35, 2**15))
    assert Watched.elements == 0
    assert array.npartitions == 2**10
    corner = array[-3:, -2:]
    assert Watched.elements == 0
    np.testing.assert_array_equal(
        ida.array(Watched(seed=1), (2**20, 64), chunks=(2**10, 8))[-1, 9:12].compute(),
        ift.RandomNormal(seed=1).block((2**20, 64), np.s_[-1, 9:12]),
    )
    assert Watched.elements == 2**13  # the one chunk that holds it
    assert corner.shape == (3, 2)


def test_names():
    def name(initializer=None, shape=SHAPE, chunks=7, dtype=None):
        return ida.array(initializer or ift.HeNormal(seed=1), shape, chunks, dtype).name

    assert (
        name()
        == name()
        == name(ift.HeNormal(seed=ift.Seed(1)), np.array(SHAPE), (7, 7), np.float32)
    )
    others = [
        name(ift.HeNormal(seed=2)), name(ift.HeNormal(seed=ift.Seed(1).named("a"))), name(ift.HeUniform(seed=1)),
        name(ift.VarianceScaling(2.0, seed=1)), name(ift.TruncatedNormal(seed=1)),
        name(ift.TruncatedNormal(stddev=0.1, seed=1)), name(ift.TruncatedNormal(lower=-1, seed=1)),
        name(shape=(50, 60)), name(chunks=8), name(dtype="bfloat16"), name(ift.HeNormal()), name(ift.HeNormal()),
    ]  # fmt: skip
    assert len({name(), *others}) == 1 + len(others)
    assert ida.array(ift.HeNormal(seed=1), SHAPE, name="kernel").name == "kernel"
    script = "import initfast as ift, initfast.dask as ida; print(ida.array(ift.HeNormal(seed=1), (60, 50), 7).name)"
    process = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert process.stdout.strip() == name()


def test_a_stream_is_fixed_when_the_array_is_created():
    generator = ift.SeedGenerator(8)
    initializer = ift.RandomNormal(seed=generator)
    first, second = (ida.array(initializer, SHAPE, 9) for _ in range(2))
    assert generator.counter == 2
    for array, stream in ((second, 1), (first, 0), (first, 0)):
        assert same(array.compute(), ift.RandomNormal(seed=ift.Seed(8, stream))(SHAPE))
    unseeded = ift.RandomNormal()
    array = ida.array(unseeded, SHAPE, 9)
    again = pickle.loads(pickle.dumps(array))
    assert same(again.compute(), unseeded.block(SHAPE, ...))


def test_chunks_are_made_on_one_thread():
    class Watched(ift.Zeros):
        threads = ()

        def _write(self, target, shape, part):
            Watched.threads += (ift.get_num_threads(),)
            super()._write(target, shape, part)

    with ift.threads(5):
        array = ida.array(Watched(), (4,), 2)
        Watched.threads = ()
        array.compute()
    assert Watched.threads == (1, 1)


def test_orthogonal_is_made_once():
    class Watched(ift.Orthogonal):
        calls = 0

        def _write(self, target, shape, part):
            Watched.calls += 0 not in part.shape
            super()._write(target, shape, part)

    array = ida.array(Watched(seed=1), (16, 16), 4)
    assert same(array.compute(), ift.Orthogonal(seed=1)((16, 16)))
    assert Watched.calls == 1


def test_storing_into_a_file(tmp_path):
    file = np.lib.format.open_memmap(tmp_path / "w.npy", mode="w+", dtype=np.float32, shape=SHAPE)
    da.store(ida.array(ift.HeNormal(seed=1), SHAPE, (7, 20)), file, lock=False)
    file.flush()
    assert same(np.load(tmp_path / "w.npy"), ift.HeNormal(seed=1)(SHAPE))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: ida.array("he_normal", (2, 2)),
            TypeError,
            r"initializer must be an initializer of initfast, such as",
        ),
        (
            lambda: ida.array(ift.HeNormal(), (2, -2)),
            ValueError,
            "every size in a shape must be an integer >= 0",
        ),
        (
            lambda: ida.array(ift.HeNormal(), (2, 2), dtype="int32"),
            ValueError,
            "random values need a floating dtype",
        ),
        (
            lambda: ida.array(ift.Identity(), (2, 2, 2)),
            ValueError,
            "Identity matrix initializer can only be used for 2D",
        ),
        (
            lambda: ida.array(ift.Constant([1, 2, 3]), (2, 2)),
            ValueError,
            "value must broadcast to the logical shape",
        ),
        (lambda: ida.array(ift.Orthogonal(), (2,)), ValueError, "must be at least two-dimensional"),
        (
            lambda: ida.array(ift.RandomUniform(0, 1e6, 1), (2,), dtype="float16"),
            ValueError,
            "must be finite in float16",
        ),
        (
            lambda: ida.array(ift.Zeros(), (2,), chunks=((1,),)),
            ValueError,
            "do not add up to shape",
        ),
    ],
)
def test_messages(call, error, message):
    with pytest.raises(error, match=message):
        call()


CLUSTER = """
import sys
import numpy as np

class File:
    def __init__(self, path):
        self.path = path

    def __setitem__(self, index, chunk):  # workers would receive a copy of a memmap
        np.load(self.path, mmap_mode="r+")[index] = chunk

def main():
    import dask.array as da
    from dask.distributed import Client, LocalCluster
    import initfast as ift, initfast.dask as ida

    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        with Client(cluster) as client:
            assert sorted(client.run(ift.get_num_threads).values()) == [1, 1]  # Dask sets OMP_NUM_THREADS=1
            seed = ift.Seed(42)
            for dtype in ("float32", "bfloat16"):
                whole = ift.HeNormal(seed=seed)((600, 500), dtype)
                for chunks in ((100, -1), (77, 130)):
                    values = ida.array(ift.HeNormal(seed=seed), (600, 500), chunks, dtype).compute()
                    assert values.dtype == whole.dtype and values.tobytes() == whole.tobytes()
            assert (ida.array(ift.Orthogonal(seed=1), (64, 64), 16).compute() == ift.Orthogonal(seed=1)((64, 64))).all()
            unseeded = ift.RandomNormal()
            assert (ida.array(unseeded, (64, 64), 16).compute() == unseeded.block((64, 64), ...)).all()
            np.lib.format.open_memmap(sys.argv[1], mode="w+", dtype=np.float32, shape=(600, 500))
            da.store(ida.array(ift.HeNormal(seed=seed), (600, 500), (77, 130)), File(sys.argv[1]), lock=False)
            assert np.load(sys.argv[1]).tobytes() == ift.HeNormal(seed=seed)((600, 500)).tobytes()
    print("same")

if __name__ == "__main__":
    main()
"""


@pytest.mark.long
def test_a_cluster_of_processes(tmp_path):
    pytest.importorskip("distributed")
    # Spawned workers import the program again, so it must be a file.
    program = tmp_path / "cluster.py"
    program.write_text(CLUSTER)
    process = subprocess.run(
        [sys.executable, program, tmp_path / "w.npy"],
        capture_output=True,
        text=True,
        timeout=240,
        cwd=tmp_path,
    )
    assert (process.stdout, process.returncode) == ("same\n", 0), process.stderr


def test_without_dask():
    program = "import sys; sys.modules['dask'] = None\nimport initfast.dask"
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert process.stderr.strip().endswith(
        "ImportError: initfast.dask needs Dask: pip install 'dask[array]'"
    )
