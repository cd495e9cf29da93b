"""Collect doctests in the package only, because tests and benchmarks have none.

Otherwise pytest would collect each file twice. That takes time, and the flag that skips doctests of
adapters without their engine would hide why a test file cannot be imported: its tests would be
missing without a message."""

from collections.abc import Generator

import pytest
from _pytest.doctest import DoctestModule


@pytest.hookimpl(wrapper=True)
def pytest_collect_file() -> Generator[None, list[pytest.Collector], list[pytest.Collector]]:
    """Remove the doctests of a file."""
    return [each for each in (yield) if not isinstance(each, DoctestModule)]
