"""Fixtures for all tests."""

import os
from collections.abc import Iterator

import pytest
import tiers
from collection import pytest_collect_file  # noqa: F401
from program import Program
from skips import pytest_addoption, pytest_terminal_summary  # noqa: F401

from initfast import backends

# Matrices in tests are small, and idle BLAS threads spin. This must be set before plug-ins or tests
# import NumPy.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Code that JAX compiles here runs only once.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
# Keras has one backend per process, chosen at its first import.
os.environ.setdefault("KERAS_BACKEND", "jax")


def pytest_configure(config: pytest.Config) -> None:
    """Load the settings of the tier."""
    tiers.choose(config.option.markexpr)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Add property tests to the long tier too, where they have more cases."""
    if config.option.markexpr == "long":
        for item in items:
            if item.get_closest_marker("hypothesis"):
                item.add_marker("long")


@pytest.fixture(params=backends.available())
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run the test on each backend that this CPU can run."""
    with backends.use(request.param):
        assert backends.active() == request.param
        yield request.param


@pytest.fixture(scope="session")
def cli() -> Program:
    """Return the command line: `cli("fill", out, ...)` runs it in a separate process, and returns
    its exit code and output.
    """
    return Program()
