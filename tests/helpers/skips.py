"""Add the option `pytest --skipped=FILE`, which appends the ids of skipped tests to FILE, one per
line. Then `pytest @FILE` runs these tests, after their engines have been installed.
"""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--skipped", metavar="FILE", help="append the ids of skipped tests to FILE")


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if config.option.skipped:
        ids = {report.nodeid for report in terminalreporter.stats.get("skipped", ())}
        with open(config.option.skipped, "a", encoding="utf-8") as file:
            file.writelines(f"{name}\n" for name in sorted(ids))
