"""What is compared: a table of libraries, each with the tasks it can do in place. A new library or task is a row here.

A contender takes (task, memory) and gives a function that fills that memory once.
"""

from __future__ import annotations

import contextlib
import importlib.util
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

import initfast as ift

Memory = np.ndarray[Any, Any]
Fill = Callable[[], object]


class Task(NamedTuple):
    """One kind of filling, with the exact mean, standard deviation and bounds of what must come out."""

    name: str
    mean: float
    std: float
    low: float
    high: float


UNIFORM = Task("uniform", 0.5, math.sqrt(1 / 12), 0.0, 1.0)
NORMAL = Task("normal", 0.0, 1.0, -9.0, 9.0)
TRUNCATED = Task("truncated_normal", 0.0, 0.87962566103423978, -2.0, 2.0)
TASKS = (UNIFORM, NORMAL, TRUNCATED)

SEED = 42


def _initfast(task: Task, memory: Memory) -> Fill:
    made = {
        UNIFORM: ift.RandomUniform(0.0, 1.0, seed=SEED),
        NORMAL: ift.RandomNormal(0.0, 1.0, seed=SEED),
        TRUNCATED: ift.TruncatedNormal(0.0, 1.0, seed=SEED),
    }[task]
    return lambda: made.fill(memory)


def _numpy(task: Task, memory: Memory) -> Fill:
    generator = np.random.Generator(np.random.SFC64(SEED))
    draw = {UNIFORM: generator.random, NORMAL: generator.standard_normal}[task]
    return lambda: draw(dtype=memory.dtype, out=memory)


def _torch(task: Task, memory: Memory) -> Fill:
    import torch

    tensor = torch.from_numpy(memory)
    generator = torch.Generator().manual_seed(SEED)
    if task is UNIFORM:
        return lambda: tensor.uniform_(generator=generator)
    if task is NORMAL:
        return lambda: tensor.normal_(generator=generator)
    return lambda: torch.nn.init.trunc_normal_(tensor, 0.0, 1.0, -2.0, 2.0, generator=generator)


def _roof(task: Task, memory: Memory) -> Fill:
    """Any fill has to store these bytes; this one does nothing else."""
    workers = ift.get_num_threads()
    if workers == 1:
        return lambda: memory.fill(1.0)
    parts = np.array_split(memory, workers)
    pool = ThreadPoolExecutor(workers)
    return lambda: list(pool.map(lambda part: part.fill(1.0), parts))


class Contender(NamedTuple):
    """A library: the module that must be there, how to prepare a fill, what it can draw, whether it takes threads."""

    name: str
    module: str
    prepare: Callable[[Task, Memory], Fill]
    tasks: tuple[Task, ...] = TASKS
    parallel: bool = True
    random: bool = True

    @property
    def installed(self) -> bool:
        return importlib.util.find_spec(self.module) is not None


INITFAST = Contender("initfast", "initfast", _initfast)
NUMPY = Contender("numpy", "numpy", _numpy, tasks=(UNIFORM, NORMAL), parallel=False)
TORCH = Contender("torch", "torch", _torch)
ROOF = Contender("memory fill", "numpy", _roof, random=False)
CONTENDERS = (INITFAST, NUMPY, TORCH, ROOF)


def able(task: Task, threads: int) -> list[Contender]:
    """The contenders that are installed and can do `task` on so many threads."""
    return [c for c in CONTENDERS if c.installed and task in c.tasks and (threads == 1 or c.parallel)]


@contextlib.contextmanager
def using_threads(count: int) -> Iterator[None]:
    """Let every library that can use `count` threads."""
    if not TORCH.installed:
        with ift.threads(count):
            yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        with ift.threads(count):
            yield
    finally:
        torch.set_num_threads(before)


def aligned_memory(size: int, dtype: str = "float32") -> Memory:
    """Memory that starts at a cache line for every library alike, and that the system has already given (warm)."""
    memory: Memory = ift.Zeros()((size,), dtype)
    memory.fill(np.nan)
    return memory


def check(task: Task, values: Memory) -> None:
    """Whether a library did what it is timed for; a wrong result has no speed. Six standard errors: 2e-9 false."""
    values = values.astype(np.float64, copy=False)
    error = 6 * task.std / math.sqrt(values.size)
    assert np.isfinite(values).all(), f"{task.name}: not everything was written"
    assert abs(values.mean() - task.mean) < error, f"{task.name}: mean {values.mean()}, expected {task.mean}"
    # A standard deviation has the standard error std * sqrt((kurtosis - 1) / 4n): at most 0.71 std / sqrt(n) here.
    assert abs(values.std() - task.std) < error, f"{task.name}: std {values.std()}, expected {task.std}"
    assert task.low <= values.min(), f"{task.name}: minimum {values.min()}"
    # Others may reach the upper bound itself.
    assert values.max() <= task.high, f"{task.name}: maximum {values.max()}"
