"""A file that appears under its name whole, or not at all.

The bytes go to a temporary file in the same folder, which takes the final name in one step once all is on the disk.
"""

import contextlib
import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

# Where the file system cannot reserve space: the file is then only given its length, and a full disk shows in writing.
_NO_RESERVATION = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)


def check_target(path: str | os.PathLike[str], size: int, *, force: bool = False) -> Path:
    """Refuse what cannot be written, before anything is; return the path with its links followed.

    Arguments:
        path: the file to be; its folder must exist.
        size: bytes it will take. They must be free also where an old file is to be replaced: that stays until the end.
        force: whether an existing file may be replaced.

    Raises OSError or one of its kinds (FileExistsError, FileNotFoundError, IsADirectoryError).
    """
    # A link is written through, so that it still points to the file afterwards.
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise FileNotFoundError(f"the folder of the file must exist; received {os.fspath(path)!r}")
    if target.is_dir():
        raise IsADirectoryError(f"the output must be a file, not a folder; received {os.fspath(path)!r}")
    if target.exists():
        if not stat.S_ISREG(target.stat().st_mode):
            raise OSError(f"the output must be a regular file; received {os.fspath(path)!r}")
        if not force:
            raise FileExistsError(f"an existing file is replaced only with --force; received {os.fspath(path)!r}")
    free = shutil.disk_usage(target.parent).free
    if size > free:
        raise OSError(errno.ENOSPC, f"the file must fit on the disk: {size:,} bytes needed, {free:,} available")
    return target


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str], size: int, *, force: bool = False) -> Iterator[int]:
    """Give a descriptor to write `size` bytes to; on leaving, the file stands complete and durable under `path`.

    The space is reserved first, so that a full disk is an error here and not a crash later. After any error, or Ctrl-C,
    the temporary file is gone and `path` is as it was. Arguments and errors are those of `check_target`.
    """
    target = check_target(path, size, force=force)
    temporary = target.parent / f".initfast-{secrets.token_hex(6)}.partial"
    descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        try:
            _reserve(descriptor, size)
            yield descriptor
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        # Looked at again: the file may have come while this one was written.
        if not force and target.exists():
            raise FileExistsError(f"an existing file is replaced only with --force; received {os.fspath(path)!r}")
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(target.parent)


def _reserve(descriptor: int, size: int) -> None:
    if size and hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(descriptor, 0, size)
            return
        except OSError as error:
            if error.errno not in _NO_RESERVATION:
                raise
    os.ftruncate(descriptor, size)


def _sync_folder(folder: Path) -> None:
    """Make the new name durable; only POSIX lets a folder be opened for that."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
