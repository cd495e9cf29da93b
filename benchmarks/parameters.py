"""Cases of pytest-benchmark, with plain values so that its JSON can be compared between runs."""

from __future__ import annotations

import re
from typing import Any

import pytest


def case(*values: str, group: str, ours: bool) -> Any:
    """Return the parameters of a case, whose name joins them without commas, spaces or brackets.

    Args:
        values: the parameters, for `--benchmark-group-by=param:NAME` and scripts.
        group: the table of pytest-benchmark that the case is in.
        ours: whether the case is of initfast; other libraries are in the long tier.
    """
    marks = [pytest.mark.benchmark(group=slug(group)), *([] if ours else [pytest.mark.long])]
    return pytest.param(*values, id=slug("-".join(values)), marks=marks)


def slug(text: str) -> str:
    """Return a text with '-' for all other characters than letters, digits, '_', '.' and '-'."""
    return re.sub(r"[^\w.-]+", "-", text).strip("-")


def timed(config: pytest.Config) -> bool:
    """Return whether this run times the benchmarks, or runs each one once as a test."""
    return not config.option.benchmark_disable
