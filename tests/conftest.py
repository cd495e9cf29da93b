"""Fixtures of the whole suite."""

import os
from collections.abc import Iterator

import pytest

from initfast import backends

# Keras takes one backend a process, at its first import, whichever test comes first.
os.environ.setdefault("KERAS_BACKEND", "jax")


@pytest.fixture(params=backends.available())
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each backend that this CPU runs, forced, and seen to be the one in use."""
    with backends.use(request.param):
        assert backends.active() == request.param
        yield request.param
