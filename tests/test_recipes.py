"""The README's programs for engines of many processes, each run as it stands there: MPI and Ray.

They begin with a comment that names their file. An engine that is not installed is skipped: `pip
install mpi4py mpich`, `pip install ray`."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest

import initfast as ift

README = Path(__file__).parent.parent / "README.md"
# What a program does not say itself: no question to the user, no network, nothing in the home
# folder.
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "disabled",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
SHAPE = (100_000, 64)


def program(name):
    """The Python block of the README whose first line names this file."""
    text = README.read_text(encoding="utf-8")
    found = [
        block
        for block in re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
        if name in block
    ]
    assert len(found) == 1, f"README.md must have one program {name}"
    assert found[0].startswith(f"# {name}")
    return found[0]


def run(command, name, check, folder):
    """Run a program of the README with a check after it, in `folder`; return what it printed."""
    (folder / name).write_text(program(name) + check)
    environment = {
        **os.environ,
        **QUIET,
        "HOME": str(folder),
        "PYTHONPATH": os.pathsep.join(sys.path[1:]),
    }
    done = subprocess.run(
        [*command, sys.executable, name],
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_mpi(tmp_path):
    """Three ranks: a shared window and one .npy, to which each rank contributes its rows."""
    if importlib.util.find_spec("mpi4py") is None:
        pytest.skip("needs mpi4py and an MPI: pip install mpi4py mpich")
    launcher = shutil.which("mpiexec", path=sysconfig.get_path("scripts")) or shutil.which(
        "mpiexec"
    )
    if launcher is None:
        pytest.skip("needs mpiexec: pip install mpich")
    check = (
        "\nassert world.size == 3\n"
        "print('rank:', bool((table == init.block(shape, ...)).all()), flush=True)\n"
    )
    printed = run([launcher, "-n", "3"], "mpi_rows.py", check, tmp_path)
    assert printed.count("rank:") == printed.count("True") == 3
    np.testing.assert_array_equal(np.load(tmp_path / "table.npy"), ift.HeNormal(seed=42)(SHAPE))


def test_ray(tmp_path):
    if importlib.util.find_spec("ray") is None:
        pytest.skip("needs Ray: pip install ray")
    check = "\nprint(table.shape, bool((table == ift.HeNormal(seed=42)(shape)).all()))\n"
    assert run([], "ray_rows.py", check, tmp_path) == f"{SHAPE} True\n"
