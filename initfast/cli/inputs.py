"""Reading existing files. An error in a file is not wrong usage of the command."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

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


def spec_of_config(path: str, dtype: str | None) -> tuple[Any, dict[str, Any]]:
    """Return the spec of a config.json, and the config to write next to the weights."""
    try:
        from initfast.torch import huggingface
    except ImportError as error:
        raise ImportError(f"--config needs PyTorch and transformers: {error}") from error
    return huggingface.spec_of_config(path, dtype)
