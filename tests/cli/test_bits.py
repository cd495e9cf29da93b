"""`initfast bits`: the words on stdout are those of `random_bits`, whoever reads them and however
soon they stop.
"""

import os
import subprocess
import sys

import numpy as np
import pytest

import initfast as ift
from initfast import cli
from initfast.cli import bits as cli_bits
from initfast.cli import program

MANY = 4 * (cli_bits.CHUNK_WORDS + 1000)  # bytes: more than one chunk, and no whole number of them


COMMAND = [sys.executable, "-W", "error", "-m", "initfast", "bits"]


def bits(*arguments, **options):
    """A process of the command; its stdout is a pipe unless `options` say otherwise."""
    return subprocess.run(
        [*COMMAND, *arguments], stdin=subprocess.DEVNULL, **{"capture_output": True, **options}
    )


@pytest.mark.parametrize("size", [0, 1, 6, 4096, MANY, MANY + 3])
def test_the_words_are_those_of_random_bits(size):
    done = bits("--seed", "42", "--stream", str(2**63 + 1), "--bytes", str(size))
    words = ift.random_bits(-(-size // 4), 42, 2**63 + 1).astype("<u4")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == words.tobytes()[:size]


@pytest.mark.parametrize("count", [1, 3, 256, 1000])
@pytest.mark.parametrize("option", ["--interleave", "--interleave-seeds"])
def test_one_word_in_turn_from_each(option, count):
    seed, stream = 2**64 - 1000, 7
    pairs = [
        (seed, stream + k) if option == "--interleave" else (seed + k, stream) for k in range(count)
    ]
    rows = (
        max(cli_bits.CHUNK_WORDS // count, cli_bits.LEAST_WORDS_A_STREAM) + 5
    )  # more than one chunk
    wanted = np.stack([ift.random_bits(rows, *pair) for pair in pairs], axis=1).astype("<u4")
    done = bits(
        "--seed",
        str(seed),
        "--stream",
        str(stream),
        option,
        str(count),
        "--bytes",
        str(wanted.nbytes - 2),
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == wanted.tobytes()[:-2]


def test_interleaving_one_is_none():
    assert (
        bits("--seed", "1", "--interleave", "1", "--bytes", "64").stdout
        == ift.random_bits(16, 1).tobytes()
    )


@pytest.mark.parametrize("extra", [[], ["--interleave", "4"]])
def test_a_reader_who_has_enough_ends_it_quietly(extra):
    command = [sys.executable, "-W", "error", "-m", "initfast", "bits", "--seed", "1", *extra]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    taken = process.stdout.read(100)
    process.stdout.close()
    assert (process.wait(60), process.stderr.read(), len(taken)) == (141, b"", 100)
    process.stderr.close()


@pytest.mark.skipif(os.name != "posix", reason="the signal of Ctrl-C is POSIX's")
def test_ctrl_c_ends_it_quietly():
    # Whoever started these tests may have had the signal ignored.
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from initfast import cli; sys.exit(cli.main(['bits', '--seed', '1']))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout.read(4) == ift.random_bits(1, 1).tobytes()
    process.send_signal(2)
    process.stdout.read()
    assert (process.wait(60), process.stderr.read()) == (130, b"")
    process.stdout.close()
    process.stderr.close()


def test_a_file_takes_it_too(tmp_path):
    with open(tmp_path / "words", "wb") as file:
        assert (
            bits("--seed", "5", "--bytes", "400", stdout=file, capture_output=False).returncode == 0
        )
    assert np.array_equal(np.fromfile(tmp_path / "words", "<u4"), ift.random_bits(100, 5))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_is_an_error():
    with open("/dev/full", "wb") as full:
        done = bits("--seed", "5", stdout=full, stderr=subprocess.PIPE, capture_output=False)
    assert (done.returncode, done.stderr) == (1, b"initfast: error: No space left on device\n")


def test_a_terminal_is_refused():
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    try:
        done = bits("--seed", "5", stdout=theirs, stderr=subprocess.PIPE, capture_output=False)
        os.set_blocking(ours, False)
        with pytest.raises(BlockingIOError):
            os.read(ours, 1)
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == 2
    assert b"stdout must be a pipe or a file, not a terminal: the words are binary" in done.stderr


@pytest.mark.skipif(os.name != "posix", reason="closes a descriptor of a child process")
def test_a_closed_stdout_is_an_error():
    shell = [
        "sh",
        "-c",
        'exec "$@" >&-',
        "sh",
    ]  # not by a function between fork and exec, which JAX warns of
    done = subprocess.run(
        [*shell, *COMMAND, "--seed", "5"], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert (done.returncode, done.stderr) == (
        1,
        b"initfast: error: stdout must be open to write words to it\n",
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seed", "-1"], "--seed must be an integer >= 0; received '-1'"),
        (["--seed", str(2**64)], f"seed must be an integer in [0, 2**64); received {2**64}"),
        (["--seed", "1", "--stream", "x"], "--stream must be an integer >= 0; received 'x'"),
        (["--seed", "1", "--bytes", "1.5"], "--bytes must be an integer >= 0; received '1.5'"),
        (
            ["--seed", "1", "--interleave", "0"],
            "--interleave must be an integer from 1 to 65536; received 0",
        ),
        (
            ["--seed", "1", "--interleave-seeds", "65537"],
            "--interleave-seeds must be an integer from 1 to 65536; received",
        ),
        (
            ["--seed", str(2**64 - 2), "--interleave-seeds", "3"],
            f"seed must be an integer in [0, 2**64); received {2**64}",
        ),
        (
            ["--seed", "1", "--stream", str(2**64 - 1), "--interleave", "2"],
            "stream must be an integer in [0, 2**64)",
        ),
        (
            ["--seed", "1", "--interleave", "2", "--interleave-seeds", "2"],
            "not allowed with argument --interleave",
        ),
        ([], "the following arguments are required: --seed"),
    ],
)
def test_wrong_arguments(arguments, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["bits", *arguments])
    said = capsys.readouterr()
    assert (stopped.value.code, said.out) == (program.WRONG_USAGE, "")
    assert message in said.err


def test_the_pipe_is_widened_where_that_can_be():
    fcntl = pytest.importorskip("fcntl")
    if not hasattr(fcntl, "F_SETPIPE_SZ"):
        pytest.skip("needs Linux")
    out, into = os.pipe()
    try:
        cli_bits._widen(into)
        assert fcntl.fcntl(out, fcntl.F_GETPIPE_SZ) == cli_bits.PIPE_BYTES
    finally:
        os.close(out)
        os.close(into)
