"""Pictures of reports and comparisons, drawn by matplotlib through its objects: nothing of pyplot's
state is used.

Wide enough for a README, with a marker and a line style to each colour. The same numbers give the
same PNG, byte for byte, with the same matplotlib."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from initfast.signal.layers import Block, Histogram, LayerReport
from initfast.signal.scales import LogScale, short
from initfast.signal.training import Curves, Recipe

__all__ = ["check_matplotlib", "comparison", "depth", "report", "write"]

WIDTH = 8.0  # inches; at README width one of them is about 100 pixels
DPI = 150
PANELS = 8  # histograms of a report, at most
COLUMNS = 4
NAME = 24  # letters of a layer's name that its panel has room for

# Okabe and Ito 2008, without the yellow, which white paper swallows.
NET = "#999999"  # net inputs
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
# One colour for a family of initializers, in every picture; members differ in line and marker.
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
SMALL = "#56B4E9"  # normal and uniform weights of a small fixed scale
LINES = ("-", "--", "-.", ":")
MARKERS = "osD^vPX*<>"
STYLE = {
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "lines.markersize": 4.5,
    "figure.dpi": DPI,
    "savefig.dpi": DPI,
}


class Report(Protocol):
    """The part of a `SignalReport` that is drawn."""

    @property
    def activation(self) -> str: ...
    @property
    def initializer(self) -> str: ...
    @property
    def bias_initializer(self) -> str: ...
    @property
    def inputs(self) -> str: ...
    @property
    def layers(self) -> tuple[LayerReport, ...]: ...
    @property
    def blocks(self) -> tuple[Block, ...]: ...


class Compared(Protocol):
    """The part of a `Comparison` that is drawn."""

    @property
    def activation(self) -> str: ...
    @property
    def network(self) -> str: ...
    @property
    def data(self) -> str: ...
    @property
    def widths(self) -> tuple[int, ...]: ...
    @property
    def guess(self) -> tuple[float, float]: ...
    @property
    def recipe(self) -> Recipe: ...
    @property
    def curves(self) -> dict[str, Curves]: ...


def report(found: Report, path: Any = None) -> Any:
    """Draw one report: histograms of the activations, layer by layer, above variance and gradient
    through depth.

    Args:
        found: the report. Of more than eight layers, eight are shown in histograms, the first and
            the last among them.
        path: where to write the picture: a path, whose suffix matplotlib has to know, or a binary
            file, which gets a PNG; default: nowhere.

    Returns:
        The `matplotlib.figure.Figure`.

    Raises:
        ImportError: there is no matplotlib: `pip install 'initfast[plot]'`.
    """
    layers = found.layers
    # Of many, those with weights that multiply the signal.
    some = layers if len(layers) <= PANELS else [each for each in layers if each.weight_scales]
    some = some or layers
    shown = [some[round(i * (len(some) - 1) / max(1, PANELS - 1))] for i in range(PANELS)]
    shown = list(some) if len(some) <= PANELS else shown
    rows = math.ceil(len(shown) / COLUMNS)
    title = f"{found.activation}, {_text(found.initializer)}, biases "
    title += f"{_text(found.bias_initializer)}\n{_widths(layers)}inputs {found.inputs}"
    if len(shown) < len(layers):
        title += f", {len(shown)} of {len(layers)} layers in histograms"
    with _figure(3.4 * rows + 3.1, path) as figure:
        figure.suptitle(title)
        above, below = figure.subfigures(2, 1, height_ratios=(3.4 * rows + 0.3, 2.4))
        columns = min(COLUMNS, len(shown))
        grid = above.subplots(2 * rows, columns, squeeze=False)
        for name, first in (("net_histogram", 0), ("histogram", 1)):
            # One scale of x for all layers, so that a collapse looks like one.
            panels = [axes for row in grid[first::2] for axes in row]
            edges = [edge for layer in shown for edge in getattr(layer, name).edges]
            for axes, layer in zip(panels, shown, strict=False):
                net = name == "net_histogram"
                colour = NET if net else _colour(found.initializer, 0)
                _histogram(axes, layer, getattr(layer, name), colour, net=net)
                if edges:
                    margin = 0.02 * (max(edges) - min(edges))
                    axes.set_xlim(min(edges) - margin, max(edges) + margin)
                    _show_a_spike(axes, getattr(layer, name), max(edges) - min(edges), colour)
            for axes in panels[len(shown) :]:
                axes.set_axis_off()
        above.supxlabel("upper rows: net input z; lower rows: activation f(z)", fontsize=9.0)
        above.supylabel("share of values, %", fontsize=9.0)
        if found.blocks:
            _through_blocks(below.subplots(1, 2), found.blocks)
        else:
            _through_depth(below.subplots(1, 2), {found.initializer: layers})
    return figure


def depth(reports: Mapping[str, Report], path: Any = None) -> Any:
    """Draw variance of the activations, and RMS of the gradients, through depth: one report a line,
    logarithmic axes.

    What is exactly 0 stands at the lower edge, at a tick '0'; what is not finite at the upper, at a
    tick 'inf'.

    Args:
        reports: by what the legend calls them, such as the initializer. path: as for `report`.
    """
    if not reports:
        raise ValueError("reports must hold one or more; received none")
    rows = math.ceil(len(reports) / _legend_columns(reports))
    with _figure(3.4 + 0.2 * rows, path) as figure:
        figure.suptitle(
            f"{', '.join(sorted({one.activation for one in reports.values()}))}: signal and "
            f"gradient by layer\n{_of_all(list(reports.values()))}"
        )
        drawn = _through_depth(
            figure.subplots(1, 2), {name: one.layers for name, one in reports.items()}
        )
        _legend(figure, drawn, list(reports))
    return figure


def comparison(found: Compared, path: Any = None) -> Any:
    """Draw losses (logarithmic) and accuracies of training and test set through the epochs, one
    initializer a line.

    A line is the mean over the seeds, its band reaches from the lowest to the highest. Losses above
    ten times that of a constant guess, and what is not finite, stand at the upper edge.

    Args:
        found: the comparison. path: as for `report`.
    """
    names = list(found.curves)
    rows = math.ceil((len(names) + 1) / _legend_columns(names))
    with _figure(5.6 + 0.2 * rows, path) as figure:
        figure.suptitle(
            f"{found.activation} {'' if found.network == 'mlp' else 'residual '}network "
            f"{'x'.join(map(str, found.widths))} on {_text(found.data)}"
        )
        axes = figure.subplots(2, 2, sharex=True, sharey="row")
        losses = [
            [getattr(curve, key) for curve in found.curves.values()]
            for key in ("train_loss", "test_loss")
        ]
        scale = LogScale(
            [values for part in losses for curve in part for values in curve],
            10.0 * max(found.guess),
        )
        for column, part, bar in zip(range(2), losses, found.guess, strict=True):
            drawn = [_band(axes[0, column], i, names, curve, scale) for i, curve in enumerate(part)]
            drawn.append(
                axes[0, column].axhline(bar, color="#777777", linewidth=1.0, linestyle=(0, (1, 2)))
            )
            axes[0, column].set_title(("training set", "test set")[column])
            for i, curve in enumerate(found.curves.values()):
                _band(
                    axes[1, column],
                    i,
                    names,
                    100.0 * (curve.train_accuracy, curve.test_accuracy)[column],
                )
            axes[1, column].set_xlabel("epochs")
            axes[1, column].set_xlim(-0.03 * found.recipe.epochs, 1.03 * found.recipe.epochs)
            _whole_numbers(axes[1, column])
        scale.apply(axes[0, 0])
        axes[0, 0].set_ylabel("cross entropy, nats")
        axes[1, 0].set_ylabel("accuracy, %")
        axes[1, 0].set_ylim(-3.0, 103.0)
        _legend(figure, drawn, [*names, "constant guess"])
    return figure


@contextmanager
def _figure(height: float, path: Any) -> Iterator[Any]:
    """A figure on an Agg canvas, written to `path` at the end."""
    check_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with _style():
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure
    if path is not None:
        write(figure, path)


def _style() -> Any:
    """A context with the style of these pictures; the user's own is set aside for that long."""
    from matplotlib import style

    return style.context(["default", STYLE])


def write(figure: Any, path: Any, suffix: str | None = None) -> None:
    """Write a figure to a path or a binary file, as what the suffix says; default: that of the
    path, else '.png'.
    """
    named = isinstance(path, (str, os.PathLike))
    kind = (suffix or (os.path.splitext(path)[1] if named else "")).lower() or ".png"
    if kind != ".png":
        with _style():
            figure.savefig(path, format=kind[1:])
        return
    # 256 colours are enough for lines and bands, and make a third of the bytes. Pillow comes with
    # matplotlib, whose own PNG would also hold its version.
    from PIL import Image

    with _style():
        figure.canvas.draw()
    size = figure.canvas.get_width_height(physical=True)
    pixels = Image.frombuffer(
        "RGBA", size, figure.canvas.buffer_rgba(), "raw", "RGBA", 0, 1
    ).convert("RGB")
    pixels.quantize(256, method=Image.Quantize.MEDIANCUT).save(path, "PNG", optimize=True)


def check_matplotlib() -> None:
    """Raise the ImportError that drawing would raise."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise ImportError("a picture needs matplotlib: pip install 'initfast[plot]'") from None


def _of_all(reports: Sequence[Report]) -> str:
    """Widths, inputs and biases of several reports, if they are the same in all."""
    widths = {_widths(each.layers) for each in reports}
    inputs = {each.inputs for each in reports}
    biases = {each.bias_initializer for each in reports}
    words = [*(each.removesuffix(", ") for each in widths if len(widths) == 1)]
    words += [f"inputs {each}" for each in inputs if len(inputs) == 1]
    return ", ".join([*words, *(f"biases {each}" for each in biases if len(biases) == 1)])


def _widths(layers: Sequence[LayerReport]) -> str:
    """The widths of a sketch, '784x256x10, '; of a long or a real model, how many layers."""
    if any(layer.kind for layer in layers) or len(layers) > 12:
        return f"{len(layers)} layers, "
    return "x".join(map(str, (layers[0].fan_in, *(layer.units for layer in layers)))) + ", "


def _histogram(axes: Any, layer: LayerReport, found: Histogram, colour: str, *, net: bool) -> None:
    edges, counts = found
    total = max(1, sum(counts))
    shares = [100.0 * count / total for count in counts]
    axes.stairs(shares, edges, fill=True, color=colour)
    words = [f"var {short(layer.net_std**2 if net else layer.variance)}"]
    if not net:
        words += [] if layer.saturated is None else [f"{100 * layer.saturated:.0f} % saturated"]
        words += [f"{100 * layer.dead:.0f} % dead"] if layer.dead else []
    name = layer.name if len(layer.name) <= NAME else f"..{layer.name[2 - NAME :]}"
    axes.set_title(f"{_text(name)}{', z' if net else ''}\n{', '.join(words)}", fontsize=7.5)
    axes.tick_params(labelsize=8.0)
    axes.locator_params(axis="x", nbins=3)
    axes.locator_params(axis="y", nbins=4)
    axes.ticklabel_format(axis="x", style="sci", scilimits=(-2, 3), useOffset=False)
    axes.xaxis.get_offset_text().set_fontsize(8.0)
    if not shares:
        axes.text(0.5, 0.5, "not finite", transform=axes.transAxes, ha="center", fontsize=8.0)
        return
    tall = max(range(len(shares)), key=shares.__getitem__)
    others = max((share for i, share in enumerate(shares) if i != tall), default=0.0)
    if others and shares[tall] > 4.0 * others:
        # One bar, such as the zeros of a ReLU, would flatten the rest: the axis is cut, and says
        # how high the bar is.
        axes.set_ylim(0.0, 2.0 * others)
        text = f"highest bar: {shares[tall]:.0f} %"
        axes.text(0.97, 0.95, text, transform=axes.transAxes, ha="right", va="top", fontsize=8.0)


def _show_a_spike(axes: Any, found: Histogram, scale: float, colour: str) -> None:
    """What is too narrow for the scale to show is a line."""
    edges = found.edges
    if edges and edges[-1] - edges[0] < 0.02 * scale:
        axes.axvline((edges[0] + edges[-1]) / 2.0, color=colour, linewidth=2.0)


def _through_blocks(pair: Sequence[Any], blocks: Sequence[Block]) -> None:
    """The residual stream by sum: RMS of stream and branch, and growth beside 1 + depth."""
    sums = list(range(1, len(blocks) + 1))
    first = blocks[0].before or 1.0
    panels = (
        ("RMS", (("stream", [each.after for each in blocks]),
                 ("branch", [each.branch for each in blocks]))),
        ("growth of E[x^2]", (("stream", [(each.after / first) ** 2 for each in blocks]),
                              ("1 + depth", [1.0 + count for count in sums]))),
    )  # fmt: skip
    for axes, (label, series) in zip(pair, panels, strict=True):
        scale = LogScale([values for _, values in series])
        for number, (name, values) in enumerate(series):
            axes.plot(sums, scale.place(values), label=name, **_look(number, 2, len(sums)))
        scale.apply(axes)
        axes.set_ylabel(label)
        axes.set_xlabel("residual sum")
        axes.legend(fontsize=8.0)
        _whole_numbers(axes)


def _through_depth(pair: Sequence[Any], layers: Mapping[str, Sequence[LayerReport]]) -> list[Any]:
    """Both panels of depth; returns a line of each report, for the legend."""
    drawn: list[Any] = []
    panels: tuple[tuple[str, Callable[[LayerReport], float | None]], ...] = (
        ("variance of activations", lambda layer: layer.variance),
        ("RMS of their gradient", lambda layer: layer.gradient_rms),
    )
    for axes, (label, value) in zip(pair, panels, strict=True):
        series = [
            [(i, found) for i, layer in enumerate(row, 1) if (found := value(layer)) is not None]
            for row in layers.values()
        ]
        scale = LogScale([[y for _, y in points] for points in series])
        drawn = [
            axes.plot(
                [x for x, _ in points],
                scale.place([y for _, y in points]),
                **_look(i, len(series), len(points), name),
            )[0]
            for i, (name, points) in enumerate(zip(layers, series, strict=True))
        ]
        scale.apply(axes)
        axes.set_ylabel(label)
        axes.set_xlabel("layer")
        most = max(map(len, layers.values()))
        axes.set_xlim(max(0.3, 0.8 - 0.03 * most), 1.03 * most + 0.2)
        _whole_numbers(axes)
    return drawn


def _band(
    axes: Any, number: int, names: Sequence[str], curve: Any, scale: LogScale | None = None
) -> Any:
    """One initializer: a line through the means, a band from the lowest seed to the highest."""
    import numpy as np

    with np.errstate(all="ignore"):
        rows = [curve.mean(axis=0), curve.min(axis=0), curve.max(axis=0)]
    middle, low, high = rows if scale is None else map(scale.place, rows)
    epochs = range(curve.shape[1])
    look = _look(number, len(names), len(epochs), names[number])
    axes.fill_between(epochs, low, high, color=look["color"], alpha=0.15, linewidth=0.0)
    return axes.plot(epochs, middle, **look)[0]


def _colour(name: str, number: int) -> str:
    """The colour of an initializer, the same in every picture; of anything else, the number's."""
    family = re.split(r"[_(]", name, maxsplit=1)[0]
    scale = re.search(r"stddev=([0-9.e-]+)", name)
    if family == "random" and (float(scale[1]) < 0.5 if scale else True):
        return SMALL
    return FAMILIES.get(family, COLOURS[number % len(COLOURS)])


def _look(number: int, count: int, points: int, name: str = "") -> dict[str, Any]:
    """Colour, line and marker of the number-th of `count` lines; where there are many the markers
    take turns.

    That, and each line being thinner than those before it, lets lines show that lie in the same
    place."""
    every = 1 if count == 1 or points < 4 else max(3, points // 8)
    return {
        "color": _colour(name, number),
        "linewidth": 2.6 - 1.4 * number / max(1, count - 1) if count > 1 else 1.6,
        "linestyle": LINES[number % len(LINES)],
        "marker": MARKERS[number % len(MARKERS)],
        "markevery": (number % every, every),
        "markeredgecolor": "white",
        "markeredgewidth": 0.5,
    }


def _whole_numbers(axes: Any) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(
        MaxNLocator(nbins=8, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1)
    )


def _legend_columns(names: Any) -> int:
    return 2 if max(map(len, names)) > 30 else 3


def _legend(figure: Any, lines: Sequence[Any], names: Sequence[str]) -> None:
    texts = [_text(name) for name in names]
    figure.legend(
        lines, texts, loc="outside lower center", ncols=_legend_columns(names), handlelength=3.2
    )


def _text(name: str) -> str:
    """A name as it is: no formula, and no underscore at the front, which would hide it from a
    legend.
    """
    plain = name.replace("$", r"\$")
    return f" {plain}" if plain.startswith("_") else plain
