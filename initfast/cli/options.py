"""Arguments that several commands have, parsed in the same way."""

import argparse
import contextlib
import os
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager

import initfast
from initfast.core import dtypes, indexing, seeds
from initfast.core.dtypes import DType
from initfast.core.threads import get_num_threads, threads
from initfast.initializers.base import Initializer
from initfast.initializers.random import RandomInitializer

# Of as many digits as any number here may have: Python refuses to read thousands of them.
_INTEGER = re.compile(r"[0-9]{1,30}")


def add_stream_arguments(parser: argparse.ArgumentParser, *, drawn: bool = True) -> None:
    """Describe the arguments that choose a tensor and its stream.

    `drawn`: whether a seed is drawn if none is given."""
    default = "one is drawn, and printed" if drawn else "the one in a .safetensors file"
    parser.add_argument("--seed", help=f"an integer in [0, 2**64) (default: {default})")
    parser.add_argument(
        "--name",
        type=utf8,
        help="the array's name, which chooses its random stream (default in .safetensors: the"
        " tensor's name)",
    )
    parser.add_argument(
        "--tensor", metavar="NAME", type=utf8, help="the tensor's name in a .safetensors file"
    )


def utf8(argument: str) -> str:
    """Return the text whose UTF-8 bytes the shell passed; Python has decoded them by the locale.

    Raises:
        ArgumentTypeError: the bytes are not UTF-8.
    """
    try:
        return os.fsencode(argument).decode()
    except UnicodeError:
        raise argparse.ArgumentTypeError(
            f"a name must be UTF-8 text; received {argument!a}"
        ) from None


def checked_dtype(text: str) -> DType:
    """Return the dtype of a name: floating, integer or bool. Raises ValueError."""
    dtype = dtypes.resolve_numeric(text)
    if dtype.kind == "c":
        raise ValueError(f"dtype must be floating, integer or bool; received {text!r}")
    return dtype


def parse_shape(text: str) -> tuple[int, ...]:
    """Return the shape of a text such as `50257x768`. Raises ValueError."""
    sizes = text.split("x")
    if not all(map(_INTEGER.fullmatch, sizes)):
        raise ValueError(
            f"--shape must be dimensions joined by 'x', such as 50257x768; received {text!r}"
        )
    return indexing.normalize_shape(tuple(map(int, sizes)))


def parse_rows(text: str, shape: tuple[int, ...]) -> tuple[int, int]:
    """Return the rows (first, last) of `A:B`, of an array of this shape. Raises ValueError."""
    if not shape:
        raise ValueError(f"--rows needs an array of at least one dim; received {text!r}")
    match = re.fullmatch(r"([0-9]{0,30}):([0-9]{0,30})", text)
    first, last = (int(match[1] or 0), int(match[2] or shape[0])) if match else (1, 0)
    if not first <= last <= shape[0]:
        raise ValueError(f"--rows must be A:B with 0 <= A <= B <= {shape[0]}; received {text!r}")
    return first, last


def seeded(
    init: str, seed_text: str | None, name: str | None
) -> tuple[Initializer, seeds.Seed | None]:
    """Return the initializer with one fixed stream, and that stream; None if nothing is random.

    The seed is --seed, else the one in the JSON, else a new one. A name chooses the stream of a
    plain seed. Raises ValueError or TypeError."""
    initializer = initfast.get(init)
    given = None if seed_text is None else seeds.Seed(integer(seed_text, "--seed"))
    if not isinstance(initializer, RandomInitializer):
        return initializer, None
    live = seeds.live_seed(initializer.seed if given is None else given)
    seed = live.next() if isinstance(live, seeds.SeedGenerator) else live
    if name is not None:
        seed = seed.named(name)
    return initializer.with_seed(seed), seed


def integer(text: str, option: str) -> int:
    """Return the number of an option's text. Raises ValueError."""
    if not _INTEGER.fullmatch(text):
        raise ValueError(f"{option} must be an integer >= 0; received {text!r}")
    return int(text)


def thread_scope(text: str | None) -> AbstractContextManager[None]:
    """Return a context with the number of threads of --threads. Raises ValueError."""
    return threads(get_num_threads() if text is None else integer(text, "--threads"))


@contextlib.contextmanager
def as_usage_errors() -> Iterator[None]:
    """Turn the library's ValueError and the like into a usage error."""
    try:
        yield
    except (
        ValueError,
        TypeError,
        KeyError,
        OverflowError,
        NotImplementedError,
        RecursionError,
    ) as error:
        raise argparse.ArgumentTypeError(str(error)) from error
