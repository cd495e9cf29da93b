"""Fixtures of the whole suite."""

import os
from collections.abc import Iterator

import pytest
import tiers
from collection import pytest_collect_file  # noqa: F401
from program import Program
from skips import pytest_addoption, pytest_terminal_summary  # noqa: F401

from initfast import backends

# Matrices in tests are small, and idle BLAS threads spin. Set before NumPy is imported, by the
# plug-ins or by a test.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# What JAX compiles here runs once.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
# Keras takes one backend a process, at its first import, whichever test comes first.
os.environ.setdefault("KERAS_BACKEND", "jax")


def pytest_configure(config: pytest.Config) -> None:
    tiers.choose(config.option.markexpr)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Properties are in both tiers, with more cases in the long one."""
    if config.option.markexpr == "long":
        for item in items:
            if item.get_closest_marker("hypothesis"):
                item.add_marker("long")


@pytest.fixture(params=backends.available())
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each backend that this CPU runs, forced, and seen to be the one in use."""
    with backends.use(request.param):
        assert backends.active() == request.param
        yield request.param


@pytest.fixture(scope="session")
def cli() -> Program:
    """Return the command line: `cli("fill", out, ...)` runs it in a process, and returns its exit
    code and output.
    """
    return Program()
