"""The READMEs' Python blocks run, and their sessions show the real output."""

import doctest
import importlib.util
import os
import re
from pathlib import Path

import pytest
from readmes import READMES, ROOT, blocks, enter, session

import initfast

ENGINES = ("torch", "keras", "jax", "dask", "zarr", "transformers")


def without_times(text):
    """Replace times, and remove lines that depend on the machine."""
    text = re.sub(r"in [0-9.]+ s \([0-9.]+ GB/s\)", "in TIME", text)
    return "" if text.startswith("initfast ") else text


def missing(block):
    """Return the engines that a block imports and that are not installed."""
    imported = {name for name in ENGINES if re.search(rf"\bimport {name}\b|\bfrom {name}\b", block)}
    return [name for name in imported if importlib.util.find_spec(name) is None]


@pytest.mark.parametrize("readme", [name for name in READMES if blocks(name, "python")])
def test_python_blocks(readme, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # Keras' default is tensorflow, which these tests do not need.
    monkeypatch.setenv("KERAS_BACKEND", os.environ.get("KERAS_BACKEND", "jax"))
    names: dict[str, object] = {}
    for number, block in enumerate(blocks(readme, "python")):
        if block.startswith("# "):  # a separate program, which test_recipes.py runs
            continue
        if missing(block):
            continue
        if ">>>" not in block:
            try:
                exec(compile(block, f"{readme}, Python block {number}", "exec"), names)
            except NameError as error:
                # The block continues one whose engine is not installed.
                if error.name not in ("torch", "keras", "fast"):
                    raise
            continue
        test = doctest.DocTestParser().get_doctest(
            block + "\n", names, f"{readme}, block {number}", readme, 0
        )
        runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
        report: list[str] = []
        runner.run(test, out=report.append, clear_globs=False)
        assert runner.failures == 0, "".join(report)
        names = test.globs


@pytest.mark.parametrize(
    "block", [block for readme in READMES for block in blocks(readme, "console")]
)
def test_console_sessions(block, tmp_path, monkeypatch, cli):
    monkeypatch.chdir(tmp_path)
    enter(tmp_path)
    for arguments, expected in session(block):
        assert expected, "a session must show its output"
        result = cli(*arguments, check=True)
        assert without_times(result.out) == without_times(expected)


def test_both_commands_are_single_lines():
    commands = [line for block in blocks("README.md", "sh") for line in block.splitlines()]
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
    variables = set()
    package = Path(initfast.__file__).parent
    for path in (ROOT / "setup.py", *package.rglob("*.py"), *ROOT.glob("tests/trust/*.py")):
        variables |= set(
            re.findall(
                r"""environ(?:ment)?(?:\.get\(|\[)["'](INITFAST_\w+)""",
                path.read_text(encoding="utf-8"),
            )
        )
    assert len(variables) > 2
    table = READMES["initfast/README.md"]
    assert variables == set(re.findall(r"^\| `(INITFAST_\w+)(?:=1)?` \|", table, re.MULTILINE))


def anchors(text):
    """Return the anchors of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in headings}


@pytest.mark.parametrize("readme", READMES)
def test_every_link_has_a_target(readme):
    for target, anchor in re.findall(r"\]\(([^)#:]*)(?:#([\w-]+))?\)", READMES[readme]):
        path = ((ROOT / readme).parent / target).resolve() if target else ROOT / readme
        assert path.exists(), target
        if anchor:
            assert anchor in anchors(path.read_text(encoding="utf-8")), f"{target}#{anchor}"


def test_these_tests_can_fail():
    runner = doctest.DocTestRunner()
    runner.run(
        doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "wrong", None, 0),
        out=lambda _: None,
    )
    assert runner.failures == 1
    assert list(session("$ initfast info\nnot so\n$ ls\n")) == [(["info"], "not so\n")]
