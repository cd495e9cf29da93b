"""Fixtures of the whole suite."""

import os
from collections.abc import Iterator

import pytest
from collecting import pytest_collectreport  # noqa: F401
from hypothesis import settings
from program import Program

from initfast import backends

# A case may take as long as it likes: how long it took says how busy the machine is.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

# Keras takes one backend a process, at its first import, whichever test comes first.
os.environ.setdefault("KERAS_BACKEND", "jax")


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
