"""The sidecar: it says what was written, torn or damaged ones are found out, and one process at a
time has it.
"""

import json
import os
import subprocess
import sys
import zlib

import pytest

from initfast.files import journal
from initfast.files.journal import DamagedError

HEADER = {"identity": {"seed": 42}, "span": [0, 100]}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "w.npy.partial.json"


def written(path, *records):
    """A sidecar with these records, (name of the method, arguments), as its bytes."""
    with journal.lock(path) as held:
        held.begin(HEADER)
        for name, *arguments in records:
            getattr(held, name)(*arguments)
    return path.read_bytes()


def test_it_says_what_was_said(path):
    text = written(
        path,
        ("done", 10),
        ("done", 40, (1, 0.5, 1e-300, float("-inf"), 2.0)),
        ("done", 100),
        ("finishing",),
    )
    state = journal.read(path)
    assert dict(state.header) == HEADER
    assert (state.done, state.moments, state.finishing, state.placed) == (100, None, True, False)
    lines = text.splitlines(keepends=True)
    state = journal.parse(path, b"".join(lines[:3]))
    assert (state.done, state.moments, state.finishing) == (
        40,
        (1, 0.5, 1e-300, float("-inf"), 2.0),
        False,
    )
    state = journal.parse(path, lines[0])
    assert (state.done, state.moments, state.finishing) == (0, None, False)


def test_any_length_of_it_is_what_had_been_said_by_then(path):
    text = written(path, ("done", 10), ("done", 40), ("finishing",), ("placed",))
    ends = [i + 1 for i, byte in enumerate(text) if byte == 10]
    said = [
        (0, False, False),
        (10, False, False),
        (40, False, False),
        (40, True, False),
        (40, True, True),
    ]
    for length in range(len(text) + 1):
        state = journal.parse(path, text[:length])
        whole = sum(end <= length for end in ends)
        if not whole:
            assert state is None
        else:
            assert (state.done, state.finishing, state.placed) == said[whole - 1]
            assert state.end == ends[whole - 1]


def test_what_comes_after_a_torn_line_takes_its_place(path):
    text = written(path, ("done", 10))
    path.write_bytes(text + b'{"done": 77777777777777777777777777777777777')
    with journal.lock(path) as held:
        assert held.state().done == 10
        held.done(20)
    assert path.read_bytes() == written(path, ("done", 10), ("done", 20))


def test_any_changed_byte_is_found_out(path):
    text = written(path, ("done", 10, (1, 2.0, 3.0, 4.0, 5.0)), ("done", 40), ("finishing",))
    last = text.rindex(b"\n", 0, -1) + 1
    for place in range(len(text)):
        for bit in (1, 64):
            spoiled = bytearray(text)
            spoiled[place] ^= bit
            if place == len(text) - 1:
                # Without its end, the last line is one that was torn.
                assert not journal.parse(path, bytes(spoiled)).finishing
                continue
            with pytest.raises(DamagedError) as caught:
                journal.parse(path, bytes(spoiled))
            assert caught.value.ours or place < len('{"format": "initfast journal 1"')
    assert last > 0


def line(record, before=0):
    text = json.dumps(record).encode()
    return b"%s\t%08x\n" % (text, zlib.crc32(text, before)), zlib.crc32(text, before)


@pytest.mark.parametrize(
    "records",
    [
        [{"done": 10}, {"done": 5}],
        [{"done": -1}],
        [{"done": 1.0}],
        [{"done": True}],
        [{"done": "1"}],
        [{"done": 1, "more": 2}],
        [{"done": 1, "moments": [1, 2]}],
        [{"done": 1, "moments": [1, 2, 3, 4, "5"]}],
        [{}],
        [[]],
        [3],
        [{"placed": True}],
        [{"finishing": False}],
        [{"finishing": True}, {"finishing": True}],
        [{"finishing": True}, {"done": 100}],
        [{"finishing": True}, {"placed": True}, {"placed": True}],
    ],
)
def test_records_that_cannot_be(path, records):
    """Their checksums are right, so a program of another mind wrote them."""
    text, total = line({"format": journal.FORMAT, **HEADER})
    for record in records:
        more, total = line(record, total)
        text += more
    with pytest.raises(
        DamagedError, match=r"must be whole; received .* in line [2-4] \(--force starts again\)"
    ):
        journal.parse(path, text)


@pytest.mark.parametrize(
    "text",
    [
        b"hello",
        b"{}",
        b'{"my": "notes"}\n',
        b"\0" * 100,
        b'{"format": "initfast journal 2"}\n',
        b"\n",
    ],
)
def test_foreign_files_are_left_alone(path, text):
    with pytest.raises(DamagedError, match="move it away") as caught:
        journal.parse(path, text)
    assert not caught.value.ours


@pytest.mark.parametrize("header", [{}, {"identity": 3}, {"identity": None}])
def test_a_first_line_without_an_identity(path, header):
    with pytest.raises(DamagedError, match="in line 1"):
        journal.parse(path, line({"format": journal.FORMAT, **header})[0])


def test_one_holder_at_a_time(path):
    with journal.lock(path) as held:
        held.begin(HEADER)
        with pytest.raises(BlockingIOError, match="one process at a time"):
            journal.lock(path)
        code = f"from initfast.files import journal; import pathlib; journal.lock(pathlib.Path({str(path)!r}))"
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert "BlockingIOError: one process at a time" in other.stderr
    with journal.lock(path) as held:
        assert held.state().header == HEADER


def test_a_lock_on_a_file_that_was_deleted_is_none(path, monkeypatch):
    """Between opening and locking, the holder deletes the file: the lock is then on nothing, and is
    taken again.
    """
    path.write_bytes(b"")
    real, calls = journal.fcntl.flock, []

    def slow(descriptor, what):
        real(descriptor, what)
        if not calls:
            path.unlink()
        calls.append(descriptor)

    monkeypatch.setattr(journal.fcntl, "flock", slow)
    with journal.lock(path) as held:
        assert len(calls) == 2
        held.begin(HEADER)
    assert journal.read(path).header == HEADER
    calls.clear()
    with pytest.raises(FileNotFoundError):
        journal.lock(path, create=False)


def test_links_and_folders_are_no_sidecars(path, tmp_path):
    (tmp_path / "other").write_bytes(b"precious")
    path.symlink_to(tmp_path / "other")
    with pytest.raises(OSError, match="symbolic links"):
        journal.lock(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(IsADirectoryError):
        journal.lock(path)
    assert (tmp_path / "other").read_bytes() == b"precious"


def test_the_names_of_sidecars(tmp_path):
    base = tmp_path / "model"
    for name in (
        "model.partial.json",
        "model.partial.2-of-3.json",
        "model.partial.10-of-12.json",
        "model.partial",
        # fmt: skip
        "model2.partial.json",
        "model.partial.x-of-3.json",
        "my.model.partial.json",
    ):
        (tmp_path / name).write_bytes(b"")
    assert journal.name(base, (1, 1)) == tmp_path / "model.partial.json"
    assert journal.name(base, (2, 3)) == tmp_path / "model.partial.2-of-3.json"
    assert [which for which, _ in journal.others(base, (2, 3))] == [(1, 1), (10, 12)]
    assert [path.name for _, path in journal.others(base, (1, 1))] == [
        "model.partial.2-of-3.json",
        "model.partial.10-of-12.json",
    ]


def test_a_full_disk_tears_a_line_and_no_more(path, monkeypatch):
    before = written(path, ("done", 10))
    real = os.pwrite

    def full(descriptor, data, offset):
        if len(data) > 4:
            return real(descriptor, bytes(data[:4]), offset)
        raise OSError(28, "No space left on device")

    with journal.lock(path) as held:
        held.state()
        monkeypatch.setattr(os, "pwrite", full)
        with pytest.raises(OSError, match="No space left"):
            for count in (20, 30):
                held.done(count)
    monkeypatch.undo()
    assert path.read_bytes().startswith(before)
    assert journal.read(path).done == 10
