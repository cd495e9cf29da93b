"""Who is compared: a table of libraries, each with what it can draw. A new library is a row here.

A peer's `prepare`, from `fills`, takes a job and gives a function that does it.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.metadata
import importlib.util
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import NamedTuple

import initfast as ift
from initfast.bench import fills, mkl
from initfast.bench.fills import Job
from initfast.bench.rounds import Fill
from initfast.bench.tasks import DTYPES, NORMAL, TASKS, UNIFORM, Task

NUMPY_DTYPES = ("float32", "float64")


class Peer(NamedTuple):
    """A library: the module that must be there, how it fills, and what it can do."""

    name: str
    module: str
    prepare: Callable[[Job], Fill]
    tasks: tuple[Task, ...] = TASKS
    dtypes: tuple[str, ...] = DTYPES
    in_place: bool = True
    new: bool = True
    threads: str = "any"  # "one", or "own": as many as it likes of the cores of the process
    random: bool = True

    @property
    def installed(self) -> bool:
        """Whether the module is there; it is not imported."""
        return importlib.util.find_spec(self.module) is not None

    def does(self, task: Task, dtype: str, *, in_place: bool) -> bool:
        """Whether it can do such a job, in memory that is given or in some of its own."""
        return (
            task in self.tasks
            and dtype in self.dtypes
            and (self.in_place if in_place else self.new)
        )


INITFAST = Peer("initfast", "initfast", fills.with_initfast)
MEMSET = Peer("memset", "numpy", fills.with_memset, random=False)


def own() -> list[Peer]:
    """initfast, and once more on each backend that is not its best here."""
    others = reversed(ift.backends.available()[:-1])
    return [
        INITFAST,
        *(
            Peer(
                f"initfast {name}", "initfast", functools.partial(fills.with_initfast, backend=name)
            )
            for name in others
        ),
    ]


def _of_numpy(generator: str) -> Peer:
    prepare = functools.partial(fills.with_numpy, generator=generator)
    return Peer(f"numpy {generator}", "numpy", prepare, (UNIFORM, NORMAL), NUMPY_DTYPES)


def _of_mkl(generator: str, method: str, tasks: tuple[Task, ...] = TASKS) -> Peer:
    name = f"mkl {generator}" + ("" if method == "ICDF" else f" {method}")
    prepare = functools.partial(fills.with_mkl, generator=generator, method=method)
    return Peer(name, "mkl", prepare, tasks, NUMPY_DTYPES)


def keras_name() -> str:
    """Keras' row. Its backend is one a process, from the first import on: before that it is known
    where it is told.
    """
    keras = sys.modules.get("keras")
    backend = keras.backend.backend() if keras else os.environ.get("KERAS_BACKEND")
    return f"keras on {backend}" if backend else "keras"


def others() -> list[Peer]:
    """Every other library of the table, installed or not; the roof last."""
    return [
        *(_of_numpy(generator) for generator in ("PCG64", "SFC64", "Philox")),
        Peer("torch", "torch", fills.with_torch),
        Peer("jax", "jax", fills.with_jax, in_place=False, threads="own"),
        Peer("tensorflow", "tensorflow", fills.with_tensorflow, in_place=False, threads="own"),
        Peer(
            keras_name(),
            "keras",
            fills.with_keras,
            dtypes=("float32", "float16", "bfloat16"),
            in_place=False,
            threads="own",
        ),
        *(_of_mkl(generator, "ICDF") for generator in ("ARS5", "SFMT19937", "PHILOX4X32X10")),
        _of_mkl("ARS5", "BoxMuller2", (NORMAL,)),
        Peer(
            "mkl_random",
            "mkl_random",
            fills.with_mkl_random,
            (UNIFORM, NORMAL),
            ("float64",),
            in_place=False,
            threads="one",
        ),
        MEMSET,
    ]


def is_installed(peer: Peer) -> bool:
    """Whether a library is there. The mkl package has no module of its name: its files are asked
    for.
    """
    if peer.module != "mkl":
        return peer.installed
    try:
        return bool(importlib.metadata.files("mkl"))
    except importlib.metadata.PackageNotFoundError:
        return False


def ready(peer: Peer) -> None:
    """Import it, quietly: several engines warn of themselves. Raises ImportError."""
    if peer.module == "mkl":
        mkl.library()
        return
    with warnings.catch_warnings(), _silent_stderr(peer.module in ("tensorflow", "keras")):
        warnings.simplefilter("ignore")
        importlib.import_module(peer.module)


@contextlib.contextmanager
def _silent_stderr(wanted: bool) -> Iterator[None]:
    """TensorFlow's C++ greets on the descriptor itself, whatever TF_CPP_MIN_LOG_LEVEL says."""
    if not wanted:
        yield
        return
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


@contextlib.contextmanager
def using_threads(count: int) -> Iterator[None]:
    """Let every library that can be told use `count` threads."""
    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else None
    if torch:
        torch.set_num_threads(count)
    try:
        with ift.threads(count):
            yield
    finally:
        if torch:
            torch.set_num_threads(before)
