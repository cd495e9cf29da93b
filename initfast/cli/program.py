"""The command line: `initfast COMMAND` or `python -m initfast COMMAND`.

Results go to stdout, messages and progress to stderr. Exit codes: 0 done, 1 failed, 2 wrong
arguments or variables, 130 interrupted by Ctrl-C, 141 the reader closed the pipe on stdout.
"""

import argparse
import contextlib
import io
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, NoReturn

from initfast import _startup, backends
from initfast._version import __version__
from initfast.cli import bench, bits, compare, diagnose, fill, info, model, verify
from initfast.cli.inputs import Differences
from initfast.core.text import line
from initfast.core.threads import get_num_threads

OK, FAILED, WRONG_USAGE, INTERRUPTED, BROKEN_PIPE = 0, 1, 2, 130, 141


class Command(NamedTuple):
    """A command: its name, its help, and the functions that add its arguments and run it."""

    name: str
    help: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], None]


COMMANDS = (
    Command("fill", "write an initialised array to a file", fill.add_arguments, fill.run),
    Command("verify", "regenerate a file's values and compare", verify.add_arguments, verify.run),
    Command(
        "model",
        "write a model's checkpoint from a spec or a config",
        model.add_arguments,
        model.run,
    ),
    Command(
        "diagnose",
        "measure signals and gradients in a network",
        diagnose.add_arguments,
        diagnose.run,
    ),
    Command(
        "compare",
        "train a network from each of several initializers",
        compare.add_arguments,
        compare.run,
    ),
    Command(
        "bench",
        "time initfast, NumPy and PyTorch on this machine",
        bench.add_arguments,
        bench.run,
    ),
    Command(
        "bits",
        "write random 32-bit words to stdout, for test batteries",
        bits.add_arguments,
        bits.run,
    ),
    Command("info", "show versions, kernels and threads", info.add_arguments, info.run),
)


class _Parser(argparse.ArgumentParser):
    """An argument parser that reports errors in the format of this program."""

    def error(self, message: str) -> NoReturn:
        _report(message, f"See `{self.prog} --help`.")
        raise SystemExit(WRONG_USAGE)

    def _print_message(self, message: str, file: Any = None) -> None:
        """Print help or a version. Raise OSError if that fails, which argparse would not do."""
        print(message, end="", file=file)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = _Parser(
        prog="initfast",
        description="Fill arrays and models with reproducible initial weights.",
        epilog="Exit codes: 0 done, 1 failed, 2 wrong arguments or environment variables,"
        " 130 interrupted.",
    )
    parser.add_argument("--version", action="version", version=f"initfast {__version__}")
    rows = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        description = f"{command.help[0].upper()}{command.help[1:]}."
        row = rows.add_parser(command.name, help=command.help, description=description)
        command.add_arguments(row)
        row.set_defaults(run=command.run, parser=row)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code. Default arguments: those of the process.

    Wrong usage raises SystemExit(2).
    """
    try:
        _startup.end()
        if not _open_streams():
            _report("stdout is closed: redirect it to a file or a pipe")
            return FAILED
        try:
            with warnings.catch_warnings():
                warnings.showwarning = _warn
                return _run(arguments)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # the reader has closed the pipe
        _drop_output()
        return BROKEN_PIPE
    except OSError as error:
        _drop_output()
        _report(f"cannot write to stdout: {error.strerror or error}")
        return FAILED
    except KeyboardInterrupt as error:
        _report(str(error) or "interrupted; nothing was kept")
        return INTERRUPTED


def _run(arguments: Sequence[str] | None) -> int:
    parsed = build_parser().parse_args(arguments)
    try:
        backends.check()
        get_num_threads()
    except ValueError as error:  # a wrong INITFAST_BACKEND or INITFAST_NUM_THREADS
        _report(str(error))
        return WRONG_USAGE
    try:
        parsed.run(parsed)
    except argparse.ArgumentTypeError as error:
        parsed.parser.error(str(error))
    except Differences as error:
        _report(*error.lines)
        return FAILED
    except MemoryError as error:
        _report(str(error) or "out of memory")
        return FAILED
    except BrokenPipeError:
        raise
    except (OSError, ImportError) as error:
        _report(_text(error))
        return FAILED
    except Warning as error:  # python -W error
        _report(f"a warning is treated as an error: {error}")
        return FAILED
    return OK


def _open_streams() -> bool:
    """Open closed standard streams on /dev/null, and return whether stdout was open.

    Otherwise the next file to be opened would become stdout or stderr, and receive their output.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
    if sys.stdout is None:
        return False
    # Print file names that are not text, and characters that the locale does not have.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    return True


def _drop_output() -> None:
    """Discard what stdout still buffers: Python would try to write it again at exit."""
    with contextlib.suppress(OSError, ValueError):
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, sys.stdout.fileno())
        os.close(devnull)


def _text(error: Exception) -> str:
    """Return the message of an error, without the number at the start of a system error."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror if error.filename is None else f"{error.strerror}: {error.filename!r}"
    return str(error)


def _warn(message: Warning | str, *_: Any, **__: Any) -> None:
    """Print a warning without its line of code, which is not the user's."""
    with contextlib.suppress(OSError):
        print(f"initfast: warning: {line(message)}", file=sys.stderr)


def _report(*lines: str) -> None:
    """Print an error. If stderr is full or closed, only the exit code reports it."""
    with contextlib.suppress(OSError):
        print(
            "\n".join(["initfast: error: " + line(lines[0]), *map(line, lines[1:])]),
            file=sys.stderr,
        )
