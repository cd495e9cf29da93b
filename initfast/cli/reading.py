"""Files that are there already: what is wrong with one is no wrong usage."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from initfast.files import containers


def read(path: str) -> containers.Found:
    """What a file holds. Raises OSError, also where it is not what it should be."""
    with as_file_errors(path):
        return containers.read(path)


@contextlib.contextmanager
def as_file_errors(path: str | Path) -> Iterator[None]:
    """What is wrong with a file that is there is no wrong usage."""
    try:
        yield
    except ValueError as error:
        raise OSError(f"{path}: {error}") from error
