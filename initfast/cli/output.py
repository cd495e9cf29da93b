"""Printing to a pipe that may close early, as with `| head`."""

import os
import sys

__all__ = ["show"]

SIGPIPE_EXIT = 141  # 128 + the signal, as a shell reports it


def show(text: str) -> None:
    """Print a text and a newline. Raises SystemExit(141), without a message, if the pipe closed."""
    try:
        print(text)
        sys.stdout.flush()
    except BrokenPipeError:
        # Otherwise Python would try to write the rest at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(SIGPIPE_EXIT) from None
