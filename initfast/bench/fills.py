"""How each library does a job: a function that prepares it once and gives one that fills. Engines
are imported here.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

import initfast as ift
from initfast import _kernels
from initfast.bench import mkl
from initfast.bench.rounds import Fill
from initfast.bench.tasks import NORMAL, TRUNCATED, UNIFORM, Array, Task

SEED = 42
_WORTH_THREADS = (
    2**19
)  # bytes: below, Python's pool takes longer to hand out the parts than one thread to fill them


class Job(NamedTuple):
    """One fill: of `memory` where it is given, else of a new array each time; on
    `get_num_threads()` threads.
    """

    task: Task
    dtype: str
    size: int
    memory: Array | None = None


def on_threads(memory: Array, make: Callable[[int, int], Callable[[Array], object]]) -> Fill:
    """Fill `memory` in as many equal parts as there are threads; `make(number, first element)`
    prepares one.
    """
    count = ift.get_num_threads()
    if count == 1 or memory.nbytes < _WORTH_THREADS:
        alone = make(0, 0)
        return lambda: alone(memory)
    parts = np.array_split(memory, count)
    firsts = np.cumsum([0, *(part.size for part in parts)])
    fills = [
        functools.partial(make(number, int(firsts[number])), part)
        for number, part in enumerate(parts)
    ]
    pool = _pool(count)
    return lambda: list(pool.map(lambda fill: fill(), fills))


@functools.cache
def _pool(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count)


def _made(job: Job, make: Callable[[int, int], Callable[[Array], object]]) -> Fill:
    """The fill in place, or, for libraries that have no other way, of an array of NumPy's that is
    made each time.
    """
    if job.memory is not None:
        return on_threads(job.memory, make)
    kept = functools.cache(make)  # the generators are there already, as in place

    def run() -> Array:
        memory = np.empty(job.size, job.dtype)
        on_threads(memory, kept)()
        return memory

    return run


def with_initfast(job: Job, backend: str | None = None) -> Fill:
    # A seed generator: one stream that made two whole arrays would warn.
    seed = SEED if job.memory is not None else ift.SeedGenerator(SEED)
    makers: dict[str, Callable[[], Any]] = {
        UNIFORM.name: lambda: ift.RandomUniform(0.0, 1.0, seed=seed),
        NORMAL.name: lambda: ift.RandomNormal(0.0, 1.0, seed=seed),
        TRUNCATED.name: lambda: ift.TruncatedNormal(0.0, 1.0, seed=seed),
    }
    made = makers[job.task.name]()
    memory, shape, dtype = job.memory, (job.size,), job.dtype
    fill: Fill = (lambda: made(shape, dtype)) if memory is None else (lambda: made.fill(memory))
    if backend is None:
        return fill

    # `backends.use` asks the CPU anew, which on a virtual machine takes longer than a small fill.
    names = ift.backends.compiled()
    position, before = names.index(backend), names.index(ift.backends.active())

    def run() -> Any:
        _kernels.use(position)
        try:
            return fill()
        finally:
            _kernels.use(before)

    return run


def with_numpy(job: Job, generator: str) -> Fill:
    """On several threads as NumPy's documentation has it ("Multithreaded generation"): a generator
    for each part.
    """
    kind: Any = getattr(np.random, generator)

    def make(number: int, first: int) -> Callable[[Array], object]:
        made: Any = np.random.Generator(kind(np.random.SeedSequence(SEED, spawn_key=(number,))))
        draw = made.random if job.task is UNIFORM else made.standard_normal
        return lambda memory: draw(dtype=memory.dtype, out=memory)

    return _made(job, make)


def with_torch(job: Job) -> Fill:
    import torch

    dtype = getattr(torch, job.dtype)
    given = (
        None
        if job.memory is None
        else torch.from_numpy(job.memory.view(f"u{job.memory.itemsize}")).view(dtype)
    )
    generator = torch.Generator().manual_seed(SEED)
    draws: dict[str, Callable[[Any], Any]] = {
        UNIFORM.name: lambda tensor: tensor.uniform_(generator=generator),
        NORMAL.name: lambda tensor: tensor.normal_(generator=generator),
        TRUNCATED.name: lambda tensor: torch.nn.init.trunc_normal_(
            tensor, 0.0, 1.0, -2.0, 2.0, generator=generator
        ),
    }
    draw = draws[job.task.name]
    return lambda: draw(torch.empty(job.size, dtype=dtype) if given is None else given)


def with_jax(job: Job) -> Fill:
    import jax

    draws: dict[str, Callable[..., Any]] = {
        UNIFORM.name: jax.random.uniform,
        NORMAL.name: jax.random.normal,
        TRUNCATED.name: lambda key, *rest: jax.random.truncated_normal(key, -2.0, 2.0, *rest),
    }
    draw = draws[job.task.name]
    with jax.enable_x64(job.dtype == "float64"):
        compiled = jax.jit(lambda key: draw(key, (job.size,), job.dtype))
    key = jax.random.key(SEED)

    def run() -> Any:
        with jax.enable_x64(job.dtype == "float64"):
            return compiled(key).block_until_ready()

    return run


def with_tensorflow(job: Job) -> Fill:
    import tensorflow

    generator = tensorflow.random.Generator.from_seed(SEED, alg="philox")
    draw = {
        UNIFORM.name: generator.uniform,
        NORMAL.name: generator.normal,
        TRUNCATED.name: generator.truncated_normal,
    }[job.task.name]
    return lambda: draw((job.size,), dtype=getattr(tensorflow, job.dtype))


def with_keras(job: Job) -> Fill:
    import keras

    made = {
        UNIFORM.name: lambda: keras.initializers.RandomUniform(0.0, 1.0, seed=SEED),
        NORMAL.name: lambda: keras.initializers.RandomNormal(0.0, 1.0, seed=SEED),
        TRUNCATED.name: lambda: keras.initializers.TruncatedNormal(0.0, 1.0, seed=SEED),
    }[job.task.name]()
    return lambda: finished(made((job.size,), dtype=job.dtype))


def with_mkl(job: Job, generator: str, method: str = "ICDF") -> Fill:
    def make(number: int, first: int) -> Callable[[Array], object]:
        stream = mkl.Stream(generator, method, SEED, first)
        return lambda memory: stream.fill(job.task, memory)

    return _made(job, make)


def with_mkl_random(job: Job) -> Fill:
    state = importlib.import_module("mkl_random").MKLRandomState(SEED, brng="ARS5")
    if job.task is UNIFORM:
        return lambda: state.random_sample(job.size)
    return lambda: state.standard_normal(job.size)


def with_memset(job: Job) -> Fill:
    """Any fill has to store these bytes; this one does nothing else. New arrays are NumPy's, with
    its huge pages.
    """

    def make(number: int, first: int) -> Callable[[Array], object]:
        return lambda memory: ctypes.memset(memory.ctypes.data, 1, memory.nbytes)

    return _made(job, make)


def finished(result: Any) -> Any:
    """What a library returned, once it is all there: JAX returns before that."""
    wait = getattr(result, "block_until_ready", None)
    return result if wait is None else wait()


def as_numpy(result: Any) -> Array:
    """The values of an array of any of these libraries; bfloat16 is that of ml_dtypes."""
    if type(result).__module__.startswith("torch"):
        if str(result.dtype) == "torch.bfloat16":
            import ml_dtypes
            import torch

            values: Array = result.detach().view(torch.uint16).numpy().view(ml_dtypes.bfloat16)
            return values
        result = result.detach()
    return np.asarray(result)
