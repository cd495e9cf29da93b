"""`initfast fill OUT --shape 50257x768 --init he_normal`: write one initialised array to a file."""

import argparse
import sys
import time

import numpy as np

import initfast
from initfast.cli.inputs import as_file_errors, read
from initfast.cli.options import (
    add_stream_arguments,
    as_usage_errors,
    checked_dtype,
    parse_rows,
    parse_shape,
    seeded,
    thread_scope,
)
from initfast.cli.progress import progress
from initfast.core import seeds
from initfast.core.moments import Moments
from initfast.core.text import printable
from initfast.files import formats, writer
from initfast.files.formats import File, Format, Tensor


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments. `run` checks which of them can be combined."""
    parser.add_argument(
        "out",
        metavar="OUT",
        help="the file to write: .npy, .safetensors, or .bin or .raw (values only); the write is"
        " atomic",
    )
    parser.add_argument(
        "--shape", required=True, help="dimensions joined by 'x', such as 50257x768"
    )
    parser.add_argument(
        "--init",
        help="initializer (required unless --allocate): a name of Keras or torch, such as"
        " he_normal or 'random_normal(stddev=0.02)', or Keras JSON",
    )
    parser.add_argument(
        "--dtype", default="float32", help="element type, such as bfloat16 (default: %(default)s)"
    )
    add_stream_arguments(parser, "a random one, which is printed")
    parser.add_argument(
        "--rows", metavar="A:B", help="overwrite only rows A:B of an existing file, as in a slice"
    )
    parser.add_argument(
        "--allocate", action="store_true", help="write a file of zeros, to be filled with --rows"
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="complete an interrupted write; safe on the first run too (needs --seed)",
    )
    parser.add_argument("--force", action="store_true", help="replace an existing file")
    parser.add_argument("--threads", help="number of threads (default: see `initfast info`)")
    parser.add_argument("--quiet", action="store_true", help="show no progress bar")
    parser.add_argument("--sha256", action="store_true", help="also print the SHA-256 of the file")


def run(arguments: argparse.Namespace) -> None:
    """Write the file and print one line about it.

    Raises:
        ArgumentTypeError: the arguments are wrong.
        OSError: the file cannot be written.
    """
    with as_usage_errors():
        format = formats.format_of(arguments.out)
        _check_together(arguments, format)
        shape = parse_shape(arguments.shape)
        scope = thread_scope(arguments.threads)
        initializer, seed = (
            (initfast.Zeros(), None)
            if arguments.allocate
            else seeded(arguments.init, arguments.seed, _stream_name(arguments, format))
        )
        dtype = checked_dtype(arguments.dtype)
        tensor = Tensor(arguments.tensor, initializer, shape, dtype)
        # A block of no rows runs all checks of the initializer before anything is written.
        initializer.block(shape, np.s_[:0], dtype=dtype)
        metadata = formats.metadata(None if seed is None else seed.seed)
        file = format.file(arguments.out, [tensor], metadata)
        rows = None if arguments.rows is None else parse_rows(arguments.rows, shape)
    if warning := format.warning(dtype):
        print(f"initfast: warning: {warning}", file=sys.stderr)
    with scope:
        if rows is None:
            print(_write(arguments, file, seed))
        else:
            print(_write_rows(arguments, tensor, seed, rows))


def _write(arguments: argparse.Namespace, file: File, seed: seeds.Seed | None) -> str:
    resume_options = "--resume"
    if seed is not None and arguments.seed is None:
        resume_options = f"--resume --seed {seed.seed}"
    start = time.perf_counter()
    with progress(file.data_bytes, show=not arguments.quiet) as advance:
        result = writer.write(
            file,
            resume=arguments.resume,
            force=arguments.force,
            advance=advance,
            measure=not arguments.allocate,
            sha256=arguments.sha256,
            blank=arguments.allocate,
            resume_options=resume_options,
        )
    seconds = time.perf_counter() - start
    if result.moments is None:
        return f"{printable(arguments.out)}: allocated {file.size} bytes (zeros)"
    return summary(arguments.out, file.size, seconds, result.moments, seed, result.sha256)


def _write_rows(
    arguments: argparse.Namespace, tensor: Tensor, seed: seeds.Seed | None, rows: tuple[int, int]
) -> str:
    stored = read(arguments.out)
    with as_file_errors(arguments.out):
        (located,) = formats.locate(stored, [tensor])
        if isinstance(located, ValueError):
            raise ValueError(f"the file must hold {located}")
    size = tensor.nbytes // tensor.shape[0] * (rows[1] - rows[0]) if tensor.shape[0] else 0
    start = time.perf_counter()
    with progress(size, show=not arguments.quiet) as advance:
        moments = writer.write_rows(stored.path, located, *rows, advance=advance)
    seconds = time.perf_counter() - start
    return summary(f"{arguments.out}, rows {rows[0]}:{rows[1]}", size, seconds, moments, seed, None)


def _check_together(arguments: argparse.Namespace, format: Format) -> None:
    """Raise ValueError if arguments are missing or cannot be combined."""
    _check_tensor(arguments, format)
    for option, conflicts in (
        ("rows", ("allocate", "resume", "force", "sha256")),
        ("allocate", ("init", "seed", "name", "sha256")),
    ):
        if getattr(arguments, option):
            for conflict in conflicts:
                if getattr(arguments, conflict):
                    raise ValueError(f"--{option} cannot be combined with --{conflict}")
    if arguments.init is None and not arguments.allocate:
        raise ValueError("--init is required: pass an initializer, such as he_normal")
    if arguments.resume and arguments.seed is None and not arguments.allocate:
        seed = initfast.get(arguments.init).get_config().get("seed", 0)
        if isinstance(seed, dict):  # a SeedGenerator, which may have no seed
            seed = seed["config"].get("seed")
        if seed is None:
            raise ValueError("--resume needs --seed: pass the seed of the interrupted command")


def _check_tensor(arguments: argparse.Namespace, format: Format) -> None:
    """Raise ValueError unless --tensor is passed exactly if the format has tensor names."""
    if format.named and arguments.tensor is None:
        raise ValueError("a .safetensors file needs a tensor name: pass --tensor NAME")
    if not format.named and arguments.tensor is not None:
        raise ValueError(f"--tensor is for .safetensors files; received {arguments.out!r}")


def _stream_name(arguments: argparse.Namespace, format: Format) -> str | None:
    """Return the name of the stream: --name, else the tensor's name, as in `initfast model`."""
    name: str | None = arguments.name
    return arguments.tensor if name is None and format.named else name


def summary(
    out: str,
    size: int,
    seconds: float,
    moments: Moments,
    seed: seeds.Seed | None,
    sha256: str | None,
) -> str:
    """Return the line for stdout. Everything in it is reproducible except the time."""
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
    return f"{printable(out)}: {', '.join(fields)}"
