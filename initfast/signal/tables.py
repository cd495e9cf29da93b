"""The tables of a report, 100 columns wide, and the legend of their columns."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from initfast.signal.layers import Block, LayerReport

__all__ = ["ROWS", "WIDTH", "blocks", "layers", "legend", "number"]

WIDTH = 100
ROWS = 24  # of a printed report; `table()` has all


def number(value: float | None) -> str:
    """Return a number in nine characters at most."""
    if value is None:
        return "-"
    size = abs(value)
    if 0.01 <= size < 1000:
        return f"{value:.3f}"
    return f"{value:.0f}" if 1000 <= size < 1e6 else f"{value:.1e}" if value else "0"


def _count(value: int | None) -> str:
    return "-" if value is None else str(value)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}%"


def _second(layer: LayerReport) -> float:
    return layer.net_std * layer.net_std + layer.net_mean * layer.net_mean


# Heading, width, what it shows of a layer, and what it means.
_COLUMNS: tuple[tuple[str, int, Any, str], ...] = (
    ("fan_in", 7, lambda layer: _count(layer.fan_in), "inputs of one unit"),
    ("E[z^2]", 9, lambda layer: number(_second(layer)), "of the net inputs z = x W + b, measured"),
    (
        "theory",
        9,
        lambda layer: number(None if layer.normalised else layer.expected_net_variance),
        "the same as fan_in E[w^2] E[x^2] + E[b^2]",
    ),
    ("mean", 10, lambda layer: number(layer.mean), "of the activations f(z)"),
    ("variance", 9, lambda layer: number(layer.variance), "of the activations"),
    (
        "flat",
        7,
        lambda layer: _share(layer.saturated if layer.dead is None else layer.dead),
        "share of saturated values (sigmoid, tanh), or of units that are 0 on the whole batch "
        "(ReLU)",
    ),
    (
        "gradient",
        9,
        lambda layer: number(layer.gradient_rms),
        "RMS of the loss's gradient by the activations",
    ),
    ("equal", 6, lambda layer: _count(layer.symmetric), "units that stay equal to another"),
)
_NAME = WIDTH - sum(column[1] for column in _COLUMNS)

_BLOCKS: tuple[tuple[str, int, Any, str], ...] = (
    (
        "stream",
        12,
        lambda i, each, first: number(each.after),
        "RMS of the residual stream",
    ),
    ("branch", 12, lambda i, each, first: number(each.branch), "RMS of what the branch adds"),
    (
        "share",
        10,
        lambda i, each, first: _share(each.after and (each.branch / each.after) ** 2),
        "E[x^2] of the branch over that of the stream",
    ),
    (
        "growth",
        12,
        lambda i, each, first: number(first and (each.after / first) ** 2),
        "of E[x^2] since before the first sum",
    ),
    (
        "1 + depth",
        12,
        lambda i, each, first: str(i + 2),
        "the growth if each branch adds as much as there was at first",
    ),
)
_BLOCK_NAME = WIDTH - sum(column[1] for column in _BLOCKS)


def layers(rows: Sequence[LayerReport], most: int | None = None) -> list[str]:
    """Return the table of the layers; of more than `most`, the first and last ones."""
    prefix = _common([layer.name for layer in rows])
    head = f"{'layer':<{_NAME}}" + "".join(f"{name:>{width}}" for name, width, *_ in _COLUMNS)
    lines = [
        f"{_title(layer, prefix):<{_NAME}}"
        + "".join(f"{show(layer):>{width}}" for _, width, show, _ in _COLUMNS)
        for layer in rows
    ]
    return [head, *_cut(lines, most, "layers")]


def blocks(rows: Sequence[Block], most: int | None = None) -> list[str]:
    """Return the table of the residual sums; empty without any."""
    if not rows:
        return []
    head = f"{'residual sum':<{_BLOCK_NAME}}"
    head += "".join(f"{name:>{width}}" for name, width, *_ in _BLOCKS)
    lines = [
        f"{_short(each.name, _BLOCK_NAME):<{_BLOCK_NAME}}"
        + "".join(f"{show(i, each, rows[0].before):>{width}}" for _, width, show, _ in _BLOCKS)
        for i, each in enumerate(rows)
    ]
    return [head, *_cut(lines, most, "sums")]


def legend(rows: Sequence[LayerReport], sums: Sequence[Block]) -> list[str]:
    """Return what the columns mean."""
    columns = [*_COLUMNS, *(_BLOCKS if sums else ())]
    text = "; ".join(f"{name}: {meaning}" for name, _, _, meaning in columns)
    return textwrap.wrap(f"Columns. {text}.", WIDTH, break_on_hyphens=False) if rows else []


def _cut(lines: list[str], most: int | None, what: str) -> list[str]:
    if most is None or len(lines) <= most:
        return lines
    half = most // 2
    left = len(lines) - 2 * half
    return [*lines[:half], f"... {left} more {what}: print(report.table())", *lines[-half:]]


def _common(names: Sequence[str]) -> str:
    """Return the first part that all names have, with its dot, such as 'transformer.'."""
    first = names[0].partition(".") if names else ("", "", "")
    prefix = first[0] + first[1]
    shared = first[1] and sum(each.startswith(prefix) for each in names) >= len(names) - 1 > 1
    return prefix if shared else ""


def _title(layer: LayerReport, prefix: str) -> str:
    name = layer.name.removeprefix(prefix)
    full = f"{name} ({layer.kind})" if layer.kind else name
    return full if len(full) < _NAME else _short(name, _NAME)


def _short(name: str, width: int) -> str:
    """Return the end of a long name, which distinguishes layers."""
    return name if len(name) < width else ".." + name[-(width - 3) :]
