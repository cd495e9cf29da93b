"""`initfast diagnose` as a user types it."""

import json
import subprocess
import sys

import numpy as np
import pytest
from tiers import sample

from initfast.signal import diagnose


@pytest.fixture
def run(cli):
    """Return a function that runs the command, which must succeed, and returns its output."""
    return lambda *arguments: cli("diagnose", *arguments, check=True).out


@pytest.fixture
def refused(cli):
    """Return a function that runs the command, which must fail, and returns its message."""

    def call(*arguments, code=2):
        result = cli("diagnose", *arguments)
        assert (result.code, result.out) == (code, "")
        return result.err

    return call


def test_the_table_is_that_of_diagnose(run):
    printed = run(
        "--widths",
        "30x20x10",
        "--init",
        "he_normal",
        "--activation",
        "relu",
        "--seed",
        "7",
        "--batch",
        "20",
    )
    assert printed == f"{diagnose([30, 20, 10], 'he_normal', 'relu', seed=7, batch=20)}\n"


def test_defaults(run):
    assert run("--widths", "30x20x10") == f"{diagnose([30, 20, 10])}\n"


def test_every_argument(run, tmp_path):
    x = np.random.default_rng(0).normal(size=(9, 30)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    printed = run(
        "--widths", "30x20x10", "--init", "random_normal(stddev=1)", '{"class_name": "HeNormal"}', "--bias", "ones",
        "--activation", "sigmoid", "--output-activation", "linear", "--inputs", str(tmp_path / "x.npy"), "--json",
    )  # fmt: skip
    first, second = json.loads(printed)
    assert (first["initializer"], second["initializer"]) == ("random_normal(stddev=1)", "he_normal")
    expected = diagnose([30, 20, 10], "he_normal", "sigmoid", "ones", x, output_activation="linear")
    assert second == json.loads(json.dumps(expected.to_dict()))


@pytest.mark.parametrize(
    "inits",
    sample(
        [["he_normal"], ["he_normal", "zeros", "random_normal(stddev=1)"]],
        "one",
        ids=["one", "three"],
    ),
)
def test_a_picture(tmp_path, inits, run, refused):
    pytest.importorskip("matplotlib")
    path = tmp_path / "out.png"
    arguments = (
        "--widths",
        "30x20x10x10",
        "--init",
        *inits,
        "--activation",
        "relu",
        "--plot",
        str(path),
    )
    assert run(*arguments, "--details").count("sigmoid and tanh units") == len(inits)
    picture = path.read_bytes()
    assert picture.startswith(b"\x89PNG") and len(picture) > 10_000
    assert "already exists: use --force" in refused(*arguments, code=1)
    run(*arguments, "--force", "--seed", "5")
    assert path.read_bytes() != picture
    assert [each.name for each in tmp_path.iterdir()] == ["out.png"]


def test_several_initializers_have_a_line_each_the_best_first(run):
    arguments = (
        "--widths",
        "64x64x64x64x10",
        "--activation",
        "ReLU",
        "--init",
        "zeros",
        "he_normal",
    )
    lines = run(*arguments).splitlines()
    words = [line.split()[:2] for line in lines if line.startswith(("GOOD", "UNUSABLE"))]
    assert words == [["GOOD", "he_normal"], ["UNUSABLE", "zeros"]]
    assert "--details" in lines[-1]


def test_claims_by_name(run):
    printed = run("--preset", "zeros", "standard-normal", "lost-gradient")
    assert printed.count("measured: ") == 3
    assert "standard-normal: holds" in printed and "(expected 501)" in printed
    assert "lost-gradient: DOES NOT HOLD" in printed
    (claim,) = json.loads(run("--preset", "he", "--json"))
    assert claim["name"] == "he" and claim["holds"] is True


def test_a_pipe_that_closes_is_no_error():
    command = f"{sys.executable} -m initfast diagnose --widths 30x20x10 --details | head -1"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    assert result.stderr == "" and result.stdout.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--widths or --preset is required"),
        (["--preset", "he", "--widths", "10x5"], "--preset cannot be combined with --widths"),
        (["--preset", "foo"], "a preset must be one of zeros, constants"),
        (
            ["--widths", "1000"],
            "--widths must be two or more numbers joined by 'x', such as 1000x500x500x10; received '1000'",
        ),
        (["--widths", "10x"], "--widths must be two or more"),
        (["--widths", "10x0"], "widths must be at least two integers >= 1"),
        (
            ["--widths", "10x5", "--activation", "foo"],
            "activation must be one of 'linear', 'sigmoid'",
        ),
        (["--widths", "10x5", "--init", "he_norml"], "Did you mean 'he_normal'"),
        (["--widths", "10x5", "--init", "{"], "an initializer must be a name"),
        (["--widths", "10x5", "--bias", "foo"], "Could not interpret initializer"),
        (
            ["--widths", "10x5", "--inputs", "foo"],
            "inputs must be one of 'normal', 'bernoulli', or an array",
        ),
        (["--widths", "10x5", "--batch", "0"], "batch must be an integer >= 1"),
        (["--widths", "10x5", "--batch", "x"], "--batch must be an integer >= 0; received 'x'"),
        (["--widths", "10x5", "--seed", "-1"], "--seed must be an integer >= 0"),
        (
            ["--widths", "10x5", "--plot", "a.txt"],
            "--plot must end in .png, .svg, .pdf; received 'a.txt'",
        ),
    ],
)
def test_wrong_usage(arguments, message, tmp_path, monkeypatch, refused):
    monkeypatch.chdir(tmp_path)
    assert message in refused(*arguments)
    assert not list(tmp_path.iterdir())


def test_inputs_that_cannot_be_read(tmp_path, refused):
    inputs = ("--widths", "10x5", "--inputs")
    assert "no.npy" in refused(*inputs, tmp_path / "no.npy", code=1)
    (tmp_path / "bad.npy").write_bytes(b"nothing of the sort")
    assert "--inputs must be an array in a .npy file" in refused(*inputs, tmp_path / "bad.npy")
    np.save(tmp_path / "wrong.npy", np.zeros((3, 4)))
    assert "of shape (batch, 10)" in refused(*inputs, tmp_path / "wrong.npy")


def test_a_picture_into_a_folder_that_is_not_there(tmp_path, refused):
    message = refused("--widths", "10x5", "--plot", tmp_path / "no" / "out.png", code=1)
    assert "does not exist: create it first" in message
