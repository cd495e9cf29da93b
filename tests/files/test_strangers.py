"""Files that another user has planted in a folder that all users can write to, such as /tmp."""

import os
import stat

import pytest

import initfast as ift
from initfast.core import dtypes
from initfast.files import checkpoint, formats, writer

STRANGER = 65534
SPEC = {"tensors": {"a": {"shape": [40, 30], "dtype": "float32", "init": "he_normal"}}}

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")


@pytest.fixture
def sticky(tmp_path):
    folder = tmp_path / "sticky"
    folder.mkdir()
    folder.chmod(0o1777)
    for parent in tmp_path.parents:  # only root may enter the folders of pytest
        if parent.stat().st_uid == 0 and str(parent).startswith("/tmp/"):
            parent.chmod(parent.stat().st_mode | stat.S_IXOTH)
    tmp_path.chmod(0o755)
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "secret").chmod(0o600)
    return folder


def plant(make):
    """Run `make` as another user, in a separate process."""
    child = os.fork()
    if not child:
        try:
            os.setgroups([])
            os.setgid(STRANGER)
            os.setuid(STRANGER)
            make()
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0


def values(path):
    """Write the right bytes, which would be accepted if the file were trusted."""
    with open(path, "wb") as file:
        file.write(ift.HeNormal(seed=1)((40, 30)).tobytes())


PLANTED = {
    "the right values": values,
    "an empty file": lambda path: path.touch(),
    "a file that all can write": lambda path: (path.touch(), path.chmod(0o666)),
    "a link": lambda path: path.symlink_to("../secret"),
    "a link to nothing": lambda path: path.symlink_to("new"),
    "a FIFO": lambda path: os.mkfifo(path),
    "a folder": lambda path: path.mkdir(),
}


@pytest.mark.filterwarnings("ignore:os.fork", "ignore:.*multi-threaded")
@pytest.mark.parametrize("options", [{}, {"resume": True}, {"force": True}], ids=str)
@pytest.mark.parametrize("what", PLANTED)
def test_a_planted_partial_is_refused(sticky, what, options):
    array = sticky / "w.bin"
    tensor = formats.Tensor(None, ift.HeNormal(seed=1), (40, 30), dtypes.FLOAT32)
    plant(lambda: PLANTED[what](sticky / "w.bin.partial"))
    plant(lambda: PLANTED[what](sticky / "m.safetensors.partial"))
    for write in (
        lambda: writer.write(formats.RAW.file(array, [tensor]), **options),
        lambda: checkpoint.save(SPEC, sticky / "m.safetensors", seed=1, **options),
    ):
        with pytest.raises(
            OSError, match=r"must be an unfinished file of initfast; .*: move it away"
        ):
            write()
    assert sorted(os.listdir(sticky)) == ["m.safetensors.partial", "w.bin.partial"]
    assert (sticky.parent / "secret").read_bytes() == b"secret"
    assert not (sticky / "new").exists()


@pytest.mark.filterwarnings("ignore:os.fork", "ignore:.*multi-threaded")
@pytest.mark.parametrize("options", [{}, {"resume": True}, {"force": True}], ids=str)
@pytest.mark.parametrize("target", ["../secret", "../new"])
def test_a_planted_link_is_not_followed(sticky, target, options):
    """Linux would not follow it, but the path is resolved before any call of the system."""
    tensor = formats.Tensor(None, ift.HeNormal(seed=1), (40, 30), dtypes.FLOAT32)
    plant(lambda: (sticky / "w.bin").symlink_to(target))
    plant(lambda: (sticky / "m").symlink_to("../other"))
    (sticky.parent / "other").mkdir()
    for write in (
        lambda: writer.write(formats.RAW.file(sticky / "w.bin", [tensor]), **options),
        lambda: checkpoint.save(SPEC, sticky / "m", seed=1, **options),
        lambda: checkpoint.save(SPEC, sticky / "m/../other/x.safetensors", seed=1, **options),
    ):
        with pytest.raises(OSError, match=r"link .* was created by another user"):
            write()
    assert sorted(os.listdir(sticky.parent)) == ["other", "secret", "sticky"]
    assert os.listdir(sticky.parent / "other") == []
    assert (sticky.parent / "secret").read_bytes() == b"secret"
    (sticky / "mine").symlink_to("../other")  # a link of the same user is followed
    assert checkpoint.save(SPEC, sticky / "mine", seed=1, **options).complete


@pytest.mark.filterwarnings("ignore:os.fork", "ignore:.*multi-threaded")
def test_a_planted_file_is_not_taken_for_ours(sticky):
    """A finished file is compared byte by byte, for any owner."""
    file = formats.RAW.file(
        sticky / "w.bin", [formats.Tensor(None, ift.HeNormal(seed=1), (40, 30), dtypes.FLOAT32)]
    )
    plant(lambda: (sticky / "w.bin").write_bytes(bytes(4800)))
    for options in ({}, {"resume": True}):
        with pytest.raises(FileExistsError):
            writer.write(file, **options)
    assert writer.write(file, force=True).complete
    assert (sticky / "w.bin").read_bytes() == ift.HeNormal(seed=1)((40, 30)).tobytes()
