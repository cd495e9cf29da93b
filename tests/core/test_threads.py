"""The number of threads: the order of the settings, and the threads that each applies to."""

import asyncio
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import initfast as ift
from initfast.core import threads as module

get_num_threads, set_num_threads, threads, why = (
    module.get_num_threads,
    module.set_num_threads,
    module.threads,
    module.why,
)

RULE = r"the number of threads must be an integer from 1 to 1024; received "


@pytest.fixture(autouse=True)
def _fresh(monkeypatch):
    """Reset the number of threads for each test: none set, and 7 from the environment."""
    monkeypatch.setenv("INITFAST_NUM_THREADS", "7")
    set_num_threads(None)
    module._forget()
    yield
    set_num_threads(None)
    module._forget()


@pytest.mark.parametrize(
    ("ours", "theirs", "cores", "quota", "number", "reason"),
    [
        ("3", "5", 7, 2.0, 3, "INITFAST_NUM_THREADS"),
        (" 3 ", None, 7, None, 3, "INITFAST_NUM_THREADS"),
        (None, "5", 7, 2.0, 5, "OMP_NUM_THREADS"),
        ("", "5", 7, 2.0, 5, "OMP_NUM_THREADS"),
        (None, "5,2", 7, None, 5, "OMP_NUM_THREADS"),
        (None, "100000", 7, None, 1024, "OMP_NUM_THREADS"),
        (None, None, 7, 2.0, 2, "cgroup quota of 2 of 7 usable cores"),
        (None, None, 7, 1.5, 2, "cgroup quota of 1.5 of 7 usable cores"),
        (None, None, 7, 0.25, 1, "cgroup quota of 0.25 of 7 usable cores"),
        (None, None, 7, 7.5, 7, "usable cores"),
        (None, None, 7, None, 7, "usable cores"),
        (None, None, 5000, None, 1024, "usable cores"),
        # Values that OpenMP does not accept either are ignored.
        (None, "0", 7, None, 7, "usable cores"),
        (None, "-2", 7, None, 7, "usable cores"),
        (None, "many", 7, None, 7, "usable cores"),
        (None, "", 7, None, 7, "usable cores"),
    ],
)
def test_default(ours, theirs, cores, quota, number, reason):
    variables = {"INITFAST_NUM_THREADS": ours, "OMP_NUM_THREADS": theirs}
    environment = {name: value for name, value in variables.items() if value is not None}
    assert module._look_up(environment, cores, quota) == (number, reason)


def test_the_default_comes_from_the_environment():
    assert get_num_threads() == 7
    assert why() == "7: INITFAST_NUM_THREADS"


@pytest.mark.parametrize("value", ["0", "-1", "1025", "two", "2.0", "1e3"])
def test_a_bad_variable_of_ours_is_an_error(monkeypatch, value):
    monkeypatch.setenv("INITFAST_NUM_THREADS", value)
    rule = "INITFAST_NUM_THREADS must be an integer from 1 to 1024"
    with pytest.raises(ValueError, match=f"{rule}; received '?{value}'?$"):
        get_num_threads()


def test_usable_cores_are_those_of_the_affinity_mask():
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("needs sched_setaffinity")
    code = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))});"
        "from initfast.core.threads import get_num_threads; print(get_num_threads())"
    )
    env = {
        name: value
        for name, value in os.environ.items()
        if name not in ("INITFAST_NUM_THREADS", "OMP_NUM_THREADS")
    }
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env
    )
    assert result.stdout == "1\n"


def test_set_and_scope():
    set_num_threads(5)
    assert (get_num_threads(), why()) == (5, "5: set_num_threads(n)")
    with threads(3):
        assert (get_num_threads(), why()) == (3, "3: threads(n)")
        with threads(2):
            assert get_num_threads() == 2
            set_num_threads(6)
            assert get_num_threads() == 2
        assert get_num_threads() == 3
    assert get_num_threads() == 6
    set_num_threads(None)
    assert get_num_threads() == 7


def test_scope_ends_with_an_error():
    with pytest.raises(ZeroDivisionError), threads(3):
        _ = 1 / 0
    assert get_num_threads() == 7


@pytest.mark.parametrize("n", [0, -1, 1025, 2.0, "2", True, 2**64], ids=repr)
def test_bad_numbers(n):
    with pytest.raises(ValueError, match=RULE + repr(n)):
        set_num_threads(n)
    with pytest.raises(ValueError, match=RULE + repr(n)):
        threads(n)  # the error is raised at the call, not when the block is entered
    assert get_num_threads() == 7


def test_none_is_no_number_of_a_scope():
    with pytest.raises(ValueError, match=RULE + "None"):
        threads(None)


def test_scopes_of_two_threads_do_not_mix():
    barrier, counts = threading.Barrier(2), {}

    def work(n):
        with threads(n):
            barrier.wait()  # both threads are in their blocks
            counts[n] = get_num_threads()
            barrier.wait()

    workers = [threading.Thread(target=work, args=(n,)) for n in (2, 3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert counts == {2: 2, 3: 3}
    assert get_num_threads() == 7


def test_scopes_of_two_tasks_do_not_mix():

    async def work(n):
        with threads(n):
            await asyncio.sleep(0)
            return get_num_threads()

    async def main():
        return await asyncio.gather(work(2), work(3))

    assert asyncio.run(main()) == [2, 3]


def test_set_governs_all_threads():
    set_num_threads(4)
    counts = []
    worker = threading.Thread(target=lambda: counts.append(get_num_threads()))
    worker.start()
    worker.join()
    assert counts == [4]


def test_a_forked_child_looks_again():
    if not hasattr(os, "fork"):
        pytest.skip("needs fork")
    code = """
import os
os.environ["INITFAST_NUM_THREADS"] = "3"
from initfast.core.threads import get_num_threads, threads
assert get_num_threads() == 3
os.environ["INITFAST_NUM_THREADS"] = "5"
assert get_num_threads() == 3
child = os.fork()
if not child:
    os._exit(get_num_threads())
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), get_num_threads())
"""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout == "5 3\n"


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


V2, V1 = "0::/a/b\n", "12:cpuset:/a\n4:cpu,cpuacct:/a/b\n1:name=systemd:/x\n"
ROOT = "0::/\n"


@pytest.mark.parametrize(
    ("proc", "files", "quota"),
    [
        (V2, {"a/b/cpu.max": "150000 100000\n"}, 1.5),
        (V2, {"a/b/cpu.max": "max 100000\n"}, None),
        (V2, {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "50000 100000\n"}, 0.5),
        (V2, {"a/b/cpu.max": "300000 100000\n", "a/cpu.max": "400000 100000\n"}, 3.0),
        (
            V2,
            {"cpu.max": "200000 100000\n"},
            2.0,
        ),  # in a container, where the path is that of the host
        (ROOT, {"cpu.max": "200000 100000\n"}, 2.0),
        (V2, {"unified/a/b/cpu.max": "200000 100000\n"}, 2.0),
        (V2, {"other/cpu.max": "200000 100000\n"}, None),
        (
            V1,
            {
                "cpu,cpuacct/a/b/cpu.cfs_quota_us": "250000\n",
                "cpu,cpuacct/a/b/cpu.cfs_period_us": "100000\n",
            },
            2.5,
        ),
        (V1, {"cpu/a/cpu.cfs_quota_us": "250000\n", "cpu/a/cpu.cfs_period_us": "100000\n"}, 2.5),
        (V1, {"cpu/a/b/cpu.cfs_quota_us": "-1\n", "cpu/a/b/cpu.cfs_period_us": "100000\n"}, None),
        (V1, {"cpu/a/b/cpu.cfs_quota_us": "1000\n"}, None),
        (V1, {"cpuset/a/cpu.cfs_quota_us": "1000\n", "cpuset/a/cpu.cfs_period_us": "1000\n"}, None),
        ("", {"cpu.max": "200000 100000\n"}, None),
        ("nonsense\n\n", {"cpu.max": "nonsense\n"}, None),
    ],
)
def test_cgroup_quota(tmp_path, proc, files, quota):
    tree(tmp_path, {"proc": proc})
    assert module._cgroup_quota(tmp_path / "proc", tree(tmp_path / "sys", files)) == quota


def test_cgroup_quota_without_proc(tmp_path):
    assert module._cgroup_quota(tmp_path / "none", tmp_path) is None


affinity = pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity"), reason="the system has no affinity of threads"
)


@affinity
@pytest.mark.parametrize("count", [2, 7])
def test_a_fill_leaves_its_caller_where_it_may_run(count):
    """Assert that a fill keeps the affinity of its caller, also if there is only one CPU."""
    before = os.sched_getaffinity(0)
    size = count * 2**18
    alone = ift.HeNormal(seed=1).block((size,), np.s_[:])
    for cpus in (before, {min(before)}):
        os.sched_setaffinity(0, cpus)
        try:
            with threads(count):
                values = ift.HeNormal(seed=1)((size,))
            assert os.sched_getaffinity(0) == cpus
        finally:
            os.sched_setaffinity(0, before)
        assert values.tobytes() == alone.tobytes()


@affinity
def test_many_fills_leave_their_caller_where_it_may_run():
    """Fill many times: a thread that ends early once changed the affinity of its caller."""
    before = os.sched_getaffinity(0)
    out = np.empty(2**20, np.float32)
    initializer = ift.RandomNormal(seed=1)
    try:
        with threads(2):
            for _ in range(200):
                initializer.fill(out)
        assert os.sched_getaffinity(0) == before
    finally:
        os.sched_setaffinity(0, before)


SMALL_STACK = """
import sys, threading
import numpy as np
import initfast as ift

SHAPE, arrays = (3, 200_000), {}
INITIALIZERS = [ift.TruncatedNormal(seed=1), ift.TruncatedNormal(seed=1, lower=1.0)]
ift.set_num_threads(int(sys.argv[2]))

def work():
    for number, initializer in enumerate(INITIALIZERS):
        outs = np.empty(SHAPE, np.float32), np.empty((200_000, 3), np.float32).T
        for out in outs:
            initializer.fill(out)
            initializer.fill(out, moments=lambda moments: None)
        arrays[number] = outs

threading.stack_size(int(sys.argv[1]) << 10)
thread = threading.Thread(target=work)
thread.start()
thread.join()
for number, outs in arrays.items():
    for out in outs:
        np.testing.assert_array_equal(out, INITIALIZERS[number].block(SHAPE, ...))
print(len(arrays))
"""


@pytest.mark.parametrize("kib", [32, 44])
@pytest.mark.parametrize("count", [1, 3])
def test_a_thread_with_a_small_stack(kib, count):
    arguments = [sys.executable, "-c", SMALL_STACK, str(kib), str(count)]
    process = subprocess.run(arguments, capture_output=True, text=True, timeout=60)
    assert (process.returncode, process.stdout) == (0, "2\n"), process.stderr


def test_a_cgroup_whose_name_is_not_text(tmp_path):
    group = os.fsencode(tmp_path) + b"/sys/\xff"
    os.makedirs(group)
    Path(os.fsdecode(group), "cpu.max").write_text("150000 100000\n")
    (tmp_path / "proc").write_bytes(b"0::/\xff\n")
    assert module._cgroup_quota(tmp_path / "proc", tmp_path / "sys") == 1.5
    Path(os.fsdecode(group), "cpu.max").write_bytes(b"\xff\n")
    assert module._cgroup_quota(tmp_path / "proc", tmp_path / "sys") is None


@pytest.mark.parametrize("text", ["9" * 5000, "\udcff", "²", "٣"])
def test_numbers_that_python_does_not_read(text):
    assert module._look_up({"OMP_NUM_THREADS": text}, 3, None) == (3, "usable cores")
    with pytest.raises(ValueError, match="INITFAST_NUM_THREADS must be an integer") as caught:
        module._look_up({"INITFAST_NUM_THREADS": text}, 3, None)
    assert len(str(caught.value)) < 300
