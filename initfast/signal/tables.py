"""The tables of a report, 100 columns wide, and the legend of their columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from initfast.signal.layers import Block, LayerReport

__all__ = ["ROWS", "WIDTH", "blocks", "layers", "legend", "number"]

WIDTH = 100
ROWS = 24  # rows of a printed report; `table()` returns all


def number(value: float | None) -> str:
    """Return a number as text of at most nine characters; '-' for None."""
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


# Heading, width, cell of a layer, meaning.
_COLUMNS: tuple[tuple[str, int, Any, str], ...] = (
    ("fan_in", 7, lambda layer: _count(layer.fan_in), "number of inputs of one unit"),
    (
        "E[z^2]",
        9,
        lambda layer: number(_second(layer)),
        "mean square of the net inputs z = x W + b, measured",
    ),
    (
        "theory",
        9,
        lambda layer: number(None if layer.normalised else layer.expected_net_variance),
        "the expected E[z^2]: fan_in E[w^2] E[x^2] + E[b^2]; '-' before a normalisation",
    ),
    ("mean", 10, lambda layer: number(layer.mean), "mean of the activations f(z)"),
    ("variance", 9, lambda layer: number(layer.variance), "variance of the activations f(z)"),
    (
        "flat",
        7,
        lambda layer: _share(layer.saturated if layer.dead is None else layer.dead),
        "share of saturated z (sigmoid, tanh), or of units that are 0 on the whole batch (ReLU)",
    ),
    (
        "gradient",
        9,
        lambda layer: number(layer.gradient_rms),
        "RMS of the gradient of the loss with respect to the activations",
    ),
    (
        "equal",
        6,
        lambda layer: _count(layer.symmetric),
        "number of units that stay equal to another unit",
    ),
)
_NAME = WIDTH - sum(column[1] for column in _COLUMNS)

_BLOCKS: tuple[tuple[str, int, Any, str], ...] = (
    (
        "stream",
        12,
        lambda i, each, first: number(each.after),
        "RMS of the residual stream",
    ),
    ("branch", 12, lambda i, each, first: number(each.branch), "RMS of the branch that is added"),
    (
        "share",
        10,
        lambda i, each, first: _share(each.after and (each.branch / each.after) ** 2),
        "E[x^2] of the branch over E[x^2] of the stream",
    ),
    (
        "growth",
        12,
        lambda i, each, first: number(first and (each.after / first) ** 2),
        "E[x^2] of the stream over E[x^2] before the first sum",
    ),
    (
        "1 + depth",
        12,
        lambda i, each, first: str(i + 2),
        "the growth if each branch adds as much as the stream had before the first sum",
    ),
)
_LAST = "The last layer is not judged: the loss can make up for its size."
_BLOCK_NAME = WIDTH - sum(column[1] for column in _BLOCKS)


def layers(rows: Sequence[LayerReport], most: int | None = None) -> list[str]:
    """Return the lines of the table of layers; only the first and last if there are more than
    `most`."""
    head = f"{'layer':<{_NAME}}" + "".join(f"{name:>{width}}" for name, width, *_ in _COLUMNS)
    lines = [
        f"{_title(layer):<{_NAME}}"
        + "".join(f"{show(layer):>{width}}" for _, width, show, _ in _COLUMNS)
        for layer in rows
    ]
    return [head, *_cut(lines, most, "layers")]


def blocks(rows: Sequence[Block], most: int | None = None) -> list[str]:
    """Return the lines of the table of residual sums; an empty list if there are none."""
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
    """Return one line for the meaning of each column, and one about the last layer."""
    if not rows:
        return []
    columns = [*_COLUMNS, *(_BLOCKS if sums else ())]
    lines = [f"{name:<11}{meaning}" for name, _, _, meaning in columns]
    return lines if len(rows) == 1 else [*lines, _LAST]


def _cut(lines: list[str], most: int | None, noun: str) -> list[str]:
    if most is None or len(lines) <= most:
        return lines
    half = most // 2
    hidden = len(lines) - 2 * half
    more = f"... {hidden} more {noun}: print(report.table()) shows all"
    return [*lines[:half], more, *lines[-half:]]


def _title(layer: LayerReport) -> str:
    full = f"{layer.name} ({layer.kind})" if layer.kind else layer.name
    return full if len(full) < _NAME else _short(layer.name, _NAME)


def _short(name: str, width: int) -> str:
    """Return the end of a long name, because layers differ there."""
    return name if len(name) < width else ".." + name[-(width - 3) :]
