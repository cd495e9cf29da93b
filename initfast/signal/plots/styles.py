"""Colours, lines, markers, names and legends: the same for an initializer in every picture."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from typing import Any

__all__ = [
    "FAMILIES",
    "NET",
    "colour",
    "legend",
    "legend_rows",
    "look",
    "plain_text",
    "whole_numbers",
]

NET = "#999999"  # for net inputs, branches and expected values, which belong to no initializer
# Okabe and Ito 2008, without the yellow, which is hard to see on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
# One colour per family of initializers, in every picture; members differ in line and marker.
FAMILIES = {
    "zeros": "#000000",
    "ones": "#000000",
    "constant": "#000000",
    "glorot": "#0072B2",
    "xavier": "#0072B2",
    "he": "#009E73",
    "kaiming": "#009E73",
    "lecun": "#E69F00",
    "random": "#D55E00",
    "truncated": "#D55E00",
    "orthogonal": "#CC79A7",
    "variance": "#56B4E9",
}
SMALL = "#56B4E9"  # for normal and uniform weights of a small fixed scale
LINES = ("-", "--", "-.", ":")
MARKERS = "osD^vPX*<>"


def colour(name: str, number: int) -> str:
    """Return the colour of an initializer, the same in every picture; other names get the colour
    with this number."""
    family = re.split(r"[_(]", name, maxsplit=1)[0]
    scale = re.search(r"stddev=([0-9.e+-]+)", name)
    if family == "random" and (float(scale[1]) < 0.5 if scale else True):
        return SMALL
    return FAMILIES.get(family, COLOURS[number % len(COLOURS)])


def look(number: int, count: int, points: int, name: str = "") -> dict[str, Any]:
    """Return the style of a line: colour, line style and marker.

    Each line is thinner than the lines before it, and markers alternate, so that lines in the same
    place are all visible.

    Args:
        number: index of the line, of `count` lines.
        points: number of points of the line.
        name: the initializer, for the colour.
    """
    every = 1 if count == 1 or points < 4 else max(3, points // 8)
    return {
        "color": colour(name, number),
        "linewidth": 2.6 - 1.4 * number / max(1, count - 1) if count > 1 else 1.6,
        "linestyle": LINES[number % len(LINES)],
        "marker": MARKERS[number % len(MARKERS)],
        "markevery": (number % every, every),
        "markeredgecolor": "white",
        "markeredgewidth": 0.5,
    }


def whole_numbers(axes: Any) -> None:
    """Set the ticks of the horizontal axis at integers."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(
        MaxNLocator(nbins=8, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1)
    )


def legend_rows(names: Collection[str]) -> int:
    """Return the number of lines in the legend of these names."""
    return math.ceil(len(names) / _columns(names))


def _columns(names: Collection[str]) -> int:
    return 2 if max(map(len, names)) > 30 else 3


def legend(figure: Any, lines: Sequence[Any], names: Sequence[str]) -> None:
    """Put a legend below all panels."""
    texts = [plain_text(name) for name in names]
    figure.legend(lines, texts, loc="outside lower center", ncols=_columns(names), handlelength=3.2)


def plain_text(name: str) -> str:
    """Return a name as matplotlib text without formulas, and without a leading underscore, which
    would hide it from a legend."""
    plain = name.replace("$", r"\$")
    return f" {plain}" if plain.startswith("_") else plain
