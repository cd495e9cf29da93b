"""`initfast bits` writes the words of `random_bits` to stdout, until the pipe closes."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest

import initfast as ift
from initfast.cli import bits

LONG = 4 * (bits.CHUNK_WORDS + 1000)  # bytes: more than one chunk


@pytest.mark.parametrize("size", [0, 1, 6, LONG + 3])
def test_the_words_are_those_of_random_bits(cli, size):
    result = cli("bits", "--seed", 42, "--stream", 2**63 + 1, "--bytes", size)
    words = ift.random_bits(-(-size // 4), 42, 2**63 + 1).astype("<u4")
    assert (result.code, result.err) == (0, "")
    assert result.stdout == words.tobytes()[:size]


@pytest.mark.parametrize("count", [1, 3, 256, 1000])
@pytest.mark.parametrize("option", ["--interleave", "--interleave-seeds"])
def test_words_in_turn(cli, option, count):
    seed, stream = 2**64 - 1000, 7
    step = (0, 1) if option == "--interleave" else (1, 0)
    pairs = [(seed + k * step[0], stream + k * step[1]) for k in range(count)]
    rows = max(bits.CHUNK_WORDS // count, bits.LEAST_WORDS) + 5  # more than one chunk
    words = np.stack([ift.random_bits(rows, *pair) for pair in pairs], axis=1).astype("<u4")
    size = words.nbytes - 2
    result = cli("bits", "--seed", seed, "--stream", stream, option, count, "--bytes", size)
    assert (result.code, result.err) == (0, "")
    assert result.stdout == words.tobytes()[:size]


def test_it_ends_quietly_when_the_pipe_closes(cli):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with cli.start("bits", "--seed", 1, "--interleave", 4, **pipes) as process:
        assert len(process.stdout.read(100)) == 100
        if hasattr(bits.fcntl, "F_GETPIPE_SZ"):
            assert bits.fcntl.fcntl(process.stdout, bits.fcntl.F_GETPIPE_SZ) == bits.PIPE_BYTES
        process.stdout.close()
        assert (process.wait(60), process.stderr.read()) == (141, b"")


def test_ctrl_c_ends_it_quietly():
    # The program that started these tests may ignore the signal.
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from initfast import cli; sys.exit(cli.main(['bits', '--seed', '1']))"
    )
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], **pipes) as process:
        assert process.stdout.read(4) == ift.random_bits(1, 1).tobytes()
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        assert (process.wait(60), process.stderr.read()) == (130, b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_is_an_error(cli):
    with (
        open("/dev/full", "wb") as full,
        cli.start("bits", "--seed", 5, stdout=full, stderr=subprocess.PIPE) as process,
    ):
        assert process.stderr.read() == b"initfast: error: stdout: No space left on device\n"
    assert process.returncode == 1


def test_a_terminal_is_refused(cli):
    ours, theirs = os.openpty()
    try:
        with cli.start("bits", "--seed", 5, stdout=theirs, stderr=subprocess.PIPE) as process:
            error = process.stderr.read()
        os.set_blocking(ours, False)
        with pytest.raises(BlockingIOError):
            os.read(ours, 1)
    finally:
        os.close(ours)
        os.close(theirs)
    assert process.returncode == 2
    assert b"stdout must be a pipe or a file, not a terminal" in error


def test_a_closed_stdout_is_an_error():
    # A shell closes stdout, because JAX would warn about a function between fork and exec.
    shell = ["sh", "-c", 'exec "$@" >&-', "sh"]
    command = [sys.executable, "-m", "initfast", "bits", "--seed", "5"]
    result = subprocess.run([*shell, *command], stderr=subprocess.PIPE, text=True)
    assert (result.returncode, result.stderr.count("\n")) == (1, 1)
    assert "stdout is closed" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seed", "-1"], "--seed must be an integer >= 0; received '-1'"),
        (["--seed", str(2**64)], f"seed must be an integer in [0, 2**64); received {2**64}"),
        (["--seed", "1", "--stream", "x"], "--stream must be an integer >= 0; received 'x'"),
        (["--seed", "1", "--bytes", "1.5"], "--bytes must be an integer >= 0; received '1.5'"),
        (["--seed", "1", "--interleave", "0"], "--interleave must be an integer from 1 to 65536"),
        (["--seed", "1", "--interleave", ""], "--interleave must be an integer >= 0; received ''"),
        (
            ["--seed", "1", "--interleave-seeds", "65537"],
            "--interleave-seeds must be an integer from 1 to 65536; received 65537",
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
def test_wrong_arguments(cli, arguments, message):
    result = cli("bits", *arguments)
    assert (result.code, result.out) == (2, "")
    assert message in result.err
