"""Processes fill windows of one memory or one file, with every start method and the public API.

test_engine.py tests rows with the internal functions, and threads after fork.
"""

import multiprocessing
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiers import sample

import initfast as ift

PROGRAM = """
import multiprocessing, sys
from multiprocessing.shared_memory import SharedMemory
import numpy as np
import initfast as ift

SHAPE, METHOD, TARGET = (300, 200), sys.argv[1], sys.argv[2]
CORNERS = [(low, left) for low in range(0, 300, 70) for left in range(0, 200, 45)]
WINDOWS = [np.s_[low : low + 70, left : left + 45] for low, left in CORNERS]
SEED = ift.Seed(42).named("decoder/3")
# Each distribution, a constant and the identity. The initializer without a seed draws one here, and
# the workers receive it.
INITIALIZERS = [
    ift.HeNormal(seed=SEED), ift.RandomUniform(seed=SEED),
    ift.RandomNormal(), ift.TruncatedNormal(seed=7, lower=-1),
    ift.Constant(np.arange(200)), ift.Identity(),
]

def work(job):
    number, window, initializer, name = job
    with ift.threads(2):
        if TARGET == "memory":
            memory = SharedMemory(name)
            table = np.ndarray((6, *SHAPE), np.float32, memory.buf)
            initializer.fill(table[number][window], shape=SHAPE, index=window)
            del table
            memory.close()
        else:
            table = np.load(name, mmap_mode="r+")
            initializer.fill(table[number][window], shape=SHAPE, index=window)
    return number

if __name__ == "__main__":
    # After these fills the parent has caches and may have threads.
    expected = [initializer.block(SHAPE, ...) for initializer in INITIALIZERS]
    if TARGET == "memory":
        memory = SharedMemory(create=True, size=6 * 300 * 200 * 4)
        name, table = memory.name, np.ndarray((6, *SHAPE), np.float32, memory.buf)
    else:
        name = TARGET
        table = np.lib.format.open_memmap(name, mode="w+", dtype=np.float32, shape=(6, *SHAPE))
    table[...] = np.nan
    rows = list(enumerate(INITIALIZERS))
    jobs = [(n, window, initializer, name) for n, initializer in rows for window in WINDOWS]
    with multiprocessing.get_context(METHOD).Pool(3) as pool:
        assert sorted(pool.map(work, jobs, chunksize=1)) == sorted(n for n, *_ in jobs)
        pool.close()
        pool.join()
    print([bool((actual == rows).all()) for actual, rows in zip(table, expected, strict=True)])
    del table
    if TARGET == "memory":
        memory.close()
        memory.unlink()
"""


@pytest.mark.parametrize("method", sample(["fork", "spawn", "forkserver"], "spawn"))
@pytest.mark.parametrize("target", sample(["memory", "file"], "memory"))
def test_processes_fill_windows_of_one_array(tmp_path, method, target):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"needs {method}")
    # spawn imports the program again, so it must be a file.
    program = tmp_path / "windows.py"
    program.write_text(PROGRAM)
    place = "memory" if target == "memory" else str(tmp_path / "table.npy")
    process = subprocess.run(
        [sys.executable, "-W", "error", program, method, place], capture_output=True, text=True
    )
    assert (process.stdout, process.returncode) == ("[True, True, True, True, True, True]\n", 0), (
        process.stderr
    )
    if target == "file":
        np.testing.assert_array_equal(
            np.load(place)[0],
            ift.HeNormal(seed=ift.Seed(42).named("decoder/3")).block((300, 200), ...),
        )


FORKED = """
import os, warnings
import numpy as np
import initfast as ift
warnings.simplefilter("always")
generator = ift.SeedGenerator(42)
init = ift.HeNormal(seed=generator)
init((2, 2))
child = os.fork() == 0
with warnings.catch_warnings(record=True) as caught:
    for _ in range(2):
        init((2, 2))  # drawn here
    ift.HeNormal(seed=ift.SeedGenerator(42))((2, 2))
lines = open(__file__).read().splitlines()
told = [(w.category.__name__, lines[w.lineno - 1].strip()) for w in caught]
assert told == [("ReusedSeedWarning", "init((2, 2))  # drawn here")] * child, told
assert generator.counter == 3
if not child:
    assert os.wait()[1] == 0
"""


def test_a_generator_warns_in_a_forked_process(tmp_path):
    program = tmp_path / "forked.py"
    program.write_text(FORKED)
    process = subprocess.run([sys.executable, program], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr


ALONE = """
import sys
import initfast as ift
init = ift.HeNormal(seed=ift.Seed(2**63 + 1).named("\\u00c4/1"))
index = slice(-3, None), slice(5, 95, 2)
sys.stdout.buffer.write(init.block((10**5, 100), index, "bfloat16").tobytes())
"""


@pytest.mark.parametrize("hash_seed", ["0", "1"])
def test_a_process_of_its_own_draws_the_same(hash_seed):
    """Compute the same values in a new process, whose string hashes differ."""
    process = subprocess.run(
        [sys.executable, "-c", ALONE],
        capture_output=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
    )
    init = ift.HeNormal(seed=ift.Seed(2**63 + 1).named("\u00c4/1"))
    assert process.stdout == init.block((10**5, 100), np.s_[-3:, 5:95:2], "bfloat16").tobytes()


def test_a_source_folder_without_the_extension(tmp_path):
    """Say how to leave or compile a source folder that Python finds before the installed package."""
    sources = shutil.ignore_patterns("*.so", "__pycache__")
    shutil.copytree(Path(ift.__file__).parent, tmp_path / "initfast", ignore=sources)
    process = subprocess.run(
        [sys.executable, "-S", "-c", "import initfast"],  # -S: without an editable install
        capture_output=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        text=True,
    )
    last = process.stderr.splitlines()[-1]
    assert process.returncode == 1
    assert last.startswith("ImportError: ")
    assert "without the compiled extension" in last
    assert "pip install -e ." in last
