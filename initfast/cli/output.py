"""What a command prints, into a pipe that may close before the end, as `| head` does."""

import os
import sys

__all__ = ["show"]

SIGPIPE_EXIT = 141  # 128 + the signal, as a shell reports it


def show(text: str) -> None:
    """Print a text and a newline; end the command quietly if the pipe has closed."""
    try:
        print(text)
        sys.stdout.flush()
    except BrokenPipeError:
        # So that the interpreter has nothing left to write when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(SIGPIPE_EXIT) from None
