"""What a comparison of initializers holds, and how it is printed and kept."""

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
    """What came out of training from each initializer.

    Attributes:
        activation: of the hidden layers.
        data: the name of the data; samples: how many train and test.
        widths: features, units or channels of the hidden layers, classes.
        guess: cross entropy in nats of the best constant guess, on training and test set.
        bias_initializer: in words.
        recipe: how it was trained. seed: whose named streams gave weights and order.
        curves: by initializer, loss and accuracy of every seed (row) after every epoch (column).
        network: 'mlp', 'residual' or 'convolutional'.
        configs: by initializer, its JSON form, without its seed; None if it has none.
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
        """Return the network and the data, in words."""
        kind = "" if self.network == "mlp" else f"{self.network} "
        widths = "x".join(map(str, self.widths))
        return f"{self.activation} {kind}network {widths} on {self.data}"

    @property
    def seeds(self) -> int:
        """Return how often each initializer was drawn and trained."""
        return len(next(iter(self.curves.values())).train_loss)

    @property
    def standings(self) -> list[Standing]:
        """Return the initializers at the end of the training, best first."""
        return ranking.rank(self.curves, self.guess)

    @property
    def verdicts(self) -> dict[str, Verdict]:
        """Criterion (a) by initializer, best first."""
        return ranking.judge(self.standings, self.guess)

    def to_dict(self) -> dict[str, Any]:
        """Everything as strict JSON holds it; what is not finite is a string that `float` reads:
        'inf', '-inf', 'nan'.

        Under "initializers", each curve has the key "seeds", a list a seed, and "mean" and "spread"
        over the seeds."""
        found: dict[str, Any] = plain(
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
        return found

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Comparison:
        """Return the comparison that `to_dict` gave as `found`; what follows from the curves is
        computed again.
        """
        plain: dict[str, Any] = {
            name: tuple(value) if isinstance(value := found[name], list) else value
            for name in _PLAIN
            if name in found
        }
        curves = {
            name: Curves(
                **{
                    key.name: np.array(row[key.name]["seeds"], float)
                    for key in dataclasses.fields(Curves)
                }
            )
            for name, row in found["initializers"].items()
        }
        configs = {name: row["config"] for name, row in found["initializers"].items()}
        return cls(**plain, recipe=Recipe(**found["recipe"]), curves=curves, configs=configs)

    def plot(self, path: Any = None) -> Any:
        """Draw losses and accuracies through the epochs, with matplotlib; path: as for
        `SignalReport.plot`.
        """
        return plots.comparison(self, path)

    def __str__(self) -> str:
        return "\n".join((*_head(self), "", *_table(self), "", *_foot(self)))


_PLAIN = ("activation", "data", "samples", "widths", "guess", "bias_initializer", "seed", "network")


def _head(found: Comparison) -> list[str]:
    recipe = found.recipe
    words = [
        f"{found.title} ({found.samples[0]} training and {found.samples[1]} test samples)",
        f"biases {found.bias_initializer}",
        f"{recipe.epochs} epochs of SGD",
        f"batch {recipe.batch}",
        f"learning rate {recipe.learning_rate:g}",
        f"momentum {recipe.momentum:g}",
        f"{found.seeds} seeds from {found.seed}; mean ± standard deviation over them"
        if found.seeds > 1
        else f"1 seed from {found.seed}",
    ]
    return textwrap.wrap(", ".join(words), WIDTH)


# Heading, width, and what it shows of a standing.
_COLUMNS: tuple[tuple[str, int, Any], ...] = (
    ("training loss", 18, lambda one: _losses(one.train_loss)),
    ("rank", 6, lambda one: str(one.train_rank)),
    ("test loss", 18, lambda one: _losses(one.test_loss)),
    ("rank", 6, lambda one: str(one.test_rank)),
    ("test accuracy", 16, lambda one: f"{_spread(one.test_accuracy, _percent)}%"),
    ("learned", 9, lambda one: {True: "yes", False: "NO", None: "?"}[one.learned]),
)
_LABEL = WIDTH - sum(width for _, width, _ in _COLUMNS)


def _table(found: Comparison) -> list[str]:
    lines = [
        f"{'initializer':<{_LABEL}}" + "".join(f"{name:>{width}}" for name, width, _ in _COLUMNS)
    ]
    for one in found.standings:
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
    """Mean ± standard deviation; one seed has no standard deviation."""
    mean, spread = pair
    return show(mean) if math.isnan(spread) else f"{show(mean)} ± {show(spread)}"


def _foot(found: Comparison) -> list[str]:
    finite = [one for one in found.standings if not one.diverged]
    diverged = [one for one in found.standings if one.diverged]
    if found.seeds > 1:
        kinds = {
            "lowest training loss": [
                one.label for one in finite if one.train_rank == 1 and one.below[0]
            ],
            "lowest test loss": [
                one.label for one in finite if one.test_rank == 1 and one.below[1]
            ],
        }
        for one in finite:
            if said := ranking.against_guess(one.below):
                kinds.setdefault(said, []).append(one.label)
        note = (
            f"Learned: both losses are lower than those of a constant guess, {found.guess[0]:.4f} "
            f"and {found.guess[1]:.4f}. Lower: by 1% and by more than noise (paired t-test of the "
            "logarithms, 5%). Lowest: lower than a constant guess, and no other is lower. A rank "
            "is 1 + how many are lower."
        )
    else:
        kinds = {}
        note = (
            f"A constant guess has the losses {found.guess[0]:.4f} and {found.guess[1]:.4f}. One "
            "seed has no spread, so no loss is called lower than another, and ranks only tell what "
            "stayed finite from what did not."
        )
    kinds["no longer finite"] = [
        f"{one.label} ({one.diverged} of {one.seeds} seeds)" for one in diverged
    ]
    text = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in kinds.items() if names)
    sentences = [f"{text[0].upper()}{text[1:]}."] if text else []
    return [
        line
        for sentence in (*sentences, note)
        for line in textwrap.wrap(sentence, WIDTH, break_on_hyphens=False)
    ]


def _over_seeds(curve: Array) -> dict[str, Any]:
    pairs = [ranking.mean_and_spread(column) for column in curve.T]
    return {
        "seeds": curve.tolist(),
        "mean": [mean for mean, _ in pairs],
        "spread": [spread for _, spread in pairs],
    }
