"""`pytest benchmarks --benchmark-enable` times the benchmarks; without it each runs once, as a test."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--log2-size", type=int, help="elements of a fill, as a power of 2 (timed: 24; as tests: 16)")


@pytest.fixture(scope="session")
def size(request: pytest.FixtureRequest) -> int:
    """Elements of a fill: beyond the caches when timed, small when the benchmarks run as tests."""
    chosen = request.config.getoption("--log2-size")
    timed = not request.config.getoption("--benchmark-disable") or request.config.getoption("--benchmark-enable")
    return 2 ** (chosen if chosen is not None else 24 if timed else 16)
