"""The picture of one report: histograms of z and f(z) of each layer, above signal and gradient
through depth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from initfast.signal.layers import Histogram, LayerReport
from initfast.signal.plots.depths import Report, through_blocks, through_depth, widths
from initfast.signal.plots.figures import new_figure
from initfast.signal.plots.scales import short
from initfast.signal.plots.styles import NET, colour, plain_text

__all__ = ["NAME", "report"]

PANELS = 8  # maximum number of layers with histograms
COLUMNS = 4
NAME = 24  # maximum length of a layer's name above its panel


def report(signals: Report, path: Any = None) -> Any:
    """Draw one report: histograms of the activations, layer by layer, above variance and gradient
    through depth.

    Args:
        signals: the report. If it has more than eight layers, the histograms show eight of them,
            including the first and the last.
        path: where to write the picture: a path, whose suffix gives the format, or a binary file,
            which gets a PNG. Default: nowhere.

    Returns:
        The `matplotlib.figure.Figure`.

    Raises:
        ImportError: matplotlib is missing: `pip install 'initfast[plot]'`.
    """
    layers = signals.layers
    selection = _selection(layers)
    rows = math.ceil(len(selection) / COLUMNS)
    title = f"{signals.activation}, {plain_text(signals.initializer)}, biases "
    title += f"{plain_text(signals.bias_initializer)}\n{widths(layers)}inputs {signals.inputs}"
    if len(selection) < len(layers):
        title += f", {len(selection)} of {len(layers)} layers in histograms"
    with new_figure(3.4 * rows + 3.1, path) as figure:
        figure.suptitle(title)
        above, below = figure.subfigures(2, 1, height_ratios=(3.4 * rows + 0.3, 2.4))
        columns = math.ceil(len(selection) / rows)
        grid = above.subplots(2 * rows, columns, squeeze=False)
        for name, first in (("net_histogram", 0), ("histogram", 1)):
            # All layers have the same scale of x, so that a collapse of the signal is visible.
            panels = [axes for row in grid[first::2] for axes in row]
            edges = [edge for layer in selection for edge in getattr(layer, name).edges]
            for axes, layer in zip(panels, selection, strict=False):
                net = name == "net_histogram"
                shade = NET if net else colour(signals.initializer, 0)
                _histogram(axes, layer, getattr(layer, name), shade, net=net)
                if edges:
                    margin = 0.02 * (max(edges) - min(edges))
                    axes.set_xlim(min(edges) - margin, max(edges) + margin)
                    _show_a_spike(axes, getattr(layer, name), max(edges) - min(edges), shade)
            for axes in panels[len(selection) :]:
                axes.set_axis_off()
        above.supxlabel("upper rows: net input z; lower rows: activation f(z)", fontsize=9.0)
        above.supylabel("share of values, %", fontsize=9.0)
        if signals.blocks:
            through_blocks(below.subplots(1, 2), signals.blocks, signals.initializer)
        else:
            through_depth(below.subplots(1, 2), {signals.initializer: layers})
    return figure


def _selection(layers: Sequence[LayerReport]) -> list[LayerReport]:
    """Return at most PANELS layers at equal distances, of many only those with a kernel."""
    if len(layers) <= PANELS:
        return list(layers)
    rows = [layer for layer in layers if layer.weight_scales] or list(layers)
    if len(rows) <= PANELS:
        return rows
    return [rows[round(i * (len(rows) - 1) / (PANELS - 1))] for i in range(PANELS)]


def _histogram(axes: Any, layer: LayerReport, values: Histogram, shade: str, *, net: bool) -> None:
    edges, counts = values
    total = max(1, sum(counts))
    shares = [100.0 * count / total for count in counts]
    axes.stairs(shares, edges, fill=True, color=shade)
    words = [f"var {short(layer.net_std**2 if net else layer.variance)}"]
    if not net:
        words += [] if layer.saturated is None else [f"{100 * layer.saturated:.0f} % saturated"]
        dead = layer.dead or 0.0
        words += [f"{100 * dead:.0f} % dead"] if dead >= 0.005 else []
    name = layer.name if len(layer.name) <= NAME else f"..{layer.name[2 - NAME :]}"
    axes.set_title(f"{plain_text(name)}{', z' if net else ''}\n{', '.join(words)}", fontsize=7.5)
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
        # One high bar, such as the zeros of a ReLU, would flatten the rest: cut the axis and print
        # the height of the bar.
        axes.set_ylim(0.0, 2.0 * others)
        note = f"highest bar: {shares[tall]:.0f} %"
        axes.text(0.97, 0.95, note, transform=axes.transAxes, ha="right", va="top", fontsize=8.0)


def _show_a_spike(axes: Any, values: Histogram, scale: float, shade: str) -> None:
    """Draw a histogram as a line if it is too narrow for the scale."""
    edges = values.edges
    if edges and edges[-1] - edges[0] < 0.02 * scale:
        axes.axvline((edges[0] + edges[-1]) / 2.0, color=shade, linewidth=2.0)
