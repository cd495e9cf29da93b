"""The command line: its files, its output, its errors and its exit codes."""

import contextlib
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time

import ml_dtypes
import numpy as np
import pytest

import initfast as ift
from initfast.cli import main, program
from initfast.cli import verify as cli_verify
from initfast.files import chunks, writer

NORMAL_JSON = '{"class_name": "RandomNormal", "config": {"mean": 0.5, "stddev": 0.02}}'


@pytest.fixture
def run(cli):
    """Return a function that runs a command line and returns (exit code, stdout, stderr)."""

    def call(*arguments):
        result = cli(*arguments)
        return result.code, result.out, result.err

    return call


@pytest.fixture
def run_here(capsys):
    """Return the same function for this process, for tests that replace a system call."""

    def call(*arguments):
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as error:
            code = error.code
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def spawn(*arguments, code=None, **options):
    """Start a command line in a separate process, after `code`."""
    start = (
        ["-m", "initfast"]
        if code is None
        else ["-c", f"{code}\nimport sys\nfrom initfast.cli import main\nsys.exit(main())"]
    )
    return subprocess.Popen([sys.executable, *start, *map(str, arguments)], text=True, **options)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


# ---- values and bytes


@pytest.mark.parametrize("threads", [1, 2, 3, 7])
@pytest.mark.parametrize("shape", [(1,), (1000,), (37, 41), (5, 3, 7, 11), (2, 3000), (3, 0)])
def test_the_file_is_that_of_numpy_save(run, tmp_path, shape, threads):
    out = tmp_path / "w.npy"
    text = "x".join(map(str, shape))
    code, _, err = run(
        "fill", out, "--shape", text, "--init", "he_normal", "--seed", 42, "--threads", threads
    )
    assert (code, err) == (0, "")
    np.save(tmp_path / "numpy.npy", ift.HeNormal(seed=42)(shape))
    assert out.read_bytes() == (tmp_path / "numpy.npy").read_bytes()
    assert names(tmp_path) == ["numpy.npy", "w.npy"]


@pytest.mark.parametrize(
    "init",
    [
        "glorot_uniform",
        "random_normal",
        "uniform",
        "truncated_normal",
        "lecun_normal",
        "zeros",
        "ones",
        "identity",
        "orthogonal",
        NORMAL_JSON,
        '{"class_name": "Constant", "config": {"value": 2.5}}',
        '{"module": "keras.initializers", "class_name": "HeUniform", "config": {"seed": null},'
        ' "registered_name": null}',
    ],
)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_every_kind_of_initializer_and_dtype(run, tmp_path, init, dtype):
    out = tmp_path / "w.npy"
    code, _, err = run(
        "fill", out, "--shape", "60x50", "--init", init, "--dtype", dtype, "--seed", 7
    )
    assert (code, err) == (0, "")
    initializer = ift.get(json.loads(init) if init.startswith("{") else init)
    if "seed" in initializer.get_config():
        initializer = type(initializer).from_config({**initializer.get_config(), "seed": 7})
    loaded = np.load(out)
    assert loaded.dtype == dtype
    np.testing.assert_array_equal(loaded, initializer((60, 50), dtype))


def test_fans_come_from_the_whole_shape(run, tmp_path):
    run("fill", tmp_path / "w.npy", "--shape", "400x8000", "--init", "he_uniform", "--seed", 1)
    bound = np.abs(np.load(tmp_path / "w.npy")).max()
    # The fan is 400 inputs, not the 65 rows of a chunk.
    assert 0.95 * np.sqrt(6 / 400) < bound <= np.sqrt(6 / 400) * (1 + 1e-6)


def test_a_name_is_a_stream_of_its_own(run, tmp_path):
    run(
        "fill",
        tmp_path / "w.npy",
        "--shape",
        "9x9",
        "--init",
        "he_normal",
        "--seed",
        42,
        "--name",
        "decoder/3/kernel",
    )
    expected = ift.HeNormal(seed=ift.Seed(42).named("decoder/3/kernel"))((9, 9))
    np.testing.assert_array_equal(np.load(tmp_path / "w.npy"), expected)


def test_a_seed_that_was_drawn_is_printed_and_repeats_the_file(run, tmp_path):
    seeds = set()
    for name in ("a", "b"):
        _, out, _ = run("fill", tmp_path / f"{name}.npy", "--shape", "40", "--init", "normal")
        seed = int(re.search(r", seed (\d+)$", out.strip())[1])
        seeds.add(seed)
        run("fill", tmp_path / f"{name}2.npy", "--shape", "40", "--init", "normal", "--seed", seed)
        assert (tmp_path / f"{name}.npy").read_bytes() == (tmp_path / f"{name}2.npy").read_bytes()
    assert len(seeds) == 2


@pytest.mark.parametrize(
    ("config_seed", "option", "expected"),
    [
        (5, [], 5),
        (5, ["--seed", 6], 6),
        (None, ["--seed", 6], 6),
        ({"class_name": "SeedGenerator", "config": {"seed": 8}}, [], 8),
    ],
)
def test_the_seed_is_the_option_or_else_that_of_the_json(
    run, tmp_path, config_seed, option, expected
):
    init = json.dumps(
        {"class_name": "RandomUniform", "config": {"minval": 0, "maxval": 1, "seed": config_seed}}
    )
    code, out, err = run("fill", tmp_path / "w.npy", "--shape", "30", "--init", init, *option)
    assert (code, err) == (0, "")
    assert out.strip().endswith(f", seed {expected}")
    np.testing.assert_array_equal(
        np.load(tmp_path / "w.npy"), ift.RandomUniform(0, 1, seed=expected)((30,))
    )


@pytest.mark.parametrize("dtype", ["bfloat16", "float8_e4m3fn"])
def test_dtypes_that_numpy_has_no_name_for_come_with_a_recipe(run, tmp_path, dtype):
    out = tmp_path / "w.npy"
    code, _, err = run(
        "fill", out, "--shape", "30x20", "--init", "he_normal", "--seed", 1, "--dtype", dtype
    )
    assert code == 0
    assert err == (
        f"initfast: warning: numpy.load returns {dtype} as raw bytes:"
        f" read the file with numpy.load(FILE).view(ml_dtypes.{dtype})\n"
    )
    kind = getattr(ml_dtypes, dtype)
    np.testing.assert_array_equal(np.load(out).view(kind), ift.HeNormal(seed=1)((30, 20), dtype))


# ---- the line on stdout


def test_the_line_says_what_the_file_holds(run, tmp_path):
    out = tmp_path / "w.npy"
    code, line, err = run(
        "fill", out, "--shape", "300x200", "--init", NORMAL_JSON, "--seed", 3, "--sha256"
    )
    assert (code, err) == (0, "")
    assert line.count("\n") == 1
    number = r"(-?[0-9.]+(?:e[-+]?\d+)?)"
    fields = re.fullmatch(
        rf"(.*): (\d+) bytes in {number} s \({number} GB/s\), mean {number}, std {number},"
        rf" min {number}, max {number},"
        r" seed 3, sha256 ([0-9a-f]{64})\n",
        line,
    )
    values = np.load(out).astype(np.float64)
    assert fields[1] == str(out)
    assert int(fields[2]) == out.stat().st_size == values.size * 4 + 128
    moments = [float(text) for text in fields.groups()[4:8]]
    assert moments == pytest.approx(
        [values.mean(), values.std(), values.min(), values.max()], rel=1e-5
    )
    assert fields[9] == hashlib.sha256(out.read_bytes()).hexdigest()


def test_the_digest_and_the_moments_do_not_depend_on_threads(run, tmp_path):
    lines = set()
    for threads in (1, 2, 5):
        arguments = (
            "--shape",
            "1000x999",
            "--init",
            "normal",
            "--seed",
            1,
            "--sha256",
            "--force",
            "--threads",
            threads,
        )
        _, line, _ = run("fill", tmp_path / "w.npy", *arguments)
        lines.add(re.sub(r"in .* GB/s", "", line))
    assert len(lines) == 1


def test_nothing_random_has_no_seed(run, tmp_path):
    _, line, _ = run("fill", tmp_path / "w.npy", "--shape", "4", "--init", "ones", "--seed", 3)
    assert line.strip().endswith("mean 1, std 0, min 1, max 1")


# ---- errors

USAGE = {
    "shape negative": (
        ["--shape=-3x4"],
        "--shape must be dimensions joined by 'x', such as 50257x768; received '-3x4'",
    ),
    "shape of words": (["--shape", "axb"], "received 'axb'"),
    "shape empty": (["--shape", ""], "received ''"),
    "shape with a hole": (["--shape", "3xx4"], "received '3xx4'"),
    "shape float": (["--shape", "3.5x4"], "received '3.5x4'"),
    "shape None": (["--shape", "Nonex4"], "received 'Nonex4'"),
    "shape bool": (["--shape", "Truex4"], "received 'Truex4'"),
    "shape of 9 dims": (["--shape", "1x1x1x1x1x1x1x1x1"], "at most 8 dim"),
    "shape beyond 64 bits": (["--shape", "4294967296x4294967296x4"], "2**63"),
    "init unknown": (["--init", "xavier"], "Could not interpret initializer identifier: xavier"),
    "init base class": (["--init", "initializer"], "must implement"),
    "init broken JSON": (
        ["--init", '{"class_name":'],
        "or Keras JSON; received",
    ),
    "init JSON unknown": (["--init", '{"class_name": "Nope"}'], "Nope"),
    "init stddev": (
        ["--init", '{"class_name": "RandomNormal", "config": {"stddev": -1}}'],
        "stddev",
    ),
    "init NaN": (["--init", '{"class_name": "RandomNormal", "config": {"mean": NaN}}'], "mean"),
    "init reversed": (
        ["--init", '{"class_name": "RandomUniform", "config": {"minval": 2, "maxval": 1}}'],
        "minval",
    ),
    "init mode": (
        ["--init", '{"class_name": "VarianceScaling", "config": {"mode": "fan"}}'],
        "fan_in",
    ),
    "init of another rank": (["--init", "orthogonal", "--shape", "5"], "at least two-dimensional"),
    "identity of another rank": (["--init", "identity", "--shape", "5"], "2D"),
    "dtype unknown": (["--dtype", "float31"], "received 'float31'"),
    "dtype integer": (["--dtype", "int32"], "random values need a floating dtype"),
    "dtype unreadable": (["--dtype", "float8_e5m2"], "numpy.load cannot read float8_e5m2"),
    "value beyond the dtype": (
        [
            "--dtype",
            "float16",
            "--init",
            '{"class_name": "RandomNormal", "config": {"stddev": 1e9}}',
        ],
        "float16",
    ),
    "seed negative": (["--seed", "-1"], "--seed must be an integer >= 0; received '-1'"),
    "seed too large": (["--seed", str(2**64)], "2**64"),
    "seed of nothing random": (["--init", "ones", "--seed", str(2**64)], "2**64"),
    "seed float": (["--seed", "1.5"], "received '1.5'"),
    "seed word": (["--seed", "abc"], "received 'abc'"),
    "threads zero": (["--threads", "0"], "from 1 to"),
    "threads word": (["--threads", "two"], "--threads must be an integer >= 0; received 'two'"),
    "name empty": (["--name", ""], "name must be a non-empty string"),
    "option unknown": (["--colour", "red"], "unrecognized arguments: --colour red"),
}


@pytest.mark.parametrize(("arguments", "message"), USAGE.values(), ids=USAGE)
def test_wrong_arguments(run, tmp_path, arguments, message):
    code, out, err = run(
        "fill", tmp_path / "w.npy", "--shape", "3x4", "--init", "he_normal", *arguments
    )
    assert (code, out) == (2, "")
    assert err.startswith("initfast: error: ")
    assert message in err
    assert "Traceback" not in err
    assert names(tmp_path) == []


@pytest.mark.parametrize("name", ["w", "w.txt", "w.npz", ".npy"])
def test_other_files(run, tmp_path, name):
    code, _, err = run("fill", tmp_path / name, "--shape", "3", "--init", "ones")
    assert code == 2
    assert "the file must end in .npy, .safetensors, .bin, .raw; received" in err
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("w.npy", [], "--init is required"),
        (
            "w.npy",
            ["--init", "ones", "--tensor", "a"],
            "--tensor is for .safetensors files; received",
        ),
        ("w.safetensors", ["--init", "ones"], "pass --tensor NAME"),
        (
            "w.safetensors",
            ["--init", "ones", "--tensor", ""],
            "a tensor's name must be a non-empty string",
        ),
        (
            "w.safetensors",
            ["--init", "ones", "--tensor", "__metadata__"],
            "other than '__metadata__'",
        ),
        (
            "w.npy",
            ["--init", "ones", "--rows", "0:1", "--resume"],
            "--rows cannot be combined with --resume",
        ),
        (
            "w.npy",
            ["--init", "ones", "--rows", "0:1", "--force"],
            "--rows cannot be combined with --force",
        ),
        (
            "w.npy",
            ["--init", "ones", "--rows", "0:1", "--sha256"],
            "--rows cannot be combined with --sha256",
        ),
        ("w.npy", ["--rows", "0:1", "--allocate"], "--rows cannot be combined with --allocate"),
        ("w.npy", ["--allocate", "--init", "ones"], "--allocate cannot be combined with --init"),
        ("w.npy", ["--allocate", "--seed", "1"], "--allocate cannot be combined with --seed"),
        (
            "w.npy",
            ["--init", "ones", "--rows", "2:1"],
            "--rows must be A:B with 0 <= A <= B <= 3; received '2:1'",
        ),
        ("w.npy", ["--init", "ones", "--rows", "0:4"], "received '0:4'"),
        ("w.npy", ["--init", "ones", "--rows", "1"], "received '1'"),
        ("w.npy", ["--init", "ones", "--rows=-1:2"], "received '-1:2'"),
        (
            "w.npy",
            ["--init", "ones", "--dtype", "complex64"],
            "dtype must be floating, integer or bool",
        ),
    ],
)
def test_arguments_that_do_not_go_together(run, tmp_path, name, arguments, message):
    code, out, err = run("fill", tmp_path / name, "--shape", "3x4", *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "arguments", [[], ["fill"], ["fill", "w.npy"], ["nonsense"], ["fill", "w.npy", "--shape", "3"]]
)
def test_missing_arguments(run, tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("initfast: error: ")
    assert names(tmp_path) == []


def test_an_existing_file_stays_unless_forced(run, tmp_path):
    out = tmp_path / "w.npy"
    out.write_bytes(b"precious")
    arguments = ("fill", out, "--shape", "3", "--init", "ones")
    code, stdout, err = run(*arguments)
    assert (code, stdout) == (1, "")
    assert err == f"initfast: error: {str(out)!r} already exists: use --force to replace it\n"
    assert out.read_bytes() == b"precious"
    assert run(*arguments, "--force")[0] == 0
    assert np.load(out).tolist() == [1.0, 1.0, 1.0]
    assert names(tmp_path) == ["w.npy"]


def test_a_missing_folder(run, tmp_path):
    code, _, err = run("fill", tmp_path / "missing" / "w.npy", "--shape", "3", "--init", "ones")
    assert code == 1
    assert err.startswith("initfast: error: the folder of ") and "does not exist" in err


@pytest.mark.parametrize("shape", ["1000000000x1000000", "3000000000x3000000000"])
def test_too_large_for_the_disk(run, tmp_path, shape):
    rows, columns = map(int, shape.split("x"))
    code, out, err = run("fill", tmp_path / "w.npy", "--shape", shape, "--init", "he_normal")
    assert (code, out) == (1, "")
    assert f"not enough space on the disk: {rows * columns * 4 + 128:,} bytes needed, " in err
    assert re.search(r"[0-9,]+ available: '.*'\n$", err)
    assert names(tmp_path) == []


def test_a_warning_is_one_line(run, tmp_path):
    code, _, err = run(
        "fill", tmp_path / "w.npy", "--shape", "2000000x2", "--init", "he_normal", "--seed", "1"
    )
    assert code == 0
    assert re.search(r"^initfast: warning: the fan_in of .*2000000.*$", err, re.M)
    assert ".py:" not in err


def test_a_disk_error_half_way(run_here, tmp_path, monkeypatch):
    def break_down(descriptor, data, offset):
        if offset > 0:
            raise OSError(5, "Input/output error")
        return len(data)

    monkeypatch.setattr(os, "pwrite", break_down)
    code, out, err = run_here("fill", tmp_path / "w.npy", "--shape", "5000", "--init", "he_normal")
    message = f"initfast: error: Input/output error: '{tmp_path}/w.npy.partial'\n"
    assert (code, out, err) == (1, "", message)
    assert names(tmp_path) == []


def test_the_system_may_take_less_at_a_time(run_here, tmp_path, monkeypatch):
    real = os.pwrite
    monkeypatch.setattr(
        os, "pwrite", lambda descriptor, data, offset: real(descriptor, bytes(data[:777]), offset)
    )
    run_here("fill", tmp_path / "w.npy", "--shape", "5000", "--init", "he_normal", "--seed", 1)
    monkeypatch.undo()
    np.testing.assert_array_equal(np.load(tmp_path / "w.npy"), ift.HeNormal(seed=1)((5000,)))


def test_out_of_memory(run_here, tmp_path, monkeypatch):
    def refuse(*_):
        raise MemoryError

    monkeypatch.setattr(chunks.buffers, "empty", refuse)
    code, _, err = run_here("fill", tmp_path / "w.npy", "--shape", "5", "--init", "he_normal")
    assert (code, err) == (1, "initfast: error: out of memory\n")
    assert names(tmp_path) == []


# ---- Ctrl-C, the terminal, memory


# Each chunk is slowed down, so that a signal comes in the middle on any machine. A shell may have
# started these tests with the signal ignored.
SLOW = """
import signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)
from initfast.files import chunks
real = chunks.Maker.make
chunks.Maker.make = staticmethod(lambda *arguments: (time.sleep(0.2), real(*arguments))[1])
"""


def test_ctrl_c_before_anything_is_written(run_here, tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(writer, "check_space", interrupt)
    code, out, err = run_here("fill", tmp_path / "w.npy", "--shape", "9", "--init", "ones")
    assert (code, out) == (130, "")
    assert err == "initfast: error: interrupted; nothing was kept\n"
    assert names(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_is_interrupted_is_resumed(run, tmp_path, number):
    out = tmp_path / "w.npy"
    arguments = ("--shape", "2000x2000", "--init", "he_normal", "--sha256")
    process = spawn(
        "fill", out, *arguments, code=SLOW, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    waiting = tmp_path / "w.npy.partial"
    while process.poll() is None and not (waiting.exists() and any(waiting.read_bytes()[128:999])):
        time.sleep(0.01)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=60)
    assert stdout == ""
    assert names(tmp_path) == ["w.npy.partial"]
    seed = "7"
    if number == signal.SIGINT:
        assert process.returncode == 130
        # The seed was random: the message contains it.
        seed = re.fullmatch(r".*rerun with --resume --seed (\d+)\n", stderr)[1]
    again = "--resume" if number == signal.SIGINT else "--force"
    code, line, err = run("fill", out, *arguments, "--seed", seed, again)
    assert (code, err) == (0, "")
    _, undisturbed, _ = run("fill", tmp_path / "w2.npy", *arguments, "--seed", seed)
    assert out.read_bytes() == (tmp_path / "w2.npy").read_bytes()
    assert re.sub(r"^.*in .* GB/s", "", line) == re.sub(r"^.*in .* GB/s", "", undisturbed)


@pytest.mark.parametrize(
    ("init", "arguments", "code"),
    [
        ("he_normal", [], 2),
        ("he_normal", ["--seed", 1], 0),
        ("ones", [], 0),
        (NORMAL_JSON, [], 2),
        (NORMAL_JSON.replace("0.02", '0.02, "seed": 3'), [], 0),
        (
            NORMAL_JSON.replace(
                "0.02", '0.02, "seed": {"class_name": "SeedGenerator", "config": {}}'
            ),
            [],
            2,
        ),
    ],
)
@pytest.mark.parametrize("name", ["w.npy", "w.bin", "w.safetensors"])
def test_resume_needs_a_seed(run, tmp_path, init, arguments, code, name):
    more = ["--tensor", "a"] if name == "w.safetensors" else []
    actual, _, err = run(
        "fill", tmp_path / name, "--shape", "5", "--init", init, "--resume", *arguments, *more
    )
    assert actual == code
    assert ("--resume needs --seed" in err) == bool(code)
    assert names(tmp_path) == ([] if code else [name])


def test_a_partial_of_another_write_is_refused(run, tmp_path):
    arguments = ("fill", tmp_path / "w.npy", "--shape", "50x40", "--init", "he_normal")
    run(*arguments, "--seed", 1)
    (tmp_path / "w.npy").rename(tmp_path / "w.npy.partial")
    for more, message in (
        (("--seed", 2, "--resume"), "w.npy.partial' belongs to another write"),
        (("--seed", 1), "use --resume to complete it, or --force"),
    ):
        code, _, err = run(*arguments, *more)
        assert (code, message in err) == (1, True)
        assert names(tmp_path) == ["w.npy.partial"]
    assert run(*arguments, "--seed", 1, "--resume")[0] == 0
    assert names(tmp_path) == ["w.npy"]


@contextlib.contextmanager
def terminal():
    pty = pytest.importorskip("pty")
    termios = pytest.importorskip("termios")
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    try:
        yield ours, theirs
    finally:
        os.close(ours)


@pytest.mark.parametrize(
    ("name", "value"), [("NCOLS", "x"), ("MININTERVAL", "x"), ("BAR_FORMAT", "{none}")]
)
def test_wrong_variables_of_the_bar(tmp_path, name, value):
    with terminal() as (_, theirs):
        arguments = ("fill", tmp_path / "w.npy", "--shape", "9", "--init", "zeros")
        environment = {**os.environ, f"TQDM_{name}": value}
        process = spawn(*arguments, stdout=subprocess.PIPE, stderr=theirs, env=environment)
        assert process.communicate(timeout=60)[0] == ""
        os.close(theirs)
    assert process.returncode == 2
    assert names(tmp_path) == []


@pytest.mark.parametrize("options", [[], ["--quiet"]])
def test_a_bar_on_a_terminal_unless_quiet(tmp_path, options):
    with terminal() as (ours, theirs):
        arguments = (
            "fill",
            tmp_path / "w.npy",
            "--shape",
            "100x100",
            "--init",
            "he_normal",
            *options,
        )
        process = spawn(*arguments, stdout=subprocess.PIPE, stderr=theirs)
        os.close(theirs)
        output = b""
        with contextlib.suppress(
            OSError
        ):  # Linux ends a terminal whose other side is closed with EIO
            while piece := os.read(ours, 4096):
                output += piece
        stdout, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert stdout.startswith(f"{tmp_path / 'w.npy'}: 40128 bytes in ")
    assert (b"%|" in output) is not bool(options)
    assert not (options and output)


@pytest.mark.long
@pytest.mark.skipif(
    not os.path.exists("/proc/self/status"),
    reason="the memory's high-water mark is read from /proc",
)
def test_memory_does_not_grow_with_the_file(tmp_path):
    peaks = {}
    for rows in (1, 128):
        code = (
            "import atexit, re; atexit.register(lambda: print(re.search(r'VmHWM:\\s+(\\d+)',"
            " open('/proc/self/status').read())[1]))"
        )
        arguments = (
            "fill",
            tmp_path / f"{rows}.npy",
            "--shape",
            f"{rows * 1024}x256",
            "--init",
            "normal",
            "--threads",
            2,
        )
        process = spawn(*arguments, code=code, stdout=subprocess.PIPE)
        stdout, _ = process.communicate(timeout=120)
        assert process.returncode == 0
        peaks[rows] = int(stdout.splitlines()[-1]) * 1024
    assert (tmp_path / "128.npy").stat().st_size == 128 * 2**20 + 128
    # A few chunks of 4 MiB, not the 127 MiB by which the second file is larger.
    assert peaks[128] - peaks[1] < 40 * 2**20


# ---- other formats, rows, and verify


def test_a_raw_file_is_the_data_alone(run, tmp_path):
    for name in ("w.bin", "w.raw"):
        code, line, err = run(
            "fill", tmp_path / name, "--shape", "30x20", "--init", "he_normal", "--seed", 1
        )
        assert (code, err) == (0, "")
        assert ": 2400 bytes in " in line
        assert (tmp_path / name).read_bytes() == ift.HeNormal(seed=1)((30, 20)).tobytes()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float8_e5m2"])
def test_a_safetensors_file_is_drawn_as_a_model_draws_it(run, tmp_path, dtype):
    safetensors = pytest.importorskip("safetensors")
    out = tmp_path / "w.safetensors"
    arguments = (
        "fill",
        out,
        "--shape",
        "30x20",
        "--init",
        "he_normal",
        "--dtype",
        dtype,
        "--tensor",
        "wte.weight",
    )
    code, _, err = run(*arguments, "--seed", 42)
    assert (code, err) == (0, "")
    # The name of the tensor selects the stream.
    expected = ift.HeNormal(seed=ift.Seed(42).named("wte.weight"))((30, 20), dtype)
    assert out.read_bytes().endswith(expected.tobytes())
    with safetensors.safe_open(out, framework="np") as file:
        assert list(file.keys()) == ["wte.weight"]
        assert file.metadata()["format"] == "pt"
        assert json.loads(file.metadata()["initfast"]) == {
            "version": ift.__version__,
            "stream_version": ift.STREAM_VERSION,
            "seed": 42,
        }
    run(*arguments, "--seed", 42, "--name", "other", "--force")
    expected = ift.HeNormal(seed=ift.Seed(42).named("other"))((30, 20), dtype)
    assert out.read_bytes().endswith(expected.tobytes())


def test_integers_and_bools_are_for_what_is_not_random(run, tmp_path):
    assert (
        run("fill", tmp_path / "w.npy", "--shape", "4", "--init", "ones", "--dtype", "int64")[0]
        == 0
    )
    assert np.load(tmp_path / "w.npy").tolist() == [1, 1, 1, 1]
    assert np.load(tmp_path / "w.npy").dtype == np.int64


@pytest.mark.parametrize(
    ("name", "more"), [("w.npy", []), ("w.bin", []), ("w.safetensors", ["--tensor", "a"])]
)
def test_hosts_that_write_rows_of_one_file(run, tmp_path, name, more):
    out, whole = tmp_path / name, tmp_path / f"whole{name}"
    assert (
        run("fill", out, "--shape", "100x7", "--allocate", *more)[1]
        == f"{out}: allocated {out.stat().st_size} bytes (zeros)\n"
    )
    init = ("--shape", "100x7", "--init", "he_normal", "--seed", 3, *more)
    for rows in (":30", "90:", "30:90", "0:5"):
        code, line, err = run("fill", out, "--rows", rows, *init)
        assert (code, err) == (0, "")
        low, high = (
            int(part) if part else end for part, end in zip(rows.split(":"), (0, 100), strict=True)
        )
        assert line.startswith(f"{out}, rows {low}:{high}: {(high - low) * 28} bytes in ")
    run("fill", whole, *init)
    assert out.read_bytes()[-2800:] == whole.read_bytes()[-2800:]
    assert run("verify", out, *init)[0] == 0


def test_rows_go_only_into_a_file_that_has_them(run, tmp_path):
    init = ("--init", "he_normal", "--seed", 3, "--rows", "0:2")
    code, _, err = run("fill", tmp_path / "w.npy", "--shape", "4x3", *init)
    assert (code, err) == (
        1,
        f"initfast: error: No such file or directory: {str(tmp_path / 'w.npy')!r}\n",
    )
    np.save(tmp_path / "w.npy", np.zeros((4, 3), np.float32))
    before = (tmp_path / "w.npy").read_bytes()
    for shape, more, message in (
        ("3x4", (), "must hold <f4 of shape (3, 4); received <f4 of shape (4, 3)"),
        ("4x3", ("--dtype", "float64"), "must hold <f8"),
    ):
        code, _, err = run("fill", tmp_path / "w.npy", "--shape", shape, *init, *more)
        assert code == 1
        assert message in err
    (tmp_path / "w.bin").write_bytes(bytes(47))
    code, _, err = run("fill", tmp_path / "w.bin", "--shape", "4x3", *init)
    assert code == 1
    assert "must hold 48 bytes; received 47 bytes" in err
    assert (tmp_path / "w.npy").read_bytes() == before


@pytest.fixture
def filled(run, tmp_path):
    """Return a folder with a file of each format."""
    arguments = ("--shape", "30x20", "--init", "he_normal", "--seed", 42)
    for name, more in (("w.npy", ()), ("w.bin", ()), ("w.safetensors", ("--tensor", "a"))):
        run("fill", tmp_path / name, *arguments, *more)
    run("fill", tmp_path / "b.npy", *arguments, "--dtype", "bfloat16")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("w.npy", ["--seed", 42]),
        ("w.npy", ["--seed", 42, "--shape", "30x20", "--dtype", "float32", "--threads", 2]),
        ("b.npy", ["--seed", 42]),
        ("w.bin", ["--seed", 42, "--shape", "30x20"]),
        ("w.safetensors", []),
        ("w.safetensors", ["--tensor", "a", "--seed", 42]),
        ("w.safetensors", ["--name", "a"]),
    ],
)
def test_a_file_that_is_as_it_should_be(run, filled, name, arguments):
    code, out, err = run("verify", filled / name, "--init", "he_normal", *arguments)
    assert (code, err) == (0, "")
    size = 1200 if name == "b.npy" else 2400
    assert out == f"{filled / name}: OK: {size} bytes match (seed 42)\n"


@pytest.mark.parametrize(
    ("name", "arguments", "code", "message"),
    [
        (
            "w.npy",
            ["--init", "he_normal", "--seed", 43],
            1,
            "element (0, 0) at byte 128 should be ",
        ),
        (
            "w.npy",
            ["--init", "he_uniform", "--seed", 42],
            1,
            "element (0, 0) at byte 128 should be ",
        ),
        ("w.npy", ["--init", "zeros"], 1, "should be 0.0; found "),
        (
            "w.npy",
            ["--init", "he_normal", "--seed", 42, "--shape", "20x30"],
            1,
            "should be <f4 of shape (20, 30); found",
        ),
        (
            "w.npy",
            ["--init", "he_normal", "--seed", 42, "--dtype", "float64"],
            1,
            "should be <f8 of shape",
        ),
        ("w.npy", ["--init", "he_normal"], 2, "--seed is required"),
        ("w.npy", ["--seed", 42], 2, "--init, --spec or --config is required"),
        (
            "w.npy",
            ["--init", "ones", "--spec", "x.json"],
            2,
            "--init cannot be combined with --spec",
        ),
        ("w.npy", ["--init", "nonsense"], 2, "Could not interpret initializer identifier"),
        (
            "w.npy",
            ["--init", "ones", "--tensor", "a"],
            2,
            "--tensor is for .safetensors files",
        ),
        ("w.bin", ["--init", "he_normal", "--seed", 42], 2, "raw files need --shape"),
        (
            "w.bin",
            ["--init", "ones", "--shape", "3"],
            1,
            "w.bin: the array should be 12 bytes; found 2,400 bytes",
        ),
        (
            "w.safetensors",
            ["--init", "he_normal", "--tensor", "b"],
            1,
            "--tensor must be the name of a tensor in the file ('a'); received 'b'",
        ),
        (
            "w.safetensors",
            ["--init", "he_normal", "--name", "b"],
            1,
            "tensor 'a': element (0, 0) at byte ",
        ),
        ("none.npy", ["--init", "ones"], 1, "No such file or directory"),
        ("w.txt", ["--init", "ones"], 2, "must end in .npy"),
    ],
)
def test_a_file_that_is_not(run, filled, name, arguments, code, message):
    actual, out, err = run("verify", filled / name, *arguments)
    assert (actual, out) == (code, "")
    assert err.startswith("initfast: error: ")
    assert message in err
    assert "Traceback" not in err


def test_a_model_is_compared_with_its_spec(run, tmp_path):
    checkpoint = pytest.importorskip("initfast.checkpoint")
    spec, out = tmp_path / "spec.json", tmp_path / "model"
    tensors = {
        name: {"shape": [30, 20], "dtype": "float32", "init": "he_normal"}
        for name in "abcdefghijkl"
    }
    spec.write_text(json.dumps({"tensors": tensors}))
    checkpoint.save(spec, out, seed=3, max_shard_size=10_000)
    assert len(names(out)) > 3
    for more in ((), ("--seed", 3)):
        code, line, err = run("verify", out, "--spec", spec, *more)
        assert (code, err) == (0, "")
        assert line == f"{out}: OK: 28800 bytes match (seed 3)\n"
    code, line, err = run("verify", out, "--spec", spec, "--seed", 4)
    assert (code, line) == (1, "")
    assert err.count("element (0, 0)") == cli_verify.SHOWN
    assert err.endswith("and 2 more tensors differ\n")
    for path, arguments, expected in (
        (out, ("--tensor", "a"), (2, "--spec cannot be combined with --tensor")),
        (tmp_path / "none", ("--seed", 3), (1, "no such file or folder")),
    ):
        code, _, err = run("verify", path, "--spec", spec, *arguments)
        assert (code, expected[1] in err) == (expected[0], True)


def test_one_changed_bit_is_found_in_its_rows_only(run, filled):
    with open(filled / "w.npy", "r+b") as file:
        file.seek(128 + 4 * (17 * 20 + 3))
        byte = file.read(1)[0]
        file.seek(-1, 1)
        file.write(bytes([byte ^ 1]))
    arguments = ("verify", filled / "w.npy", "--init", "he_normal", "--seed", 42)
    code, _, err = run(*arguments)
    assert code == 1
    assert f"element (17, 3) at byte {128 + 4 * (17 * 20 + 3)} should be " in err
    assert run(*arguments, "--rows", ":17")[0] == 0
    assert run(*arguments, "--rows", "18:")[0] == 0
    assert run(*arguments, "--rows", "17:18")[0] == 1


def test_a_damaged_file_is_an_error_without_a_traceback(run, filled):
    os.truncate(filled / "w.npy", 1000)
    (filled / "w.safetensors").write_bytes(b"\xff" * 100)
    for name in ("w.npy", "w.safetensors"):
        code, out, err = run("verify", filled / name, "--init", "he_normal", "--seed", 42)
        assert (code, out) == (1, "")
        assert err.startswith(f"initfast: error: {filled / name}: ")
        assert "must" in err


# ---- info and the rest


def test_info_says_what_runs_and_why(run):
    code, out, err = run("info")
    assert (code, err) == (0, "")
    for said in (ift.__version__, ift.backends.active(), str(ift.get_num_threads())):
        assert said in out
    for backend in ift.backends.available():
        assert backend in out
    assert re.search(rf"stream.*{ift.STREAM_VERSION}", out)


def test_info_as_json(run):
    code, out, _ = run("info", "--json")
    assert code == 0
    assert json.loads(out) == ift.show_config(mode="dicts")


def test_version_and_help(run):
    assert run("--version") == (0, f"initfast {ift.__version__}\n", "")
    code, out, _ = run("--help")
    assert code == 0
    assert all(command.name in out and command.help in out for command in program.COMMANDS)
    code, out, _ = run("fill", "--help")
    assert code == 0
    assert "50257x768" in out
    assert "Time initfast, NumPy and PyTorch on this machine." in run("bench", "--help")[1]


def test_a_missing_package_is_an_error_without_a_traceback(run_here, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise ImportError(
            "NumPy has no bfloat16 of its own; ml_dtypes brings it: pip install ml_dtypes"
        )

    monkeypatch.setattr(writer, "write", refuse)
    code, _, err = run_here("fill", tmp_path / "w.npy", "--shape", "5", "--init", "he_normal")
    assert code == 1
    assert err.endswith("pip install ml_dtypes\n")
