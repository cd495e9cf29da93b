"""Cases of pytest-benchmark: plain values, so that its JSON says the same in every run."""

from __future__ import annotations

import re
from typing import Any

import pytest


def case(*values: str, group: str, ours: bool) -> Any:
    """Return the parameters of a case, whose name joins them without commas, spaces or brackets.

    Args:
        values: the parameters, by which `--benchmark-group-by=param:NAME` and scripts select.
        group: the table of pytest-benchmark that the case is in.
        ours: whether the case is of initfast; rivals are in the long tier.
    """
    marks = [pytest.mark.benchmark(group=slug(group)), *([] if ours else [pytest.mark.long])]
    return pytest.param(*values, id=slug("-".join(values)), marks=marks)


def slug(text: str) -> str:
    return re.sub(r"[^\w.-]+", "-", text).strip("-")


def timed(config: pytest.Config) -> bool:
    """Return whether this run times, rather than runs each benchmark once as a test."""
    return not config.option.benchmark_disable
