"""What a comparison of initializers holds, and how it is printed and kept."""

from __future__ import annotations

import dataclasses
import math
import textwrap
from collections.abc import Mapping
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
        widths: features, hidden layers, classes.
        guess: cross entropy in nats of the best constant guess, on training and test set.
        bias_initializer: in words.
        recipe: how it was trained. seed: whose named streams gave weights and order.
        curves: by initializer, loss and accuracy of every seed (row) after every epoch (column).
        network: 'mlp' or 'residual'.
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
    def seeds(self) -> int:
        """How often each initializer was drawn and trained."""
        return len(next(iter(self.curves.values())).train_loss)

    @property
    def standings(self) -> list[Standing]:
        """The initializers at the end of the training, best first."""
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
        """The comparison that `to_dict` gave as `found`; what follows from the curves is computed
        again.
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


def _kind(found: Comparison) -> str:
    return "network" if found.network == "mlp" else f"{found.network} network"


def _head(found: Comparison) -> list[str]:
    recipe = found.recipe
    words = [
        f"{found.activation} {_kind(found)} {'x'.join(map(str, found.widths))} on {found.data}"
        f" ({found.samples[0]} training and {found.samples[1]} test samples)",
        f"biases {found.bias_initializer}",
        f"{recipe.epochs} epochs of SGD",
        f"batch {recipe.batch}",
        f"learning rate {recipe.learning_rate:g}",
        f"momentum {recipe.momentum:g}",
        f"{found.seeds} seeds from {found.seed}; mean ± standard deviation over them",
    ]
    return textwrap.wrap(", ".join(words), WIDTH)


# Heading, width, and what it shows of a standing and its verdict.
_COLUMNS: tuple[tuple[str, int, Any], ...] = (
    ("training loss", 18, lambda one, _: _losses(one.train_loss)),
    ("rank", 6, lambda one, _: str(one.train_rank)),
    ("test loss", 18, lambda one, _: _losses(one.test_loss)),
    ("rank", 6, lambda one, _: str(one.test_rank)),
    (
        "test accuracy",
        16,
        lambda one, _: "{:.1f} ± {:.1f}%".format(*(100 * part for part in one.test_accuracy)),
    ),
    ("(a)", 6, lambda _, verdict: {True: "pass", False: "FAIL", None: "-"}[verdict.passed]),
)
_LABEL = WIDTH - sum(width for _, width, _ in _COLUMNS)


def _table(found: Comparison) -> list[str]:
    verdicts = found.verdicts
    lines = [
        f"{'initializer':<{_LABEL}}" + "".join(f"{name:>{width}}" for name, width, _ in _COLUMNS)
    ]
    for one in found.standings:
        name = one.label if len(one.label) <= _LABEL else f"{one.label[: _LABEL - 2]}.."
        cells = (f"{show(one, verdicts[one.label]):>{width}}" for _, width, show in _COLUMNS)
        lines.append(f"{name:<{_LABEL}}" + "".join(cells))
    return lines


def _losses(pair: tuple[float, float]) -> str:
    if not math.isfinite(pair[0]):
        return str(pair[0])
    return " ± ".join(f"{value:.4f}" if abs(value) < 100 else f"{value:.2g}" for value in pair)


_ABOVE = {
    "both losses no lower than a constant guess": (False, False),
    "training loss below a constant guess, but not the test loss": (True, False),
    "test loss below a constant guess, but not the training loss": (False, True),
}


def _foot(found: Comparison) -> list[str]:
    standings = found.standings
    kinds = {
        "lowest training loss": [
            one.label for one in standings if one.train_rank == 1 and one.learned is not False
        ],
        "lowest test loss": [
            one.label for one in standings if one.test_rank == 1 and one.learned is not False
        ],
        **{
            said: [
                one.label
                for one in standings
                if one.learned is False and not one.diverged and one.below == below
            ]
            for said, below in _ABOVE.items()
        },
        "no longer finite": [
            f"{one.label} ({one.diverged} of {one.seeds} seeds)"
            for one in standings
            if one.diverged
        ],
    }
    text = "(a) lower loss on training and test set. " + "; ".join(
        f"{kind}: {', '.join(names)}" for kind, names in kinds.items() if names
    )
    noise = (
        "one seed has no spread, so only what diverged ranks lower"
        if found.seeds < 2
        else "paired t-test of their logarithms, 5%"
    )
    note = (
        f"A rank is 1 + how many are lower by 1% and more than noise ({noise}). A constant guess "
        "has the losses "
        f"{found.guess[0]:.4f} and {found.guess[1]:.4f}."
    )
    return [
        *textwrap.wrap(text, WIDTH, subsequent_indent="    ", break_on_hyphens=False),
        *textwrap.wrap(note, WIDTH),
    ]


def _over_seeds(curve: Array) -> dict[str, Any]:
    pairs = [ranking.mean_and_spread(column) for column in curve.T]
    return {
        "seeds": curve.tolist(),
        "mean": [mean for mean, _ in pairs],
        "spread": [spread for _, spread in pairs],
    }
