"""`initfast fill OUT --shape 50257x768 --init he_normal`: write one initialised array to a file."""

import argparse
import contextlib
import hashlib
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np

import initfast
from initfast import containers, dtypes, journal, layout, npyfile, seeds, targets, writing
from initfast.base import Initializer
from initfast.containers import File, Tensor
from initfast.dtypes import AnyDType
from initfast.moments import Moments
from initfast.threads import get_num_threads, threads


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments. What they mean together is checked by `run`."""
    parser.add_argument(
        "out",
        metavar="OUT",
        help="the file to write, .npy, .safetensors, .bin or .raw; it appears whole, or not at all",
    )
    parser.add_argument("--shape", required=True, help="dimensions joined by 'x', such as 50257x768")
    parser.add_argument("--init", help="a Keras name, such as he_normal, or an initializer as Keras JSON")
    parser.add_argument("--dtype", default="float32", help="element type (default: %(default)s)")
    add_stream_arguments(parser)
    parser.add_argument("--rows", metavar="A:B", help="write rows A to B of a file that is there, and no others")
    parser.add_argument("--allocate", action="store_true", help="write zeros, for --rows to fill from several hosts")
    parser.add_argument("--resume", action="store_true", help="continue after a kill; begin if there was none")
    parser.add_argument("--force", action="store_true", help="replace an existing file")
    parser.add_argument("--threads", help="how many threads to use (default: those that `initfast info` tells)")
    parser.add_argument("--quiet", action="store_true", help="show no progress bar")
    parser.add_argument("--sha256", action="store_true", help="print the SHA-256 of the file too")


def add_stream_arguments(parser: argparse.ArgumentParser, *, drawn: bool = True) -> None:
    """Describe which tensor of a file is meant, and what it is drawn from; `drawn`: a seed may be left to chance."""
    default = "one is drawn, and printed" if drawn else "what a .safetensors file says of itself"
    parser.add_argument("--seed", help=f"an integer in [0, 2**64) (default: {default})")
    parser.add_argument(
        "--name",
        type=utf8,
        help="the array's name: each is a random stream of its own (default in .safetensors: the tensor's)",
    )
    parser.add_argument("--tensor", metavar="NAME", type=utf8, help="the tensor's name in a .safetensors file")


def run(arguments: argparse.Namespace) -> None:
    """Write the file and print its line. Raises ArgumentTypeError for wrong arguments, OSError for what cannot be."""
    with as_usage_errors():
        kind = containers.container(arguments.out)
        _check_together(arguments, kind)
        shape = parse_shape(arguments.shape)
        scope = thread_scope(arguments.threads)
        initializer, seed = (
            (initfast.Zeros(), None)
            if arguments.allocate
            else seeded(arguments.init, _seed_text(arguments), stream_name(arguments, kind))
        )
        dtype = checked_dtype(arguments.dtype)
        tensor = Tensor(arguments.tensor, initializer, shape, dtype)
        # A part of no rows: what the initializer has to say against the shape, it says before anything is written.
        initializer.block(shape, np.s_[:0], dtype=dtype)
        file = _file(arguments.out, kind, tensor, seed)
        rows = None if arguments.rows is None else parse_rows(arguments.rows, shape)
    if kind == "npy" and (recipe := npyfile.recipe(dtype)):
        print(f"initfast: warning: {recipe}", file=sys.stderr)
    with scope:
        print(_write(arguments, file, seed) if rows is None else _write_rows(arguments, tensor, seed, rows))


def _write(arguments: argparse.Namespace, file: File, seed: seeds.Seed | None) -> str:
    digest = hashlib.sha256() if arguments.sha256 else None
    tensor = file.tensors[0]
    identity = {
        "seed": None if seed is None else seed.seed,
        "name": None if seed is None else seed.name,
        "tensor": tensor.name,
        "shape": list(tensor.shape),
        "dtype": tensor.dtype.name,
        "initializer": "blank" if arguments.allocate else initfast.serialize(tensor.initializer),
    }
    base = targets.resolve(file.path)
    start = time.perf_counter()
    with progress(file.data_bytes, show=not arguments.quiet) as advance:
        result = writing.write(
            writing.Job((file,), identity, base),
            resume=arguments.resume,
            force=arguments.force,
            advance=advance,
            measure=not arguments.allocate,
            digest=digest,
            blank=arguments.allocate,
        )
    seconds = time.perf_counter() - start
    if arguments.allocate:
        return f"{arguments.out}: {file.size} bytes, all data zero"
    assert result.moments is not None
    sha256 = None if digest is None else digest.hexdigest()
    return summary(arguments.out, file.size, seconds, result.moments, seed, sha256)


def _write_rows(arguments: argparse.Namespace, tensor: Tensor, seed: seeds.Seed | None, rows: tuple[int, int]) -> str:
    found = read(arguments.out)
    with as_file_errors(arguments.out):
        located = containers.locate(found, tensor)
    size = tensor.nbytes // tensor.shape[0] * (rows[1] - rows[0]) if tensor.shape[0] else 0
    start = time.perf_counter()
    with progress(size, show=not arguments.quiet) as advance:
        moments = writing.write_rows(found.path, located, *rows, advance=advance, measure=True)
    seconds = time.perf_counter() - start
    assert moments is not None
    return summary(f"{arguments.out}, rows {rows[0]}:{rows[1]}", size, seconds, moments, seed, None)


def _check_together(arguments: argparse.Namespace, kind: str) -> None:
    """What cannot stand beside what, and what must. Raises ValueError."""
    check_tensor(arguments, kind)
    for one, without in (
        ("rows", ("allocate", "resume", "force", "sha256")),
        ("allocate", ("init", "seed", "name", "sha256")),
    ):
        if getattr(arguments, one):
            for other in without:
                if getattr(arguments, other):
                    raise ValueError(f"--{one} must stand without --{other}; received both")
    if arguments.init is None and not arguments.allocate:
        raise ValueError("--init must name an initializer, such as he_normal; received none")


def check_tensor(arguments: argparse.Namespace, kind: str) -> None:
    """A name for the tensor where the container has names, and only there. Raises ValueError."""
    if kind == "safetensors" and arguments.tensor is None:
        raise ValueError("a .safetensors file must have a name for its tensor, --tensor NAME; received none")
    if kind != "safetensors" and arguments.tensor is not None:
        raise ValueError(f"--tensor names the tensor of a .safetensors file; received {arguments.out!r}")


def utf8(argument: str) -> str:
    """The text whose UTF-8 the shell handed over, which Python has read by the locale. Raises ArgumentTypeError."""
    try:
        return os.fsencode(argument).decode()
    except UnicodeError:
        raise argparse.ArgumentTypeError(f"a name must be UTF-8 text; received {argument!a}") from None


def stream_name(arguments: argparse.Namespace, kind: str) -> str | None:
    """The name that chooses the stream: --name, else that of the tensor, as `initfast model` draws it."""
    name: str | None = arguments.name
    return arguments.tensor if name is None and kind == "safetensors" else name


def _file(out: str, kind: str, tensor: Tensor, seed: seeds.Seed | None) -> File:
    if kind == "safetensors":
        return containers.safetensors(out, [tensor], containers.metadata(None if seed is None else seed.seed))
    return {"npy": containers.npy, "raw": containers.raw}[kind](out, tensor)


def _seed_text(arguments: argparse.Namespace) -> str | None:
    """--seed; where it is not given, and an unfinished write is to be continued, the seed of that."""
    given: str | None = arguments.seed
    if given is None and arguments.resume:
        with contextlib.suppress(OSError):  # what is wrong with it is told when it is opened to be written
            state = journal.read(journal.name(targets.resolve(arguments.out), (1, 1)))
            drawn = None if state is None else state.header["identity"].get("seed")
            own = _initializer(arguments.init).get_config().get("seed")
            return str(drawn) if type(drawn) is int and own is None else None
    return given


def checked_dtype(text: str) -> AnyDType:
    """The element type of a name: floating, integer or bool. Raises ValueError."""
    dtype = dtypes.resolve_numeric(text)
    if isinstance(dtype, np.dtype) and dtype.kind == "c":
        raise ValueError(f"dtype must be floating, integer or bool; received {text!r}")
    return dtype


def parse_shape(text: str) -> tuple[int, ...]:
    """The shape that `50257x768` means. Raises ValueError."""
    sizes = text.split("x")
    if not all(re.fullmatch(r"[0-9]+", size) for size in sizes):
        raise ValueError(f"--shape must be dimensions joined by 'x', such as 50257x768; received {text!r}")
    return layout.normalize_shape(tuple(map(int, sizes)))


def parse_rows(text: str, shape: tuple[int, ...]) -> tuple[int, int]:
    """The rows that `A:B` means, of an array of this shape. Raises ValueError."""
    match = re.fullmatch(r"([0-9]*):([0-9]*)", text)
    first, last = (int(match[1] or 0), int(match[2] or shape[0])) if match else (1, 0)
    if not first <= last <= shape[0]:
        raise ValueError(f"--rows must be A:B with 0 <= A <= B <= {shape[0]}; received {text!r}")
    return first, last


def seeded(init: str, seed_text: str | None, name: str | None) -> tuple[Initializer, seeds.Seed | None]:
    """The initializer with one fixed stream, and that stream; None where nothing is random.

    The seed is --seed, else the one in the JSON, else a new one. A name chooses the stream of a plain seed.
    Raises ValueError or TypeError.
    """
    initializer = _initializer(init)
    asked = None if seed_text is None else seeds.Seed(integer(seed_text, "--seed"))
    config = initializer.get_config()
    if "seed" not in config:
        return initializer, None
    live = seeds.live_seed(getattr(initializer, "seed") if asked is None else asked)  # noqa: B009
    seed = live.next() if isinstance(live, seeds.SeedGenerator) else live
    if name is not None:
        seed = seed.named(name)
    return type(initializer).from_config({**config, "seed": seed}), seed


def _initializer(init: str) -> Initializer:
    found: Initializer = initfast.get(json.loads(init) if init.lstrip().startswith("{") else init)
    return found


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


def integer(text: str, option: str) -> int:
    """The number that an option's text is. Raises ValueError."""
    if not re.fullmatch(r"[0-9]+", text):
        raise ValueError(f"{option} must be an integer >= 0; received {text!r}")
    return int(text)


def thread_scope(text: str | None) -> AbstractContextManager[None]:
    """A context with as many threads as --threads says. Raises ValueError."""
    return threads(get_num_threads() if text is None else integer(text, "--threads"))


def read(path: str) -> containers.Found:
    """What a file holds. Raises OSError, also where it is not what it should be."""
    with as_file_errors(path):
        return containers.read(path)


@contextlib.contextmanager
def as_usage_errors() -> Iterator[None]:
    """What a library call has against an argument is wrong usage here."""
    try:
        yield
    except json.JSONDecodeError as error:
        message = f"--init must be valid JSON where it begins with '{{'; received {error.doc!r}"
        raise argparse.ArgumentTypeError(message) from None
    except (ValueError, TypeError, KeyError, OverflowError, NotImplementedError) as error:
        raise argparse.ArgumentTypeError(str(error)) from error


@contextlib.contextmanager
def as_file_errors(path: str | Path) -> Iterator[None]:
    """What is wrong with a file that is there is no wrong usage."""
    try:
        yield
    except ValueError as error:
        raise OSError(f"{path}: {error}") from error


@contextlib.contextmanager
def progress(size: int, *, show: bool) -> Iterator[Callable[[int], object]]:
    """A bar over the bytes on stderr where that is a terminal; gives the function that advances it."""
    if not (show and sys.stderr.isatty()):
        yield lambda count: None
        return
    from tqdm import tqdm

    with tqdm(total=size, unit="B", unit_scale=True, file=sys.stderr, leave=False) as bar:
        yield bar.update
