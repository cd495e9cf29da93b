"""`initfast bench`: time initfast, NumPy, PyTorch and a plain memory fill on this machine."""

import argparse
import ctypes
import functools
import json
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import initfast
from initfast.cli._race import (
    DTYPES,
    NORMAL,
    TASKS,
    TRUNCATED,
    UNIFORM,
    Array,
    Fill,
    Job,
    Library,
    Row,
    aligned_memory,
    compare,
    installed,
    load,
    on_threads,
    using_threads,
)
from initfast.cli.options import as_usage_errors, thread_scope
from initfast.core.dtypes import resolve

SEED = 42
ROUNDS, LIMIT, LEAST = 5, 1.0, 0.005  # the limit is longer than one slow first run
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}
_NAME_WIDTH, _COLUMN = 16, 22


def with_initfast(job: Job) -> Fill:
    """Return a fill by initfast."""
    # A seed generator, because two whole arrays from one stream would give a warning.
    seed = SEED if job.memory is not None else initfast.SeedGenerator(SEED)
    makers: dict[str, Callable[[], initfast.Initializer]] = {
        UNIFORM.name: lambda: initfast.RandomUniform(0.0, 1.0, seed=seed),
        NORMAL.name: lambda: initfast.RandomNormal(0.0, 1.0, seed=seed),
        TRUNCATED.name: lambda: initfast.TruncatedNormal(0.0, 1.0, seed=seed),
    }
    initializer = makers[job.task.name]()
    if job.memory is None:
        return lambda: initializer((job.size,), job.dtype)
    return functools.partial(initializer.fill, job.memory)


def with_numpy(job: Job, generator: str) -> Fill:
    """Return a fill by one generator per thread, as in NumPy's "Multithreaded generation"."""
    kind: Any = getattr(np.random, generator)

    def prepare(number: int, first: int) -> Callable[[Array], object]:
        random: Any = np.random.Generator(kind(np.random.SeedSequence(SEED, spawn_key=(number,))))
        draw = random.random if job.task is UNIFORM else random.standard_normal
        return lambda memory: draw(dtype=memory.dtype, out=memory)

    return on_threads(job, prepare)


def with_torch(job: Job) -> Fill:
    """Return a fill by PyTorch; of truncated normals by `torch.nn.init.trunc_normal_`."""
    import torch

    dtype = getattr(torch, job.dtype)
    generator = torch.Generator().manual_seed(SEED)
    draw: Callable[[Any], Any] = {
        UNIFORM.name: lambda tensor: tensor.uniform_(generator=generator),
        NORMAL.name: lambda tensor: tensor.normal_(generator=generator),
        TRUNCATED.name: lambda tensor: torch.nn.init.trunc_normal_(
            tensor, 0.0, 1.0, -2.0, 2.0, generator=generator
        ),
    }[job.task.name]
    if job.memory is None:
        return lambda: draw(torch.empty(job.size, dtype=dtype))
    bits = job.memory.view(f"u{job.memory.itemsize}")
    return functools.partial(draw, torch.from_numpy(bits).view(dtype))


def with_memset(job: Job) -> Fill:
    """Return a fill that only stores bytes: no other fill can be faster."""
    return on_threads(
        job, lambda *_: lambda memory: ctypes.memset(memory.ctypes.data, 1, memory.nbytes)
    )


INITFAST = Library("initfast", "initfast", with_initfast)
MEMSET = Library("memset", "numpy", with_memset, random=False)
RIVALS = (
    *(
        Library(
            f"numpy {generator}",
            "numpy",
            functools.partial(with_numpy, generator=generator),
            (UNIFORM, NORMAL),
            ("float32", "float64"),
        )
        for generator in ("PCG64", "SFC64", "Philox")
    ),
    Library("torch", "torch", with_torch),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments; `run` checks them."""
    parser.add_argument(
        "--size",
        default="32M",
        help="bytes of the array, such as 64K, 32M, 1G (default: %(default)s)",
    )
    parser.add_argument(
        "--dtype", default="float32", help=f"one of {', '.join(DTYPES)} (default: %(default)s)"
    )
    parser.add_argument("--threads", help="number of threads (default: see `initfast info`)")
    parser.add_argument(
        "--libraries",
        metavar="NAME,...",
        help="libraries to compare with (default: numpy,torch, if installed)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace, rivals: Sequence[Library] = RIVALS) -> None:
    """Compare initfast with `rivals`, and print the table.

    Raises ArgumentTypeError if the arguments are wrong.
    """
    size = parse_size(arguments.size, arguments.dtype)
    modules = parse_libraries(arguments.libraries, list(dict.fromkeys(r.module for r in rivals)))
    missing: dict[str, str] = {}
    with as_usage_errors(), thread_scope(arguments.threads):
        count = initfast.get_num_threads()
    for module in modules:
        try:
            if installed(module):
                load(module)
            else:
                missing[module] = "not installed"
        except ImportError as error:
            missing[module] = f"cannot be imported: {error}".splitlines()[0]
    present = [rival for rival in rivals if rival.module in modules and rival.module not in missing]
    libraries = [INITFAST, *present, MEMSET]
    if not arguments.json and sys.stderr.isatty():
        print(f"initfast: timing {len(libraries)} fills, about 10 seconds", file=sys.stderr)
    rows: list[Row] = []
    with using_threads(count):
        memory = aligned_memory(size, arguments.dtype)
        for task in TASKS:
            rows += compare(
                libraries,
                task,
                arguments.dtype,
                size,
                memory=memory,
                rounds=ROUNDS,
                limit=LIMIT,
                least=LEAST,
            )
    if arguments.json:
        config = initfast.show_config("dicts")
        print(json.dumps({"threads": count, "config": config, "rows": rows, "missing": missing}))
    else:
        print(table(rows, count, missing))


def table(rows: Sequence[Row], count: int, missing: dict[str, str]) -> str:
    """Return a table: one line per library, one column per distribution, 100 characters wide."""
    size, dtype = rows[0]["elements"], rows[0]["dtype"]
    megabytes = size * resolve(dtype).itemsize / 1e6
    lines = [
        f"{size:,} {dtype} ({megabytes:.3g} MB), {count} {'thread' if count == 1 else 'threads'},"
        f" {initfast.backends.active()}; GB/s and speed-up of initfast",
        " " * _NAME_WIDTH + "".join(f"{task.name.replace('_', ' '):>{_COLUMN}}" for task in TASKS),
    ]
    for name in dict.fromkeys(row["library"] for row in rows):
        cells = {row["task"]: _cell(row) for row in rows if row["library"] == name}
        columns = "".join(f"{cells.get(task.name, '-'):>{_COLUMN}}" for task in TASKS)
        lines.append(f"{name:<{_NAME_WIDTH}}{columns}")
    lines += sorted({f"{row['library']}: {row['error']}" for row in rows if "error" in row})
    lines += [f"{module}: {reason}" for module, reason in missing.items()]
    return "\n".join(line[:100].rstrip() for line in lines)


def _cell(row: Row) -> str:
    if "error" in row:
        return str(row["error"]).partition(":")[0]
    speed = f"{row['GB/s']:.2f}" if row["GB/s"] < 99.995 else f"{row['GB/s']:.0f}"
    ratio = (
        ""
        if row["library"] == INITFAST.name or "speed-up" not in row
        else f"{row['speed-up']:.2f}x"
    )
    return f"{speed} {ratio:>8}"


def parse_size(text: str, dtype: str) -> int:
    """Return how many elements of `dtype` fit in a size such as `64M`. Raises ArgumentTypeError."""
    if dtype not in DTYPES:
        raise argparse.ArgumentTypeError(
            f"--dtype must be one of {', '.join(DTYPES)}; received {dtype!r}"
        )
    match = re.fullmatch(r"([0-9]{1,12})([KMG]?)", text)
    size = int(match[1]) * _UNITS[match[2]] // resolve(dtype).itemsize if match else 0
    if not 64 <= size < 2**60:  # fewer values are too few to check their distribution
        raise argparse.ArgumentTypeError(
            f"--size must be a number of bytes, at least 64 elements, such as 64K, 32M or 1G;"
            f" received {text!r}"
        )
    return size


def parse_libraries(text: str | None, choices: list[str]) -> list[str]:
    """Return the names in a comma-separated text; None: all. Raises ArgumentTypeError."""
    names = choices if text is None else [name.strip() for name in text.split(",")]
    for name in names:
        if name not in choices:
            raise argparse.ArgumentTypeError(
                f"--libraries must be names among {', '.join(choices)}; received {name!r}"
            )
    return names
