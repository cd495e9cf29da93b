"""The names of a file that is being written: checked before, reserved on the disk, and put in place
in one step.
"""

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path

# Where the file system cannot reserve space: the file is then only given its length, and a full
# disk shows in writing.
_NO_RESERVATION = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)


def partial(final: Path) -> Path:
    """Where the bytes of a file lie until it is complete."""
    return final.with_name(f"{final.name}.partial")


def resolve(path: str | os.PathLike[str]) -> Path:
    """The path with its links followed: a link is written through, so that it still points to the
    file afterwards.

    Raises FileNotFoundError or IsADirectoryError, or OSError where something is there that is no
    regular file."""
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise FileNotFoundError(f"the folder of the file must exist; received {os.fspath(path)!r}")
    if target.is_dir():
        raise IsADirectoryError(
            f"the output must be a file, not a folder; received {os.fspath(path)!r}"
        )
    if target.exists() and not stat.S_ISREG(target.stat().st_mode):
        raise OSError(f"the output must be a regular file; received {os.fspath(path)!r}")
    return target


def refuse_existing(final: Path) -> None:
    """Raise FileExistsError if a file has the name already."""
    if os.path.lexists(final):
        raise FileExistsError(
            f"an existing file is replaced only with --force; received {os.fspath(final)!r}"
        )


def check_space(folder: Path, need: int) -> None:
    """Raise OSError (ENOSPC) if the disk has less than `need` bytes free."""
    free = shutil.disk_usage(folder).free
    if need > free:
        raise OSError(
            errno.ENOSPC,
            f"the file must fit on the disk: {need:,} bytes needed, {free:,} available",
        )


def allocated(path: Path) -> int:
    """Bytes of the disk that a file takes now; 0 if there is none."""
    try:
        return getattr(path.stat(), "st_blocks", 0) * 512
    except FileNotFoundError:
        return 0


def open_partial(final: Path, *, create: bool = True) -> int:
    """A descriptor of a file's partial, to read and write. Raises OSError; links are not followed."""
    flags = os.O_RDWR | os.O_NOFOLLOW | (os.O_CREAT if create else 0)
    return os.open(partial(final), flags, 0o666)


def reserve(descriptor: int, size: int, low: int, high: int) -> None:
    """Give a file its size, and reserve the space of its bytes from `low` to `high`; what they hold
    stays.

    Only what the caller is going to write is reserved: where the system cannot, the C library
    writes a byte into each block, which must not be one that another process writes at the same
    time."""
    if os.fstat(descriptor).st_size != size:
        os.ftruncate(descriptor, size)
    if high > low and hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(descriptor, low, high - low)
        except OSError as error:
            if error.errno not in _NO_RESERVATION:
                raise


def is_whole(path: Path, header: bytes, size: int) -> bool:
    """Whether a file is there, of this size and with these first bytes."""
    try:
        with open(path, "rb") as file:
            return os.fstat(file.fileno()).st_size == size and file.read(len(header)) == header
    except (FileNotFoundError, IsADirectoryError):
        return False


def place(final: Path, header: bytes, size: int, *, force: bool) -> None:
    """Give a complete partial its final name; nothing if that has been done.

    Raises:
        FileExistsError: another file has the name, and `force` is False.
        OSError: the partial is missing or no longer what was written.
    """
    waiting = partial(final)
    if not os.path.lexists(waiting) and is_whole(final, header, size):
        return
    if not is_whole(waiting, header, size):
        raise OSError(
            f"the partial {os.fspath(waiting)!r} must hold {size:,} bytes that are written;"
            " received another file, or none (--force starts again)"
        )
    if not force:
        # Looked at again: the file may have come while this one was written.
        refuse_existing(final)
    os.replace(waiting, final)


def place_note(final: Path, text: bytes, *, force: bool) -> None:
    """Write a small file whole under its name; nothing if it is there with this text.

    Raises FileExistsError if the name is that of another file, and `force` is False.
    """
    if is_whole(final, text, len(text)):
        return
    if not force:
        refuse_existing(final)
    waiting = partial(final)
    waiting.unlink(missing_ok=True)
    descriptor = os.open(waiting, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        write_all(descriptor, memoryview(text), 0)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.replace(waiting, final)


def write_all(descriptor: int, raw: memoryview, offset: int) -> None:
    """Write all of it: the system may take less at a time."""
    while raw:
        written = os.pwrite(descriptor, raw, offset)
        raw = raw[written:]
        offset += written


def sync_data(descriptor: int) -> None:
    """Let what was written reach the disk, with the size that it needs to be read again."""
    getattr(os, "fdatasync", os.fsync)(descriptor)


def sync_folders(folders: Iterable[Path]) -> None:
    """Make new names in folders durable."""
    for folder in sorted(set(folders)):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            with contextlib.suppress(
                OSError
            ):  # some network file systems have no way to, and need none
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
