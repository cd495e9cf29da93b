"""`initfast compare`: its output, its files, and its errors before any training."""

import json
import struct
import sys

import numpy as np
import pytest

from initfast.cli import main, program
from initfast.signal import experiment, training
from initfast.signal.comparisons import Comparison

pytest.importorskip("threadpoolctl")

SHORT = [
    "--epochs",
    "2",
    "--seeds",
    "2",
    "--hidden",
    "8x8",
    "--init",
    "he_normal",
    "random_normal(stddev=0.01)",
]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    rng = np.random.default_rng(1)
    y = np.arange(90) % 3
    np.savez(tmp_path / "mine.npz", x=rng.normal(size=(90, 4)) + 2.0 * np.eye(3, 4)[y], y=y)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def fails(cli, folder):
    """Return a function that runs the command, which must end with `code` and a message."""

    def call(arguments, message, code=2):
        result = cli("compare", *arguments)
        assert result.code == code
        assert message in result.err

    return call


def test_table_json_and_picture(folder, cli):
    pytest.importorskip("matplotlib")
    result = cli(
        "compare", "--data", "mine.npz", *SHORT, "--json", "a.json", "--plot", "a.png", check=True
    )
    out = result.out
    assert result.err == "", "no bar if stderr is not a terminal"
    comparison = Comparison.from_dict(json.loads((folder / "a.json").read_text()))
    assert out == f"{comparison}\n"
    assert comparison.widths == (4, 8, 8, 3)
    assert list(comparison.curves) == ["he_normal", "random_normal(stddev=0.01)"]
    assert comparison.curves["he_normal"].train_loss.shape == (2, 3)
    raw = (folder / "a.png").read_bytes()
    assert struct.unpack(">I", raw[16:20]) == (1200,)
    assert sorted(path.name for path in folder.iterdir()) == ["a.json", "a.png", "mine.npz"]


def test_the_options_reach_the_training(folder, cli):
    settings = [
        "--activation",
        "tanh",
        "--batch",
        "9",
        "--learning-rate",
        "0.5",
        "--momentum",
        "0.25",
        "--seed",
        "3",
    ]
    options = ("--bias", "ones", "--json", "-")
    result = cli("compare", "--data", "mine.npz", *SHORT, *settings, *options, check=True)
    report = json.loads(result.out)
    assert report["recipe"] == {"epochs": 2, "batch": 9, "learning_rate": 0.5, "momentum": 0.25}
    assert (report["activation"], report["seed"], report["bias_initializer"]) == ("tanh", 3, "ones")


def test_a_convolutional_network(folder, cli, fails):
    rng = np.random.default_rng(1)
    y = np.arange(60) % 3
    images = rng.normal(size=(60, 6, 5)) + y[:, None, None]
    np.savez(folder / "images.npz", x=images, y=y)
    options = ("--data", "images.npz", *SHORT, "--network", "convolutional", "--json", "-")
    report = json.loads(cli("compare", *options, check=True).out)
    assert (report["network"], report["widths"]) == ("convolutional", [30, 8, 8, 3])
    fails(["--data", "mine.npz", *SHORT, "--network", "convolutional"], "needs images", 2)


def test_the_defaults_are_those_of_the_function():
    parsed = vars(program.build_parser().parse_args(["compare"]))
    recipe = training.Recipe()
    assert parsed["init"] == list(experiment.DEFAULT_INITIALIZERS)
    assert parsed["hidden"] is None
    assert (int(parsed["epochs"]), int(parsed["batch"])) == (recipe.epochs, recipe.batch)
    assert (float(parsed["learning_rate"]), float(parsed["momentum"])) == (
        recipe.learning_rate,
        recipe.momentum,
    )


def test_files_are_replaced_with_force_only(folder, cli, fails):
    pytest.importorskip("matplotlib")
    for name in ("a.json", "a.png"):
        (folder / name).write_text("old")
        option = "--json" if name.endswith("json") else "--plot"
        fails(
            ["--data", "mine.npz", *SHORT, option, name],
            "already exists: use --force",
            code=1,
        )
        assert (folder / name).read_text() == "old"
        cli("compare", "--data", "mine.npz", *SHORT, option, name, "--force", check=True)
        assert (folder / name).stat().st_size > 1000


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        (["--activation", "swishh"], "activation must be one of 'linear', ", 2),
        (["--init", "he_norml"], "Did you mean 'he_normal'?", 2),
        (
            ["--init", "random_normal(sd=1)"],
            "the config of RandomNormal takes 'mean', 'stddev', 'seed'; received 'sd'",
            2,
        ),
        (["--init", "zeros", "zeros"], "received 'zeros' twice", 2),
        (
            ["--data", "mnist"],
            "data must be one of 'digits', 'breast_cancer', the path of a .npz file",
            2,
        ),
        (["--data", "none.npz"], "No such file", 1),
        (
            ["--hidden", "64,64"],
            "--hidden must be widths joined by 'x', such as 64x64x64; received '64,64'",
            2,
        ),
        (["--hidden", "0"], "hidden must be an integer >= 1; received 0", 2),
        (["--seeds", "x"], "--seeds must be an integer >= 0; received 'x'", 2),
        (["--seeds", "0"], "seeds must be an integer >= 1; received 0", 2),
        (["--epochs", "-1"], "--epochs must be", 2),
        (["--learning-rate", "fast"], "--learning-rate must be a number; received 'fast'", 2),
        (["--learning-rate", "-1"], "learning_rate must be > 0", 2),
        (["--momentum", "1"], "momentum must lie in [0, 1)", 2),
        (["--plot", "a.gif"], "--plot must end in .png, .svg, .pdf; received 'a.gif'", 2),
        (["--plot", "none/a.png"], "the folder of 'none/a.png' does not exist", 1),
        (["--json", "."], "the output must be a file, not a folder", 1),
    ],
)
def test_wrong_usage_comes_before_any_training(arguments, message, code, folder, fails):
    endless = ("--epochs", "1000000000")
    fails(["--data", "mine.npz", *SHORT, *endless, *arguments], message, code)
    assert sorted(path.name for path in folder.iterdir()) == ["mine.npz"]


def test_a_missing_matplotlib_is_said_before_the_training(folder, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    endless = ("--epochs", "1000000000")
    assert main(["compare", "--data", "mine.npz", *SHORT, *endless, "--plot", "a.png"]) == 1
    assert "pip install 'initfast[plot]'" in capsys.readouterr().err


def test_the_bar_on_a_terminal(folder, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert main(["compare", "--data", "mine.npz", *SHORT]) == 0
    assert "/4" in capsys.readouterr().err, "two initializers of two epochs each"
    assert main(["compare", "--data", "mine.npz", *SHORT, "--quiet"]) == 0
    assert capsys.readouterr().err == ""


def test_a_locale_without_letters(folder, cli):
    """The table has a plus-minus sign."""
    env = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    env["PYTHONIOENCODING"] = "ascii:strict"
    result = cli("compare", "--data", "mine.npz", *SHORT, env=env)
    assert (result.code, result.err) == (0, "")
    assert r"\xb1" in result.out
    assert result.out.isascii()
