"""`initfast model`: its output, its files, and its errors."""

import contextlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from places import SPECS

from initfast.files import formats

LLAMA = str(SPECS / "llama_small.json")
SIZE = "21 tensors, 108864 elements"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def initfast(cli, *arguments):
    """Run the command, and return (exit code, stdout without times, stderr)."""
    result = cli("model", *arguments)
    out = re.sub(r"in [0-9.]+ s \([0-9.]+ GB/s\)", "in TIME", result.out)
    return result.code, out, result.err


def names():
    return sorted(str(path) for path in Path().rglob("*") if path.is_file())


def test_a_folder(cli):
    result = initfast(cli, LLAMA, "--out", "llama", "--seed", 42)
    assert result == (0, f"llama: {SIZE}, 217728 bytes in TIME, 1 file, seed 42\n", "")
    assert names() == ["llama/model.safetensors"]


def test_shards_of_a_size(cli):
    result = initfast(cli, LLAMA, "--out", "llama", "--seed", 42, "--max-shard-size", "100KB")
    assert result == (0, f"llama: {SIZE}, 217728 bytes in TIME, 3 files, seed 42\n", "")
    assert names() == [
        *(f"llama/model-0000{n}-of-00003.safetensors" for n in (1, 2, 3)),
        "llama/model.safetensors.index.json",
    ]


def test_a_file_in_another_dtype(cli):
    result = initfast(
        cli,
        LLAMA,
        "--out",
        "m.safetensors",
        "--seed",
        42,
        "--dtype",
        "float32",
        "--threads",
        1,
        "--quiet",
    )
    assert result == (0, f"m.safetensors: {SIZE}, 435456 bytes in TIME, 1 file, seed 42\n", "")
    assert {tensor.dtype for tensor in formats.read("m.safetensors").tensors} == {"F32"}


def test_without_a_seed_one_is_drawn_and_told(cli):
    code, out, _ = initfast(cli, LLAMA, "--out", "a.safetensors")
    seed = int(re.search(r"seed ([0-9]+)\n", out)[1])
    assert code == 0 and formats.seed_of(formats.read("a.safetensors").metadata) == seed
    initfast(cli, LLAMA, "--out", "b.safetensors", "--seed", seed)
    assert Path("a.safetensors").read_bytes() == Path("b.safetensors").read_bytes()


def test_shares(cli):
    size = ("--seed", 42, "--max-shard-size", "100KB")
    initfast(cli, LLAMA, "--out", "alone", *size)
    code, out, err = initfast(cli, LLAMA, "--out", "m", *size, "--shard", "2/2")
    assert (code, err) == (0, "")
    out = re.sub("[0-9]+ bytes in TIME", "BYTES", out)
    line = "BYTES, shard 2/2, 1 of 3 files; other workers have not finished, seed 42"
    assert out == f"m: {SIZE}, {line}\n"
    assert names()[4:] == ["m/model-00002-of-00003.safetensors"]
    code, out, err = initfast(cli, LLAMA, "--out", "m", *size, "--shard", "1/2", "--resume")
    assert (code, err) == (0, "") and "shard 1/2, 2 of 3 files, seed 42" in out
    assert [name.replace("m/", "alone/", 1) for name in names()[4:]] == names()[:4]
    for name in names()[:4]:
        assert Path(name).read_bytes() == Path(name.replace("alone", "m")).read_bytes()


def test_a_worker_without_a_file(cli):
    arguments = (LLAMA, "--out", "m.safetensors", "--seed", 42)
    code, out, err = initfast(cli, *arguments, "--shard", "2/2")
    assert (code, err) == (0, "") and "0 of 1 file; other workers" in out
    assert names() == []
    code, out, err = initfast(cli, *arguments, "--shard", "1/2")
    assert (code, err) == (0, "") and out.endswith("shard 1/2, 1 of 1 file, seed 42\n")


def test_resuming_a_finished_model(cli):
    arguments = (LLAMA, "--out", "m", "--seed", 42, "--max-shard-size", "100KB")
    initfast(cli, *arguments)
    code, out, err = initfast(cli, *arguments, "--resume")
    assert (code, err) == (0, "")
    assert "0 bytes in TIME, 217728 bytes already in place, 3 files" in out


def test_verify(cli):
    initfast(cli, LLAMA, "--out", "llama", "--seed", 42, "--max-shard-size", "100KB")
    result = cli("verify", "llama", "--spec", LLAMA)
    assert (result.code, result.err) == (0, "")
    assert "seed 42" in result.out
    result = cli("verify", "llama", "--spec", LLAMA, "--seed", 43)
    assert result.code == 1
    assert "model.embed_tokens.weight" in result.err


USAGE = [
    (["--out", "m.npy"], "the output must end in .safetensors or be a folder; received 'm.npy'"),
    (["--out", "m.safetensors", "--max-shard-size", "1GB"], "max_shard_size is for folders"),
    (["--out", "m", "--max-shard-size", "1XB"], "max_shard_size must be a number of bytes"),
    (["--out", "m", "--seed", "-1"], "--seed|seed"),
    (["--out", "m", "--seed", "x"], "--seed must be an integer"),
    (["--out", "m", "--dtype", "int8"], "dtype must be one of"),
    (["--out", "m", "--threads", "0"], "thread"),
    (["--out", "m", "--shard", "1/2"], "--shard needs --seed"),
    (["--out", "m", "--resume"], "--resume needs --seed"),
    (["--out", "m", "--config", "c.json"], "--config cannot be combined with SPEC.json"),
    (
        ["--out", "m", "--seed", "1", "--shard", "3/2"],
        "--shard must be K/N with K from 1 to N, such as 2/4; received '3/2'",
    ),
    (["--out", "m", "--seed", "1", "--shard", "0/2"], "--shard must be K/N"),
    (["--out", "m", "--seed", "1", "--shard", "1"], "--shard must be K/N"),
    ([], "the following arguments are required: --out"),
]


@pytest.mark.parametrize(("arguments", "message"), USAGE)
def test_wrong_usage(arguments, message, cli):
    code, out, err = initfast(cli, LLAMA, *arguments)
    assert (code, out) == (2, "") and re.search(message, err), err
    assert names() == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "a spec must be valid JSON"),
        (
            '{"tensors": {"../x": {"shape": [1], "dtype": "float32", "init": "zeros"}}}',
            "have a part '..'; received '../x'",
        ),
        (
            '{"tensors": {"w": {"shape": [1], "dtype": "float32", "init": "zero_"}}}',
            "tensor 'w': Could not interpret",
        ),
        ('{"tensors": {"w": 1, "w": 1}}', "the key 'w' is repeated"),
    ],
)
def test_wrong_specs(text, message, cli):
    Path("spec.json").write_text(text)
    code, out, err = initfast(cli, "spec.json", "--out", "m", "--seed", 1)
    assert (code, out) == (2, "") and message in err
    assert names() == ["spec.json"] and not Path("m").exists()


def test_what_cannot_be_done(cli):
    assert initfast(cli, "none.json", "--out", "m")[::2] == (
        1,
        "initfast: error: No such file or directory: 'none.json'\n",
    )
    code, _, err = initfast(cli, LLAMA, "--out", "none/m")
    assert code == 1 and "the folder of 'none/m' does not exist" in err
    initfast(cli, LLAMA, "--out", "m", "--seed", 1)
    before = Path("m/model.safetensors").read_bytes()
    code, out, err = initfast(cli, LLAMA, "--out", "m", "--seed", 2)
    assert (code, out) == (1, "") and "already exists: use --force" in err
    assert Path("m/model.safetensors").read_bytes() == before
    assert initfast(cli, LLAMA, "--out", "m", "--seed", 2, "--force")[0] == 0
    assert Path("m/model.safetensors").read_bytes() != before
    huge = {"tensors": {"w": {"shape": [2**50], "dtype": "float32", "init": "zeros"}}}
    Path("huge.json").write_text(json.dumps(huge))
    code, _, err = initfast(cli, "huge.json", "--out", "h", "--seed", 1)
    assert code == 1 and "not enough space on the disk" in err and not Path("h").exists()


def test_another_seed_is_not_resumed(cli):
    initfast(cli, LLAMA, "--out", "m", "--seed", 1)
    code, _, err = initfast(cli, LLAMA, "--out", "m", "--seed", 2, "--resume")
    assert code == 1 and "model.safetensors' already exists with other values" in err
    Path("m/model.safetensors").rename("m/model.safetensors.partial")
    code, _, err = initfast(cli, LLAMA, "--out", "m", "--seed", 2, "--resume")
    assert code == 1 and "belongs to another write" in err and "begun with seed 1" in err
    assert initfast(cli, LLAMA, "--out", "m", "--seed", 1, "--resume")[0] == 0
    assert names() == ["m/model.safetensors"]


def test_a_bar_over_all_bytes():
    """The other tests do not run on a terminal."""
    pytest.importorskip("tqdm")
    termios = pytest.importorskip("termios")
    master, slave = os.openpty()
    termios.tcsetwinsize(slave, (24, 80))
    command = [sys.executable, "-m", "initfast", "model", LLAMA, "--out", "m", "--seed", "1"]
    running = subprocess.Popen(command, stderr=slave, stdout=subprocess.PIPE)
    os.close(slave)
    output = b""
    with contextlib.suppress(OSError):  # Linux ends a terminal whose other side is closed with EIO
        while piece := os.read(master, 4096):
            output += piece
    os.close(master)
    running.communicate()
    assert running.returncode == 0
    assert b"/218k" in output
