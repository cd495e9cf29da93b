"""Pictures of signal and gradient through depth: by layer, or by the sums of a residual network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from initfast.signal.layers import Block, LayerReport
from initfast.signal.plots.figures import new_figure
from initfast.signal.plots.scales import LogScale
from initfast.signal.plots.styles import NET, legend, legend_rows, look, whole_numbers

__all__ = ["Report", "depth", "through_blocks", "through_depth", "widths"]


class Report(Protocol):
    """The attributes of a `SignalReport` that a picture needs."""

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


def depth(reports: Mapping[str, Report], path: Any = None) -> Any:
    """Draw variance of the activations, and RMS of the gradients, through depth: one line per
    report, logarithmic axes.

    An exact 0 is drawn at the lower edge, at a tick '0'; a value that is not finite at the upper
    edge, at a tick 'inf'.

    Args:
        reports: the reports by their names in the legend, such as the initializer.
        path: as for `report`.
    """
    if not reports:
        raise ValueError("reports must not be empty")
    with new_figure(3.4 + 0.2 * legend_rows(reports), path) as figure:
        figure.suptitle(
            f"{', '.join(sorted({one.activation for one in reports.values()}))}: signal and "
            f"gradient by layer\n{_of_all(list(reports.values()))}"
        )
        lines = through_depth(
            figure.subplots(1, 2), {name: one.layers for name, one in reports.items()}
        )
        legend(figure, lines, list(reports))
    return figure


def through_blocks(pair: Sequence[Any], blocks: Sequence[Block], initializer: str) -> None:
    """Draw the residual stream by sum: RMS of stream and branch, and the growth of E[x^2]."""
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
            style = look(number, 2, len(sums), initializer)
            if name != "stream":
                style["color"] = NET
            axes.plot(sums, scale.place(values), label=name, **style)
        scale.apply(axes)
        axes.set_ylabel(label)
        axes.set_xlabel("residual sum")
        axes.legend(fontsize=8.0)
        whole_numbers(axes)


def through_depth(pair: Sequence[Any], layers: Mapping[str, Sequence[LayerReport]]) -> list[Any]:
    """Draw both panels of `depth`; return one line of each report for the legend."""
    lines: list[Any] = []
    panels: tuple[tuple[str, Callable[[LayerReport], float | None]], ...] = (
        ("variance of activations", lambda layer: layer.variance),
        ("RMS of their gradient", lambda layer: layer.gradient_rms),
    )
    for axes, (label, value) in zip(pair, panels, strict=True):
        series = [
            [(i, y) for i, layer in enumerate(row, 1) if (y := value(layer)) is not None]
            for row in layers.values()
        ]
        scale = LogScale([[y for _, y in points] for points in series])
        lines = [
            axes.plot(
                [x for x, _ in points],
                scale.place([y for _, y in points]),
                **look(i, len(series), len(points), name),
            )[0]
            for i, (name, points) in enumerate(zip(layers, series, strict=True))
        ]
        scale.apply(axes)
        axes.set_ylabel(label)
        axes.set_xlabel("layer")
        most = max(map(len, layers.values()))
        axes.set_xlim(max(0.3, 0.8 - 0.03 * most), 1.03 * most + 0.2)
        whole_numbers(axes)
    return lines


def _of_all(reports: Sequence[Report]) -> str:
    """Return widths, inputs and biases of several reports as text, if they are equal in all."""
    sizes = {widths(each.layers) for each in reports}
    inputs = {each.inputs for each in reports}
    biases = {each.bias_initializer for each in reports}
    words = [*(each.removesuffix(", ") for each in sizes if len(sizes) == 1)]
    words += [f"inputs {each}" for each in inputs if len(inputs) == 1]
    return ", ".join([*words, *(f"biases {each}" for each in biases if len(biases) == 1)])


def widths(layers: Sequence[LayerReport]) -> str:
    """Return the widths of a sketch, '784x256x10, '; for a long or a real model, the number of
    layers."""
    if any(layer.kind for layer in layers) or len(layers) > 12:
        return f"{len(layers)} layers, "
    return "x".join(map(str, (layers[0].fan_in, *(layer.units for layer in layers)))) + ", "
