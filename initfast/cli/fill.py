"""`initfast fill OUT --shape 50257x768 --init he_normal`: write one initialised array to a file."""

import argparse
import contextlib
import hashlib
import sys
import time

import numpy as np

import initfast
from initfast.cli.options import (
    add_stream_arguments,
    as_usage_errors,
    checked_dtype,
    initializer_of,
    parse_rows,
    parse_shape,
    seeded,
    thread_scope,
)
from initfast.cli.progress import progress
from initfast.cli.reading import as_file_errors, read
from initfast.core import seeds
from initfast.core.moments import Moments
from initfast.files import containers, journal, npyfile, targets, writing
from initfast.files.containers import File, Tensor


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments. What they mean together is checked by `run`."""
    parser.add_argument(
        "out",
        metavar="OUT",
        help="the file to write, .npy, .safetensors, .bin or .raw; it appears whole, or not at all",
    )
    parser.add_argument(
        "--shape", required=True, help="dimensions joined by 'x', such as 50257x768"
    )
    parser.add_argument(
        "--init", help="a Keras name, such as he_normal, or an initializer as Keras JSON"
    )
    parser.add_argument("--dtype", default="float32", help="element type (default: %(default)s)")
    add_stream_arguments(parser)
    parser.add_argument(
        "--rows", metavar="A:B", help="write rows A to B of a file that is there, and no others"
    )
    parser.add_argument(
        "--allocate", action="store_true", help="write zeros, for --rows to fill from several hosts"
    )
    parser.add_argument(
        "--resume", action="store_true", help="continue after a kill; begin if there was none"
    )
    parser.add_argument("--force", action="store_true", help="replace an existing file")
    parser.add_argument(
        "--threads", help="how many threads to use (default: those that `initfast info` tells)"
    )
    parser.add_argument("--quiet", action="store_true", help="show no progress bar")
    parser.add_argument("--sha256", action="store_true", help="print the SHA-256 of the file too")


def run(arguments: argparse.Namespace) -> None:
    """Write the file and print its line. Raises ArgumentTypeError for wrong arguments, OSError for
    what cannot be.
    """
    with as_usage_errors():
        kind = containers.container(arguments.out)
        _check_together(arguments, kind)
        shape = parse_shape(arguments.shape)
        scope = thread_scope(arguments.threads)
        initializer, seed = (
            (initfast.Zeros(), None)
            if arguments.allocate
            else seeded(arguments.init, _seed_text(arguments), _stream_name(arguments, kind))
        )
        dtype = checked_dtype(arguments.dtype)
        tensor = Tensor(arguments.tensor, initializer, shape, dtype)
        # A part of no rows: what the initializer has to say against the shape, it says before
        # anything is written.
        initializer.block(shape, np.s_[:0], dtype=dtype)
        file = _file(arguments.out, kind, tensor, seed)
        rows = None if arguments.rows is None else parse_rows(arguments.rows, shape)
    if kind == "npy" and (recipe := npyfile.recipe(dtype)):
        print(f"initfast: warning: {recipe}", file=sys.stderr)
    with scope:
        print(
            _write(arguments, file, seed)
            if rows is None
            else _write_rows(arguments, tensor, seed, rows)
        )


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


def _write_rows(
    arguments: argparse.Namespace, tensor: Tensor, seed: seeds.Seed | None, rows: tuple[int, int]
) -> str:
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
    _check_tensor(arguments, kind)
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


def _check_tensor(arguments: argparse.Namespace, kind: str) -> None:
    """A name for the tensor where the container has names, and only there. Raises ValueError."""
    if kind == "safetensors" and arguments.tensor is None:
        raise ValueError(
            "a .safetensors file must have a name for its tensor, --tensor NAME; received none"
        )
    if kind != "safetensors" and arguments.tensor is not None:
        raise ValueError(
            f"--tensor names the tensor of a .safetensors file; received {arguments.out!r}"
        )


def _stream_name(arguments: argparse.Namespace, kind: str) -> str | None:
    """The name that chooses the stream: --name, else that of the tensor, as `initfast model` draws
    it.
    """
    name: str | None = arguments.name
    return arguments.tensor if name is None and kind == "safetensors" else name


def _file(out: str, kind: str, tensor: Tensor, seed: seeds.Seed | None) -> File:
    if kind == "safetensors":
        return containers.safetensors(
            out, [tensor], containers.metadata(None if seed is None else seed.seed)
        )
    return {"npy": containers.npy, "raw": containers.raw}[kind](out, tensor)


def _seed_text(arguments: argparse.Namespace) -> str | None:
    """--seed; where it is not given, and an unfinished write is to be continued, the seed of that."""
    given: str | None = arguments.seed
    if given is None and arguments.resume:
        with contextlib.suppress(
            OSError
        ):  # what is wrong with it is told when it is opened to be written
            state = journal.read(journal.name(targets.resolve(arguments.out), (1, 1)))
            drawn = None if state is None else state.header["identity"].get("seed")
            own = initializer_of(arguments.init).get_config().get("seed")
            return str(drawn) if type(drawn) is int and own is None else None
    return given


def summary(
    out: str,
    size: int,
    seconds: float,
    moments: Moments,
    seed: seeds.Seed | None,
    sha256: str | None,
) -> str:
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
