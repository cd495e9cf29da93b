"""`pytest benchmarks --benchmark-enable` times; without it each runs once, small, as a test."""

import os
from pathlib import Path

import pytest
from collecting import pytest_collectreport  # noqa: F401

HERE = Path(__file__).parent
# Keras takes one backend per process, at its first import; its default may not be installed.
os.environ.setdefault("KERAS_BACKEND", "jax")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--log2-size",
        type=int,
        help="elements of a fill, as a power of 2 (timed: 24; as tests: 12)",
    )


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """What is timed runs alone: no worker processes."""
    return 0 if timed(config) else None


def timed(config: pytest.Config) -> bool:
    return config.getoption("--benchmark-enable") or not config.getoption("--benchmark-disable")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """As tests, a sample runs by default: what compiles or repeats itself is in the long tier."""
    if timed(config):
        return
    for item in items:
        if item.path.parent == HERE and not (
            "float32-warm-1-threads" in item.name or "initfast" in item.name
        ):
            item.add_marker("long")


@pytest.fixture(scope="session")
def size(request: pytest.FixtureRequest) -> int:
    """Elements of a fill: more than the caches hold when timed, few as tests."""
    chosen = request.config.getoption("--log2-size")
    return 2 ** (chosen if chosen is not None else 24 if timed(request.config) else 12)


@pytest.fixture
def record(benchmark):
    """Add sizes and speeds to the times: call `record(elements, bytes)` after the run."""
    from machine import cycle_seconds

    def add(elements: int, size: int, **more: object) -> None:
        benchmark.extra_info.update(elements=elements, bytes=size, **more)
        if benchmark.stats is None:  # the benchmarks run as tests
            return
        seconds = benchmark.stats.stats.median
        benchmark.extra_info.update(
            {"GB/s": size / seconds / 1e9, "ns/element": seconds / elements * 1e9}
        )
        if cycle := cycle_seconds():
            benchmark.extra_info["cycles/element"] = seconds / elements / cycle

    return add
