"""Tests of the suite as figures of the evidence: how many cases of each test passed."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from rows import ROOT, Row


class Outcome(NamedTuple):
    """Cases of a test, or of several tests."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def row(self, what: str, goal: str, passed: str) -> Row:
        """The row of the table; `passed` is the word for the cases that passed."""
        counts = ((self.passed, passed), (self.failed, "failed"), (self.skipped, "skipped"))
        shown = ", ".join(f"{count:,} {word}" for count, word in counts if count)
        return Row(what, goal, shown or "none ran", self.passed > 0 and not self.failed)


def outcomes(
    files: Iterable[str], only: str = "", *, quick: bool = False, processes: int = 2
) -> dict[str, Outcome]:
    """The outcome of each test function of some files, by its name.

    Args:
        files: their names within tests/.
        only: pytest's -k.
        quick: the default tier alone; otherwise both.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", f"-n{processes}", "-p", "no:cacheprovider"]
        command += ["-m", "not long" if quick else "", f"--junitxml={report}"]
        command += [
            *(["-k", only] if only else []),
            *(str(ROOT / "tests" / file) for file in files),
        ]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            print(done.stdout[-3000:], flush=True)
        cases = list(ElementTree.parse(report).iter("testcase")) if report.exists() else []
    counts: dict[str, Counter[str]] = {}
    for case in cases:
        kinds = {child.tag for child in case}
        kind = "failed" if kinds & {"failure", "error"} else "skipped" if kinds else "passed"
        counts.setdefault(case.attrib["name"].partition("[")[0], Counter())[kind] += 1
    return {name: Outcome(**count) for name, count in counts.items()}


def total(found: dict[str, Outcome]) -> Outcome:
    """All of them together."""
    return Outcome(*(sum(each) for each in zip(Outcome(), *found.values(), strict=True)))


def in_words(test: str) -> str:
    """The name of a test as words."""
    return test.removeprefix("test_").replace("_", " ")
