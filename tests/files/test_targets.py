"""Names of files: what cannot be written is refused first, space is reserved, a file is placed in
one step.
"""

import errno
import os
import stat

import pytest

from initfast.files import targets
from initfast.files.targets import partial


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_refusals(tmp_path):
    (tmp_path / "there.bin").write_bytes(b"old")
    with pytest.raises(FileExistsError, match=r"only with --force; received '.*there\.bin'"):
        targets.refuse_existing(tmp_path / "there.bin")
    with pytest.raises(FileNotFoundError, match="folder of the file must exist"):
        targets.resolve(tmp_path / "missing" / "out.bin")
    with pytest.raises(IsADirectoryError, match="not a folder"):
        targets.resolve(tmp_path)
    with pytest.raises(OSError, match="must be a regular file"):
        targets.resolve(os.devnull)
    targets.refuse_existing(tmp_path / "new.bin")
    assert names(tmp_path) == ["there.bin"]


def test_the_space_that_is_needed(tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 12_345})
    monkeypatch.setattr(targets.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(OSError, match="12,346 bytes needed, 12,345 available") as caught:
        targets.check_space(tmp_path, 12_346)
    assert caught.value.errno == errno.ENOSPC
    targets.check_space(tmp_path, 12_345)


def test_a_link_is_followed(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link.bin").symlink_to(tmp_path / "real" / "out.bin")
    assert targets.resolve(tmp_path / "link.bin") == tmp_path / "real" / "out.bin"


def test_a_partial_that_is_a_link_is_not_followed(tmp_path):
    (tmp_path / "precious").write_bytes(b"precious")
    partial(tmp_path / "w").symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match="symbolic links"):
        targets.open_partial(tmp_path / "w")


def test_space_is_reserved_and_what_is_there_stays(tmp_path):
    with open(tmp_path / "f", "w+b") as file:
        targets.reserve(file.fileno(), 1 << 20, 0, 1 << 20)
        file.seek(5000)
        file.write(b"stays")
        file.flush()
        targets.reserve(file.fileno(), 1 << 20, 0, 1 << 20)
        found = os.fstat(file.fileno())
    assert found.st_size == 1 << 20
    if hasattr(os, "posix_fallocate"):
        assert found.st_blocks * 512 >= 1 << 20
    assert (tmp_path / "f").read_bytes() == bytes(5000) + b"stays" + bytes((1 << 20) - 5005)


def test_where_nothing_can_be_reserved_the_file_still_has_its_length(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EOPNOTSUPP, "not supported")

    monkeypatch.setattr(os, "posix_fallocate", refuse, raising=False)
    with open(tmp_path / "f", "w+b") as file:
        targets.reserve(file.fileno(), 1000, 0, 1000)
    assert (tmp_path / "f").read_bytes() == bytes(1000)


def test_placing(tmp_path):
    final = tmp_path / "w"
    with pytest.raises(
        OSError, match="must hold 5 bytes that are written; received another file, or none"
    ):
        targets.place(final, b"he", 5, force=False)
    partial(final).write_bytes(b"hello")
    for header, size in ((b"ha", 5), (b"he", 4)):
        with pytest.raises(OSError, match="must hold"):
            targets.place(final, header, size, force=False)
    targets.place(final, b"he", 5, force=False)
    assert names(tmp_path) == ["w"]
    targets.place(final, b"he", 5, force=False)  # done before
    partial(final).write_bytes(b"help!")
    with pytest.raises(FileExistsError, match="only with --force"):
        targets.place(final, b"he", 5, force=False)
    assert final.read_bytes() == b"hello"
    targets.place(final, b"he", 5, force=True)
    assert final.read_bytes() == b"help!"
    assert names(tmp_path) == ["w"]


def test_notes(tmp_path):
    note = tmp_path / "note"
    partial(note).write_bytes(b"torn by a kill, and longer")
    targets.place_note(note, b"text", force=False)
    targets.place_note(note, b"text", force=False)  # done before
    with pytest.raises(FileExistsError):
        targets.place_note(note, b"other", force=False)
    assert note.read_bytes() == b"text"
    targets.place_note(note, b"other", force=True)
    assert note.read_bytes() == b"other"
    assert names(tmp_path) == ["note"]


def test_new_files_have_the_permissions_of_any_new_file(tmp_path):
    (tmp_path / "any").write_bytes(b"")
    os.close(targets.open_partial(tmp_path / "w"))
    targets.place_note(tmp_path / "note", b"text", force=False)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert len(modes) == 1


def test_the_system_may_take_less_at_a_time(tmp_path, monkeypatch):
    real = os.pwrite
    monkeypatch.setattr(
        os, "pwrite", lambda descriptor, data, offset: real(descriptor, bytes(data[:7]), offset)
    )
    with open(tmp_path / "f", "w+b") as file:
        targets.write_all(file.fileno(), memoryview(bytes(range(100))), 3)
    assert (tmp_path / "f").read_bytes() == bytes(3) + bytes(range(100))
