"""Comparisons of initializers by training: their results, text and JSON form."""

from __future__ import annotations

import dataclasses
import math
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from initfast.core.types import Array
from initfast.signal import plots, ranking
from initfast.signal.layers import Verdict
from initfast.signal.plain import plain
from initfast.signal.ranking import Standing
from initfast.signal.training import Curves, Recipe

__all__ = ["Comparison"]

WIDTH = 100


@dataclass(frozen=True)
class Comparison:
    """The results of training one network from several initializers.

    Attributes:
        activation: name of the activation of the hidden layers.
        data: name of the data set.
        samples: number of training and test samples.
        widths: number of features, units or channels of each hidden layer, number of classes.
        guess: cross entropy in nats of the best constant guess, on training and test set.
        bias_initializer: the initializer of the biases as text.
        recipe: the settings of the training.
        seed: the seed whose named streams gave the weights and the order of the samples.
        curves: for each initializer, loss and accuracy of every seed (row) after every epoch
            (column).
        configs: for each initializer, its JSON form without the seed; None if it has no JSON form.
        network: 'mlp', 'residual' or 'convolutional'.
    """

    activation: str
    data: str
    samples: tuple[int, int]
    widths: tuple[int, ...]
    guess: tuple[float, float]
    bias_initializer: str
    recipe: Recipe
    seed: int
    curves: dict[str, Curves]
    configs: dict[str, Any]
    network: str = "mlp"

    @property
    def title(self) -> str:
        """Return the network and the data as text."""
        kind = "" if self.network == "mlp" else f"{self.network} "
        widths = "x".join(map(str, self.widths))
        return f"{self.activation} {kind}network {widths} on {self.data}"

    @property
    def seeds(self) -> int:
        """Return the number of draws and trainings of each initializer."""
        return len(next(iter(self.curves.values())).train_loss)

    @property
    def standings(self) -> list[Standing]:
        """Return the results of the initializers at the end of the training, best first."""
        return ranking.rank(self.curves, self.guess)

    @property
    def verdicts(self) -> dict[str, Verdict]:
        """Return the verdict on criterion (a) for each initializer, best first."""
        return ranking.judge(self.standings, self.guess)

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison as a dict for strict JSON. Numbers that are not finite become
        strings that `float` reads: 'inf', '-inf', 'nan'.

        Under "initializers", each curve has the keys "seeds", with one list per seed, and "mean"
        and "spread" (standard deviation) over the seeds."""
        result: dict[str, Any] = plain(
            {
                **{name: getattr(self, name) for name in _PLAIN},
                "recipe": dataclasses.asdict(self.recipe),
                "initializers": {
                    name: {
                        "config": self.configs[name],
                        **{key: _over_seeds(curve) for key, curve in vars(curves).items()},
                    }
                    for name, curves in self.curves.items()
                },
                "standings": [dataclasses.asdict(one) for one in self.standings],
                "verdicts": {
                    name: dataclasses.asdict(verdict) for name, verdict in self.verdicts.items()
                },
            }
        )
        return result

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Comparison:
        """Return the comparison of `values`, a dict that `to_dict` returned. Standings and verdicts
        are computed again from the curves."""
        settings: dict[str, Any] = {
            name: tuple(value) if isinstance(value := values[name], list) else value
            for name in _PLAIN
            if name in values
        }
        curves = {
            name: Curves(
                **{
                    key.name: np.array(row[key.name]["seeds"], float)
                    for key in dataclasses.fields(Curves)
                }
            )
            for name, row in values["initializers"].items()
        }
        configs = {name: row["config"] for name, row in values["initializers"].items()}
        recipe = Recipe(**values["recipe"])
        return cls(**settings, recipe=recipe, curves=curves, configs=configs)

    def plot(self, path: Any = None) -> Any:
        """Draw losses and accuracies through the epochs, with matplotlib; `path` is as for
        `SignalReport.plot`."""
        return plots.comparison(self, path)

    def __str__(self) -> str:
        return "\n".join((*_head(self), "", *_table(self), "", *_foot(self)))


_PLAIN = ("activation", "data", "samples", "widths", "guess", "bias_initializer", "seed", "network")


def _head(comparison: Comparison) -> list[str]:
    recipe = comparison.recipe
    words = [
        f"{comparison.title} ({comparison.samples[0]} training and {comparison.samples[1]} test "
        "samples)",
        f"biases {comparison.bias_initializer}",
        f"{recipe.epochs} epochs of SGD",
        f"batch {recipe.batch}",
        f"learning rate {recipe.learning_rate:g}",
        f"momentum {recipe.momentum:g}",
        f"{comparison.seeds} seeds from {comparison.seed}; mean ± standard deviation over the seeds"
        if comparison.seeds > 1
        else f"seed {comparison.seed}",
    ]
    return textwrap.wrap(", ".join(words), WIDTH)


# Heading, width, cell of a standing.
_COLUMNS: tuple[tuple[str, int, Any], ...] = (
    ("training loss", 18, lambda one: _losses(one.train_loss)),
    ("rank", 6, lambda one: str(one.train_rank)),
    ("test loss", 18, lambda one: _losses(one.test_loss)),
    ("rank", 6, lambda one: str(one.test_rank)),
    ("test accuracy", 16, lambda one: f"{_spread(one.test_accuracy, _percent)}%"),
    ("learned", 9, lambda one: {True: "yes", False: "NO", None: "?"}[one.learned]),
)
_LABEL = WIDTH - sum(width for _, width, _ in _COLUMNS)


def _table(comparison: Comparison) -> list[str]:
    lines = [
        f"{'initializer':<{_LABEL}}" + "".join(f"{name:>{width}}" for name, width, _ in _COLUMNS)
    ]
    for one in comparison.standings:
        name = one.label if len(one.label) <= _LABEL else f"{one.label[: _LABEL - 2]}.."
        cells = (f"{show(one):>{width}}" for _, width, show in _COLUMNS)
        lines.append(f"{name:<{_LABEL}}" + "".join(cells))
    return lines


def _losses(pair: tuple[float, float]) -> str:
    if not math.isfinite(pair[0]):
        return str(pair[0])
    return _spread(pair, lambda value: f"{value:.4f}" if abs(value) < 100 else f"{value:.2g}")


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _spread(pair: tuple[float, float], show: Callable[[float], str]) -> str:
    """Return mean ± standard deviation as text; the mean alone for one seed."""
    mean, spread = pair
    return show(mean) if math.isnan(spread) else f"{show(mean)} ± {show(spread)}"


def _foot(comparison: Comparison) -> list[str]:
    lines = [
        line
        for kind, names in _conclusions(comparison).items()
        if names
        for line in _wrapped(f"{kind[0].upper()}{kind[1:]}: {', '.join(names)}", "  ")
    ]
    return [*lines, *([""] if lines else []), *_legend(comparison)]


def _conclusions(comparison: Comparison) -> dict[str, list[str]]:
    """Return sentences about the losses, each with the initializers for which it is true."""
    finite = [one for one in comparison.standings if not one.diverged]
    diverged = [one for one in comparison.standings if one.diverged]
    result: dict[str, list[str]] = {}
    if comparison.seeds > 1:
        result = {
            "lowest training loss": [
                one.label for one in finite if one.train_rank == 1 and one.below[0]
            ],
            "lowest test loss": [
                one.label for one in finite if one.test_rank == 1 and one.below[1]
            ],
        }
        for one in finite:
            if failure := ranking.against_guess(one.below):
                result.setdefault(failure, []).append(one.label)
    result["diverged"] = [f"{one.label} ({one.diverged} of {one.seeds} seeds)" for one in diverged]
    return result


def _legend(comparison: Comparison) -> list[str]:
    train, test = comparison.guess
    guess = (
        f"A constant guess predicts the share of each class for every sample; its losses are "
        f"{train:.4f} (training) and {test:.4f} (test)."
    )
    if comparison.seeds == 1:
        return _wrapped(
            f"{guess} Losses are not compared, because one seed does not show the noise: use more "
            "seeds. Ranks only separate finite losses from diverged ones."
        )
    return [
        *_wrapped(guess),
        "",
        "learned       both losses are below those of a constant guess",
        "lower, below  by at least 1% and by more than noise (paired t-test on log losses, 5%)",
        "lowest        below a constant guess, and no other loss is lower",
        "rank          1 + the number of initializers with a lower loss",
    ]


def _wrapped(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent=indent, break_on_hyphens=False)


def _over_seeds(curve: Array) -> dict[str, Any]:
    pairs = [ranking.mean_and_spread(column) for column in curve.T]
    return {
        "seeds": curve.tolist(),
        "mean": [mean for mean, _ in pairs],
        "spread": [spread for _, spread in pairs],
    }
