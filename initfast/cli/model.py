"""`initfast model SPEC.json --out FOLDER --seed 42`: write a model in Hugging Face's layout."""

import argparse
import contextlib
import json
import re
import time
from collections.abc import Callable
from typing import Any

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
        help='{"tensors": {name: {"shape", "dtype", "init"}}}, as `spec_from` returns it',
    )
    parser.add_argument(
        "--config",
        metavar="config.json",
        help="in place of a spec: the config of a Hugging Face model, which is copied, so that"
        " from_pretrained loads the folder (needs transformers)",
    )
    parser.add_argument(
        "--out", required=True, help="a folder, or a file that ends in .safetensors"
    )
    parser.add_argument(
        "--seed", help="an integer in [0, 2**64) (default: one is drawn, and printed)"
    )
    parser.add_argument(
        "--dtype", help="element type of all floating tensors (default: each has its own)"
    )
    parser.add_argument(
        "--max-shard-size", metavar="SIZE", help="limit of a file in a folder (default: 5GB)"
    )
    parser.add_argument(
        "--shard",
        metavar="K/N",
        help="write files K, K + N, ... of the model; N processes or hosts write them all",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="continue after a kill; safe on the first run too (needs --seed)",
    )
    parser.add_argument("--force", action="store_true", help="replace existing files")
    parser.add_argument(
        "--threads", help="how many threads to use (default: as `initfast info` shows)"
    )
    parser.add_argument("--quiet", action="store_true", help="show no progress bar")


def run(arguments: argparse.Namespace) -> None:
    """Write the files and print a line.

    Raises:
        ArgumentTypeError: the arguments are wrong.
        OSError: the files cannot be written.
    """
    with as_usage_errors():
        shard = (1, 1) if arguments.shard is None else parse_shard(arguments.shard)
        if arguments.seed is None and (arguments.resume or arguments.shard):
            raise ValueError("--resume and --shard need --seed, so that all files are of one model")
        seed = seeds.draw_seed() if arguments.seed is None else integer(arguments.seed, "--seed")
        scope = thread_scope(arguments.threads)
        if (arguments.spec is None) == (arguments.config is None):
            raise ValueError("either SPEC.json or --config is required")
        config = None
        source = arguments.spec
        if arguments.config is not None:
            source, config = _described(arguments.config, arguments.dtype)
        spec = specs.read(source, arguments.dtype)
        job = checkpoint.plan(spec, arguments.out, seed, arguments.max_shard_size)
        if config is not None and not job.is_folder:
            raise ValueError(f"--config needs a folder as --out; received {arguments.out!r}")
    copy = None if config is None else _copy(job, config, arguments)
    start = time.perf_counter()
    with scope, progress(job.data_bytes(shard), show=not arguments.quiet) as advance:
        result = checkpoint.write(
            job, shard=shard, resume=arguments.resume, force=arguments.force, progress=advance
        )
        if copy is not None:
            copy()
    seconds = time.perf_counter() - start
    size = f"{len(spec.entries)} tensors, {spec.elements} elements"
    print(summary(arguments.out, size, job, result, shard, seconds, seed))


def _described(path: str, dtype: str | None) -> tuple[Any, dict[str, Any]]:
    """Return the spec of a config.json, and the config that belongs next to the weights."""
    try:
        from initfast.torch.huggingface import spec_of_config
    except ImportError as error:
        raise ImportError(f"--config needs PyTorch and transformers: {error}") from error
    return spec_of_config(path, dtype)


def _copy(
    job: Job, config: dict[str, Any], arguments: argparse.Namespace
) -> Callable[[], None] | None:
    """Return what writes config.json, atomically; None if it is in place.

    Raises:
        OSError: another config is there, and --force is not given.
    """
    path = job.folder / "config.json"
    text = json.dumps(config, indent=2, ensure_ascii=False) + "\n"
    if path.exists():
        with open_regular(path) as file, contextlib.suppress(ValueError, RecursionError):
            if json.loads(file.read().decode("utf-8")) == config:
                return None
        if not arguments.force:
            raise OSError(f"{path} exists and differs: use --force to replace it")
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
    """Return the line on stdout. All of it is reproducible except the seconds and what an earlier
    run had written.
    """
    speed = result.written / max(seconds, 1e-9) / 1e9
    fields = [size, f"{result.written} bytes in {seconds:.3f} s ({speed:.2f} GB/s)"]
    if result.resumed:
        fields.append(f"{result.resumed} bytes were in place")
    if shard != (1, 1):
        fields.append(f"shard {shard[0]}/{shard[1]}")
    count = len(job.names)
    files = f"{count} file{'' if count == 1 else 's'}"
    if shard[1] > 1:
        mine = len(job.numbers(shard))
        files = f"{mine} of {files}" if mine else f"no file to write of {files}"
    fields.append(files if result.complete else f"{files}; the other workers have not finished")
    return f"{printable(out)}: {', '.join(fields)}, seed {seed}"
