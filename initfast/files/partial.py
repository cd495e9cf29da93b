"""The unfinished file `OUT.partial`, which holds the bytes of OUT until they are complete.

It is created exclusively. An existing one must be a regular file of this user with one link. A
symbolic link, a FIFO, a device or a file of another user is refused and never opened for writing.
One process at a time holds the lock on it. `publish` renames it to OUT in one step."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import stat
from pathlib import Path
from typing import Self

# The file system cannot reserve space. A full disk is then noticed during the write.
_NO_RESERVATION = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)
# Space is reserved in pieces, because Ctrl-C waits for a call: tmpfs writes zeros, 4 GB in 2 s.
_RESERVE_BYTES = 1 << 28
# The file system has no hard links.
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EACCES, errno.EMLINK)


def partial_path(final: Path) -> Path:
    """Return the path of the unfinished file of `final`."""
    return final.with_name(f"{final.name}.partial")


def resolve(path: str | os.PathLike[str]) -> Path:
    """Return the path of an output after following its symbolic links, which are kept.

    Raises:
        OSError: the folder does not exist, the path is a folder, a device or the like, or another
            user has created one of the links in a folder that all users can write to.
    """
    output = Path.cwd() / path
    for each in (output, *output.parents):
        if each.is_symlink():
            _check_link(each)
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise FileNotFoundError(
            f"the folder of {os.fspath(path)!r} does not exist: create it first"
        )
    if target.is_dir():
        raise IsADirectoryError(
            f"the output must be a file, not a folder; received {os.fspath(path)!r}"
        )
    if target.exists() and not target.is_file():
        raise OSError(f"the output must be a regular file; received {os.fspath(path)!r}")
    return target


def _check_link(link: Path) -> None:
    """Raise OSError for a link that Linux does not follow with `fs.protected_symlinks`."""
    owner, folder = link.lstat().st_uid, link.parent.stat()
    shared = stat.S_ISVTX | stat.S_IWOTH
    if folder.st_mode & shared == shared and owner not in (os.geteuid(), folder.st_uid):
        raise OSError(
            f"the link {os.fspath(link)!r} was created by another user in a folder that all users"
            " can write to: remove it"
        )


def refuse_existing(final: Path) -> None:
    """Raise FileExistsError if the file exists."""
    if os.path.lexists(final):
        raise FileExistsError(f"{os.fspath(final)!r} already exists: use --force to replace it")


def check_space(folder: Path, need: int) -> None:
    """Raise OSError (ENOSPC) if the disk has less than `need` bytes free."""
    free = shutil.disk_usage(folder).free
    if need > free:
        raise OSError(
            errno.ENOSPC,
            f"not enough space on the disk: {need:,} bytes needed, {free:,} available",
        )


def allocated(path: Path) -> int:
    """Return how many bytes of the disk a file uses; 0 if it does not exist."""
    try:
        return path.lstat().st_blocks * 512
    except FileNotFoundError:
        return 0


def read_at(descriptor: int, out: memoryview, offset: int) -> int:
    """Read until `out` is full or the file ends; return how many bytes were read."""
    total = 0
    while total < len(out) and (count := os.preadv(descriptor, [out[total:]], offset + total)):
        total += count
    return total


def write_at(descriptor: int, data: memoryview, offset: int) -> None:
    """Write all of `data`. One call of the system may write less."""
    while data:
        count = os.pwrite(descriptor, data, offset)
        data, offset = data[count:], offset + count


def write_small(path: str | os.PathLike[str], data: bytes, *, force: bool = False) -> None:
    """Write a small file atomically. An unfinished file of an earlier call is replaced.

    Raises:
        FileExistsError: the file exists, and `force` is False.
    """
    final = resolve(path)
    if not force:
        refuse_existing(final)
    with Partial(final) as partial:
        try:
            partial.clear()
            partial.reserve(len(data))
            partial.write(memoryview(data), 0)
            partial.publish(force=force)
        except BaseException as error:
            if isinstance(error, OSError) and error.errno is not None and error.filename is None:
                error.filename = os.fspath(partial.path)
            partial.remove()
            raise


class Partial:
    """The locked unfinished file of `final`. As a context, it is closed and unlocked at the end.

    Attributes:
        path: the path of the unfinished file.
        descriptor: an open file descriptor, for reading and writing.
        existing_size: bytes of the file when it was opened; 0 if it is new or was cleared.

    Raises:
        BlockingIOError: another process is writing the same file.
        OSError: the path exists, but it is not an unfinished file of this user.
    """

    def __init__(self, final: Path) -> None:
        self.final = final
        self.path = partial_path(final)
        self.descriptor = self._open()
        self.existing_size = self._size = os.fstat(self.descriptor).st_size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.descriptor)

    def _open(self) -> int:
        while True:
            descriptor = self._existing_or_new()
            try:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise BlockingIOError(
                        f"another process is writing {os.fspath(self.path)!r}: wait until it ends"
                    ) from None
                # The process that held the lock may have renamed the file, or may have been killed
                # between the two steps of renaming.
                finish_rename(self.final)
                if self._is_named(descriptor):
                    return descriptor
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)

    def _existing_or_new(self) -> int:
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        while True:
            with contextlib.suppress(FileExistsError):
                if not os.path.lexists(self.path):
                    return os.open(self.path, flags | os.O_CREAT | os.O_EXCL, 0o666)
            with contextlib.suppress(FileNotFoundError):
                # Check before opening: opening a device may have an effect.
                self._check(self.path.lstat())
                descriptor = os.open(self.path, flags)
                try:
                    self._check(os.fstat(descriptor))
                except BaseException:
                    os.close(descriptor)
                    raise
                return descriptor

    def _check(self, status: os.stat_result) -> None:
        if not stat.S_ISREG(status.st_mode):
            kind = "a symbolic link" if stat.S_ISLNK(status.st_mode) else "not a regular file"
        elif status.st_uid != os.geteuid():
            kind = "a file of another user"
        elif status.st_nlink > 1 and not self._is_final(status):
            kind = "a hard link to another file"
        else:
            return
        raise OSError(
            f"{os.fspath(self.path)!r} must be an unfinished file of initfast; it is {kind}: move"
            " it away"
        )

    def _is_final(self, status: os.stat_result) -> bool:
        """Return whether another process is just giving the file its final name."""
        with contextlib.suppress(FileNotFoundError):
            return os.path.samestat(status, self.final.lstat())
        return False

    def _is_named(self, descriptor: int) -> bool:
        """Return whether the path still leads to the open file."""
        with contextlib.suppress(FileNotFoundError):
            return os.path.samestat(os.fstat(descriptor), self.path.lstat())
        return False

    def reserve(self, size: int) -> None:
        """Set the size of the file and reserve its space on the disk. The content is kept."""
        if os.fstat(self.descriptor).st_size != size:
            os.ftruncate(self.descriptor, size)
        self._size = size
        if size and hasattr(os, "posix_fallocate"):
            try:
                for start in range(0, size, _RESERVE_BYTES):
                    count = min(_RESERVE_BYTES, size - start)
                    os.posix_fallocate(self.descriptor, start, count)
            except OSError as error:
                if error.errno not in _NO_RESERVATION:
                    raise

    def clear(self) -> None:
        """Delete the content."""
        os.ftruncate(self.descriptor, 0)
        self.existing_size = self._size = 0

    def read(self, out: memoryview, offset: int) -> int:
        """Read into `out`. Return how many bytes were read: fewer at the end of the file."""
        return read_at(self.descriptor, out, offset)

    def write(self, data: memoryview, offset: int) -> None:
        """Write at an offset. Raises OSError if the size of the file has changed."""
        self._check_size()
        write_at(self.descriptor, data, offset)

    def publish(self, *, force: bool) -> None:
        """Sync the bytes to the disk, and rename the file to its final name.

        With `force`, the mode and owner of the replaced file are kept if the system allows it.

        Raises:
            FileExistsError: the final file exists, and `force` is False.
            OSError: the unfinished file was truncated, replaced or deleted during the write.
        """
        if force:
            self._copy_mode_and_owner()
        os.fsync(self.descriptor)
        self._check_size()
        if not self._is_named(self.descriptor):
            raise OSError(
                f"the unfinished file {os.fspath(self.path)!r} was replaced or deleted during the"
                " write: run the command again"
            )
        if force:
            os.replace(self.path, self.final)
        else:
            self._rename_exclusively()
        sync_folder(self.final.parent)

    def _rename_exclusively(self) -> None:
        try:
            os.link(self.path, self.final, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                refuse_existing(self.final)
                raise
            refuse_existing(self.final)
            os.replace(self.path, self.final)
        else:
            with contextlib.suppress(FileNotFoundError):  # another process ran `finish_rename`
                os.unlink(self.path)

    def remove(self) -> None:
        """Delete the unfinished file, if the path still leads to it."""
        if self._is_named(self.descriptor):
            self.path.unlink()

    def _check_size(self) -> None:
        size = os.fstat(self.descriptor).st_size
        if size != self._size:
            raise OSError(
                f"the size of the unfinished file {os.fspath(self.path)!r} changed during the write"
                f" from {self._size:,} to {size:,} bytes: run the command again"
            )

    def _copy_mode_and_owner(self) -> None:
        with contextlib.suppress(OSError):
            old = self.final.lstat()
            with contextlib.suppress(OSError):  # only root may change the owner
                os.fchown(self.descriptor, old.st_uid, old.st_gid)
            os.fchmod(self.descriptor, stat.S_IMODE(old.st_mode))


def finish_rename(final: Path) -> None:
    """Delete the unfinished name of a file that has its final name too, after a kill in between."""
    path = partial_path(final)
    with contextlib.suppress(FileNotFoundError):
        if os.path.samestat(path.lstat(), final.lstat()):
            path.unlink()


def sync_folder(folder: Path) -> None:
    """Sync the names in a folder to the disk, if the folder can be opened."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
