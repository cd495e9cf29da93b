"""The framework of tests/trust: the README shows every stored row and every missed goal."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import initfast

TRUST = Path(__file__).parent


def module(name: str) -> ModuleType:
    """Import a module of tests/trust, which is not on the path of the suite."""
    sys.path.insert(0, str(TRUST))
    try:
        spec = importlib.util.spec_from_file_location(name, TRUST / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        loaded = importlib.util.module_from_spec(spec)
        sys.modules[name] = loaded
        spec.loader.exec_module(loaded)
        return loaded
    finally:
        sys.path.remove(str(TRUST))


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return rows.py with a temporary folder for results."""
    monkeypatch.setitem(sys.modules, "rows", None)
    module_of_rows = module("rows")
    monkeypatch.setattr(module_of_rows, "RESULTS", tmp_path / "results")
    return module_of_rows


@pytest.fixture
def evidence(rows: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """Return evidence.py with two invented parts and a temporary README."""
    monkeypatch.setitem(sys.modules, "evidence", None)
    module_of_parts = module("evidence")
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{rows.BEGIN}\nold\n{rows.END}\nafter\n")
    monkeypatch.setattr(module_of_parts, "write", lambda sections: rows.write(sections, readme))
    for name, met in (("good", True), ("bad", False)):
        part = ModuleType(f"part_{name}")
        part.run = lambda quick, name=name, met=met: [
            rows.Row(f"{name} a|b", "0", "1" if quick else "2", met)
        ]
        monkeypatch.setitem(sys.modules, f"part_{name}", part)
    monkeypatch.setattr(
        module_of_parts,
        "PARTS",
        [module_of_parts.Part(name, f"part_{name}", f"About {name}") for name in ("good", "bad")],
    )
    return module_of_parts


def test_a_part_is_stored_and_shown(evidence: ModuleType, rows: ModuleType, tmp_path: Path) -> None:
    assert evidence.main(["good", "--write"]) == 0
    stored = json.loads((tmp_path / "results" / "good.json").read_text())
    assert stored["rows"] == [
        {"what": "good a|b", "goal": "0", "measured": "2", "met": True, "command": ""}
    ]
    assert set(stored) == {"part", "date", "minutes", "machine", "rows"}
    assert {"cpu", "python", "backends"} <= set(stored["machine"])
    text = (tmp_path / "README.md").read_text()
    assert text.startswith(
        f"before\n{rows.BEGIN}\n## About good\n`python tests/trust/evidence.py good`"
    )
    assert "| good a\\|b | 0 | 2 | yes |\n" in text
    assert text.endswith(f"{rows.END}\nafter\n")
    assert "About bad" not in text


def test_a_missed_goal_is_printed_and_shown(
    evidence: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert evidence.main(["all", "--write"]) == 1
    assert "missed goal: bad a|b: 2 (goal: 0)" in capsys.readouterr().out
    assert "| bad a\\|b | 0 | 2 | **no** |\n" in (tmp_path / "README.md").read_text()


def test_quick_stores_nothing(
    evidence: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert evidence.main(["good", "--quick"]) == 0
    assert not (tmp_path / "results").exists()
    assert "| good a\\|b | 0 | 1 | yes |" in capsys.readouterr().out


def test_stored_rows_are_shown_without_a_run(evidence: ModuleType, tmp_path: Path) -> None:
    evidence.main(["good"])
    assert "old" in (tmp_path / "README.md").read_text()
    assert evidence.main(["--write"]) == 0
    assert "About good" in (tmp_path / "README.md").read_text()


@pytest.mark.parametrize("arguments", [["nothing"], [], ["--quick"], ["good", "nothing"]])
def test_bad_arguments(
    evidence: ModuleType, arguments: list[str], capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit):
        evidence.main(arguments)
    assert "one of good, bad, or all" in capsys.readouterr().err


def test_a_readme_without_markers_is_refused(rows: ModuleType, tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("nothing\n")
    with pytest.raises(ValueError, match="must have the line"):
        rows.write(["x"], readme)
    assert readme.read_text() == "nothing\n"


def test_the_readme_shows_every_stored_result(rows: ModuleType) -> None:
    """README.md was written from the committed results."""
    text = rows.README.read_text()
    stored = sorted((TRUST / "results").glob("*.json"))
    assert stored
    for path in stored:
        for row in json.loads(path.read_text())["rows"]:
            assert rows.table([rows.Row(**row)]).splitlines()[2] in text, (
                f"{path.name}: run evidence.py --write"
            )


def test_every_mutant_can_be_made() -> None:
    """The text to change occurs once, and the test that must notice the change exists."""
    mutants = module("mutants_table").MUTANTS
    root, package = TRUST.parent.parent, Path(initfast.__file__).parent
    assert len(mutants) >= 25
    assert len({mutant.what for mutant in mutants}) == len(mutants)
    for mutant in mutants:
        for file, old, new in [
            (mutant.file, mutant.old, mutant.new),
            *([mutant.also] if mutant.also else []),
        ]:
            path = package.parent / file if file.startswith("initfast/") else root / file
            assert path.read_text().count(old) == 1, f"{mutant.what}: {file}"
            assert old != new
        for killer in mutant.killer.split():
            file, _, name = killer.partition("::")
            assert f"def {name}" in (root / "tests" / file).read_text(), killer


def test_the_command_lists_its_parts() -> None:
    result = subprocess.run(
        [sys.executable, TRUST / "evidence.py", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "bits, float32, float64, dtypes" in " ".join(result.stdout.split())
