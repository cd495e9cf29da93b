"""Losses and accuracies of a comparison through the epochs."""

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
    """The part of a `Comparison` that is drawn."""

    @property
    def title(self) -> str: ...
    @property
    def guess(self) -> tuple[float, float]: ...
    @property
    def recipe(self) -> Recipe: ...
    @property
    def curves(self) -> dict[str, Curves]: ...


def comparison(found: Compared, path: Any = None) -> Any:
    """Draw losses (logarithmic) and accuracies of training and test set through the epochs, one
    initializer a line.

    A line is the mean over the seeds, its band reaches from the lowest to the highest. Losses above
    ten times that of a constant guess, and what is not finite, stand at the upper edge.

    Args:
        found: the comparison. path: as for `report`.
    """
    names = list(found.curves)
    legends = [*names, "constant guess"]
    with new_figure(5.6 + 0.2 * legend_rows(legends), path) as figure:
        figure.suptitle(plain_text(found.title))
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
            whole_numbers(axes[1, column])
        scale.apply(axes[0, 0])
        axes[0, 0].set_ylabel("cross entropy, nats")
        axes[1, 0].set_ylabel("accuracy, %")
        axes[1, 0].set_ylim(-3.0, 103.0)
        legend(figure, drawn, legends)
    return figure


def _band(
    axes: Any, number: int, names: Sequence[str], curve: Any, scale: LogScale | None = None
) -> Any:
    """One initializer: a line through the means, a band from the lowest seed to the highest."""
    with np.errstate(all="ignore"):
        rows = [curve.mean(axis=0), curve.min(axis=0), curve.max(axis=0)]
    middle, low, high = rows if scale is None else map(scale.place, rows)
    epochs = range(curve.shape[1])
    style = look(number, len(names), len(epochs), names[number])
    axes.fill_between(epochs, low, high, color=style["color"], alpha=0.15, linewidth=0.0)
    return axes.plot(epochs, middle, **style)[0]
