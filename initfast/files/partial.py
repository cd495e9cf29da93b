"""The partial: `OUT.partial`, which holds the bytes of OUT until they are complete.

It is created exclusively or, if it exists, must be a regular file of this user with one link: a
symbolic link, a FIFO, a device or somebody else's file is refused and never opened for writing. One
process at a time holds the lock on it. `publish` gives it the final name in one step."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import stat
from pathlib import Path
from typing import Self

# The file system cannot reserve space: a full disk is then noticed while writing.
_NO_RESERVATION = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)
# The file system has no hard links.
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EACCES, errno.EMLINK)


def partial_path(final: Path) -> Path:
    """Return the path of a file's partial."""
    return final.with_name(f"{final.name}.partial")


def resolve(path: str | os.PathLike[str]) -> Path:
    """Return the path of an output with its links followed, so that a link stays a link.

    Raises:
        OSError: its folder does not exist, the path is a folder, a device or the like, or another
            user has made one of its links in a folder that all can write to.
    """
    given = Path.cwd() / path
    for each in (given, *given.parents):
        if each.is_symlink():
            _check_link(each)
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise FileNotFoundError(f"the folder of the file must exist; received {os.fspath(path)!r}")
    if target.is_dir():
        raise IsADirectoryError(
            f"the output must be a file, not a folder; received {os.fspath(path)!r}"
        )
    if target.exists() and not target.is_file():
        raise OSError(f"the output must be a regular file; received {os.fspath(path)!r}")
    return target


def _check_link(link: Path) -> None:
    """Refuse a link that the system may refuse to follow: `fs.protected_symlinks` of Linux."""
    owner, folder = link.lstat().st_uid, link.parent.stat()
    shared = stat.S_ISVTX | stat.S_IWOTH
    if folder.st_mode & shared == shared and owner not in (os.geteuid(), folder.st_uid):
        raise OSError(
            f"the link {os.fspath(link)!r} was made by another user in a folder that all can write"
            " to: remove it"
        )


def refuse_existing(final: Path) -> None:
    """Raise FileExistsError if the name is taken."""
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
    """Return how many bytes of the disk a file takes; 0 if it does not exist."""
    try:
        return path.lstat().st_blocks * 512
    except FileNotFoundError:
        return 0


def read_at(descriptor: int, out: memoryview, offset: int) -> int:
    """Read until `out` is full or the file ends; return how many bytes were read."""
    done = 0
    while done < len(out) and (count := os.preadv(descriptor, [out[done:]], offset + done)):
        done += count
    return done


def write_at(descriptor: int, data: memoryview, offset: int) -> None:
    """Write all of it: the system may take less at a time."""
    while data:
        written = os.pwrite(descriptor, data, offset)
        data, offset = data[written:], offset + written


def write_small(path: str | os.PathLike[str], data: bytes, *, force: bool = False) -> None:
    """Write a small file atomically, replacing what another call left unfinished.

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
    """The locked partial of `final`. Use it as a context, which closes it and frees the lock.

    Attributes:
        path: its path.
        descriptor: to read and write it.
        found: bytes that it had when it was opened; 0 if it is new.

    Raises:
        BlockingIOError: another process writes the same file.
        OSError: something that is not a partial of this user has the name.
    """

    def __init__(self, final: Path) -> None:
        self.final = final
        self.path = partial_path(final)
        self.descriptor = self._open()
        self.found = self._size = os.fstat(self.descriptor).st_size

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
                # The process that held the lock may have renamed the file before it ended, or have
                # been killed between the two steps of that.
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
                # Looked at before it is opened: opening a device may do something.
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
            f"the partial {os.fspath(self.path)!r} is {kind}, which initfast did not make: move it"
            " away"
        )

    def _is_final(self, status: os.stat_result) -> bool:
        """Return whether the file has its final name already: another process publishes it."""
        with contextlib.suppress(FileNotFoundError):
            return os.path.samestat(status, self.final.lstat())
        return False

    def _is_named(self, descriptor: int) -> bool:
        with contextlib.suppress(FileNotFoundError):
            return os.path.samestat(os.fstat(descriptor), self.path.lstat())
        return False

    def reserve(self, size: int) -> None:
        """Give the file its size and reserve its space on the disk; what it holds stays."""
        if os.fstat(self.descriptor).st_size != size:
            os.ftruncate(self.descriptor, size)
        self._size = size
        if size and hasattr(os, "posix_fallocate"):
            try:
                os.posix_fallocate(self.descriptor, 0, size)
            except OSError as error:
                if error.errno not in _NO_RESERVATION:
                    raise

    def clear(self) -> None:
        """Drop all that it holds."""
        os.ftruncate(self.descriptor, 0)
        self.found = self._size = 0

    def read(self, out: memoryview, offset: int) -> int:
        """Read into `out`; return how many bytes the file had there."""
        return read_at(self.descriptor, out, offset)

    def write(self, data: memoryview, offset: int) -> None:
        """Write at an offset. Raises OSError if the file has lost its size meanwhile."""
        self._check_size()
        write_at(self.descriptor, data, offset)

    def publish(self, *, force: bool) -> None:
        """Let the bytes reach the disk, and give the file its final name.

        With `force`, the mode and owner of the replaced file are kept as far as the system lets us.

        Raises:
            FileExistsError: the name is taken, and `force` is False.
            OSError: the partial was truncated, replaced or deleted meanwhile.
        """
        if force:
            self._take_mode_and_owner()
        os.fsync(self.descriptor)
        self._check_size()
        if not self._is_named(self.descriptor):
            raise OSError(
                f"the partial {os.fspath(self.path)!r} was replaced or deleted while it was"
                " written: run the command again"
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
        """Delete the partial, if the name is still that of this file."""
        if self._is_named(self.descriptor):
            self.path.unlink()

    def _check_size(self) -> None:
        size = os.fstat(self.descriptor).st_size
        if size != self._size:
            raise OSError(
                f"the partial {os.fspath(self.path)!r} must keep its {self._size:,} bytes while it"
                f" is written; received {size:,}: run the command again"
            )

    def _take_mode_and_owner(self) -> None:
        with contextlib.suppress(OSError):
            old = self.final.lstat()
            with contextlib.suppress(OSError):  # only root may give a file away
                os.fchown(self.descriptor, old.st_uid, old.st_gid)
            os.fchmod(self.descriptor, stat.S_IMODE(old.st_mode))


def finish_rename(final: Path) -> None:
    """Delete a partial that already has its final name too: a kill came between the two steps."""
    path = partial_path(final)
    with contextlib.suppress(FileNotFoundError):
        if os.path.samestat(path.lstat(), final.lstat()):
            path.unlink()


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable, if the system can: some folders cannot be opened."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
