"""What is drawn, and whether it was: a wrong result has no speed."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from initfast.core.moments import measure

Array = npt.NDArray[Any]


class Wrong(ValueError):
    """A library did not do what it was to be timed for."""


class Task(NamedTuple):
    """A distribution: the exact mean, standard deviation, bounds and distribution function of what
    must come out.
    """

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
DTYPES = ("float32", "float64", "float16", "bfloat16")

# What a library's own grid of values may cost: JAX draws bfloat16 from 128 values, others round 24
# bits to 8.
_SLACK = {"float32": 1e-6, "float64": 1e-6, "float16": 0.004, "bfloat16": 0.04}
_SAMPLE = 2**14


def poison(memory: Array) -> None:
    """Make what a library leaves unwritten visible."""
    memory.fill(math.nan)


def check(task: Task, values: Array) -> None:
    """Raise Wrong unless `values` look like `task`: all written, within the bounds, and distributed
    so.

    Mean and standard deviation are allowed 6 standard errors (2e-9 of false alarms each), the
    largest distance between the distribution functions, over 2**14 values, 3 / sqrt(2**14) (3e-8,
    by Kolmogorov's limit), and all of them what the dtype's grid takes."""
    flat = values.reshape(-1)
    slack = _SLACK[flat.dtype.name]
    found = measure(flat)
    error = 6 * task.std / math.sqrt(flat.size) + slack
    if not math.isfinite(found.mean):
        raise Wrong(f"{task.name}: not everything was written, or not with numbers")
    if (
        found.minimum < task.low or found.maximum > task.high
    ):  # others may reach the upper bound itself
        raise Wrong(
            f"{task.name}: values must lie in [{task.low}, {task.high}]; received {found.minimum} to {found.maximum}"
        )
    if abs(found.mean - task.mean) > error:
        raise Wrong(f"{task.name}: the mean must be {task.mean:.4f}; received {found.mean:.4f}")
    # A standard deviation has the standard error std * sqrt((kurtosis - 1) / 4n): at most 0.71 std
    # / sqrt(n) here.
    if abs(found.std - task.std) > error:
        raise Wrong(
            f"{task.name}: the standard deviation must be {task.std:.4f}; received {found.std:.4f}"
        )
    step = max(1, flat.size // _SAMPLE)
    sample = np.sort(flat[: step * _SAMPLE : step].astype(np.float64))
    wanted = np.array([task.cdf(float(x)) for x in sample])
    ranks = np.arange(sample.size + 1) / sample.size
    distance = float(np.maximum(np.abs(wanted - ranks[1:]), np.abs(wanted - ranks[:-1])).max())
    if distance > 3 / math.sqrt(sample.size) + slack:
        raise Wrong(
            f"{task.name}: the distribution is another one, by {distance:.3f} of probability"
        )
