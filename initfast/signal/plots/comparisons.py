"""Pictures of the losses and accuracies of a comparison through the epochs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from initfast.signal.plots.figures import new_figure
from initfast.signal.plots.scales import LogScale
from initfast.signal.plots.styles import legend, legend_rows, look, plain_text, whole_numbers
from initfast.signal.training import Curves, Recipe

__all__ = ["comparison"]


class Compared(Protocol):
    """The attributes of a `Comparison` that a picture needs."""

    @property
    def title(self) -> str: ...
    @property
    def guess(self) -> tuple[float, float]: ...
    @property
    def recipe(self) -> Recipe: ...
    @property
    def curves(self) -> dict[str, Curves]: ...


def comparison(compared: Compared, path: Any = None) -> Any:
    """Draw losses (logarithmic) and accuracies of training and test set through the epochs, one
    line per initializer.

    A line is the mean over the seeds, and its band reaches from the lowest to the highest value.
    Losses that are not finite, or above ten times that of a constant guess, are drawn at the upper
    edge.

    Args:
        compared: the comparison.
        path: as for `report`.
    """
    names = list(compared.curves)
    legends = [*names, "constant guess"]
    with new_figure(5.6 + 0.2 * legend_rows(legends), path) as figure:
        figure.suptitle(plain_text(compared.title))
        axes = figure.subplots(2, 2, sharex=True, sharey="row")
        losses = [
            [getattr(curve, key) for curve in compared.curves.values()]
            for key in ("train_loss", "test_loss")
        ]
        scale = LogScale(
            [values for part in losses for curve in part for values in curve],
            10.0 * max(compared.guess),
        )
        for column, part, bar in zip(range(2), losses, compared.guess, strict=True):
            lines = [_band(axes[0, column], i, names, curve, scale) for i, curve in enumerate(part)]
            lines.append(
                axes[0, column].axhline(bar, color="#777777", linewidth=1.0, linestyle=(0, (1, 2)))
            )
            axes[0, column].set_title(("training set", "test set")[column])
            for i, curve in enumerate(compared.curves.values()):
                _band(
                    axes[1, column],
                    i,
                    names,
                    100.0 * (curve.train_accuracy, curve.test_accuracy)[column],
                )
            axes[1, column].set_xlabel("epochs")
            axes[1, column].set_xlim(-0.03 * compared.recipe.epochs, 1.03 * compared.recipe.epochs)
            whole_numbers(axes[1, column])
        scale.apply(axes[0, 0])
        axes[0, 0].set_ylabel("cross entropy, nats")
        axes[1, 0].set_ylabel("accuracy, %")
        axes[1, 0].set_ylim(-3.0, 103.0)
        legend(figure, lines, legends)
    return figure


def _band(
    axes: Any, number: int, names: Sequence[str], curve: Any, scale: LogScale | None = None
) -> Any:
    """Draw one initializer: a line through the means, a band from the lowest to the highest."""
    with np.errstate(all="ignore"):
        rows = [curve.mean(axis=0), curve.min(axis=0), curve.max(axis=0)]
    middle, low, high = rows if scale is None else map(scale.place, rows)
    epochs = range(curve.shape[1])
    style = look(number, len(names), len(epochs), names[number])
    axes.fill_between(epochs, low, high, color=style["color"], alpha=0.15, linewidth=0.0)
    return axes.plot(epochs, middle, **style)[0]
