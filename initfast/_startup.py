"""Ctrl-C in the process of the command line: one line and exit code 130, from the first import on.

Imported before everything else. Until `end`, Ctrl-C ends the process; from then on it raises
KeyboardInterrupt, once: what sends it to a group of processes often sends it twice."""

from __future__ import annotations

# Not `signal`: it imports enum first, and Ctrl-C in these milliseconds gives a traceback.
import _signal as signal  # type: ignore
import os
import sys

__all__ = ["begin", "done", "end"]

_INTERRUPTED = 130


def begin() -> None:
    """Let Ctrl-C end the process, if nobody else has a handler for it."""
    try:
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, _quit)
    except ValueError:  # not the main thread
        pass


def end() -> None:
    """Let Ctrl-C raise KeyboardInterrupt, if `begin` had its way."""
    if signal.getsignal(signal.SIGINT) is _quit:
        signal.signal(signal.SIGINT, _raise_once)


def done() -> None:
    """Ignore Ctrl-C while Python ends: the command is done, and has said so."""
    if signal.getsignal(signal.SIGINT) in (_quit, _raise_once):
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _quit(*_: object) -> None:
    os.write(2, b"initfast: error: interrupted; nothing was kept\n")
    os._exit(_INTERRUPTED)


def _raise_once(*_: object) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt


def _is_command_line() -> bool:
    """Return whether this process is `python -m initfast` or the script that pip makes of it."""
    arguments = getattr(sys, "argv", None) or [""]
    if arguments[0] == "-m":  # Python is still looking for the module that follows
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
