"""Hostile or senseless input gives one short message and exit code 1 or 2, and nothing is written."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

import initfast as ift

DIGITS = "9" * 5000
EVIL = "x\n\x1b[31m" * 5000
CONSTANT = '{"class_name": "Constant", "config": {"value": %s}}'


@pytest.fixture
def refused(cli, tmp_path):
    """Return a function that runs a command that must fail, and returns its exit code and message."""

    def call(*arguments, env=None, input=b"", timeout=20):
        before = sorted(os.listdir(tmp_path))
        result = cli(*arguments, cwd=tmp_path, env=env, input=input, timeout=timeout)
        assert result.code in (1, 2)
        assert result.out == ""
        message, *rest = result.err.splitlines()
        assert len(rest) <= 1  # the second line says how to get help
        assert message.startswith("initfast: error: ")
        assert len(message) < 1000
        assert message.isprintable()
        assert sorted(os.listdir(tmp_path)) == before
        return result.code, message

    return call


SPEC = {"tensors": {"a": {"shape": [4], "dtype": "float32", "init": "zeros"}}}


def spec_of(**changes):
    return {"tensors": {"a": {**SPEC["tensors"]["a"], **changes}}}


@pytest.mark.parametrize(
    "arguments",
    [
        ["verify", "NAME.npy", "--init", "zeros"],
        ["verify", "NAME.safetensors", "--init", "zeros"],
        ["verify", "NAME.bin", "--init", "zeros", "--shape", "4"],
        ["verify", "NAME.safetensors", "--spec", "spec.json"],
        ["verify", "folder", "--spec", "spec.json"],
        ["model", "NAME.json", "--out", "m", "--seed", "1"],
        ["model", "spec.json", "--out", "NAME.safetensors", "--seed", "1", "--resume"],
        ["fill", "NAME.npy", "--shape", "4", "--init", "zeros", "--force"],
        ["fill", "NAME.npy", "--shape", "4", "--init", "zeros", "--resume"],
        ["fill", "NAME.npy", "--shape", "4", "--init", "zeros", "--rows", "0:2"],
        ["diagnose", "--widths", "4x4", "--inputs", "NAME.npy"],
    ],
    ids=lambda arguments: " ".join(arguments),
)
@pytest.mark.parametrize("kind", ["fifo", "zero"])
def test_fifos_and_devices(refused, tmp_path, arguments, kind):
    (tmp_path / "spec.json").write_text(json.dumps(SPEC))
    (tmp_path / "folder").mkdir()
    names = [f"NAME{suffix}" for suffix in (".npy", ".safetensors", ".bin", ".json")]
    for name in [*names, "folder/model.safetensors.index.json"]:
        os.mkfifo(tmp_path / name) if kind == "fifo" else (tmp_path / name).symlink_to("/dev/zero")
    code, message = refused(*arguments)
    assert code == 1
    assert "must be a regular file; received" in message


@pytest.mark.parametrize(
    "arguments",
    [
        ["fill", "w.npy", "--shape", DIGITS, "--init", "zeros"],
        ["fill", "w.npy", "--shape", "4", "--init", "zeros", "--threads", DIGITS],
        ["fill", "w.npy", "--shape", "4", "--init", "he_normal", "--seed", DIGITS],
        ["fill", "w.npy", "--shape", "4", "--init", "zeros", "--rows", f"0:{DIGITS}"],
        ["fill", "w.npy", "--shape", "4", "--init", f"random_normal(stddev={DIGITS})"],
        ["fill", "w.npy", "--shape", "4", "--init", CONSTANT % DIGITS],
        ["verify", "w.npy", "--init", "zeros", "--seed", DIGITS],
        ["bench", "--size", DIGITS],
        ["bench", "--size", "99999999999999999999999G"],
        ["bench", "--size", "999999999G"],
        ["bench", "--threads", DIGITS],
        ["bits", "--seed", DIGITS],
        ["bits", "--seed", "1", "--bytes", DIGITS],
        ["model", "spec.json", "--out", "m", "--seed", "1", "--max-shard-size", DIGITS],
        ["model", "spec.json", "--out", "m", "--seed", "1", "--shard", f"1/{DIGITS}"],
        ["diagnose", "--widths", f"4x{DIGITS}"],
        ["diagnose", "--widths", "4x4", "--seed", DIGITS],
        ["diagnose", "--widths", "4x4", "--batch", DIGITS],
    ],
    ids=lambda arguments: " ".join(arguments)[:60],
)
def test_huge_numbers(refused, tmp_path, arguments):
    (tmp_path / "spec.json").write_text(json.dumps(SPEC))
    refused(*arguments)


@pytest.mark.parametrize(
    ("env", "code"),
    [
        ({"INITFAST_BACKEND": "\udcff\n\x1b[31m"}, 2),
        ({"INITFAST_BACKEND": EVIL}, 2),
        ({"INITFAST_NUM_THREADS": "\udcff"}, 2),
        ({"INITFAST_NUM_THREADS": DIGITS}, 2),
        ({"INITFAST_NUM_THREADS": "²"}, 2),
    ],
)
def test_garbage_in_variables(refused, cli, env, code):
    assert refused("info", env=env)[0] == code
    assert cli("--help", env=env).code == 0


@pytest.mark.parametrize("value", [DIGITS, "\udcff", EVIL, "²"])
def test_garbage_in_the_variable_of_others_is_left_to_them(cli, value):
    result = cli("info", env={"OMP_NUM_THREADS": value})
    assert (result.code, result.err) == (0, "")
    assert len(result.out) < 3000


@pytest.mark.parametrize(
    "init",
    [
        CONSTANT % ("[" * depth + "1" + "]" * depth) for depth in (100, 900, 980, 5000)
    ] + [
        '{"class_name": %s}' % ("[" * depth + "1" + "]" * depth) for depth in (900, 960, 980, 990)
    ] + [
        CONSTANT % '{"class_name": "__numpy__"}',
        CONSTANT % '{"class_name": "__numpy__", "config": 3}',
        CONSTANT % '{"class_name": "__numpy__", "config": {"dtype": "int8"}}',
        CONSTANT % '{"class_name": "__numpy__", "config": {"value": 1}}',
        CONSTANT % '{"class_name": "__numpy__", "config": {"value": {"a": 1}, "dtype": "int8"}}',
        CONSTANT % '{"class_name": "__numpy__", "config": {"value": [1, [2]], "dtype": "int8"}}',
        CONSTANT % '{"class_name": "__numpy__", "config": {"value": 300, "dtype": "int8"}}',
        CONSTANT % '{"class_name": "__numpy__", "config": {"value": 1, "dtype": "O"}}',
        EVIL,
        f"{EVIL}(a=1)",
        json.dumps({"class_name": EVIL}),
        json.dumps({"class_name": "VarianceScaling", "config": {"mode": EVIL}}),
        json.dumps({"class_name": "VarianceScaling", "config": {EVIL: 1}}),
        json.dumps({"class_name": "STFT", "config": {"window": EVIL}}),
        json.dumps({"class_name": "HeNormal", "config": {"seed": EVIL}}),
    ],
    ids=lambda init: init[:70],
)  # fmt: skip
def test_initializers(refused, tmp_path, init):
    code, message = refused("fill", "w.npy", "--shape", "4", "--init", init)
    assert code == 2
    assert message.count("'") != 2 or len(message) > 40  # more than the name of a key
    (tmp_path / "spec.json").write_text(json.dumps(spec_of(init=init)))
    refused("model", "spec.json", "--out", "m", "--seed", "1")


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(spec_of(shape=EVIL)),
        json.dumps(spec_of(dtype=EVIL)),
        json.dumps(spec_of(stream=EVIL)),
        json.dumps(spec_of(fixed_rows=[[EVIL]])),
        json.dumps({"tensors": {EVIL: SPEC["tensors"]["a"]}}),
        json.dumps({EVIL: 1}),
        json.dumps({"tensors": {"a": {EVIL: 1}}}),
        f'{{"tensors": {{{json.dumps(EVIL)}: 1, {json.dumps(EVIL)}: 2}}}}',
        '{"a":' * 60_000,
        '{"a":' * 960 + "1" + "}" * 960,
        f'{{"tensors": {DIGITS}}}',
        "{" + ",".join(['"a": 1'] * 80_000) + "}",
        "\udcff",
        "",
    ],
    ids=lambda text: text[:50],
)  # fmt: skip
def test_specs(refused, tmp_path, text):
    (tmp_path / "spec.json").write_bytes(text.encode(errors="surrogateescape"))
    refused("model", "spec.json", "--out", "m", "--seed", "1")
    refused("verify", "spec.json", "--spec", "spec.json", "--seed", "1")


def test_warnings_as_errors(refused):
    init = "random_normal(stddev=1e-9)"  # all values are 0 in float8
    arguments = ["fill", "w.bin", "--shape", "9", "--dtype", "float8_e4m3fn", "--init", init]
    code, message = refused(*arguments, env={"PYTHONWARNINGS": "error"})
    assert code == 1
    assert "a warning is treated as an error" in message


def test_names_and_options(refused):
    for arguments in (
        [EVIL],
        ["fill", EVIL],
        ["fill", f"{EVIL}.npy", "--shape", EVIL, "--init", "zeros"],
        ["fill", "w.npy", "--shape", "4", "--init", "zeros", "--dtype", EVIL],
        ["fill", "w.npy", "--shape", "4", "--init", "zeros", "--rows", EVIL],
        ["fill", "w.npy", "--shape", "4", "--init", "zeros", f"--{EVIL}"],
        ["verify", EVIL, "--init", "zeros"],
        ["diagnose", "--widths", "4x4", "--activation", EVIL],
        ["bench", "--libraries", EVIL],
        ["bits", "--seed", EVIL],
    ):
        refused(*arguments)


def test_an_output_needs_a_name(refused, tmp_path):
    (tmp_path / "spec.json").write_text(json.dumps(SPEC))
    assert "must have a name" in refused("model", "spec.json", "--out", "", "--seed", "1")[1]
    refused("fill", "", "--shape", "4", "--init", "zeros")


def test_rows_of_an_array_without_dims(refused, tmp_path):
    np.save(tmp_path / "w.npy", np.float32(0))
    assert "--rows" in refused("verify", "w.npy", "--init", "zeros", "--rows", "0:1")[1]


def test_a_dtype_that_the_format_does_not_have(refused, tmp_path):
    np.save(tmp_path / "w.npy", np.zeros(4, np.uint8))
    code, message = refused("verify", "w.npy", "--init", "zeros", "--dtype", "float8_e5m2")
    assert code == 2
    assert "numpy.load cannot read float8_e5m2" in message


NO_THREADS = """
import sys, threading
from initfast.cli import main
def refuse(self):
    raise RuntimeError("can't start new thread")
threading.Thread.start = refuse
sys.exit(main())
"""


def test_no_thread_can_be_started(tmp_path):
    arguments = ["fill", tmp_path / "w.npy", "--shape", "3000x700", "--init", "he_normal", "--seed"]
    process = subprocess.run(
        [sys.executable, "-c", NO_THREADS, *arguments, "1"], capture_output=True, text=True
    )
    assert (process.returncode, process.stderr) == (0, "")
    np.testing.assert_array_equal(np.load(tmp_path / "w.npy"), ift.HeNormal(seed=1)((3000, 700)))


def test_saving_at_exit(tmp_path):
    code = (
        "import atexit, sys, initfast\nfrom initfast import checkpoint\n"
        "atexit.register(lambda: checkpoint.save(eval(sys.argv[1]), sys.argv[2], seed=1))"
    )
    out = tmp_path / "m.safetensors"
    process = subprocess.run(
        [sys.executable, "-c", code, repr(SPEC), out], capture_output=True, text=True
    )
    assert process.stderr == ""
    assert out.exists()


def test_no_thread_can_be_started_to_write_and_verify_a_model(tmp_path):
    spec, out = tmp_path / "spec.json", tmp_path / "m.safetensors"
    spec.write_text(json.dumps(spec_of(shape=[3000, 700], init="he_normal")))
    for arguments in (["model", spec, "--out", out], ["verify", out, "--spec", spec]):
        done = subprocess.run(
            [sys.executable, "-c", NO_THREADS, *arguments, "--seed", "1"],
            capture_output=True,
            text=True,
        )
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("command", ["compare", "diagnose"])
@pytest.mark.parametrize(
    "init",
    [
        CONSTANT % ("[" * 5000 + "1" + "]" * 5000),
        CONSTANT % '{"class_name": "__numpy__"}',
        CONSTANT % '{"class_name": "__numpy__", "config": {"dtype": "int8"}}',
        CONSTANT % '{"class_name": "__numpy__", "config": {"value": 1e30, "dtype": "int8"}}',
    ],
    ids=["nested", "no config", "no value", "too large"],
)
def test_initializers_of_a_network(refused, tmp_path, command, init):
    if command == "compare":
        pytest.importorskip("threadpoolctl")
        np.savez(tmp_path / "w.npz", x=np.arange(80.0).reshape(40, 2) % 7, y=np.arange(40) % 2)
    options = {"compare": ["--data", "w.npz"], "diagnose": ["--widths", "4x4x4"]}[command]
    assert refused(command, *options, "--init", init)[0] == 2
