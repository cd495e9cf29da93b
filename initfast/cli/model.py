"""`initfast model SPEC.json --out FOLDER --seed 42`: write a model in the Hugging Face layout."""

import argparse
import contextlib
import json
import os
import re
import time
from collections.abc import Callable
from typing import Any

from initfast.cli.inputs import spec_of_config
from initfast.cli.options import as_usage_errors, integer, thread_scope
from initfast.cli.progress import progress
from initfast.core import seeds
from initfast.core.regular import open_regular
from initfast.core.text import printable
from initfast.files import checkpoint, specs
from initfast.files.checkpoint import Job
from initfast.files.formats import File
from initfast.files.writer import Result


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments. `run` checks which of them can be combined."""
    parser.add_argument(
        "spec",
        metavar="SPEC.json",
        nargs="?",
        help='the model as JSON, {"tensors": {name: {"shape", "dtype", "init"}}}, as'
        " `initfast.checkpoint.spec_from` returns it",
    )
    parser.add_argument(
        "--config",
        metavar="config.json",
        help="instead of SPEC.json: the config of a Hugging Face model; it is copied into the"
        " folder, so that from_pretrained loads it (needs transformers)",
    )
    parser.add_argument("--out", required=True, help="the folder or the .safetensors file to write")
    parser.add_argument(
        "--seed", help="an integer in [0, 2**64) (default: a random one, which is printed)"
    )
    parser.add_argument(
        "--dtype", help="element type of all floating tensors (default: as in the spec)"
    )
    parser.add_argument(
        "--max-shard-size",
        metavar="SIZE",
        help="maximum size of each file in the folder, such as 500MB or 2GiB (default: 5GB)",
    )
    parser.add_argument(
        "--shard",
        metavar="K/N",
        help="write only files K, K + N, ..., as worker K of N processes or hosts (needs --seed)",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="complete an interrupted write; safe on the first run too (needs --seed)",
    )
    parser.add_argument("--force", action="store_true", help="replace existing files")
    parser.add_argument("--threads", help="number of threads (default: see `initfast info`)")
    parser.add_argument("--quiet", action="store_true", help="show no progress bar")


def run(arguments: argparse.Namespace) -> None:
    """Write the files and print one line about them.

    Raises:
        ArgumentTypeError: the arguments are wrong.
        OSError: the files cannot be written.
    """
    with as_usage_errors():
        shard = (1, 1) if arguments.shard is None else parse_shard(arguments.shard)
        if arguments.seed is None and arguments.resume:
            raise ValueError("--resume needs --seed: pass the seed of the interrupted command")
        if arguments.seed is None and arguments.shard:
            raise ValueError("--shard needs --seed: pass the same seed to all workers")
        seed = seeds.draw_seed() if arguments.seed is None else integer(arguments.seed, "--seed")
        scope = thread_scope(arguments.threads)
        if arguments.spec is None and arguments.config is None:
            raise ValueError("SPEC.json or --config is required")
        if arguments.spec is not None and arguments.config is not None:
            raise ValueError("--config cannot be combined with SPEC.json")
        config = None
        source = arguments.spec
        if arguments.config is not None:
            source, config = spec_of_config(arguments.config, arguments.dtype)
        spec = specs.read(source, arguments.dtype)
        job = checkpoint.plan(spec, arguments.out, seed, arguments.max_shard_size)
        if config is not None and not job.is_folder:
            raise ValueError(f"--config needs a folder as --out; received {arguments.out!r}")
    write_config = None if config is None else _config_writer(job, config, arguments)
    start = time.perf_counter()
    with scope, progress(job.data_bytes(shard), show=not arguments.quiet) as advance:
        result = checkpoint.write(
            job, shard=shard, resume=arguments.resume, force=arguments.force, progress=advance
        )
        if write_config is not None:
            write_config()
    seconds = time.perf_counter() - start
    size = f"{len(spec.entries)} tensors, {spec.elements} elements"
    print(summary(arguments.out, size, job, result, shard, seconds, seed))


def _config_writer(
    job: Job, config: dict[str, Any], arguments: argparse.Namespace
) -> Callable[[], None] | None:
    """Return a function that writes config.json atomically; None if the file exists and matches.

    Raises:
        OSError: the folder has another config.json, and --force was not passed.
    """
    path = job.folder / "config.json"
    text = json.dumps(config, indent=2, ensure_ascii=False) + "\n"
    if path.exists():
        with open_regular(path) as file, contextlib.suppress(ValueError, RecursionError):
            if json.loads(file.read().decode("utf-8")) == config:
                return None
        if not arguments.force:
            raise OSError(f"{os.fspath(path)!r} exists and differs: use --force to replace it")
    return lambda: checkpoint.write_shared(File(path, text.encode("utf-8")), force=arguments.force)


def parse_shard(text: str) -> tuple[int, int]:
    """Return (K, N) of K/N. Raises ValueError."""
    match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
    shard = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= shard[0] <= shard[1]:
        raise ValueError(f"--shard must be K/N with K from 1 to N, such as 2/4; received {text!r}")
    return shard


def summary(
    out: str, size: str, job: Job, result: Result, shard: tuple[int, int], seconds: float, seed: int
) -> str:
    """Return the line for stdout.

    It is reproducible except for the time and the bytes that an earlier run has written.
    """
    speed = result.written / max(seconds, 1e-9) / 1e9
    fields = [size, f"{result.written} bytes in {seconds:.3f} s ({speed:.2f} GB/s)"]
    if result.resumed:
        fields.append(f"{result.resumed} bytes already in place")
    if shard != (1, 1):
        fields.append(f"shard {shard[0]}/{shard[1]}")
    count = len(job.names)
    files = f"{count} file{'' if count == 1 else 's'}"
    if shard[1] > 1:
        files = f"{len(job.numbers(shard))} of {files}"
    fields.append(files if result.complete else f"{files}; other workers have not finished")
    return f"{printable(out)}: {', '.join(fields)}, seed {seed}"
