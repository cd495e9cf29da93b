"""`pytest benchmarks --benchmark-only` times them; without it each runs as a small test."""

import os

import pytest
from collection import pytest_collect_file  # noqa: F401
from parameters import timed

# Keras takes one backend per process, at its first import; its default may not be installed.
os.environ.setdefault("KERAS_BACKEND", "jax")

# The options of pytest-benchmark that start the timing.
TIMED_BY = {"only", "enable", "json", "save", "autosave", "save_data", "histogram", "cprofile"}
TIMED_BY |= {"compare", "compare_fail"}
# Bytes: an array in the second-level cache, one larger than all caches, a new array, a part.
TIMED = {"cache": 2**18, "memory": 2**27, "new": 2**27, "part": 2**25}
AS_TESTS = dict.fromkeys(TIMED, 2**14)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Disable timing without an option for it, before pytest-xdist chooses its processes."""
    option = config.option
    requested = any(getattr(option, f"benchmark_{name}") for name in TIMED_BY)
    disabled = option.benchmark_disable and not option.benchmark_enable
    option.benchmark_disable = disabled or not requested
    if timed(config) and option.numprocesses not in (None, 0, "auto"):
        raise pytest.UsageError("benchmarks are timed in one process: omit -n, or pass -n0")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """Return 0 workers if benchmarks are timed."""
    return 0 if timed(config) else None


def pytest_report_header(config: pytest.Config) -> str:
    if not timed(config):
        return "benchmarks: run once as tests, not timed; --benchmark-only times them"
    if config.option.markexpr == "not long":
        return 'benchmarks: initfast only; -m "" adds the other libraries, which take hours'
    return "benchmarks: all cases that -m selects"


@pytest.fixture(scope="session")
def sizes(request: pytest.FixtureRequest) -> dict[str, int]:
    """Return the bytes of a fill by the name of the size; few in a test."""
    return TIMED if timed(request.config) else AS_TESTS


@pytest.fixture
def record(benchmark):
    """Return a function that adds sizes and speeds to the times, to call after the run."""
    from machine import cycle_seconds

    import initfast as ift

    def add(elements: int, size: int, **more: object) -> None:
        benchmark.extra_info.update(elements=elements, bytes=size, **more)
        benchmark.extra_info.update(initfast=ift.__version__, backend=ift.backends.active())
        if benchmark.stats is None:  # the benchmarks run as tests
            return
        seconds = benchmark.stats.stats.median
        benchmark.extra_info.update(
            {"GB/s": size / seconds / 1e9, "ns/element": seconds / elements * 1e9}
        )
        if cycle := cycle_seconds():
            benchmark.extra_info["cycles/element"] = seconds / elements / cycle

    return add
