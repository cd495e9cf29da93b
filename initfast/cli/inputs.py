"""Reading existing files: an error in one is an error of the file, not wrong usage."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from initfast.core.text import line
from initfast.files import formats


class Differences(Exception):
    """A file has other values than expected; a line for each difference."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__(*lines)
        self.lines = lines


def read(path: str) -> formats.StoredFile:
    """Return what the header of a file says. Raises OSError, also if the header is wrong."""
    with as_file_errors(path):
        return formats.read(path)


@contextlib.contextmanager
def as_file_errors(path: str | Path) -> Iterator[None]:
    """Turn a ValueError about an existing file into an OSError that names the file."""
    try:
        yield
    except ValueError as error:
        raise OSError(f"{path}: {line(error)}") from error
