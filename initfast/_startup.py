"""Ctrl-C while the command line imports: one line and exit code 130, instead of a traceback.

Imported before everything else; from then on Ctrl-C ends the process, if it looks like the command
line, until `end`."""

from __future__ import annotations

import os
import signal
import sys

__all__ = ["begin", "end"]

_INTERRUPTED = 130


def begin() -> None:
    """Let Ctrl-C end the process, if nobody else has a handler for it."""
    try:
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, _quit)
    except ValueError:  # not the main thread
        pass


def end() -> None:
    """Restore the handler that `begin` replaced."""
    if signal.getsignal(signal.SIGINT) is _quit:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _quit(*_: object) -> None:
    os.write(2, b"initfast: error: interrupted; nothing was kept\n")
    os._exit(_INTERRUPTED)


_name = (getattr(sys, "argv", None) or [""])[0]
# "-m" is the name of a program that `python -m` is still looking for.
if _name == "-m" or os.path.basename(_name) == "initfast":
    begin()
