"""`initfast fill OUT.npy --shape 50257x768 --init he_normal`: write one initialised array to a file."""

import argparse
import contextlib
import hashlib
import json
import math
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import initfast
from initfast import dtypes, layout, npyfile, seeds
from initfast.atomicfile import check_target, replacing
from initfast.filefill import fill_region
from initfast.moments import Moments
from initfast.threads import get_num_threads, threads

EXTENSION = ".npy"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments. What they mean together is checked by `run`."""
    parser.add_argument("out", metavar="OUT.npy", help="the file to write; it appears whole, or not at all")
    parser.add_argument("--shape", required=True, help="dimensions joined by 'x', such as 50257x768")
    parser.add_argument(
        "--init", required=True, help="a Keras name, such as he_normal, or an initializer as Keras JSON"
    )
    parser.add_argument("--dtype", default="float32", help="element type (default: %(default)s)")
    parser.add_argument("--seed", help="an integer in [0, 2**64) (default: one is drawn, and printed)")
    parser.add_argument("--name", help="the array's name: each name is a random stream of its own")
    parser.add_argument("--threads", help="how many threads to use (default: those that `initfast info` tells)")
    parser.add_argument("--force", action="store_true", help="replace an existing file")
    parser.add_argument("--quiet", action="store_true", help="show no progress bar")
    parser.add_argument("--sha256", action="store_true", help="print the SHA-256 of the file too")


def run(arguments: argparse.Namespace) -> None:
    """Write the file and print its line. Raises ArgumentTypeError for wrong arguments, OSError for what cannot be."""
    with _as_usage_errors():
        if Path(arguments.out).suffix != EXTENSION:
            raise ValueError(f"the output must be a {EXTENSION} file; received {arguments.out!r}")
        shape = parse_shape(arguments.shape)
        dtype = dtypes.resolve(arguments.dtype)
        header = npyfile.header(shape, dtype)
        initializer, seed = seeded(arguments.init, arguments.seed, arguments.name)
        count = get_num_threads() if arguments.threads is None else _integer(arguments.threads, "--threads")
        scope = threads(count)
        # A part of no rows: what the initializer has to say against the shape, it says before anything is written.
        initializer.block(shape, np.s_[:0], dtype=dtype.name)
    size = len(header) + math.prod(shape) * dtype.itemsize
    check_target(arguments.out, size, force=arguments.force)
    if recipe := npyfile.recipe(dtype):
        print(f"initfast: warning: {recipe}", file=sys.stderr)
    digest = hashlib.sha256(header) if arguments.sha256 else None
    start = time.perf_counter()
    if isinstance(initializer, initfast.Orthogonal):
        initializer = _Made(initializer(shape, dtype.name))
    with scope, replacing(arguments.out, size, force=arguments.force) as descriptor:
        os.pwrite(descriptor, header, 0)
        with _progress(size, show=not arguments.quiet) as advance:

            def done(raw: memoryview) -> None:
                advance(len(raw))
                if digest is not None:
                    digest.update(raw)

            moments = fill_region(descriptor, len(header), initializer, shape, dtype, done)
    seconds = time.perf_counter() - start
    print(summary(arguments.out, size, seconds, moments, seed, digest.hexdigest() if digest else None))


class _Made:
    """An array that could only be made whole, as something to take parts from."""

    def __init__(self, values: np.ndarray[Any, Any]) -> None:
        self.values = values

    def fill(self, out: Any, shape: Any = None, index: Any = None, *, dtype: Any = None) -> Any:
        out[...] = self.values[index]
        return out


def parse_shape(text: str) -> tuple[int, ...]:
    """The shape that `50257x768` means. Raises ValueError."""
    sizes = text.split("x")
    if not all(re.fullmatch(r"[0-9]+", size) for size in sizes):
        raise ValueError(f"--shape must be dimensions joined by 'x', such as 50257x768; received {text!r}")
    return layout.normalize_shape(tuple(map(int, sizes)))


def seeded(init: str, seed_text: str | None, name: str | None) -> tuple[Any, seeds.Seed | None]:
    """The initializer with one fixed stream, and that stream; None where nothing is random.

    The seed is --seed, else the one in the JSON, else a new one. Raises ValueError or TypeError.
    """
    initializer = initfast.get(json.loads(init) if init.lstrip().startswith("{") else init)
    asked = None if seed_text is None else seeds.Seed(_integer(seed_text, "--seed"))
    config = initializer.get_config()
    if "seed" not in config:
        return initializer, None
    live = seeds.live_seed(initializer.seed if asked is None else asked)
    seed = live.next() if isinstance(live, seeds.SeedGenerator) else live
    if name is not None:
        seed = seed.named(name)
    return type(initializer).from_config({**config, "seed": seed}), seed


def summary(out: str, size: int, seconds: float, moments: Moments, seed: seeds.Seed | None, sha256: str | None) -> str:
    """The line on stdout. Everything in it can be made again but the seconds."""
    fields = [
        f"{size} bytes in {seconds:.3f} s ({size / max(seconds, 1e-9) / 1e9:.2f} GB/s)",
        f"mean {moments.mean:.6g}",
        f"std {moments.std:.6g}",
        f"min {moments.minimum:.6g}",
        f"max {moments.maximum:.6g}",
    ]
    if seed is not None:
        fields.append(f"seed {seed.seed}")
    if sha256 is not None:
        fields.append(f"sha256 {sha256}")
    return f"{out}: {', '.join(fields)}"


def _integer(text: str, option: str) -> int:
    if not re.fullmatch(r"[0-9]+", text):
        raise ValueError(f"{option} must be an integer >= 0; received {text!r}")
    return int(text)


@contextlib.contextmanager
def _as_usage_errors() -> Iterator[None]:
    """What a library call has against an argument is wrong usage here."""
    try:
        yield
    except json.JSONDecodeError as error:
        message = f"--init must be valid JSON where it begins with '{{'; received {error.doc!r}"
        raise argparse.ArgumentTypeError(message) from None
    except (ValueError, TypeError, KeyError, OverflowError, NotImplementedError) as error:
        raise argparse.ArgumentTypeError(str(error)) from error


@contextlib.contextmanager
def _progress(size: int, *, show: bool) -> Iterator[Callable[[int], object]]:
    """A bar over the bytes on stderr where that is a terminal; gives the function that advances it."""
    if not (show and sys.stderr.isatty()):
        yield lambda count: None
        return
    from tqdm import tqdm

    with tqdm(total=size, unit="B", unit_scale=True, file=sys.stderr, leave=False) as bar:
        yield bar.update
