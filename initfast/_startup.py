"""Handle Ctrl-C on the command line from the first import on: one line and exit code 130.

This module is imported before all others. Until `end`, Ctrl-C ends the process. After it, Ctrl-C
raises KeyboardInterrupt, but only once, because a process group often receives it twice."""

from __future__ import annotations

# Not `signal`, which imports enum first: Ctrl-C in these milliseconds would print a traceback.
import _signal as signal  # type: ignore
import os
import sys

__all__ = ["begin", "end", "finish"]

_INTERRUPTED = 130


def begin() -> None:
    """Let Ctrl-C end the process, unless another handler is installed."""
    try:
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, _quit)
    except ValueError:  # not the main thread
        pass


def end() -> None:
    """Let Ctrl-C raise KeyboardInterrupt, if the handler of `begin` is installed."""
    if signal.getsignal(signal.SIGINT) is _quit:
        signal.signal(signal.SIGINT, _raise_once)


def finish() -> None:
    """Ignore Ctrl-C while Python exits: the command has ended and printed its result."""
    if signal.getsignal(signal.SIGINT) in (_quit, _raise_once):
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _quit(*_: object) -> None:
    os.write(2, b"initfast: error: interrupted; nothing was kept\n")
    os._exit(_INTERRUPTED)


def _raise_once(*_: object) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt


def _is_command_line() -> bool:
    """Return whether this process runs `python -m initfast` or the script `initfast` of pip."""
    arguments = getattr(sys, "argv", None) or [""]
    if arguments[0] == "-m":  # Python has not yet found the module
        option = sys.orig_argv[-len(arguments)]
        return option == "initfast" or (option[0] == "-" and option.endswith("minitfast"))
    if os.path.basename(arguments[0]) != "initfast":
        return False
    try:
        with open(arguments[0], "rb") as script:
            return b"initfast.__main__" in script.read(4096)
    except OSError:
        return False


if _is_command_line():
    begin()
