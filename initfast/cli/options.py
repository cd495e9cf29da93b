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

# More digits than any valid number has. Python refuses to convert thousands of digits.
_INTEGER = re.compile(r"[0-9]{1,30}")


def add_stream_arguments(parser: argparse.ArgumentParser, default_seed: str) -> None:
    """Describe the arguments that select a tensor and its random stream.

    `default_seed` says which seed is used without --seed."""
    parser.add_argument("--seed", help=f"an integer in [0, 2**64) (default: {default_seed})")
    parser.add_argument(
        "--name",
        type=utf8,
        help="name that selects the random stream (default: the tensor's name in a .safetensors"
        " file, else none)",
    )
    parser.add_argument(
        "--tensor", metavar="NAME", type=utf8, help="name of the tensor in a .safetensors file"
    )


def utf8(argument: str) -> str:
    """Return an argument decoded as UTF-8. Python has decoded it by the locale.

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
    """Return the dtype with this name: floating, integer or bool. Raises ValueError."""
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
    """Return (A, B) of `A:B`, rows of an array of this shape. Raises ValueError."""
    if not shape:
        raise ValueError(f"--rows needs an array of at least one dimension; received {text!r}")
    match = re.fullmatch(r"([0-9]{0,30}):([0-9]{0,30})", text)
    first, last = (int(match[1] or 0), int(match[2] or shape[0])) if match else (1, 0)
    if not first <= last <= shape[0]:
        raise ValueError(f"--rows must be A:B with 0 <= A <= B <= {shape[0]}; received {text!r}")
    return first, last


def seeded(
    init: str, seed_text: str | None, name: str | None
) -> tuple[Initializer, seeds.Seed | None]:
    """Return the initializer with one fixed stream, and that stream; None if nothing is random.

    The seed is --seed, else the one in the JSON, else a random one. `name` selects a stream of
    that seed. Raises ValueError or TypeError."""
    initializer = initfast.get(init)
    option = None if seed_text is None else seeds.Seed(integer(seed_text, "--seed"))
    if not isinstance(initializer, RandomInitializer):
        return initializer, None
    live = seeds.live_seed(initializer.seed if option is None else option)
    seed = live.next() if isinstance(live, seeds.SeedGenerator) else live
    if name is not None:
        seed = seed.named(name)
    return initializer.with_seed(seed), seed


def integer(text: str, option: str) -> int:
    """Return the integer in the text of an option. Raises ValueError."""
    if not _INTEGER.fullmatch(text):
        raise ValueError(f"{option} must be an integer >= 0; received {text!r}")
    return int(text)


def thread_scope(text: str | None) -> AbstractContextManager[None]:
    """Return a context that uses the number of threads of --threads. Raises ValueError."""
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
