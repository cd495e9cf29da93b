"""Kills at any moment: each is resumed until all is done, and no final name ever holds anything but
the whole file.

INITFAST_KILLS=100 for as many random kills of each case, and a crash at every single step; default:
a handful of each."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="kills need fork and SIGKILL")

KILLS = int(os.environ.get("INITFAST_KILLS", "0"))
KILLER = Path(__file__).parent.parent / "helpers" / "killing.py"
SEED = 20260


def kill(way, case, folder, count, timeout=60):
    """What `killing.py` says it did, once it found nothing wrong."""
    command = [sys.executable, "-W", "error", KILLER, way, case, folder, str(count), str(SEED)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=max(timeout, 20 * KILLS))
    assert done.returncode == 0, done.stderr[-3000:]
    assert not list(folder.iterdir())  # each round is checked and cleared
    return json.loads(done.stdout)


@pytest.mark.parametrize(("case", "count"), [("fill", KILLS or 6), ("model", KILLS or 6)])
def test_random_kills(tmp_path, case, count):
    done = kill("at_random", case, tmp_path, count)
    print(case, done)
    assert done["kills"] >= count


@pytest.mark.parametrize(
    ("case", "stride"), [("fill", 1 if KILLS else 4), ("model", 1 if KILLS else 7)]
)
def test_a_crash_at_any_step(tmp_path, case, stride):
    done = kill("at_each_step", case, tmp_path, stride)
    print(case, done)
    assert done["steps"] >= 30  # the last step that there was
    assert done["crashes"] >= 2 * (30 // stride)


def test_workers_in_every_order_and_at_once(tmp_path):
    assert kill("together", "model", tmp_path, 6)["rounds"] == 6


def test_these_tests_can_fail(tmp_path):
    """A write that says it is done before it is would be found out."""
    code = f"""
import sys; sys.argv[1:] = ["at_random", "fill", {str(tmp_path)!r}, "3", "1"]
from initfast.files import journal, targets
real = targets.write_all
def forget(descriptor, raw, offset):
    if len(raw) < 16384 or offset % 3: real(descriptor, raw, offset)
targets.write_all = forget
exec(compile(open({str(KILLER)!r}).read(), "killing.py", "exec"))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "a wrong file under the final name" in done.stderr
