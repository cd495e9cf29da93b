"""A test file that cannot be imported is an error.

pytest collects each file twice, for its tests and for its doctests. The flag that skips doctests of
adapters without their engine also hides why a test file failed to load, and its tests would be
missing without a word."""

from pathlib import PurePath

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.skipped and PurePath(report.nodeid).name.startswith("test_"):
        reason = str(report.longrepr)
        if "unable to import module" in reason:
            report.outcome, report.longrepr = "failed", reason
