"""Files that are read: a FIFO would block, a device may never end, and neither can be sought in."""

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

# What NumPy and zipfile raise for files that are damaged or not theirs.
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
    """Open an existing regular file, unbuffered if `write` is for writing in place too.

    Raises:
        OSError: the file cannot be opened, or is a folder, a FIFO, a device or a socket.
    """
    _check(path, os.stat(path))  # before it is opened: opening a device may do something
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
