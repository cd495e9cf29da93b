"""threadpoolctl's limits hold for initfast in the thread that sets them, and end with their block."""

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import initfast as ift
from initfast import _kernels

threadpoolctl = pytest.importorskip("threadpoolctl")

import initfast.threadpools  # noqa: E402


@pytest.fixture(autouse=True)
def registered():
    """Register initfast, in a process with six threads."""
    initfast.threadpools.register()
    ift.set_num_threads(6)
    yield
    ift.set_num_threads(None)


def ours():
    """Return threadpoolctl's entries for initfast."""
    return [
        library for library in threadpoolctl.threadpool_info() if library["user_api"] == "initfast"
    ]


def test_info():
    (library,) = ours()
    assert (library["internal_api"], library["version"], library["num_threads"]) == (
        "initfast",
        ift.__version__,
        6,
    )
    assert Path(library["filepath"]).samefile(_kernels.__file__)


def test_a_second_registration_changes_nothing():
    initfast.threadpools.register()
    assert len(ours()) == 1


@pytest.mark.parametrize("limits", [1, {"initfast": 1}, {"_kernels": 1}])
def test_limits(limits):
    with threadpoolctl.threadpool_limits(limits=limits):
        assert ift.get_num_threads() == 1
        assert ours()[0]["num_threads"] == 1
        values = ift.HeNormal(seed=3)((1000, 500))
    assert ift.get_num_threads() == 6
    assert np.array_equal(values, ift.HeNormal(seed=3)((1000, 500)))


def test_limits_for_others_do_not_change_initfast():
    for options in ({"limits": 1, "user_api": "blas"}, {"limits": {"openmp": 1}}, {"limits": None}):
        with threadpoolctl.threadpool_limits(**options):
            assert ift.get_num_threads() == 6


def test_limits_end_with_their_block():
    with threadpoolctl.threadpool_limits(limits=2), threadpoolctl.threadpool_limits(limits=1):
        assert ift.get_num_threads() == 1
    ift.set_num_threads(5)
    assert ift.get_num_threads() == 5


def test_inside_a_block_of_threads():
    with ift.threads(4):
        with threadpoolctl.threadpool_limits(limits=1):
            assert ift.get_num_threads() == 1
        assert ift.get_num_threads() == 4
    assert ift.get_num_threads() == 6


def test_a_block_of_threads_inside_a_limit():
    with threadpoolctl.threadpool_limits(limits=1):
        with ift.threads(4):
            assert ift.get_num_threads() == 4
        assert ift.get_num_threads() == 1


def test_a_limit_holds_for_its_own_thread():
    """Two overlapping limits do not end each other."""
    entered, leave, counts = threading.Event(), threading.Event(), []

    def other():
        with threadpoolctl.threadpool_limits(limits=2):
            counts.append(ift.get_num_threads())
            entered.set()
            leave.wait(60)
            counts.append(ift.get_num_threads())

    thread = threading.Thread(target=other)
    with threadpoolctl.threadpool_limits(limits=3):
        thread.start()
        assert entered.wait(60)
        assert ift.get_num_threads() == 3
    assert ift.get_num_threads() == 6
    leave.set()
    thread.join()
    assert counts == [2, 2]
    assert ift.get_num_threads() == 6


def test_without_a_with_block():
    limits = threadpoolctl.threadpool_limits(limits=1)
    try:
        assert ift.get_num_threads() == 1
    finally:
        limits.restore_original_limits()
    assert ift.get_num_threads() == 6


def test_an_invalid_number():
    with pytest.raises(
        ValueError, match="the number of threads must be an integer from 1 to 1024; received 0"
    ):
        threadpoolctl.threadpool_limits(limits={"initfast": 0})


def test_other_modules_of_the_same_name_are_ignored(tmp_path):
    """A copy of the file, loaded from another path, belongs to another module."""
    code = f"""
import ctypes, shutil, threadpoolctl
import initfast.threadpools
from initfast import _kernels
path = shutil.copy(_kernels.__file__, {str(tmp_path)!r})
other = ctypes.CDLL(path)
assert other.PyInit__kernels
initfast.threadpools.register()
entries = [each for each in threadpoolctl.threadpool_info() if each["user_api"] == "initfast"]
print([each["filepath"] == path for each in entries])
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.stdout, result.stderr) == ("[False]\n", "")


def test_without_threadpoolctl():
    code = "import sys; sys.modules['threadpoolctl'] = None; import initfast.threadpools"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (
        "ImportError: initfast.threadpools needs threadpoolctl: pip install 'threadpoolctl"
        in result.stderr
    )
