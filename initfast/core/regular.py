"""Open regular files only: a FIFO may block, a device may have no end, and neither can seek."""

from __future__ import annotations

import os
import stat
import struct
import tokenize
import zipfile
import zlib
from typing import BinaryIO

from initfast.core.text import short

__all__ = ["DAMAGED", "open_regular"]

# The exceptions of NumPy and zipfile for files that are damaged or of another format.
DAMAGED = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


def open_regular(path: str | os.PathLike[str], *, write: bool = False) -> BinaryIO:
    """Open an existing regular file to read it; with `write`, also to write in place, unbuffered.

    Raises:
        OSError: if the file cannot be opened, or is a folder, a FIFO, a device or a socket.
    """
    _check(path, os.stat(path))  # before `open`, which may have an effect on a device
    flags = (os.O_RDWR if write else os.O_RDONLY) | os.O_NONBLOCK | os.O_CLOEXEC
    file = os.fdopen(os.open(path, flags), "r+b" if write else "rb", 0 if write else -1)
    try:
        _check(path, os.fstat(file.fileno()))
    except BaseException:
        file.close()
        raise
    return file


def _check(path: str | os.PathLike[str], status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise OSError(f"the input must be a regular file; received {short(os.fspath(path))}")
