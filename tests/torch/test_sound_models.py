"""Sound models pass, and broken ones fail for the expected reason: the table of
initfast/signal/README.md."""

from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import sound_and_broken
from sound_and_broken import CASES, HEAD, as_planted, row, verdict

README = Path(__file__).parents[2] / "initfast" / "signal" / "README.md"
QUICK = {"MLP 32 to 1024", "Depthwise separable", "Residual MLP", "LSTM"}


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(
            case,
            id=f"{case.model}-{case.version}",
            marks=() if case.model in QUICK else pytest.mark.long,
        )
        for case in CASES
    ],
)
def test_verdicts(case):
    report = verdict(case)
    assert as_planted(case, report), str(report)
    assert row(case, report) in README.read_text(encoding="utf-8").splitlines()


def test_the_readme_has_no_other_rows():
    lines = README.read_text(encoding="utf-8").splitlines()
    start = lines.index(HEAD[0])
    rows = lines[start + 2 : lines.index("", start)]
    assert [line.split("|")[1:3] for line in rows] == [
        [f" {case.model} ", f" {case.version} "] for case in CASES
    ]


def test_another_verdict_would_fail():
    case = next(case for case in CASES if case.version == "He, fan_out for fan_in")
    report = sound_and_broken.verdict(case)
    assert not as_planted(case._replace(level="GOOD", letter=""), report)
    assert not as_planted(case._replace(words="overflows"), report)
