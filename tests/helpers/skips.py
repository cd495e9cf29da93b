"""`pytest --skipped=FILE` adds the ids of what it skips to FILE, one in each line. `pytest @FILE`
then runs it, where the engines that it needs are installed.
"""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--skipped", metavar="FILE", help="add the ids of skipped tests to FILE")


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if config.option.skipped:
        ids = {report.nodeid for report in terminalreporter.stats.get("skipped", ())}
        with open(config.option.skipped, "a", encoding="utf-8") as file:
            file.writelines(f"{name}\n" for name in sorted(ids))
