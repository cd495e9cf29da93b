"""A race of libraries that fill memory: each result is checked, then all are timed in turns."""

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
# What a dtype's grid may cost: JAX draws bfloat16 from 128 values, others round 24 bits to 8.
_SLACK = {"float32": 1e-6, "float64": 1e-6, "float16": 0.004, "bfloat16": 0.04}
_SAMPLE = 2**14
# Bytes: below, Python's pool needs more time to distribute the parts than one thread to fill them.
_WORTH_THREADS = 2**19


class Wrong(ValueError):
    """A library did not do its task. A wrong result has no speed."""


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
    """One fill, on `get_num_threads()` threads: of `memory`, or of a new array if it is None."""

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
        """Return whether it can do such a job, in existing memory or in new arrays."""
        able = self.in_place if in_place else self.new
        return able and task in self.tasks and dtype in self.dtypes


def installed(module: str) -> bool:
    """Return whether a module exists, without importing it."""
    return importlib.util.find_spec(module) is not None


def load(module: str) -> None:
    """Import a module without its warnings. Raises ImportError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        importlib.import_module(module)


@contextlib.contextmanager
def using_threads(count: int) -> Iterator[None]:
    """Let initfast, and PyTorch if it is loaded, use `count` threads."""
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
    """Return a fill in as many equal parts as there are threads, for libraries without threads.

    `prepare(number, first)` returns the function that fills part `number`, which begins at element
    `first`. If the job has no memory, each call makes a new array of NumPy's.
    """
    if job.memory is not None:
        return _in_parts(job.memory, prepare)
    kept = functools.cache(prepare)  # generators are made once, as in place

    def run() -> Array:
        memory = np.empty(job.size, job.dtype)
        _in_parts(memory, kept)()
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
    """Return memory that begins at a cache line and that the system has already allocated."""
    memory: Array = initfast.Zeros()((size,), dtype)
    poison(memory)
    return memory


def poison(memory: Array) -> None:
    """Make what a library leaves unwritten visible."""
    memory.fill(math.nan)


def as_numpy(result: Any) -> Array:
    """Return a library's array as one of NumPy's; bfloat16 is that of ml_dtypes."""
    if type(result).__module__.startswith("torch"):
        result = result.detach()
        if str(result.dtype) == "torch.bfloat16":
            bits: Array = result.view(sys.modules["torch"].uint16).numpy()
            return bits.view(resolve("bfloat16"))
    return np.asarray(result)


def check(task: Task, values: Array) -> None:
    """Raise Wrong unless all values are written, within the bounds, and distributed as `task`.

    Mean and standard deviation may differ by 6 standard errors (2e-9 of false alarms each), and the
    distribution functions, over 2**14 values, by 3 / sqrt(2**14) (3e-8, by Kolmogorov's limit); the
    dtype's grid comes on top.
    """
    flat = values.reshape(-1)
    slack = _SLACK[flat.dtype.name]
    moments = measure(flat)
    error = 6 * task.std / math.sqrt(flat.size) + slack
    if not math.isfinite(moments.mean):
        raise Wrong(f"{task.name}: not everything was written, or not with numbers")
    low, high = moments.minimum, moments.maximum
    if low < task.low or high > task.high:  # others may reach the upper bound itself
        bounds = f"[{task.low}, {task.high}]"
        raise Wrong(f"{task.name}: values must lie in {bounds}; received {low} to {high}")
    if abs(moments.mean - task.mean) > error:
        raise Wrong(f"{task.name}: mean must be {task.mean:.4f}; received {moments.mean:.4f}")
    # The standard error of a standard deviation is std * sqrt((kurtosis - 1) / 4n): here at most
    # 0.71 std / sqrt(n).
    if abs(moments.std - task.std) > error:
        raise Wrong(f"{task.name}: std must be {task.std:.4f}; received {moments.std:.4f}")
    step = max(1, flat.size // _SAMPLE)
    sample = np.sort(flat[: step * _SAMPLE : step].astype(np.float64))
    exact = np.array([task.cdf(float(x)) for x in sample])
    ranks = np.arange(sample.size + 1) / sample.size
    distance = float(np.maximum(np.abs(exact - ranks[1:]), np.abs(exact - ranks[:-1])).max())
    if distance > 3 / math.sqrt(sample.size) + slack:
        raise Wrong(f"{task.name}: the distribution differs by {distance:.3f} of probability")


def prepared(library: Library, job: Job) -> Fill:
    """Return a library's fill after one checked run. Raises Wrong, or the library's own error."""
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
    """Return a row for each library that can do the job, with the speed-up of initfast.

    Args:
        libraries: to compare; a library that fails has a row with an "error".
        task, dtype, size: the job.
        memory: filled in place by the libraries that can; the others make new arrays.
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
            fills[library.name] = prepared(library, job)
        except Wrong as error:
            row["error"] = f"wrong: {error}"
        except Exception as error:  # other people's code: the comparison continues without it
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
    """Return the seconds of each fill in each round, after one round that does not count.

    Each runs once in every round, so that a machine that slows down slows all of them.

    Args:
        fills: what to time, by name.
        rounds: how many rounds count, at least 1.
        limit: seconds after which a fill skips the remaining rounds. If its first run takes longer,
            that run counts.
        least: seconds; shorter fills are repeated within a round for about this long.
    """
    seconds: Seconds = {name: [] for name in fills}
    spent = dict.fromkeys(fills, 0.0)
    repeats = dict.fromkeys(fills, 1)
    for number in range(rounds + 1):
        for name, fill in fills.items():
            if spent[name] > limit and seconds[name]:
                continue
            taken = _run(fill, repeats[name])
            spent[name] += taken
            if number or taken > limit:
                seconds[name].append(taken / repeats[name])
            elif taken < least:  # the very first run may be slow for reasons that end with it
                once = _run(fill, 3) / 3
                repeats[name] = max(1, round(least / max(once, 1e-7)))
    return seconds


def _run(fill: Fill, repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats - 1):
        fill()
    result = fill()
    taken = time.perf_counter() - start
    del result  # releasing the memory is not timed
    return taken


def median(seconds: Seconds, name: str) -> float:
    """Return the typical seconds of one run."""
    return statistics.median(seconds[name])


def ratio(seconds: Seconds, slow: str, fast: str) -> float:
    """Return the speed-up of `fast` over `slow`: the median over the rounds that both ran in."""
    return statistics.median(s / f for s, f in zip(seconds[slow], seconds[fast], strict=False))
