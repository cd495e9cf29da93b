"""`initfast bench`: how fast this machine fills, beside the libraries that are installed on it."""

import argparse
import contextlib
import json
import os
import re
import sys
from collections.abc import Iterator, Sequence

import initfast
from initfast.bench import comparison, peers, tasks
from initfast.core.threads import get_num_threads

# In about 15 seconds with every engine installed, their imports included.
ROUNDS, LIMIT = 5, 0.3
LIBRARIES = ("numpy", "torch", "jax", "tensorflow", "mkl")
MORE = ("keras", "mkl_random")
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}
_NAME_WIDTH = 22


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments. What they mean together is checked by `run`."""
    parser.add_argument(
        "--size",
        default="32M",
        help="bytes of the array, such as 64K, 32M, 1G (default: %(default)s)",
    )
    parser.add_argument(
        "--dtype",
        default="float32",
        help=f"one of {', '.join(tasks.DTYPES)} (default: %(default)s)",
    )
    parser.add_argument(
        "--threads", help="how many threads to use (default: those that `initfast info` tells)"
    )
    parser.add_argument(
        "--libraries",
        metavar="NAME,...",
        help=f"compare with these (default: what is installed of {', '.join(LIBRARIES)}; also: {', '.join(MORE)})",
    )
    parser.add_argument("--json", action="store_true", help="print it as JSON")


def run(arguments: argparse.Namespace) -> None:
    """Compare, and print the table. Raises ArgumentTypeError for wrong arguments."""
    size = parse_size(arguments.size, arguments.dtype)
    count = (
        get_num_threads()
        if arguments.threads is None
        else _positive(arguments.threads, "--threads")
    )
    asked = LIBRARIES if arguments.libraries is None else parse_libraries(arguments.libraries)
    chosen, missing = libraries(asked)
    if not arguments.json and sys.stderr.isatty():
        print(f"initfast: comparing {len(chosen)} ways to fill, some 15 seconds", file=sys.stderr)
    found: list[comparison.Row] = []
    with confined_to(count):
        for peer in list(chosen):
            try:
                peers.ready(peer)
            except ImportError as error:
                chosen.remove(peer)
                missing[peer.module] = f"cannot be imported: {error}".splitlines()[0]
        with peers.using_threads(count):
            memory = comparison.aligned_memory(size, arguments.dtype)
            for task in tasks.TASKS:
                found += comparison.compare(
                    chosen,
                    task,
                    arguments.dtype,
                    size,
                    memory=memory,
                    count=ROUNDS,
                    limit=LIMIT,
                    least=0.005,
                )
    if arguments.json:
        print(
            json.dumps(
                {
                    "threads": count,
                    "config": initfast.show_config("dicts"),
                    "rows": found,
                    "missing": missing,
                }
            )
        )
    else:
        print(table(found, size, arguments.dtype, count, missing))


def libraries(asked: Sequence[str]) -> tuple[list[peers.Peer], dict[str, str]]:
    """initfast, the bare memory, and what is installed of those asked for; the others and why.
    Imports nothing.
    """
    rows = [peer for peer in peers.others() if peer.module in asked and peer is not peers.MEMSET]
    missing = {peer.module: "not installed" for peer in rows if not peers.is_installed(peer)}
    return [
        peers.INITFAST,
        *(peer for peer in rows if peer.module not in missing),
        peers.MEMSET,
    ], missing


def table(
    rows: Sequence[comparison.Row], size: int, dtype: str, count: int, missing: dict[str, str]
) -> str:
    """One line a library, one pair of columns a distribution; at most 100 characters wide."""
    bytes_ = next(row["bytes"] for row in rows if "bytes" in row)
    names = list(dict.fromkeys(row["library"] for row in rows))
    names.append(names.pop(names.index(peers.MEMSET.name)))
    lines = [
        f"{size:,} {dtype} ({bytes_ / 1e6:.3g} MB), {count} {'thread' if count == 1 else 'threads'},"
        f" {initfast.backends.active()}; GB/s, and how many times faster initfast is",
        " " * _NAME_WIDTH + "".join(f"{task.name.replace('_', ' '):>22}" for task in tasks.TASKS),
    ]
    for name in names:
        cells = {row["task"]: _cell(row) for row in rows if row["library"] == name}
        lines.append(
            f"{name:<{_NAME_WIDTH}}"
            + "".join(f"{cells.get(task.name, '-'):>22}" for task in tasks.TASKS)
        )
    own = sorted({row["library"] for row in rows if not row["in_place"]})
    if own:
        lines.append(f"in a new array each time: {', '.join(own)}")
    lines += sorted({f"{row['library']}: {row['error']}" for row in rows if "error" in row})
    lines += [f"{name}: {reason}" for name, reason in missing.items()]
    return "\n".join(line[:100].rstrip() for line in lines)


def _cell(row: comparison.Row) -> str:
    if "error" in row:
        return str(row["error"]).partition(":")[0]
    speed = f"{row['GB/s']:.2f}" if row["GB/s"] < 99.995 else f"{row['GB/s']:.0f}"
    return speed + " " * 9 if row["library"] == peers.INITFAST.name else f"{speed} {_times(row):>8}"


def _times(row: comparison.Row) -> str:
    return f"{row['initfast is faster by']:.2f}x"


def parse_size(text: str, dtype: str) -> int:
    """The elements of `dtype` that `64M` bytes hold. Raises ArgumentTypeError."""
    if dtype not in tasks.DTYPES:
        raise argparse.ArgumentTypeError(
            f"--dtype must be one of {', '.join(tasks.DTYPES)}; received {dtype!r}"
        )
    itemsize = {"float64": 8, "float32": 4}.get(dtype, 2)
    found = re.fullmatch(r"([0-9]+)([KMG]?)", text)
    elements = int(found[1]) * _UNITS[found[2]] // itemsize if found else 0
    if elements < 64:  # fewer cannot be told from another distribution
        raise argparse.ArgumentTypeError(
            f"--size must be bytes, at least 64 elements, such as 64K, 32M or 1G; received {text!r}"
        )
    return elements


def parse_libraries(text: str) -> tuple[str, ...]:
    """The names between the commas. Raises ArgumentTypeError."""
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if name not in LIBRARIES + MORE:
            choices = ", ".join(LIBRARIES + MORE)
            raise argparse.ArgumentTypeError(
                f"--libraries must be among {choices}; received {name!r}"
            )
    return names


def _positive(text: str, option: str) -> int:
    if not re.fullmatch(r"[0-9]+", text) or not 1 <= int(text) <= 1024:
        raise argparse.ArgumentTypeError(
            f"{option} must be an integer from 1 to 1024; received {text!r}"
        )
    return int(text)


@contextlib.contextmanager
def confined_to(count: int) -> Iterator[None]:
    """Leave this process as many cores as threads, before any engine is imported: XLA takes all
    that it may.
    """
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[-count:])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
