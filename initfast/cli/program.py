"""The command line: `initfast fill|verify|model|diagnose|compare|bench|bits|info` (also `python -m
initfast`).

A command is a row of `COMMANDS`, with a function of its parsed arguments. Results go to stdout, all
else to stderr. Exit codes: 0 done, 1 it failed, 2 the arguments were wrong, 130 interrupted by
Ctrl-C."""

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple, NoReturn

from initfast._version import __version__
from initfast.cli import bench, bits, compare, diagnose, fill, info, model, verify

OK, FAILED, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130


class Command(NamedTuple):
    """One word of the command line: its help, its arguments, and what it does with them."""

    name: str
    help: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], None]


COMMANDS = (
    Command("fill", "write an initialised array to a file", fill.add_arguments, fill.run),
    Command(
        "verify",
        "make a file's values again, and compare them with it",
        verify.add_arguments,
        verify.run,
    ),
    Command(
        "model", "write a model's checkpoint from a description", model.add_arguments, model.run
    ),
    Command(
        "diagnose",
        "measure signals and gradients in a network",
        diagnose.add_arguments,
        diagnose.run,
    ),
    Command("compare", "train from several initializers", compare.add_arguments, compare.run),
    Command("bench", "time initfast beside what is installed here", bench.add_arguments, bench.run),
    Command(
        "bits", "write random words to stdout, for test batteries", bits.add_arguments, bits.run
    ),
    Command("info", "say what runs here, and why", info.add_arguments, info.run),
)


class _Parser(argparse.ArgumentParser):
    """argparse with this program's way to report errors; the sub-parsers are of this class too."""

    def error(self, message: str) -> NoReturn:
        _report(message)
        print(f"See `{self.prog} --help`.", file=sys.stderr)
        raise SystemExit(WRONG_USAGE)


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    parser = _Parser(
        prog="initfast",
        description="Fill large arrays with initial weights, reproducibly, under the Keras names.",
        epilog="Exit codes: 0 done, 1 failed, 2 wrong arguments, 130 interrupted.",
    )
    parser.add_argument("--version", action="version", version=f"initfast {__version__}")
    rows = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        row = rows.add_parser(
            command.name, help=command.help, description=command.help.capitalize() + "."
        )
        command.add_arguments(row)
        row.set_defaults(run=command.run, parser=row)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line (default: that of the process); return its exit code. Wrong usage raises
    SystemExit(2).
    """
    parsed = build_parser().parse_args(arguments)
    try:
        parsed.run(parsed)
    except argparse.ArgumentTypeError as error:
        parsed.parser.error(str(error))
    except KeyboardInterrupt as error:
        _report(str(error) or "interrupted; nothing was kept")
        return INTERRUPTED
    except MemoryError as error:
        _report(str(error) or "out of memory")
        return FAILED
    except (OSError, ImportError) as error:
        _report(_text(error))
        return FAILED
    return OK


def _text(error: Exception) -> str:
    """The message alone, without the number that an OSError of the system begins with."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror if error.filename is None else f"{error.strerror}: {error.filename!r}"
    return str(error)


def _report(message: str) -> None:
    print(f"initfast: error: {message}", file=sys.stderr)
