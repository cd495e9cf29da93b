"""`initfast info`, and the effect of wrong variables on every command and on the library."""

import json
import os
import subprocess
import sys

import pytest

import initfast as ift
from initfast.cli.program import COMMANDS


def rows(result):
    return dict(line.split(None, 1) for line in result.out.splitlines())


def test_the_rows(cli):
    result = cli("info", check=True)
    assert result.err == ""
    assert rows(result)["version"].strip() == ift.__version__
    best = ift.backends.available()[-1]
    assert rows(result)["backend"] == f"{best} (best available on this CPU)"
    assert rows(result)["available"] == ", ".join(ift.backends.available())


def test_json_is_the_same_as_show_config(cli):
    assert json.loads(cli("info", "--json", check=True).out) == ift.show_config(mode="dicts")


def test_the_variable_chooses_the_backend(cli):
    result = cli("info", env={"INITFAST_BACKEND": "portable"}, check=True)
    assert rows(result)["backend"] == "portable (INITFAST_BACKEND)"


BACKENDS = ", ".join(map(repr, ift.backends.available()))
WRONG_BACKEND = f"INITFAST_BACKEND must be one of {BACKENDS}; received 'xyz'"
ARGUMENTS = {
    "fill": ["w.npy", "--shape", "5", "--init", "ones"],
    "verify": ["w.npy", "--init", "ones"],
    "model": ["spec.json", "--out", "m"],
    "diagnose": ["--widths", "4x4"],
    "bits": ["--seed", "1"],
}


@pytest.mark.parametrize("command", ["fill", "info"])
def test_a_wrong_backend_is_one_line(cli, tmp_path, command):
    arguments = ARGUMENTS.get(command, [])
    result = cli(command, *arguments, cwd=tmp_path, env={"INITFAST_BACKEND": "xyz"})
    assert (result.code, result.out, list(tmp_path.iterdir())) == (2, "", [])
    assert result.err == f"initfast: error: {WRONG_BACKEND}\n"


@pytest.mark.parametrize("command", [row.name for row in COMMANDS])
def test_a_wrong_number_of_threads_is_one_line(cli, tmp_path, monkeypatch, command):
    monkeypatch.setenv("INITFAST_NUM_THREADS", "xyz")
    result = cli(command, *ARGUMENTS.get(command, []), cwd=tmp_path)
    assert (result.code, result.out, list(tmp_path.iterdir())) == (2, "", [])
    rule = "INITFAST_NUM_THREADS must be an integer from 1 to 1024; received 'xyz'"
    assert result.err == f"initfast: error: {rule}\n"


def test_with_a_wrong_backend_python_imports_initfast_and_fills_nothing():
    code = """if True:
        import initfast as ift
        for call in (
            lambda: ift.HeNormal(seed=1)((3, 3)),
            lambda: ift.random_bits(3),
            lambda: ift.backends.use("portable"),
            lambda: ift.backends.active(),
            lambda: ift.show_config(),
        ):
            try:
                call()
            except ValueError as error:
                print(error)
    """
    environment = {**os.environ, "INITFAST_BACKEND": "xyz"}
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert result.stdout.splitlines() == [WRONG_BACKEND] * 5
