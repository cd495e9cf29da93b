"""`initfast bits --seed 42 | RNG_test stdin32`: the raw words of the generator on stdout, for test
batteries.
"""

import argparse
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
LEAST_WORDS_A_STREAM = (
    1536  # four tiles of the kernel, so that a stream's turn costs more than the call
)
MOST_STREAMS = 2**16
STREAMS_AT_ONCE = (
    16  # a cache line of the output: written word by word, it would be fetched for each stream anew
)
PIPE_BYTES = (
    2**20
)  # what Linux lets anyone ask for; the default of 64 KiB wakes the reader 16 times as often
SIGINT_EXIT, SIGPIPE_EXIT = (
    130,
    141,
)  # 128 + the signal, which is what a shell reports for a tool that it ended


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments. What they mean together is checked by `run`."""
    parser.add_argument("--seed", required=True, help="an integer in [0, 2**64)")
    parser.add_argument(
        "--stream", default="0", help="an integer in [0, 2**64) (default: %(default)s)"
    )
    among = parser.add_mutually_exclusive_group()
    among.add_argument(
        "--interleave",
        metavar="K",
        help="one word in turn from each of the K streams from --stream on",
    )
    among.add_argument(
        "--interleave-seeds",
        metavar="K",
        help="one word in turn from each of the K seeds from --seed on",
    )
    parser.add_argument(
        "--bytes",
        metavar="N",
        help="how many bytes to write (default: until the reader has enough)",
    )


def run(arguments: argparse.Namespace) -> None:
    """Write the words. Raises ArgumentTypeError for wrong arguments, SystemExit(141) when the
    reader has gone.
    """
    with as_usage_errors():
        drawn = sources(arguments)
        left = None if arguments.bytes is None else integer(arguments.bytes, "--bytes")
    if sys.stdout is None:
        raise OSError("stdout must be open to write words to it")
    out = sys.stdout.fileno()
    if os.isatty(out):
        raise argparse.ArgumentTypeError(
            "stdout must be a pipe or a file, not a terminal: the words are binary"
        )
    _widen(out)
    try:
        for words in chunks(drawn, left):
            _write(out, words)
    except BrokenPipeError:
        raise SystemExit(SIGPIPE_EXIT) from None
    except KeyboardInterrupt:
        raise SystemExit(SIGINT_EXIT) from None


def sources(arguments: argparse.Namespace) -> list[Seed]:
    """The streams to take words from, in turn. Raises ValueError."""
    seed, stream = integer(arguments.seed, "--seed"), integer(arguments.stream, "--stream")
    first = Seed(seed, stream)
    for option, text in (
        ("--interleave", arguments.interleave),
        ("--interleave-seeds", arguments.interleave_seeds),
    ):
        if text is None:
            continue
        count = integer(text, option)
        if not 1 <= count <= MOST_STREAMS:
            raise ValueError(
                f"{option} must be an integer from 1 to {MOST_STREAMS}; received {count}"
            )
        if option == "--interleave":
            return [Seed(seed, stream + k) for k in range(count)]
        return [Seed(seed + k, stream) for k in range(count)]
    return [first]


def chunks(drawn: list[Seed], size: int | None) -> Iterator[memoryview]:
    """Yield the words of `drawn` as little-endian bytes, `size` in all (None: without end).

    Word j of the output is word j // K of stream j % K. By the word, and not by the block of 4:
    what two streams have in common then stands in neighbouring words, where every battery looks
    first."""
    n = max(CHUNK_WORDS // len(drawn), LEAST_WORDS_A_STREAM)
    words = np.empty((n, len(drawn)), "u4")
    lines = np.empty((min(len(drawn), STREAMS_AT_ONCE), n), "u4")
    source, address, at = distributions.bits(), lines.ctypes.data, 0
    while size is None or size > 0:
        for first in range(0, len(drawn), len(lines)):
            some = drawn[first : first + len(lines)]
            for k, seed in enumerate(some):
                # One thread: a pipe takes words more slowly than a core makes them, and its reader
                # needs a core too.
                _kernels.fill_flat(
                    source, seed.seed, seed.stream, address + k * lines.strides[0], at, n, 1
                )
            _interleave(lines[: len(some)], words[:, first : first + len(some)])
        raw = words.astype("<u4", copy=False).reshape(-1).view("u1").data
        yield raw if size is None else raw[:size]
        size = None if size is None else size - len(raw)
        at += n


def _interleave(lines: Words, out: Words) -> None:
    """Each line to a column of `out`."""
    if out.flags.c_contiguous:
        # So few streams that their rows are shorter than a cache line, and NumPy would copy row by
        # row.
        for k, line in enumerate(lines):
            out[:, k] = line
    else:
        out[:] = lines.T


def _write(out: int, raw: memoryview) -> None:
    while raw:
        raw = raw[os.write(out, raw) :]


def _widen(out: int) -> None:
    """Ask for a larger pipe where the system has such a thing; it works without."""
    try:
        import fcntl

        fcntl.fcntl(out, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    except (ImportError, AttributeError, OSError):
        pass
