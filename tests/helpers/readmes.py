"""Read the READMEs and their blocks, and rewrite the output of their console sessions.

`python tests/helpers/readmes.py` runs every `$ initfast ...` of the console blocks in an empty
folder, and writes the output after it. Set TMPDIR to a memory file system, so that the rates do not
depend on a disk.
"""

import io
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator
from contextlib import chdir, redirect_stdout
from pathlib import Path

ROOT = Path(__file__).parents[2]
READMES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in sorted(
        [
            *ROOT.glob("README.md"),
            *ROOT.glob("benchmarks/README.md"),
            *ROOT.glob("src/README.md"),
            *ROOT.glob("initfast/**/README.md"),
            *ROOT.glob("tests/**/README.md"),
        ]
    )
}
_SESSION = re.compile(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)


def blocks(readme: str, language: str) -> list[str]:
    """Return the blocks of a language in one of the READMES."""
    text = READMES[readme]
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def program(name: str) -> str:
    """Return the Python block whose first line has this file name."""
    programs = [
        block
        for readme in READMES
        for block in blocks(readme, "python")
        if block.startswith(f"# {name}")
    ]
    assert len(programs) == 1, f"the READMEs must have one program {name}"
    return programs[0]


def session(block: str) -> Iterator[tuple[list[str], str]]:
    """Yield (arguments, output) of each `$ initfast ...` in a console block."""
    for command, output in _SESSION.findall(block):
        words = shlex.split(command)
        if words[0] == "initfast":
            yield words[1:], output


def enter(folder: Path) -> None:
    """Make the files in `tests/` available in `folder`, where sessions run."""
    (folder / "tests").symlink_to(ROOT / "tests")


def _with_output(block: str) -> str:
    """Return a console block with the present output of its commands."""
    from initfast.cli import main

    def run(match: re.Match[str]) -> str:
        words, output = shlex.split(match[1]), io.StringIO()
        if words[0] != "initfast":
            return match[0]
        with redirect_stdout(output):
            assert main(words[1:]) in (0, None), match[1]
        return f"$ {match[1]}\n{output.getvalue()}"

    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        enter(Path(folder))
        return _SESSION.sub(run, block)


def _write() -> None:
    os.environ["COLUMNS"] = "100"
    for readme, text in READMES.items():
        changed = re.sub(
            r"(^```console\n)(.*?)(^```)",
            lambda match: match[1] + _with_output(match[2]) + match[3],
            text,
            flags=re.DOTALL | re.MULTILINE,
        )
        if changed != text:
            (ROOT / readme).write_text(changed, encoding="utf-8")
            print(f"{readme}: changed")


if __name__ == "__main__":
    sys.exit(_write())
