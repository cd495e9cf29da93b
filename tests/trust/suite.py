"""Count the passed cases of tests of the suite, as rows of the evidence."""

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
    """Numbers of passed, failed and skipped cases of tests."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def row(self, what: str, goal: str, passed: str) -> Row:
        """Return a row of the table; `passed` is the word for passed cases."""
        counts = ((self.passed, passed), (self.failed, "failed"), (self.skipped, "skipped"))
        text = ", ".join(f"{count:,} {word}" for count, word in counts if count)
        return Row(what, goal, text or "none ran", self.passed > 0 and not self.failed)


def outcomes(
    files: Iterable[str], only: str = "", *, quick: bool = False, processes: int = 2
) -> dict[str, Outcome]:
    """Run tests, and return the outcome of each test function by its name.

    Args:
        files: names of test files in tests/.
        only: pytest's -k.
        quick: only the default tier; otherwise both.
        processes: number of pytest's processes.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", f"-n{processes}", "-p", "no:cacheprovider"]
        command += ["-m", "not long" if quick else "", f"--junitxml={report}"]
        command += [
            *(["-k", only] if only else []),
            *(str(ROOT / "tests" / file) for file in files),
        ]
        process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if process.returncode:
            print(process.stdout[-3000:], flush=True)
        cases = list(ElementTree.parse(report).iter("testcase")) if report.exists() else []
    counts: dict[str, Counter[str]] = {}
    for case in cases:
        kinds = {child.tag for child in case}
        kind = "failed" if kinds & {"failure", "error"} else "skipped" if kinds else "passed"
        counts.setdefault(case.attrib["name"].partition("[")[0], Counter())[kind] += 1
    return {name: Outcome(**count) for name, count in counts.items()}


def total(outcomes_by_name: dict[str, Outcome]) -> Outcome:
    """Return the sum of outcomes."""
    return Outcome(*(sum(each) for each in zip(Outcome(), *outcomes_by_name.values(), strict=True)))


def in_words(test: str) -> str:
    """Return the name of a test with spaces."""
    return test.removeprefix("test_").replace("_", " ")
