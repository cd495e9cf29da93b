"""`initfast verify FILE --init he_normal --seed 42`: make a file's values again, and compare them
with it.
"""

import argparse
import json
import os
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

import initfast
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
from initfast.cli.reading import read
from initfast.core.dtypes import FLOATING, DType, resolve_numeric
from initfast.files import containers, npyfile, safetensorsfile, verifying
from initfast.files.containers import Found, Tensor

# Of a model with many wrong tensors, the first are enough to see what is wrong.
SHOWN = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments. What they mean together is checked by `run`."""
    parser.add_argument("file", metavar="FILE", help="the file, or a model's folder, to compare")
    parser.add_argument(
        "--init", help="what it should hold: a Keras name, or an initializer as Keras JSON"
    )
    parser.add_argument(
        "--spec", metavar="SPEC.json", help="what a model should hold, as for `initfast model`"
    )
    parser.add_argument(
        "--shape", help="dimensions joined by 'x' (default: those of the file; raw files need it)"
    )
    parser.add_argument(
        "--dtype", help="element type (default: that of the file; in raw files float32)"
    )
    add_stream_arguments(parser, drawn=False)
    parser.add_argument("--rows", metavar="A:B", help="compare rows A to B only")
    parser.add_argument(
        "--threads", help="how many threads to use (default: those that `initfast info` tells)"
    )
    parser.add_argument("--quiet", action="store_true", help="show no progress bar")


def run(arguments: argparse.Namespace) -> None:
    """Compare, and print a line if all is equal. Raises OSError, with the first difference, if it
    is not.
    """
    with as_usage_errors():
        if (arguments.init is None) == (arguments.spec is None):
            raise ValueError(
                "verify takes one of --init and --spec; received "
                + ("both", "none")[not arguments.init]
            )
        scope = thread_scope(arguments.threads)
    with scope:
        print((_verify_file if arguments.spec is None else _verify_model)(arguments))


def _verify_file(arguments: argparse.Namespace) -> str:
    with as_usage_errors():
        kind = containers.container(arguments.file)
        if kind != "safetensors" and arguments.tensor is not None:
            raise ValueError(
                f"--tensor names the tensor of a .safetensors file; received {arguments.file!r}"
            )
        if kind == "raw" and arguments.shape is None:
            raise ValueError(
                "a raw file says nothing of itself: --shape must be given; received none"
            )
    found = _one_tensor(read(arguments.file), arguments.tensor)
    held = found.tensors[0]
    with as_usage_errors():
        shape = held.shape if arguments.shape is None else parse_shape(arguments.shape)
        rows = None if arguments.rows is None else parse_rows(arguments.rows, shape)
    dtype = _dtype(found, arguments.dtype)
    with as_usage_errors():
        name = held.name if arguments.name is None else arguments.name
        initializer, seed = seeded(arguments.init, _seed_text(arguments, found), name)
        initializer.block(shape, (np.s_[:0],) * bool(shape), dtype=dtype)
    tensor = Tensor(held.name, initializer, shape, dtype)
    size = tensor.nbytes
    if rows is not None:
        size = size // shape[0] * (rows[1] - rows[0]) if shape[0] else 0
    with progress(size, show=not arguments.quiet) as advance:
        differences = verifying.compare(found, [tensor], part=rows, advance=advance)
    _refuse([(arguments.file, difference) for difference in differences])
    return _summary(arguments.file, size, None if seed is None else seed.seed)


def _verify_model(arguments: argparse.Namespace) -> str:
    from initfast.files import checkpoint

    with as_usage_errors():
        for option in ("shape", "name", "tensor", "rows"):
            if getattr(arguments, option) is not None:
                raise ValueError(f"--spec must stand without --{option}; received both")
        asked = None if arguments.seed is None else integer(arguments.seed, "--seed")
        files = checkpoint.expected(
            arguments.spec, arguments.file, 0 if asked is None else asked, dtype=arguments.dtype
        )
    if not os.path.exists(arguments.file):
        raise FileNotFoundError(f"the file or folder must exist; received {arguments.file!r}")
    held = [read(str(file.path)) for file in files]
    if asked is None:
        said = {containers.seed_of(found) for found in held}
        if len(said) != 1 or None in said:
            raise argparse.ArgumentTypeError(
                "--seed must be given: the file does not say it; received none"
            )
        asked = said.pop()
        assert asked is not None
        files = checkpoint.expected(arguments.spec, arguments.file, asked, dtype=arguments.dtype)
    size = sum(file.data_bytes for file in files)
    with progress(size, show=not arguments.quiet) as advance:
        differences = [
            (str(file.path), difference)
            for file, found in zip(files, held, strict=True)
            for difference in verifying.compare(found, file.tensors, advance=advance)
        ]
    _refuse(differences)
    return _summary(arguments.file, size, asked)


def _one_tensor(found: Found, name: str | None) -> Found:
    """The file as if it held that tensor alone; without a name, the one that it has."""
    held = [held for held in found.tensors if name is None or held.name == name]
    if len(held) != 1:
        names = ", ".join(repr(held.name) for held in found.tensors[:5]) or "no tensors"
        raise OSError(
            f"{found.path}: --tensor must name a tensor of the file; received {name!r} for one of"
            f" {len(found.tensors)}: {names}"
        )
    return replace(found, tensors=tuple(held))


def _dtype(found: Found, text: str | None) -> DType:
    """The element type asked for, else that of the file."""
    if text is not None or found.container == "raw":
        with as_usage_errors():
            return checked_dtype("float32" if text is None else text)
    spelling = {"npy": npyfile, "safetensors": safetensorsfile}[found.container].dtype_name
    for name in (*(dtype.name for dtype in FLOATING), *_INTEGERS):
        dtype = resolve_numeric(name)
        try:
            if spelling(dtype) == found.tensors[0].dtype:
                return dtype
        except ValueError:  # one that this container cannot hold
            continue
    raise OSError(
        f"{found.path}: the dtype must be one that fill writes; received {found.tensors[0].dtype!r}"
    )


_INTEGERS = ("bool", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)))


def _seed_text(arguments: argparse.Namespace, found: Found) -> str | None:
    """--seed, else that in the JSON, else that in the metadata. Raises ValueError if there is none,
    and needed.
    """
    if arguments.seed is not None:
        return str(arguments.seed)
    init: str = arguments.init
    config = initfast.get(json.loads(init) if init.lstrip().startswith("{") else init).get_config()
    if config.get("seed", 0) is not None:
        return None
    seed = containers.seed_of(found)
    if seed is None:
        raise ValueError("--seed must be given: the file does not say it; received none")
    return str(seed)


def _refuse(differences: Sequence[tuple[str, verifying.Difference]]) -> None:
    if differences:
        lines = [f"{path}: {difference}" for path, difference in differences[:SHOWN]]
        if len(differences) > SHOWN:
            lines.append(f"and {len(differences) - SHOWN} more tensors differ")
        raise OSError("\n".join(lines))


def _summary(path: str, size: int, seed: int | None) -> str:
    return f"{path}: {size} bytes of data are as initfast makes them{'' if seed is None else f', seed {seed}'}"
