"""initfast.keras on each backend of Keras, in separate processes, because Keras has one backend per
process.

The cases are in cases/. Run one file with: KERAS_BACKEND=torch pytest
tests/keras/cases/models.py"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

CASES = Path(__file__).parent / "cases"
ON_ALL = (
    "initializers",
    "own",
    "copies",
    "custom",
    "plain",
    "saving",
    "layers",
    "models",
    "defaults",
    "training",
    "specs",
    "diagnosis",
    "networks",
)
# Keras' variables have the __array__ of NumPy 1, and Keras calls it for every file that it writes.
KERAS_OWN = "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"


def run(backend: str, names: tuple[str, ...], tier: str = "", **environment: str) -> str:
    """Run some case files on a backend and return pytest's last line, which must say 'passed'."""
    for module in ("keras", backend):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    quiet = {
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TF_ENABLE_ONEDNN_OPTS": "0",
        "CUDA_VISIBLE_DEVICES": "-1",
    }
    files = [str(CASES / f"{name}.py") for name in names]
    # No workers here: each would import the backend again, and the suite has workers already.
    options = ["-q", "-n0", "--no-header", "-p", "no:cacheprovider", "-W", KERAS_OWN, "-m", tier]
    result = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *files],
        env={**os.environ, **quiet, "KERAS_BACKEND": backend, **environment},
        cwd=CASES.parent.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900,
    )
    last = result.stdout.strip().splitlines()[-1]
    passed = result.returncode == 0 and " passed" in last and "skipped" not in last
    assert passed, result.stdout[-8000:]
    return last


@pytest.mark.parametrize(
    ("backend", "names", "tier"),
    [
        ("torch", ON_ALL, "not long"),  # compiles nothing, so that its cases are quick
        pytest.param("torch", ON_ALL, "long", marks=pytest.mark.long),
        pytest.param("jax", ON_ALL, "", marks=pytest.mark.long),
        pytest.param("tensorflow", ON_ALL, "", marks=pytest.mark.long),
    ],
)
def test_on_backend(backend, names, tier):
    # Most of the time on JAX goes into compiling code that runs once.
    flags = {"XLA_FLAGS": "--xla_backend_optimization_level=0"} if backend == "jax" else {}
    run(backend, names, tier, **flags)


@pytest.mark.long
def test_on_eight_jax_devices():
    run("jax", ("sharding",), XLA_FLAGS="--xla_force_host_platform_device_count=8")


@pytest.mark.long
def test_in_functions_that_tensorflow_traces():
    run("tensorflow", ("functions",))


def test_every_case_file_runs():
    assert {path.stem for path in CASES.glob("*.py")} == {*ON_ALL, "sharding", "functions"}


@pytest.mark.long
def test_a_case_that_fails_fails_here():
    with pytest.raises(AssertionError, match="8 devices are needed"):
        run("jax", ("sharding",), XLA_FLAGS="")


def test_without_keras_the_error_says_what_to_install():
    code = "import sys; sys.modules['keras'] = None; import initfast.keras"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 1
    assert "ImportError: initfast.keras needs Keras 3.15 or newer" in result.stderr
    assert "pip install 'keras>=3.15' jax" in result.stderr
