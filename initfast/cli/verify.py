"""`initfast verify FILE --init he_normal --seed 42`: regenerate a file's values and compare."""

import argparse
import os
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

import initfast
from initfast import backends
from initfast._version import STREAM_VERSION, __version__
from initfast.cli.inputs import Differences, as_file_errors, read, spec_of_config
from initfast.cli.options import (
    add_stream_arguments,
    as_usage_errors,
    checked_dtype,
    integer,
    parse_rows,
    parse_shape,
    seeded,
    thread_scope,
)
from initfast.cli.progress import progress
from initfast.core import self_test
from initfast.core.dtypes import DType
from initfast.core.seeds import Seed
from initfast.core.text import printable
from initfast.files import formats, layout, verifier
from initfast.files.formats import StoredFile, Tensor
from initfast.files.verifier import Difference

# The first wrong tensors of a model are enough to see what is wrong.
SHOWN = 10
_SOURCES = ("init", "spec", "config")  # of the expected values


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments. `run` checks which of them can be combined."""
    parser.add_argument(
        "file", metavar="FILE", nargs="?", help="the file, or a model's folder, to compare"
    )
    parser.add_argument(
        "--self",
        dest="itself",
        action="store_true",
        help="instead of a file, check this installation: compare its kernels with known values",
    )
    parser.add_argument(
        "--init",
        help="the expected initializer: a name of Keras or torch, such as he_normal or"
        " 'random_normal(stddev=0.02)', or Keras JSON",
    )
    parser.add_argument(
        "--spec", metavar="SPEC.json", help="the spec of a model, as for `initfast model`"
    )
    parser.add_argument(
        "--config",
        metavar="config.json",
        help="instead of --spec: the config of a Hugging Face model (needs transformers)",
    )
    parser.add_argument(
        "--shape",
        help="dimensions joined by 'x' (default: those of the file; raw files need it)",
    )
    parser.add_argument(
        "--dtype", help="element type (default: that of the file; float32 for raw files)"
    )
    add_stream_arguments(parser, "the one in a .safetensors file")
    parser.add_argument("--rows", metavar="A:B", help="compare only rows A:B, as in a slice")
    parser.add_argument("--threads", help="number of threads (default: see `initfast info`)")
    parser.add_argument("--quiet", action="store_true", help="show no progress bar")


def run(arguments: argparse.Namespace) -> None:
    """Compare, and print one line if all values match.

    Raises:
        ArgumentTypeError: the arguments are wrong.
        Differences: the first difference of each tensor that differs.
        OSError: the file cannot be read.
    """
    if arguments.itself:
        print(_verify_itself(arguments))
        return
    with as_usage_errors():
        if arguments.file is None:
            raise ValueError("FILE or --self is required")
        sources = [f"--{name}" for name in _SOURCES if getattr(arguments, name) is not None]
        if not sources:
            raise ValueError("--init, --spec or --config is required")
        if len(sources) > 1:
            raise ValueError(f"{sources[0]} cannot be combined with {sources[1]}")
        scope = thread_scope(arguments.threads)
    with scope:
        print((_verify_file if sources == ["--init"] else _verify_model)(arguments))


def _verify_itself(arguments: argparse.Namespace) -> str:
    with as_usage_errors():
        for option in ("file", *_SOURCES, "shape", "dtype", "seed", "name", "tensor", "rows"):
            if getattr(arguments, option) is not None:
                argument = "FILE" if option == "file" else f"--{option}"
                raise ValueError(f"--self cannot be combined with {argument}")
    differing = [f"{each} differs from stream version 1" for each in self_test.differing()]
    if differing:
        differing.append("please report this, with the output of `initfast info --json`")
        raise Differences(differing)
    kernels = ", ".join(backends.available())
    count = sum(map(len, self_test.KNOWN.values()))
    return (
        f"initfast {__version__}: OK: {count} known arrays of stream "
        f"version {STREAM_VERSION} match ({kernels})"
    )


def _verify_file(arguments: argparse.Namespace) -> str:
    with as_usage_errors():
        format = formats.format_of(arguments.file)
        if not format.named and arguments.tensor is not None:
            raise ValueError(f"--tensor is for .safetensors files; received {arguments.file!r}")
        if not format.described and arguments.shape is None:
            raise ValueError("raw files need --shape")
    stored = _one_tensor(read(arguments.file), arguments.tensor)
    (stored_tensor,) = stored.tensors
    with as_usage_errors():
        shape = stored_tensor.shape if arguments.shape is None else parse_shape(arguments.shape)
        rows = None if arguments.rows is None else parse_rows(arguments.rows, shape)
    dtype = _dtype(stored, arguments.dtype)
    with as_usage_errors():
        name = stored_tensor.name if arguments.name is None else arguments.name
        initializer, seed = seeded(arguments.init, _seed_text(arguments, stored), name)
        initializer.block(shape, (np.s_[:0],) * bool(shape), dtype=dtype)
        stored.format.dtype_name(dtype)
    tensor = Tensor(stored_tensor.name, initializer, shape, dtype)
    size = tensor.nbytes
    if rows is not None:
        size = size // shape[0] * (rows[1] - rows[0]) if shape[0] else 0
    with progress(size, show=not arguments.quiet) as advance:
        differences = verifier.compare(stored, [tensor], rows=rows, advance=advance)
    _refuse([(arguments.file, difference) for difference in differences])
    return _summary(arguments.file, size, None if seed is None else seed.seed)


def _verify_model(arguments: argparse.Namespace) -> str:
    with as_usage_errors():
        for option in ("shape", "name", "tensor", "rows"):
            if getattr(arguments, option) is not None:
                source = "--config" if arguments.spec is None else "--spec"
                raise ValueError(f"{source} cannot be combined with --{option}")
        seed = None if arguments.seed is None else integer(arguments.seed, "--seed")
        spec = arguments.spec
        if spec is None:
            spec, _ = spec_of_config(arguments.config, arguments.dtype)
        job = layout.existing(
            spec, arguments.file, 0 if seed is None else seed, dtype=arguments.dtype
        )
    if not os.path.exists(arguments.file):
        raise FileNotFoundError(f"no such file or folder: {arguments.file!r}")
    stored = [read(str(path)) for path in job.paths]
    if seed is None:
        seeds = {formats.seed_of(file.metadata) for file in stored}
        seed = seeds.pop()
        if seeds or seed is None:
            raise argparse.ArgumentTypeError(_NO_SEED)
        job = replace(job, root=Seed(seed))
    size = job.data_bytes()
    with progress(size, show=not arguments.quiet) as advance:
        differences = [
            (str(file.path), difference)
            for number, file in enumerate(stored)
            for difference in verifier.compare(file, job.tensors(number), advance=advance)
        ]
    _refuse(differences)
    return _summary(arguments.file, size, seed)


def _one_tensor(stored: StoredFile, name: str | None) -> StoredFile:
    """Return the file with only the tensor of this name, or with its only tensor if None."""
    tensors = [tensor for tensor in stored.tensors if name is None or tensor.name == name]
    if len(tensors) != 1:
        names = ", ".join(repr(tensor.name) for tensor in stored.tensors[:5])
        more = ", ..." if len(stored.tensors) > 5 else ""
        raise OSError(
            f"{stored.path}: --tensor must be the name of a tensor in the file ({names}{more});"
            f" received {name!r}"
            if names
            else f"{stored.path}: the file has no tensors"
        )
    return replace(stored, tensors=tuple(tensors))


def _dtype(stored: StoredFile, text: str | None) -> DType:
    """Return the dtype of --dtype, else the dtype in the file, else float32."""
    if text is not None or not stored.format.described:
        with as_usage_errors():
            return checked_dtype("float32" if text is None else text)
    with as_file_errors(stored.path):
        return stored.format.dtype_of(stored.tensors[0])


_NO_SEED = "--seed is required: the file does not contain it"


def _seed_text(arguments: argparse.Namespace, stored: StoredFile) -> str | None:
    """Return --seed, else None for the seed in the JSON, else the seed in the metadata.

    Raises:
        ValueError: --seed is required.
    """
    if arguments.seed is not None:
        return str(arguments.seed)
    if initfast.get(arguments.init).get_config().get("seed", 0) is not None:
        return None
    seed = formats.seed_of(stored.metadata)
    if seed is None:
        raise ValueError(_NO_SEED)
    return str(seed)


def _refuse(differences: Sequence[tuple[str, Difference]]) -> None:
    """Raise Differences if there are any."""
    if differences:
        lines = [f"{path}: {difference}" for path, difference in differences[:SHOWN]]
        if len(differences) > SHOWN:
            lines.append(f"and {len(differences) - SHOWN} more tensors differ")
        raise Differences(lines)


def _summary(path: str, size: int, seed: int | None) -> str:
    return f"{printable(path)}: OK: {size} bytes match{'' if seed is None else f' (seed {seed})'}"
