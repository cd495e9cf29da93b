"""All compared libraries: those of `initfast bench` and others. To add a library, add a row.

The function in a row prepares a job once, and returns a function that runs it. Engines are imported
in these functions only.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib
import math
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import intel_mkl
from compiled import library

import initfast as ift
from initfast import _kernels
from initfast.cli import _race, bench
from initfast.cli._race import NORMAL, TASKS, TRUNCATED, UNIFORM, Array, Fill, Job, Library, Task
from initfast.cli.bench import MEMSET, RIVALS, SEED

NUMPY_DTYPES = ("float32", "float64")


def _phi(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2))


# A truncated normal with other bounds than Keras', which few libraries have.
WIDE = Task(
    "truncated_normal_3",
    0.0,
    math.sqrt(1 - 6 * math.exp(-4.5) / math.sqrt(2 * math.pi) / (2 * _phi(3.0) - 1)),
    -3.0,
    3.0,
    lambda x: (_phi(x) - _phi(-3.0)) / (_phi(3.0) - _phi(-3.0)),
)
ALL_TASKS = (*TASKS, WIDE)


def with_initfast(job: Job) -> Fill:
    """Fill with initfast."""
    if job.task.name != WIDE.name:
        return bench.with_initfast(job)
    # A seed generator, because two arrays from one stream would warn.
    seed = SEED if job.memory is not None else ift.SeedGenerator(SEED)
    init = ift.TruncatedNormal(0.0, 1.0, seed=seed, lower=WIDE.low, upper=WIDE.high)
    if job.memory is None:
        return lambda: init((job.size,), job.dtype)
    return functools.partial(init.fill, job.memory)


def on_backend(job: Job, backend: str) -> Fill:
    """Fill with initfast on one of its backends."""
    fill = with_initfast(job)
    # `backends.use` detects the CPU again, which can take longer than a small fill.
    names = ift.backends.compiled()
    position, before = names.index(backend), names.index(ift.backends.active())

    def run() -> Any:
        _kernels.use(position)
        try:
            return fill()
        finally:
            _kernels.use(before)

    return run


def with_torch(job: Job) -> Fill:
    """Fill with torch, in place if memory is given."""
    if job.task.name != WIDE.name:
        return bench.with_torch(job)
    import torch

    dtype, generator = getattr(torch, job.dtype), torch.Generator().manual_seed(SEED)

    def draw(tensor: Any) -> Any:
        return torch.nn.init.trunc_normal_(tensor, a=WIDE.low, b=WIDE.high, generator=generator)

    if job.memory is None:
        return lambda: draw(torch.empty(job.size, dtype=dtype))
    bits = job.memory.view(f"u{job.memory.itemsize}")
    return functools.partial(draw, torch.from_numpy(bits).view(dtype))


def with_jax(job: Job) -> Fill:
    """Draw with jax.random in jax.jit."""
    import jax

    draw: Callable[..., Any] = {
        UNIFORM.name: jax.random.uniform,
        NORMAL.name: jax.random.normal,
        TRUNCATED.name: lambda key, *rest: jax.random.truncated_normal(key, -2.0, 2.0, *rest),
        WIDE.name: lambda key, *rest: jax.random.truncated_normal(key, WIDE.low, WIDE.high, *rest),
    }[job.task.name]
    return _in_jit(job, draw)


def with_initfast_in_jit(job: Job) -> Fill:
    """Draw with initfast.jax in jax.jit."""
    import initfast.jax as ij

    _kernels.limit_xla_threads(ift.get_num_threads())
    draw = {
        UNIFORM.name: ij.uniform(1.0),
        NORMAL.name: ij.normal(1.0),
        TRUNCATED.name: ij.truncated_normal(1.0),
        WIDE.name: ij.truncated_normal(1.0, lower=WIDE.low, upper=WIDE.high),
    }[job.task.name]
    return _in_jit(job, draw)


def _in_jit(job: Job, draw: Callable[..., Any]) -> Fill:
    import jax

    with jax.enable_x64(job.dtype == "float64"):
        compiled = jax.jit(lambda key: draw(key, (job.size,), job.dtype))
    key = jax.random.key(SEED)

    def run() -> Any:
        with jax.enable_x64(job.dtype == "float64"):
            return compiled(key).block_until_ready()

    return run


def with_tensorflow(job: Job) -> Fill:
    """Draw with a Philox generator of TensorFlow."""
    import tensorflow

    generator = tensorflow.random.Generator.from_seed(SEED, alg="philox")
    draw = {
        UNIFORM.name: generator.uniform,
        NORMAL.name: generator.normal,
        TRUNCATED.name: generator.truncated_normal,
    }[job.task.name]
    return lambda: draw((job.size,), dtype=getattr(tensorflow, job.dtype))


def with_keras(job: Job) -> Fill:
    """Draw with an initializer of Keras on its backend."""
    import keras

    initializer = {
        UNIFORM.name: lambda: keras.initializers.RandomUniform(0.0, 1.0, seed=SEED),
        NORMAL.name: lambda: keras.initializers.RandomNormal(0.0, 1.0, seed=SEED),
        TRUNCATED.name: lambda: keras.initializers.TruncatedNormal(0.0, 1.0, seed=SEED),
    }[job.task.name]()
    return lambda: wait_for(initializer((job.size,), dtype=job.dtype))


def with_mkl(job: Job, generator: str, method: str = "ICDF") -> Fill:
    """Fill with a generator of Intel MKL."""

    def prepare(number: int, first: int) -> Callable[[Array], object]:
        stream = intel_mkl.Stream(generator, method, SEED, first)
        return lambda memory: stream.fill(job.task, memory)

    return _race.on_threads(job, prepare)


def with_mkl_random(job: Job) -> Fill:
    """Draw with Intel's mkl_random."""
    state = importlib.import_module("mkl_random").MKLRandomState(SEED, brng="ARS5")
    if job.task is UNIFORM:
        return lambda: state.random_sample(job.size)
    return lambda: state.standard_normal(job.size)


def with_stores(job: Job) -> Fill:
    """Store bytes past the caches, without computing any."""
    stores = library("roof").nontemporal_stores

    def store(memory: Array) -> None:
        skip = -memory.ctypes.data % 64
        whole = (memory.nbytes - skip) // 64 * 64
        stores(ctypes.c_void_p(memory.ctypes.data + skip), ctypes.c_size_t(whole))

    return _race.on_threads(job, lambda *_: store)


def wait_for(result: Any) -> Any:
    """Wait for a library's result and return it, because JAX returns before it is complete."""
    wait = getattr(result, "block_until_ready", None)
    return result if wait is None else wait()


def own() -> list[Library]:
    """Return initfast on its best backend and on each other one."""
    return [
        Library("initfast", "initfast", with_initfast, ALL_TASKS),
        *(
            Library(
                f"initfast {name}",
                "initfast",
                functools.partial(on_backend, backend=name),
                ALL_TASKS,
            )
            for name in reversed(ift.backends.available()[:-1])
        ),
    ]


def keras_name() -> str:
    """Return the name of Keras' row, with its backend, which a process cannot change."""
    keras = sys.modules.get("keras")
    backend = keras.backend.backend() if keras else os.environ.get("KERAS_BACKEND")
    return f"keras on {backend}" if backend else "keras"


def _of_mkl(generator: str, method: str, tasks: tuple[Task, ...] = TASKS) -> Library:
    name = f"mkl {generator}" + ("" if method == "ICDF" else f" {method}")
    prepare = functools.partial(with_mkl, generator=generator, method=method)
    return Library(name, "mkl", prepare, tasks, NUMPY_DTYPES)


def others() -> list[Library]:
    """Return all other libraries, installed or not, then the limits of the machine."""
    new = functools.partial(Library, in_place=False)
    keras_dtypes = ("float32", "float16", "bfloat16")
    mkl_random = (UNIFORM, NORMAL), ("float64",)
    return [
        *(row for row in RIVALS if row.name != "torch"),
        Library("torch", "torch", with_torch, ALL_TASKS),
        new("initfast in jax.jit", "jax", with_initfast_in_jit, ALL_TASKS),
        new("jax", "jax", with_jax, ALL_TASKS),
        new("tensorflow", "tensorflow", with_tensorflow),
        new(keras_name(), "keras", with_keras, dtypes=keras_dtypes),
        *(_of_mkl(generator, "ICDF") for generator in ("ARS5", "SFMT19937", "PHILOX4X32X10")),
        _of_mkl("ARS5", "BoxMuller2", (NORMAL,)),
        new("mkl_random", "mkl_random", with_mkl_random, *mkl_random),
        MEMSET,
        Library("non-temporal stores", "numpy", with_stores, new=False, random=False),
    ]


def missing() -> list[str]:
    """Return the modules of the other libraries that are not installed."""
    return sorted({row.module for row in others() if not installed(row.module)})


def everyone() -> list[Library]:
    """Return all installed rows: initfast on every backend, other libraries, and the limits."""
    return [*own(), *(row for row in others() if installed(row.module))]


def installed(module: str) -> bool:
    """Return whether a module exists, without importing it; 'mkl' is a package without a module."""
    return bool(intel_mkl.files()) if module == "mkl" else _race.installed(module)


def load(module: str) -> None:
    """Import a module quietly. Raises ImportError."""
    if module == "mkl":
        intel_mkl.library()
        return
    with _silent_stderr() if module in ("tensorflow", "keras") else contextlib.nullcontext():
        _race.load(module)


@contextlib.contextmanager
def _silent_stderr() -> Iterator[None]:
    """Silence file descriptor 2, to which TensorFlow writes even with TF_CPP_MIN_LOG_LEVEL."""
    stderr, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(null)
