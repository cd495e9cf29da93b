"""The READMEs' programs for several processes run unchanged: MPI, Ray and FSDP2.

They begin with a comment with their file name. Tests of engines that are not installed are skipped:
`pip install mpi4py mpich`, `pip install ray`."""

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig

import numpy as np
import pytest
from readmes import program

import initfast as ift

# Ray must not ask the user, use the network, or write to the home folder.
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "disabled",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
SHAPE = (100_000, 64)


def run(command, name, check, folder):
    """Run a program of a README with a check after it in `folder`, and return its output."""
    (folder / name).write_text(program(name) + check)
    environment = {
        **os.environ,
        **QUIET,
        "HOME": str(folder),
        "PYTHONPATH": os.pathsep.join(sys.path[1:]),
    }
    process = subprocess.run(
        [*command, sys.executable, name],
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment,
        timeout=200,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


def test_mpi(tmp_path):
    """Three ranks fill a shared window and write one .npy, each its own rows."""
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


def test_fsdp2(tmp_path):
    """Two ranks together have the model of one process."""
    if importlib.util.find_spec("torch") is None:
        pytest.skip("needs PyTorch: pip install torch")
    check = (
        "\nfrom torch.distributed.checkpoint.state_dict import StateDictOptions as Options, get_model_state_dict"
        "\nwhole = get_model_state_dict(model, options=Options(full_state_dict=True, cpu_offload=True))"
        "\nif torch.distributed.get_rank() == 0:"
        "\n    alone = torch.nn.TransformerEncoderLayer(64, 4, batch_first=True)"
        "\n    fast.initialize(alone, seed=42)"
        "\n    print(len(whole), all(torch.equal(whole[k], v) for k, v in alone.state_dict().items()))"
        "\ntorch.distributed.destroy_process_group()\n"
    )
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    assert run([*launcher, "--no-python"], "fsdp2.py", check, tmp_path) == "12 True\n"
