"""Fills: parts, threads, processes and raw bits.

test_properties.py compares parts with the whole."""

import os
import subprocess
import sys
import threading
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory import POISON, bits, drawn
from tiers import sample

from initfast.core import distributions
from initfast.core.buffers import Buffer, empty, view
from initfast.core.dtypes import FLOATING, UINT32, bits_of, resolve
from initfast.core.engine import fill, random_bits
from initfast.core.indexing import select, take, whole
from initfast.core.seeds import Seed
from initfast.core.threads import threads

F32 = resolve("float32")
SOURCES = {
    "uniform": lambda dtype: distributions.uniform(-1.0, 1.0, dtype),
    "normal": lambda dtype: distributions.normal(0.0, 1.0, dtype),
    "truncated": lambda dtype: distributions.truncated_normal(0.5, 2.0, -2.0, 2.0, dtype),
    "free bounds": lambda dtype: distributions.truncated_normal(0.0, 1.0, -1.0, 3.0, dtype),
}

# Large enough that each of 7 threads gets a share.
LARGE = (401, 2503)
LARGE_INDICES = [
    np.s_[:],
    np.s_[:, 100:2000],
    np.s_[::-1, ::3],
    np.s_[::2, ::-1],
    np.s_[3:],
    np.s_[:, 7],
]


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("count", sample([1, 2, 3, 7], 3))
def test_threads_do_not_change_values(count, name, backend):
    source, seed = SOURCES[name](F32), Seed(42)
    with threads(1):
        expected = bits(drawn(source, seed, LARGE, F32))
    with threads(count):
        np.testing.assert_array_equal(bits(drawn(source, seed, LARGE, F32)), expected)
        for index in LARGE_INDICES:
            part = select(LARGE, index)
            out = np.full(part.shape, np.nan, np.float32)
            fill(source, seed, view(out), part)
            np.testing.assert_array_equal(bits(out), expected[index])
        ids = np.arange(LARGE[0])[::-3]
        out = np.full((len(ids), LARGE[1]), np.nan, np.float32)
        fill(source, seed, view(out), take(LARGE, ids))
        np.testing.assert_array_equal(bits(out), expected[ids])


@pytest.mark.parametrize("dtype", FLOATING, ids=lambda dtype: dtype.name)
def test_threads_do_not_change_any_dtype(dtype, backend):
    source, seed, shape = SOURCES["normal"](dtype), Seed(7), (3, 300_007)
    with threads(1):
        expected = bits(drawn(source, seed, shape, dtype))
    with threads(3):
        np.testing.assert_array_equal(bits(drawn(source, seed, shape, dtype)), expected)
        out = np.full(shape[::-1], POISON, bits_of(dtype)).T
        fill(source, seed, view(out, dtype), whole(shape))
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("count", sample([1, 2, 3], 3))
@pytest.mark.parametrize("skip", sample([0, 1, 13], 13))
def test_chunks_meet_without_a_seam(count, skip):
    # 128 MiB from any address: enough for chunks of full size, which begin on huge pages.
    memory = np.full(2**25 + 64, 0xA5A5A5A5, np.uint32)
    out = memory[skip : skip + 2**25]
    with threads(count):
        fill(distributions.bits(), Seed(8), view(out)._replace(dtype=UINT32), whole(out.shape))
    for start in range(0, 2**25, 2**16):  # small enough for one thread and one chunk
        assert np.array_equal(out[start : start + 2**16], random_bits(2**16, seed=8, offset=start))
    assert (memory[:skip] == 0xA5A5A5A5).all()
    assert (memory[skip + 2**25 :] == 0xA5A5A5A5).all()


def test_a_changed_seed_or_stream_changes_values():
    # The comparisons above can fail.
    source = SOURCES["normal"](F32)
    arrays = [drawn(source, seed, (1000,), F32) for seed in (Seed(1), Seed(2), Seed(1, 1))]
    for i in range(3):
        for j in range(i):
            assert (arrays[i] != arrays[j]).mean() > 0.99


HUGE = [
    ((2**63,), np.s_[-5:]),
    ((2**63,), np.s_[:: 2**62 + 1]),
    ((2**63,), -1),
    ((2**31, 2**32), np.s_[-2:, 5:9]),
    ((2**31, 2**32), np.s_[2**30 :: 2**29, :: -(2**31)]),
    ((2**50, 2**10), np.s_[0, :]),
    ((2**50, 2**10), np.s_[-1, ::-1]),
    ((2**7,) * 8, np.s_[-1, 7, ::100, ..., 5, 6, 7, 8, -2:]),
]


@pytest.mark.parametrize(("shape", "index"), HUGE)
def test_parts_of_an_array_too_large_to_exist(shape, index):
    part = select(shape, index)
    out = np.full(part.shape, 1, np.uint32)
    target = view(out)._replace(dtype=UINT32)
    fill(distributions.bits(), Seed(3, 4), target, part)
    for at in np.ndindex(*part.shape):
        element = part.start + sum(i * s for i, s in zip(at, part.steps, strict=True))
        assert out[at] == random_bits((), seed=3, stream=4, offset=element)


def test_rows_of_an_array_too_large_to_exist():
    shape, ids = (2**43, 2**20), [2**43 - 1, 0, 12345678901]
    out = np.full((3, 2**20), 1, np.uint32)
    fill(distributions.bits(), Seed(3), view(out)._replace(dtype=UINT32), take(shape, ids))
    for row, i in zip(out, ids, strict=True):
        np.testing.assert_array_equal(row, random_bits(2**20, seed=3, offset=i * 2**20))


def test_no_element_is_written_for_an_empty_part():
    source = SOURCES["normal"](F32)
    for shape in ((0,), (3, 0), (0, 2**60)):
        assert drawn(source, Seed(1), shape, F32).shape == shape
        fill(source, Seed(1), view(np.empty(shape, np.float32)), whole(shape))
    memory = np.full((4, 6), 7, np.float32)
    fill(source, Seed(1), view(memory[2:2]), select((4, 6), np.s_[2:2]))
    fill(source, Seed(1), view(memory[:0]), take((4, 6), []))
    assert (memory == 7).all()


def test_new_arrays():
    array = drawn(SOURCES["uniform"](F32), Seed(1), (33, 5), F32)
    assert array.shape == (33, 5)
    assert array.dtype == np.float32
    assert array.ctypes.data % 64 == 0
    assert len(np.unique(array)) > 160  # values, not the old contents of the memory


@pytest.mark.parametrize("shape", [(4, 6), (20,), (5, 4), (4, 5, 1), ()])
def test_out_must_have_the_shape_of_the_part(shape):
    out = np.full(shape, 7, np.float32)
    with pytest.raises(
        ValueError,
        match=r"out must have the shape of the part, \(4, 5\); received \(",
    ):
        fill(SOURCES["normal"](F32), Seed(1), view(out), whole((4, 5)))
    assert (out == 7).all()


@pytest.mark.parametrize("dtype", ["float64", "float16", "int32", "uint32", "bool"])
def test_out_must_have_the_dtype_of_the_source(dtype):
    out = np.full(3, 1, dtype)
    with pytest.raises(
        ValueError, match=f"out must have the dtype of the values; received {dtype} memory"
    ):
        fill(SOURCES["normal"](F32), Seed(1), view(out), whole((3,)))
    assert (out == 1).all()


def test_dtypes_of_one_size_are_not_mixed_up():
    out = np.full(3, POISON, np.uint16)
    with pytest.raises(
        ValueError, match="out must have the dtype of the values; received bfloat16 memory"
    ):
        fill(SOURCES["normal"](resolve("float16")), Seed(1), view(out, "bfloat16"), whole((3,)))
    assert (out == POISON).all()


def test_nine_dims_are_too_many():
    out = np.full((2,) * 18, 7, np.float32)[(slice(None), 0) * 9]
    with pytest.raises(ValueError, match="a shape may have at most 8 dims; received 9"):
        fill(SOURCES["normal"](F32), Seed(1), view(out), whole(out.shape))
    assert (out == 7).all()


@pytest.mark.parametrize("dtype", FLOATING, ids=lambda dtype: dtype.name)
def test_tensors(dtype):
    torch = pytest.importorskip("torch")
    source, seed = SOURCES["truncated"](dtype), Seed(5)
    expected = bits(drawn(source, seed, (40, 30), dtype))
    unsigned = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[dtype.itemsize]
    for out in (
        torch.zeros(40, 30),
        torch.zeros(30, 40).t(),
        torch.nn.Parameter(torch.zeros(40, 60))[:, ::2],
    ):
        tensor = torch.zeros(1).to(getattr(torch, dtype.name)).new_empty(0)
        tensor = torch.empty_strided(out.shape, out.stride(), dtype=tensor.dtype)
        fill(source, seed, view(tensor), whole((40, 30)))
        actual = tensor.contiguous().view(unsigned).numpy().view(bits_of(dtype))
        np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("index", [np.s_[:], np.s_[:, 10:900], np.s_[::-1, ::2]], ids=str)
def test_a_fill_allocates_nothing_of_the_size_of_the_output(index):
    shape, source = (1000, 1000), SOURCES["normal"](F32)
    part = select(shape, index)
    target = view(np.empty(part.shape[::-1], np.float32).T)
    tracemalloc.start()
    try:
        fill(source, Seed(1), target, part)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 64 * 1024


def test_fills_in_many_threads_at_once():
    source = SOURCES["normal"](F32)
    expected = [bits(drawn(source, Seed(i), (400_000,), F32)) for i in range(6)]
    actual = [empty((400_000,), F32) for _ in range(6)]

    def work(i):
        with threads(1 + i % 3):
            for _ in range(5):
                actual[i][...] = np.nan
                fill(source, Seed(i), view(actual[i]), whole((400_000,)))

    workers = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(bits(one), other)


# ---- raw bits


def test_random_bits_are_philox4x32_10():
    # Random123's known answer for key and counter 0 (kat_vectors.txt), and C++26's for
    # std::philox4x32.
    assert [f"{word:08x}" for word in random_bits(4)] == [
        "6627e8d5",
        "e169c58d",
        "bc57ac4c",
        "9b00dbd8",
    ]
    assert random_bits(10000, seed=20111115)[-1] == 1955073260


@given(
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**63 - 400),
    st.integers(0, 300),
)
def test_offset_moves_along_the_stream(seed, stream, offset, skip):
    words = random_bits(400, seed, stream, offset)
    assert words.dtype == np.uint32
    np.testing.assert_array_equal(
        random_bits((400 - skip,), seed, stream, offset + skip), words[skip:]
    )


def test_random_bits_of_any_shape():
    words = random_bits(24, seed=9)
    np.testing.assert_array_equal(random_bits((2, 3, 4), seed=9), words.reshape(2, 3, 4))
    assert random_bits((), seed=9) == words[0]
    assert random_bits((0, 3)).shape == (0, 3)
    assert random_bits(1, offset=2**63 - 1).shape == (1,)
    assert (
        random_bits(np.int64(3), np.uint64(9), np.uint8(0), np.int32(1)).tolist()
        == words[1:4].tolist()
    )


@pytest.mark.parametrize("offset", [-1, 2**63 - 3, 2**64, 1.0, "1", None, True], ids=repr)
def test_bad_offsets(offset):
    with pytest.raises(
        ValueError,
        match="offset must be an integer >= 0 that leaves all words below 2\\*\\*63; received",
    ):
        random_bits(4, offset=offset)


@pytest.mark.parametrize(
    "options", [{"seed": -1}, {"seed": 2**64}, {"seed": 1.0}, {"stream": 2**64}, {"stream": None}]
)
def test_bad_seeds_and_streams(options):
    with pytest.raises(ValueError, match=f"{next(iter(options))} must be an integer in"):
        random_bits(4, **options)


# ---- processes


def run(script, *args, **options):
    """Run a program in a new process, because fork is not safe with the threads of pytest."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", script, *args],
        capture_output=True,
        text=True,
        **options,
    )


SHARE = """
import multiprocessing, sys
from multiprocessing.shared_memory import SharedMemory
import numpy as np
from initfast.core import distributions
from initfast.core.buffers import new, view
from initfast.core.dtypes import resolve
from initfast.core.engine import fill
from initfast.core.indexing import select, whole
from initfast.core.seeds import Seed
from initfast.core.threads import threads

SHAPE, DTYPE = (64, 3000), resolve(sys.argv[2])

def work(name, lo, hi):
    memory = SharedMemory(name)
    shard = memory.buf[lo * 3000 * DTYPE.itemsize : hi * 3000 * DTYPE.itemsize]
    source = distributions.normal(0.0, 1.0, DTYPE)
    with threads(2):
        fill(source, Seed(42), view(shard, DTYPE, (hi - lo, 3000)), select(SHAPE, np.s_[lo:hi]))
    shard.release()
    memory.close()

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    memory = SharedMemory(create=True, size=64 * 3000 * DTYPE.itemsize)
    memory.buf[:] = b"\\xa5" * memory.size
    shares = ((0, 20), (20, 21), (21, 64))
    workers = [context.Process(target=work, args=(memory.name, lo, hi)) for lo, hi in shares]
    for worker in workers: worker.start()
    for worker in workers: worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    alone = new(SHAPE, DTYPE)
    fill(distributions.normal(0.0, 1.0, DTYPE), Seed(42), alone, whole(SHAPE))
    print("same" if bytes(memory.buf) == alone.owner.tobytes() else "different")
    memory.close()
    memory.unlink()
"""


@pytest.mark.parametrize("method", sample(["fork", "spawn"], "fork"))
@pytest.mark.parametrize("dtype", sample(["float32", "bfloat16"], "bfloat16"))
def test_processes_fill_one_shared_memory(tmp_path, method, dtype):
    import multiprocessing

    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"needs {method}")
    # spawn imports the program again, so it must be a file.
    program = tmp_path / "share.py"
    program.write_text(SHARE)
    process = subprocess.run(
        [sys.executable, program, method, dtype], capture_output=True, text=True
    )
    assert (process.stdout, process.returncode) == ("same\n", 0), process.stderr


FORK = """
import os, signal
from initfast.core import distributions
from initfast.core.buffers import new
from initfast.core.dtypes import resolve
from initfast.core.engine import fill
from initfast.core.indexing import whole
from initfast.core.seeds import Seed
from initfast.core.threads import threads

F32 = resolve("float32")
def draw():
    memory = new((3_000_000,), F32)
    with threads(3):
        fill(distributions.normal(0.0, 1.0, F32), Seed(1), memory, whole(memory.shape))
    return memory.owner.tobytes()
expected = draw()
child = os.fork()
if child == 0:
    signal.alarm(300)  # ends a fill that hangs after fork
    os._exit(0 if draw() == expected else 1)
print(os.waitpid(child, 0)[1], draw() == expected)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_threads_work_after_fork():
    process = run(FORK)
    assert (process.stdout, process.returncode) == ("0 True\n", 0), process.stderr


INTERRUPT = """
import mmap, os, signal, sys, threading, time
import numpy as np
from initfast import _kernels
from initfast.core import distributions
from initfast.core.buffers import view
from initfast.core.dtypes import resolve
from initfast.core.engine import fill
from initfast.core.indexing import select, take, whole
from initfast.core.seeds import Seed
from initfast.core.threads import threads

# A shell's background job would hand on that it is ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
_kernels.use(0)  # the slowest backend
F64, SIZE = resolve("float64"), 2**28
out = np.frombuffer(mmap.mmap(-1, 8 * SIZE), np.float64)  # pages appear as they are written
rows = out.reshape(2**14, 2**14)
part, out = {
    "flat": (whole((SIZE,)), out),
    "window": (select((2**14, 2**20), np.s_[:, 5 : 5 + 2**14]), rows),
    "rows": (take((2**20, 2**14), np.arange(2**14) * 7), rows),
}[sys.argv[1]]

def interrupt():
    while not out.flat[0]:
        time.sleep(0.001)
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=interrupt, daemon=True).start()
try:
    with threads(int(sys.argv[2])):
        fill(distributions.normal(0.0, 1.0, F64), Seed(1), view(out), part)
    print("finished")
except KeyboardInterrupt:
    rest = out.reshape(-1)[7 * SIZE // 8 :: 509]
    print("interrupted", "rest untouched" if not rest.any() else "rest written")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="sends a POSIX signal")
@pytest.mark.parametrize("how", sample(["flat", "window", "rows"], "flat"))
@pytest.mark.parametrize("count", sample([1, 2], 2))
def test_ctrl_c_ends_a_long_fill(how, count):
    process = run(INTERRUPT, how, str(count))
    assert process.stdout == "interrupted rest untouched\n", process.stderr


LATE = """
import mmap, signal, sys, time
import numpy as np
import initfast as ift

signal.signal(signal.SIGALRM, signal.default_int_handler)
ift.backends.use("portable")
ift.set_num_threads(16)
out = np.frombuffer(mmap.mmap(-1, 2**30), np.uint8)
moments = [] if sys.argv[1] == "measured" else None
signal.setitimer(signal.ITIMER_REAL, 0.3)
begun = time.perf_counter()
try:
    ift.TruncatedNormal(seed=1, lower=1.0).fill(
        out, dtype="float8_e5m2", moments=None if moments is None else moments.append
    )
except KeyboardInterrupt:
    print(time.perf_counter() - begun - 0.3)
"""


@pytest.mark.parametrize("how", ["plain", "measured"])
def test_ctrl_c_is_heard_by_more_threads_than_cores_on_the_slowest_kernel(how):
    """Assert a delay below 1 s; on an idle machine it is below 0.5 s."""
    delays = [float(run(LATE, how).stdout)]
    while min(delays) > 0.5 and len(delays) < 3:
        delays.append(float(run(LATE, how).stdout))
    assert min(delays) < 1.0


def test_the_owner_outlives_the_fill():
    target = view(
        np.full((50, 40), np.nan, np.float32).T
    )  # there is no other reference to this array
    assert isinstance(target, Buffer)
    fill(SOURCES["uniform"](F32), Seed(1), target, whole((40, 50)))
    np.testing.assert_array_equal(
        target.array, drawn(SOURCES["uniform"](F32), Seed(1), (40, 50), F32)
    )
