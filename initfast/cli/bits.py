"""`initfast bits --seed 42 | RNG_test stdin32`: raw random words on stdout, for test batteries."""

import argparse
import contextlib
import fcntl
import os
import sys
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from initfast import _kernels
from initfast.cli.options import as_usage_errors, integer
from initfast.core import distributions
from initfast.core.seeds import Seed

Words = npt.NDArray[np.uint32]

CHUNK_WORDS = 2**18  # 1 MiB: it stays in the cache between the kernel and the write
LEAST_WORDS = 1536  # per stream and call, so that the kernel takes longer than the call
MOST_STREAMS = 2**16
STREAMS_AT_ONCE = 16  # one cache line of output words, so that each cache line is written once
PIPE_BYTES = 2**20  # the most that Linux allows a user; the default is 64 KiB
SIGINT_EXIT, SIGPIPE_EXIT = 130, 141  # 128 + the signal, as a shell reports it


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments; `run` checks them."""
    parser.add_argument("--seed", required=True, help="an integer in [0, 2**64)")
    parser.add_argument(
        "--stream", default="0", help="number of the stream, in [0, 2**64) (default: %(default)s)"
    )
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--interleave",
        metavar="K",
        help="take words in turn from K streams: --stream, --stream + 1, ...",
    )
    group.add_argument(
        "--interleave-seeds",
        metavar="K",
        help="take words in turn from K seeds: --seed, --seed + 1, ...",
    )
    parser.add_argument(
        "--bytes", metavar="N", help="number of bytes to write (default: until the pipe closes)"
    )


def run(arguments: argparse.Namespace) -> None:
    """Write the words. Raises ArgumentTypeError if the arguments are wrong.

    Raises SystemExit(141) when the pipe closes.
    """
    with as_usage_errors():
        seeds = seeds_of(arguments)
        size = None if arguments.bytes is None else integer(arguments.bytes, "--bytes")
    if sys.stdout is None:
        raise OSError("stdout is closed: redirect it to a file or a pipe")
    out = sys.stdout.fileno()
    if os.isatty(out):
        raise argparse.ArgumentTypeError(
            "stdout must be a pipe or a file, not a terminal: the words are binary"
        )
    with contextlib.suppress(AttributeError, OSError):  # not Linux, or not a pipe
        fcntl.fcntl(out, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    try:
        for words in chunks(seeds, size):
            _write(out, words)
    except BrokenPipeError:
        raise SystemExit(SIGPIPE_EXIT) from None
    except OSError as error:
        raise OSError(error.errno, f"stdout: {error.strerror}") from None
    except KeyboardInterrupt:
        raise SystemExit(SIGINT_EXIT) from None


def seeds_of(arguments: argparse.Namespace) -> list[Seed]:
    """Return the streams to take words from in turn. Raises ValueError."""
    seed, stream = integer(arguments.seed, "--seed"), integer(arguments.stream, "--stream")
    option = "--interleave" if arguments.interleave_seeds is None else "--interleave-seeds"
    texts = [arguments.interleave, arguments.interleave_seeds, "1"]
    count = integer(next(text for text in texts if text is not None), option)
    if not 1 <= count <= MOST_STREAMS:
        raise ValueError(f"{option} must be an integer from 1 to {MOST_STREAMS}; received {count}")
    if option == "--interleave":
        return [Seed(seed, stream + k) for k in range(count)]
    return [Seed(seed + k, stream) for k in range(count)]


def chunks(seeds: list[Seed], size: int | None) -> Iterator[memoryview]:
    """Yield the words of `seeds` as little-endian bytes, `size` in total (None: without end).

    Word j of the output is word j // K of stream j % K. Single words alternate, not blocks of 4,
    so that a correlation of two streams is one of adjacent words, which every battery tests.
    """
    n = max(CHUNK_WORDS // len(seeds), LEAST_WORDS)
    words = np.empty((n, len(seeds)), "u4")
    lines = np.empty((min(len(seeds), STREAMS_AT_ONCE), n), "u4")
    source, address, at = distributions.bits(), lines.ctypes.data, 0
    while size is None or size > 0:
        for first in range(0, len(seeds), len(lines)):
            batch = seeds[first : first + len(lines)]
            for k, seed in enumerate(batch):
                # One thread is faster than the pipe, and the reader needs a core too.
                _kernels.fill_flat(
                    source, seed.seed, seed.stream, address + k * lines.strides[0], at, n, 1
                )
            _interleave(lines[: len(batch)], words[:, first : first + len(batch)])
        raw = words.astype("<u4", copy=False).reshape(-1).view("u1").data
        yield raw if size is None else raw[:size]
        size = None if size is None else size - len(raw)
        at += n


def _interleave(lines: Words, out: Words) -> None:
    """Copy each line to a column of `out`."""
    if out.flags.c_contiguous:  # short rows, which NumPy would copy one by one
        for k, line in enumerate(lines):
            out[:, k] = line
    else:
        out[:] = lines.T


def _write(out: int, raw: memoryview) -> None:
    while raw:
        raw = raw[os.write(out, raw) :]
