"""The README's Python runs and its sessions show what really comes out."""

import doctest
import importlib.util
import os
import re
import shlex
from pathlib import Path

import pytest

import initfast

README = Path(__file__).parent.parent / "README.md"
TEXT = README.read_text(encoding="utf-8")


def blocks(language):
    return [
        match[1]
        for match in re.finditer(rf"^```{language}\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
    ]


def session(text):
    """(arguments, output) of each `$ initfast ...` in a console block."""
    for match in re.finditer(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", text, re.MULTILINE):
        command = shlex.split(match[1])
        if command[0] == "initfast":
            yield command[1:], match[2]


def without_times(text):
    """What a machine's speed and make decide is left out."""
    text = re.sub(r"in [0-9.]+ s \([0-9.]+ GB/s\)", "in TIME", text)
    return "" if text.startswith("initfast 0.") else text


def test_python_blocks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # Keras' own default is tensorflow, which these tests do not need.
    monkeypatch.setenv("KERAS_BACKEND", os.environ.get("KERAS_BACKEND", "jax"))
    names: dict[str, object] = {}
    assert len(blocks("python")) > 5
    for number, block in enumerate(blocks("python")):
        if block.startswith("# "):  # a program of its own: test_recipes.py runs it
            continue
        if "import torch" in block and importlib.util.find_spec("torch") is None:
            continue
        if ">>>" not in block:
            exec(compile(block, f"README.md, Python block {number}", "exec"), names)
            continue
        test = doctest.DocTestParser().get_doctest(
            block + "\n", names, f"README.md, block {number}", "README.md", 0
        )
        runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
        report: list[str] = []
        runner.run(test, out=report.append, clear_globs=False)
        assert runner.failures == 0, "".join(report)
        names = test.globs


@pytest.mark.parametrize("block", blocks("console"))
def test_console_sessions(block, tmp_path, monkeypatch, cli):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tests").symlink_to(
        Path(__file__).parent
    )  # as seen from the repository, where sessions are
    for arguments, expected in session(block):
        assert expected, "a session shows what comes out"
        result = cli(*arguments, check=True)
        assert without_times(result.out) == without_times(expected)


def test_both_commands_are_single_lines():
    commands = [line for block in blocks("sh") for line in block.splitlines()]
    assert [
        line
        for line in commands
        if "initfast fill" in line and line.startswith("python -m pip install .")
    ]
    assert [
        line for line in commands if line.endswith("python -m pytest") and "pip install -e" in line
    ]
    assert len(commands) == 2


def test_every_variable_is_in_the_table():
    root, read = README.parent, set()
    package = Path(initfast.__file__).parent
    for path in (root / "setup.py", *package.rglob("*.py"), *root.glob("tests/trust/*.py")):
        read |= set(
            re.findall(
                r"""environ(?:ment)?(?:\.get\(|\[)["'](INITFAST_\w+)""",
                path.read_text(encoding="utf-8"),
            )
        )
    assert len(read) > 2
    assert read == set(re.findall(r"^\| `(INITFAST_\w+)(?:=1)?` \|", TEXT, re.MULTILINE))


def test_every_file_named_is_there():
    for target in re.findall(r"\]\(([^)#:]+)\)", TEXT):
        assert (README.parent / target).exists(), target


def test_these_tests_can_fail():
    runner = doctest.DocTestRunner()
    runner.run(
        doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "wrong", None, 0),
        out=lambda _: None,
    )
    assert runner.failures == 1
    assert list(session("$ initfast info\nnot so\n$ ls\n")) == [(["info"], "not so\n")]
