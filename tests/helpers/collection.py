"""Doctests are looked for in the package only: tests and benchmarks have none.

pytest would collect each file twice. That takes time, and the flag that skips doctests of adapters
without their engine would hide why a test file failed to load: its tests would be missing without a
word."""

from collections.abc import Generator

import pytest
from _pytest.doctest import DoctestModule


@pytest.hookimpl(wrapper=True)
def pytest_collect_file() -> Generator[None, list[pytest.Collector], list[pytest.Collector]]:
    return [each for each in (yield) if not isinstance(each, DoctestModule)]
