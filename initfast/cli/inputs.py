"""Reading existing files. An error in a file is not wrong usage of the command."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from initfast.core.text import line
from initfast.files import formats


class Differences(Exception):
    """The error that a file has other values than expected, with one line per difference."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__(*lines)
        self.lines = lines


def read(path: str) -> formats.StoredFile:
    """Return the description in the header of a file. Raises OSError, also for a damaged header."""
    with as_file_errors(path):
        return formats.read(path)


@contextlib.contextmanager
def as_file_errors(path: str | Path) -> Iterator[None]:
    """Turn a ValueError about an existing file into an OSError that names the file."""
    try:
        yield
    except ValueError as error:
        raise OSError(f"{path}: {line(error)}") from error
