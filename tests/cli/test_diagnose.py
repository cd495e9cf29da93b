"""`initfast diagnose` as a user types it."""

import argparse
import json

import numpy as np
import pytest

from initfast.cli import diagnose as cli_diagnose
from initfast.signal import diagnose


def run(*arguments):
    parser = argparse.ArgumentParser()
    cli_diagnose.add_arguments(parser)
    cli_diagnose.run(parser.parse_args(arguments))


def test_the_table_is_that_of_diagnose(capsys):
    run(
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
    assert (
        capsys.readouterr().out
        == f"{diagnose([30, 20, 10], 'he_normal', 'relu', seed=7, batch=20)}\n"
    )


def test_defaults(capsys):
    run("--widths", "30x20x10")
    assert capsys.readouterr().out == f"{diagnose([30, 20, 10])}\n"


def test_every_argument(capsys, tmp_path):
    x = np.random.default_rng(0).normal(size=(9, 30)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    run(
        "--widths", "30x20x10", "--init", "random_normal(stddev=1)", '{"class_name": "HeNormal"}', "--bias", "ones",
        "--activation", "sigmoid", "--output-activation", "linear", "--inputs", str(tmp_path / "x.npy"), "--json",
    )  # fmt: skip
    first, second = json.loads(capsys.readouterr().out)
    assert (first["initializer"], second["initializer"]) == ("random_normal(stddev=1)", "he_normal")
    expected = diagnose([30, 20, 10], "he_normal", "sigmoid", "ones", x, output_activation="linear")
    assert second == json.loads(json.dumps(expected.to_dict()))


@pytest.mark.parametrize(
    "inits", [["he_normal"], ["he_normal", "zeros", "random_normal(stddev=1)"]]
)
def test_a_picture(tmp_path, inits, capsys):
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
    run(*arguments)
    assert capsys.readouterr().out.count("(a) ") == len(inits)
    made = path.read_bytes()
    assert made.startswith(b"\x89PNG") and len(made) > 10_000
    with pytest.raises(FileExistsError, match="replaced only with --force"):
        run(*arguments)
    assert capsys.readouterr().out == ""
    run(*arguments, "--force", "--seed", "5")
    assert path.read_bytes() != made
    assert [each.name for each in tmp_path.iterdir()] == ["out.png"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--widths", "1000"],
            "--widths must be two or more joined by 'x', such as 1000x500x500x10; received '1000'",
        ),
        (["--widths", "10x"], "--widths must be two or more"),
        (["--widths", "10x0"], "widths must be the number of inputs"),
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
def test_wrong_usage(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(argparse.ArgumentTypeError) as caught:
        run(*arguments)
    assert message in str(caught.value)
    assert capsys.readouterr().out == "" and not list(tmp_path.iterdir())


def test_inputs_that_cannot_be_read(tmp_path):
    with pytest.raises(FileNotFoundError):
        run("--widths", "10x5", "--inputs", str(tmp_path / "no.npy"))
    (tmp_path / "bad.npy").write_bytes(b"nothing of the sort")
    with pytest.raises(
        argparse.ArgumentTypeError, match=r"--inputs must be an array in a \.npy file"
    ):
        run("--widths", "10x5", "--inputs", str(tmp_path / "bad.npy"))
    np.save(tmp_path / "wrong.npy", np.zeros((3, 4)))
    with pytest.raises(argparse.ArgumentTypeError, match=r"array of shape \(batch, 10\)"):
        run("--widths", "10x5", "--inputs", str(tmp_path / "wrong.npy"))


def test_a_picture_into_a_folder_that_is_not_there(tmp_path, capsys):
    with pytest.raises(FileNotFoundError, match="the folder of the file must exist"):
        run("--widths", "10x5", "--plot", str(tmp_path / "no" / "out.png"))
    assert capsys.readouterr().out == ""
