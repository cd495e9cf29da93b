"""Only an unfinished file of initfast is written to, and it is renamed in one step."""

import errno
import os
import socket
import stat
import threading

import pytest

from initfast.files import partial
from initfast.files.partial import Partial


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def final(tmp_path):
    return tmp_path / "w"


def partial_of(final, data=b"hello"):
    """Return an open partial that holds these bytes."""
    opened = Partial(final)
    opened.clear()
    opened.reserve(len(data))
    opened.write(memoryview(data), 0)
    return opened


def test_outputs_that_cannot_be(tmp_path):
    (tmp_path / "there.bin").write_bytes(b"old")
    with pytest.raises(FileExistsError, match=r"there\.bin' already exists: use --force"):
        partial.refuse_existing(tmp_path / "there.bin")
    with pytest.raises(FileNotFoundError, match=r"folder of .* does not exist: create it"):
        partial.resolve(tmp_path / "missing" / "out.bin")
    with pytest.raises(IsADirectoryError, match="not a folder"):
        partial.resolve(tmp_path)
    with pytest.raises(OSError, match="must be a regular file"):
        partial.resolve(os.devnull)
    partial.refuse_existing(tmp_path / "new.bin")
    assert names(tmp_path) == ["there.bin"]


def test_the_space_that_is_needed(tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 12_345})
    monkeypatch.setattr(partial.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(OSError, match="12,346 bytes needed, 12,345 available") as caught:
        partial.check_space(tmp_path, 12_346)
    assert caught.value.errno == errno.ENOSPC
    partial.check_space(tmp_path, 12_345)


def test_a_link_is_followed_for_the_output(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link.bin").symlink_to(tmp_path / "real" / "out.bin")
    assert partial.resolve(tmp_path / "link.bin") == tmp_path / "real" / "out.bin"


def symbolic_link(path):
    (path.parent / "precious").write_bytes(b"precious")
    path.symlink_to(path.parent / "precious")


def hard_link(path):
    (path.parent / "precious").write_bytes(b"precious")
    os.link(path.parent / "precious", path)


def bound_socket(path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.fspath(path))


def device(path):
    try:
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("only root may make a device")


def of_another_user(path):
    path.write_bytes(b"precious")
    try:
        os.chown(path, 12345, -1)
    except PermissionError:
        pytest.skip("only root may give a file away")


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (symbolic_link, "a symbolic link"),
        (lambda path: path.symlink_to("nowhere"), "a symbolic link"),
        (hard_link, "a hard link"),
        (os.mkfifo, "not a regular file"),
        (os.mkdir, "not a regular file"),
        (bound_socket, "not a regular file"),
        (device, "not a regular file"),
        (of_another_user, "a file of another user"),
    ],
)
def test_what_is_not_ours_is_refused_at_once(final, monkeypatch, make, kind):
    monkeypatch.chdir(final.parent)  # the path of a socket must be short
    make(partial.partial_path(final).relative_to(final.parent))
    before = names(final.parent)
    with pytest.raises(OSError, match=f"w.partial' must be .*; it is {kind}.*: move it away"):
        Partial(final)
    assert names(final.parent) == before
    if "precious" in before:
        assert (final.parent / "precious").read_bytes() == b"precious"


def test_one_at_a_time(final):
    with Partial(final), pytest.raises(BlockingIOError, match="another process is writing"):
        Partial(final)
    with Partial(final) as again:
        assert again.existing_size == 0


def test_space_is_reserved_and_what_is_there_stays(final):
    with Partial(final) as opened:
        opened.reserve(1 << 20)
        opened.write(memoryview(b"stays"), 5000)
        opened.reserve(1 << 20)
        status = os.fstat(opened.descriptor)
    assert status.st_size == 1 << 20
    assert status.st_blocks * 512 >= 1 << 20
    data = partial.partial_path(final).read_bytes()
    assert data == bytes(5000) + b"stays" + bytes((1 << 20) - 5005)


def test_a_file_system_that_cannot_reserve(final, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EOPNOTSUPP, "not supported")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    with Partial(final) as opened:
        opened.reserve(1000)
    assert partial.partial_path(final).read_bytes() == bytes(1000)


@pytest.mark.parametrize("force", [False, True])
def test_publishing(final, force):
    with partial_of(final) as opened:
        opened.publish(force=force)
    assert names(final.parent) == ["w"]
    assert final.read_bytes() == b"hello"
    assert final.stat().st_nlink == 1


def test_an_existing_file_is_replaced_only_by_force(final):
    final.write_bytes(b"precious")
    with partial_of(final) as opened:
        with pytest.raises(FileExistsError, match="use --force to replace it"):
            opened.publish(force=False)
        assert final.read_bytes() == b"precious"
        opened.publish(force=True)
    assert final.read_bytes() == b"hello"


def test_a_file_system_without_hard_links(final, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.EPERM, "not permitted")

    monkeypatch.setattr(os, "link", refuse)
    with partial_of(final) as opened:
        opened.publish(force=False)
    assert final.read_bytes() == b"hello"
    with partial_of(final) as opened, pytest.raises(FileExistsError):
        opened.publish(force=False)


def truncate(path):
    os.truncate(path, 2)


def replace(path):
    other = path.with_name("other")
    other.write_bytes(b"HELLO")
    os.replace(other, path)


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("change", [truncate, replace, os.unlink])
def test_a_partial_that_is_changed_meanwhile_is_not_published(final, change, force):
    with partial_of(final) as opened:
        change(opened.path)
        with pytest.raises(OSError, match=r"w\.partial.*during the write.*again"):
            opened.publish(force=force)
    assert not final.exists()


def test_a_truncated_partial_is_not_extended(final):
    with partial_of(final, bytes(100)) as opened:
        os.truncate(opened.path, 10)
        with pytest.raises(OSError, match="from 100 to 10 bytes"):
            opened.write(memoryview(b"end"), 97)


def test_mode_and_owner_of_a_replaced_file_are_kept(final):
    final.write_bytes(b"old")
    final.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(final, 12345, 54321)
    before = final.stat()
    with partial_of(final) as opened:
        opened.publish(force=True)
    after = final.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (
        before.st_mode,
        before.st_uid,
        before.st_gid,
    )


def test_a_new_file_has_the_mode_of_any_new_file(tmp_path):
    (tmp_path / "any").write_bytes(b"")
    with partial_of(tmp_path / "w") as opened:
        opened.publish(force=False)
    partial.write_small(tmp_path / "small", b"text")
    assert len({stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}) == 1


def test_a_kill_between_the_two_steps_of_a_rename(final):
    with partial_of(final):
        os.link(partial.partial_path(final), final)
    partial.finish_rename(final)
    assert names(final.parent) == ["w"]
    partial.finish_rename(final)


def test_small_files(final):
    partial.partial_path(final).write_bytes(b"torn by a kill, and longer")
    partial.write_small(final, b"text")
    with pytest.raises(FileExistsError):
        partial.write_small(final, b"other")
    assert final.read_bytes() == b"text"
    partial.write_small(final, b"other", force=True)
    assert final.read_bytes() == b"other"
    assert names(final.parent) == ["w"]


def test_the_system_may_take_less_at_a_time(final, monkeypatch):
    real = os.pwrite
    monkeypatch.setattr(
        os, "pwrite", lambda descriptor, data, offset: real(descriptor, bytes(data[:7]), offset)
    )
    with partial_of(final, bytes(range(100))) as opened:
        out = bytearray(120)
        assert opened.read(memoryview(out), 0) == 100
    assert out == bytes(range(100)) + bytes(20)


def test_a_waiting_process_does_not_take_up_a_renamed_file(final):
    """The lock is on the file, so the name is checked after locking."""
    with partial_of(final) as first:
        thread = threading.Thread(target=first.publish, kwargs={"force": False})
        thread.start()
        thread.join()
    with Partial(final) as second:
        assert second.existing_size == 0
    assert final.read_bytes() == b"hello"


def test_an_error_in_a_small_file_names_it_and_leaves_nothing(final, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EFBIG, "File too large")

    monkeypatch.setattr(os, "pwrite", refuse)
    with pytest.raises(OSError, match=r"File too large: '.*w\.partial'$"):
        partial.write_small(final, b"text")
    assert names(final.parent) == []
