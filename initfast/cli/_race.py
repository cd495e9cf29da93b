"""Compare the speed of libraries that fill memory: check each result, then time all in turns."""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import math
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

import initfast
from initfast.core.dtypes import resolve
from initfast.core.moments import measure

Array = npt.NDArray[Any]
Fill = Callable[[], Any]
Seconds = dict[str, list[float]]
Row = dict[str, Any]

DTYPES = ("float32", "float64", "float16", "bfloat16")
# Allowed deviation by the rounding of a dtype: JAX draws bfloat16 from only 128 values.
_SLACK = {"float32": 1e-6, "float64": 1e-6, "float16": 0.004, "bfloat16": 0.04}
_SAMPLE = 2**14
# Bytes below which one thread is faster than distributing the work with a Python thread pool.
_WORTH_THREADS = 2**19


class WrongResult(ValueError):
    """The error that the values of a library are wrong. A wrong result is not timed."""


class Task(NamedTuple):
    """A distribution: its exact mean, standard deviation, bounds and distribution function."""

    name: str
    mean: float
    std: float
    low: float
    high: float
    cdf: Callable[[float], float]


def _phi(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2))


UNIFORM = Task("uniform", 0.5, math.sqrt(1 / 12), 0.0, 1.0, lambda x: x)
NORMAL = Task("normal", 0.0, 1.0, -9.0, 9.0, _phi)
TRUNCATED = Task(
    "truncated_normal",
    0.0,
    0.87962566103423978,  # sqrt(1 - 4 phi(2) / (2 Phi(2) - 1))
    -2.0,
    2.0,
    lambda x: (_phi(x) - _phi(-2.0)) / (_phi(2.0) - _phi(-2.0)),
)
TASKS = (UNIFORM, NORMAL, TRUNCATED)


class Job(NamedTuple):
    """One fill with `get_num_threads()` threads: of `memory`, or of a new array if it is None."""

    task: Task
    dtype: str
    size: int
    memory: Array | None = None


class Library(NamedTuple):
    """A library: its module, its tasks and dtypes, and how to prepare a job."""

    name: str
    module: str
    prepare: Callable[[Job], Fill]
    tasks: tuple[Task, ...] = TASKS
    dtypes: tuple[str, ...] = DTYPES
    in_place: bool = True
    new: bool = True
    random: bool = True

    def does(self, task: Task, dtype: str, *, in_place: bool) -> bool:
        """Return whether the library can do this task, in existing memory or in new arrays."""
        able = self.in_place if in_place else self.new
        return able and task in self.tasks and dtype in self.dtypes


def installed(module: str) -> bool:
    """Return whether a module exists, without importing it."""
    return importlib.util.find_spec(module) is not None


def load(module: str) -> None:
    """Import a module and ignore its warnings. Raises ImportError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        importlib.import_module(module)


@contextlib.contextmanager
def using_threads(count: int) -> Iterator[None]:
    """Make initfast, and PyTorch if it is loaded, use `count` threads."""
    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else None
    if torch:
        torch.set_num_threads(count)
    try:
        with initfast.threads(count):
            yield
    finally:
        if torch:
            torch.set_num_threads(before)


def on_threads(job: Job, prepare: Callable[[int, int], Callable[[Array], object]]) -> Fill:
    """Return a fill that gives each thread an equal part, for libraries without threads.

    `prepare(number, first)` returns the function that fills part `number`, which begins at element
    `first`. If the job has no memory, each call makes a new NumPy array.
    """
    if job.memory is not None:
        return _in_parts(job.memory, prepare)
    prepare_once = functools.cache(prepare)  # so that generators are created once

    def run() -> Array:
        memory = np.empty(job.size, job.dtype)
        _in_parts(memory, prepare_once)()
        return memory

    return run


def _in_parts(memory: Array, prepare: Callable[[int, int], Callable[[Array], object]]) -> Fill:
    count = initfast.get_num_threads()
    if count == 1 or memory.nbytes < _WORTH_THREADS:
        return functools.partial(prepare(0, 0), memory)
    parts = np.array_split(memory, count)
    firsts = np.cumsum([0, *(part.size for part in parts)])
    fills = [prepare(number, int(firsts[number])) for number in range(count)]
    pool = _pool(count)
    return lambda: list(pool.map(lambda fill, part: fill(part), fills, parts))


@functools.cache
def _pool(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count)


def aligned_memory(size: int, dtype: str = "float32") -> Array:
    """Return an array that begins at a cache line and whose pages the system has allocated."""
    memory: Array = initfast.Zeros()((size,), dtype)
    poison(memory)
    return memory


def poison(memory: Array) -> None:
    """Fill memory with NaN, so that elements that a library does not write are noticed."""
    memory.fill(math.nan)


def as_numpy(result: Any) -> Array:
    """Return the array of a library as a NumPy array; bfloat16 as ml_dtypes.bfloat16."""
    if type(result).__module__.startswith("torch"):
        result = result.detach()
        if str(result.dtype) == "torch.bfloat16":
            bits: Array = result.view(sys.modules["torch"].uint16).numpy()
            return bits.view(resolve("bfloat16"))
    return np.asarray(result)


def check(task: Task, values: Array) -> None:
    """Raise WrongResult unless all values are written, in bounds, and distributed as `task`.

    Mean and standard deviation may differ by 6 standard errors (a false alarm in 2e-9 of cases
    each). The empirical distribution function of 2**14 values may differ by 3 / sqrt(2**14) (a
    false alarm in 3e-8 of cases, by Kolmogorov's limit). The rounding of the dtype is added.
    """
    flat = values.reshape(-1)
    slack = _SLACK[flat.dtype.name]
    moments = measure(flat)
    error = 6 * task.std / math.sqrt(flat.size) + slack
    if not math.isfinite(moments.mean):
        raise WrongResult(f"{task.name}: some elements were not written, or are not finite")
    low, high = moments.minimum, moments.maximum
    if low < task.low or high > task.high:  # some libraries include the upper bound
        bounds = f"[{task.low}, {task.high}]"
        raise WrongResult(f"{task.name}: values must lie in {bounds}; received {low} to {high}")
    if abs(moments.mean - task.mean) > error:
        raise WrongResult(f"{task.name}: mean must be {task.mean:.4f}; received {moments.mean:.4f}")
    # The standard error of a standard deviation is std * sqrt((kurtosis - 1) / 4n): here at most
    # 0.71 std / sqrt(n).
    if abs(moments.std - task.std) > error:
        raise WrongResult(f"{task.name}: std must be {task.std:.4f}; received {moments.std:.4f}")
    step = max(1, flat.size // _SAMPLE)
    sample = np.sort(flat[: step * _SAMPLE : step].astype(np.float64))
    exact = np.array([task.cdf(float(x)) for x in sample])
    ranks = np.arange(sample.size + 1) / sample.size
    distance = float(np.maximum(np.abs(exact - ranks[1:]), np.abs(exact - ranks[:-1])).max())
    if distance > 3 / math.sqrt(sample.size) + slack:
        raise WrongResult(f"{task.name}: the distribution function differs by {distance:.3f}")


def checked_fill(library: Library, job: Job) -> Fill:
    """Return the fill of a library after one run, whose values are checked.

    Raises:
        WrongResult: the values are wrong. Any other error comes from the library.
    """
    if job.memory is not None:
        poison(job.memory)
    fill = library.prepare(job)
    result = fill()
    if library.random:
        check(job.task, job.memory if job.memory is not None else as_numpy(result))
    return fill


def compare(
    libraries: Sequence[Library],
    task: Task,
    dtype: str,
    size: int,
    *,
    memory: Array | None = None,
    rounds: int = 5,
    limit: float = math.inf,
    least: float = 0.0,
) -> list[Row]:
    """Return one row per library that can do the job, with the speed-up of initfast.

    Args:
        libraries: the libraries to compare; the row of one that fails has an "error".
        task, dtype, size: the job.
        memory: filled in place by libraries that can; the others make new arrays.
        rounds, limit, least: see `interleaved`.
    """
    rows: list[Row] = []
    fills: dict[str, Fill] = {}
    for library in libraries:
        in_place = memory is not None and library.does(task, dtype, in_place=True)
        if not in_place and not library.does(task, dtype, in_place=False):
            continue
        row: Row = {"library": library.name, "task": task.name, "dtype": dtype, "elements": size}
        row["in_place"] = in_place
        rows.append(row)
        job = Job(task, dtype, size, memory if in_place else None)
        try:
            fills[library.name] = checked_fill(library, job)
        except WrongResult as error:
            row["error"] = f"wrong: {error}"
        except Exception as error:  # an error of one library does not stop the comparison
            row["error"] = f"failed: {type(error).__name__}: {error}".splitlines()[0][:200]
    seconds = interleaved(fills, rounds, limit, least)
    bytes_ = size * resolve(dtype).itemsize
    for row in rows:
        name = row["library"]
        if name not in seconds:
            continue
        typical = median(seconds, name)
        row |= {"bytes": bytes_, "seconds": typical, "rounds": len(seconds[name])}
        row |= {"GB/s": bytes_ / typical / 1e9, "ns/element": typical / size * 1e9}
        if "initfast" in seconds:
            row["speed-up"] = ratio(seconds, name, "initfast")
    return rows


def interleaved(
    fills: Mapping[str, Fill], rounds: int, limit: float = math.inf, least: float = 0.0
) -> Seconds:
    """Return the seconds of each fill in each round, after one round to warm up.

    Each fill runs once per round, so that a machine that slows down slows all of them.

    Args:
        fills: the functions to time, by name.
        rounds: number of rounds after the warm-up, at least 1.
        limit: seconds after which a fill skips the remaining rounds. If its first run takes longer,
            the time of that run is returned.
        least: seconds; shorter fills are repeated within a round for about this long.
    """
    seconds: Seconds = {name: [] for name in fills}
    spent = dict.fromkeys(fills, 0.0)
    repeats = dict.fromkeys(fills, 1)
    for number in range(rounds + 1):
        for name, fill in fills.items():
            if spent[name] > limit and seconds[name]:
                continue
            elapsed = _run(fill, repeats[name])
            spent[name] += elapsed
            if number or elapsed > limit:
                seconds[name].append(elapsed / repeats[name])
            elif elapsed < least:  # the first run may be slower than the next ones
                once = _run(fill, 3) / 3
                repeats[name] = max(1, round(least / max(once, 1e-7)))
    return seconds


def _run(fill: Fill, repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats - 1):
        fill()
    result = fill()
    elapsed = time.perf_counter() - start
    del result  # the time to free the memory is not measured
    return elapsed


def median(seconds: Seconds, name: str) -> float:
    """Return the median seconds of one run."""
    return statistics.median(seconds[name])


def ratio(seconds: Seconds, slow: str, fast: str) -> float:
    """Return the speed-up of `fast` over `slow`: the median of the rounds in which both ran."""
    return statistics.median(s / f for s, f in zip(seconds[slow], seconds[fast], strict=False))
