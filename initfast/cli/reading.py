"""Reading existing files: an error in one is an error of the file, not wrong usage."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from initfast.files import formats


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
        raise OSError(f"{path}: {error}") from error
