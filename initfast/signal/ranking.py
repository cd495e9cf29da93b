"""Criterion (a), lower loss on training and test sets: rank initializers, and tell differences from
noise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from initfast.core.types import Array
from initfast.signal.layers import Verdict
from initfast.signal.training import Curves

__all__ = [
    "CRITERION",
    "LEAST",
    "Standing",
    "against_guess",
    "judge",
    "lower",
    "mean_and_spread",
    "rank",
]

CRITERION = "lower loss on the training set and on the test set"

LEAST = 0.01
"""Losses that differ by less than this share count as equal, also if the difference is significant.
Otherwise, a network that learns only its output biases, or whose loss falls by a ten-thousandth,
would count as better than another one."""

# Student's t at 97.5 %, for 1 to 30 degrees of freedom: scipy.stats.t.ppf(0.975, n). For more than
# 30 the last one is used, which is a little too large.
_STUDENT = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
    2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056,
    2.052, 2.048, 2.045, 2.042,
)  # fmt: skip


@dataclass(frozen=True)
class Standing:
    """The result of an initializer at the end of the training.

    Attributes:
        label: the initializer.
        train_loss, test_loss, train_accuracy, test_accuracy: (mean, standard deviation) over the
            seeds; losses in nats, accuracies in [0, 1]. The standard deviation of one seed is nan.
        train_rank, test_rank: 1 + the number of initializers with a lower loss, see `lower`. All
            initializers that cannot be distinguished from the best have rank 1.
        learned: whether both losses are below those of a constant guess, in the sense of `lower`;
            None if the difference is within noise, or with one seed, unless its loss diverged.
        below: the same for the training loss and the test loss separately.
        diverged: number of seeds whose loss is inf or nan at the end.
        seeds: number of seeds.
    """

    label: str
    train_loss: tuple[float, float]
    test_loss: tuple[float, float]
    train_accuracy: tuple[float, float]
    test_accuracy: tuple[float, float]
    train_rank: int
    test_rank: int
    learned: bool | None
    below: tuple[bool | None, bool | None]
    diverged: int
    seeds: int


def mean_and_spread(values: Array) -> tuple[float, float]:
    """Return the mean and the sample standard deviation, which is nan for one value."""
    with np.errstate(all="ignore"):
        return float(np.mean(values)), float(np.std(values, ddof=1)) if len(
            values
        ) > 1 else math.nan


def lower(one: Array, other: Array) -> bool:
    """Return whether the losses `one` are lower than the losses `other` by more than noise.

    Both have shape (seeds,), and a seed gives both the same streams. The test is a paired t-test on
    the logarithms, because losses spread over decades: the mean difference must exceed LEAST and t
    standard errors, with Student's t at 97.5 %. For two equal initializers, one counts as lower in
    at most 1 of 20 comparisons. Losses that are all finite are lower than losses that are not."""
    if not np.isfinite(one).all():
        return False
    if not np.isfinite(other).all():
        return True
    if len(one) < 2:
        return False
    mean, spread = mean_and_spread(_logs(other) - _logs(one))
    noise = _STUDENT[min(len(one) - 1, len(_STUDENT)) - 1] * spread / math.sqrt(len(one))
    return mean > max(noise, LEAST)


def _logs(losses: Array) -> Array:
    logs: Array = np.log(np.maximum(losses, np.finfo(np.float64).tiny))
    return logs


def rank(curves: Mapping[str, Curves], guess: tuple[float, float]) -> list[Standing]:
    """Return the standings, best first: by the sum of both ranks, then by the mean test loss.

    Args:
        curves: the curves of each initializer, all from the same seeds.
        guess: the losses of the best constant guess on training and test set.
    """
    train = {label: curve.train_loss[:, -1] for label, curve in curves.items()}
    test = {label: curve.test_loss[:, -1] for label, curve in curves.items()}

    def rank_of(losses: Mapping[str, Array], label: str) -> int:
        return 1 + sum(lower(other, losses[label]) for other in losses.values())

    standings = [
        Standing(
            label=label,
            train_loss=mean_and_spread(train[label]),
            test_loss=mean_and_spread(test[label]),
            train_accuracy=mean_and_spread(curve.train_accuracy[:, -1]),
            test_accuracy=mean_and_spread(curve.test_accuracy[:, -1]),
            train_rank=rank_of(train, label),
            test_rank=rank_of(test, label),
            learned=_learned(train[label], test[label], guess),
            below=(_below(train[label], guess[0]), _below(test[label], guess[1])),
            diverged=int((~np.isfinite(train[label] + test[label])).sum()),
            seeds=len(train[label]),
        )
        for label, curve in curves.items()
    ]
    return sorted(
        standings,
        key=lambda one: (
            one.train_rank + one.test_rank,
            np.nan_to_num(one.test_loss[0], nan=np.inf),
        ),
    )


def _learned(train: Array, test: Array, guess: tuple[float, float]) -> bool | None:
    if not np.isfinite(train + test).all():
        return False
    if len(train) < 2:
        return None
    both = _below(train, guess[0]), _below(test, guess[1])
    return False if False in both else None if None in both else True


def _below(losses: Array, guess: float) -> bool | None:
    """Return whether losses are lower than that of a constant guess; None if their mean is lower,
    but not by more than noise."""
    if lower(losses, np.full(len(losses), guess)):
        return True
    if np.isfinite(losses).all() and np.mean(math.log(guess) - _logs(losses)) > LEAST:
        return None
    return False


def judge(standings: Sequence[Standing], guess: tuple[float, float]) -> dict[str, Verdict]:
    """Return the verdict on criterion (a) for each initializer, in the order of the standings."""
    learned = [one for one in standings if one.learned]
    best = [one.label for one in learned if one.train_rank == one.test_rank == 1]
    advice = "no initializer learned: try more epochs or another learning rate"
    if best:
        advice = f"lowest losses: {', '.join(best)}"
    elif learned:
        advice = f"best ranks among those that learned: {learned[0].label}"
    return {
        one.label: Verdict(
            "a",
            CRITERION,
            one.learned,
            _reason(one, len(standings), guess),
            "" if one.learned else advice,
        )
        for one in standings
    }


def _reason(one: Standing, count: int, guess: tuple[float, float]) -> str:
    if one.diverged:
        return f"the loss diverged in {one.diverged} of {one.seeds} seeds"
    losses = [
        f"{name} loss {loss[0]:.4g} (std {loss[1]:.2g}, constant guess {bar:.4g}, rank {position} "
        f"of {count})"
        for name, loss, bar, position in (
            ("training", one.train_loss, guess[0], one.train_rank),
            ("test", one.test_loss, guess[1], one.test_rank),
        )
    ]
    if one.seeds < 2:
        return f"{', '.join(losses)}; one seed is not enough to judge"
    failure = against_guess(one.below)
    return ", ".join(losses) + (f": {failure}" if failure else "")


def against_guess(below: tuple[bool | None, bool | None]) -> str:
    """Return `Standing.below` in words; an empty text if both losses are below the guess."""
    if below == (False, False):
        return "no loss below a constant guess"
    if False in below:
        names = ["training loss", "test loss"]
        above = names.pop(below.index(False))
        if True in below:
            return f"{names[0]} below a constant guess, {above} not"
        return f"{above} not below a constant guess"
    if None in below:
        return "below a constant guess, but within noise (use more seeds)"
    return ""
