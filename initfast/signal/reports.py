"""What a report holds, and how it is printed."""

from __future__ import annotations

import dataclasses
import math
import textwrap
from dataclasses import dataclass, field
from typing import Any

from initfast.signal import plots
from initfast.signal.layers import Histogram, LayerReport, Verdict

__all__ = ["Histogram", "LayerReport", "SignalReport", "Verdict"]

WIDTH = 100
_WORDS = {True: "pass", False: "FAIL", None: "-"}


@dataclass(frozen=True)
class SignalReport:
    """How signals and gradients go through a network before its training.

    Attributes: activation: of the hidden layers, or several joined by ', '. initializer,
        bias_initializer: in words; 'as the model has it' for a real model. inputs, loss: in words.
        batch: samples. seed: of a sketch's weights; None for a real model. layers: in the order in
        which they ran. verdicts: by letter, 'b' to 'f'. Criterion (a), a lower loss, needs
        training: `initfast.compare`. notes: what no criterion asks for and yet is wrong, such as
        units that stay equal.
    """

    activation: str
    initializer: str
    bias_initializer: str
    inputs: str
    loss: str
    batch: int
    seed: int | None
    layers: tuple[LayerReport, ...]
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON holds it; what is not finite becomes None."""
        found: dict[str, Any] = _plain(dataclasses.asdict(self))
        return found

    def plot(self, path: Any = None) -> Any:
        """Draw the activations of each layer, and variance and gradient through depth, with
        matplotlib.

        Args:
            path: where to write the picture, PNG or what matplotlib's Agg canvas knows by the
                suffix; default: nowhere.

        Returns:
            The `matplotlib.figure.Figure`.
        """
        return plots.report(self, path)

    def __str__(self) -> str:
        return "\n".join((*_head(self), "", *_table(self.layers), "", *_judged(self)))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if hasattr(value, "_asdict"):
        return _plain(value._asdict())
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _head(report: SignalReport) -> list[str]:
    words = [
        f"activation {report.activation}",
        f"weights {report.initializer}",
        f"biases {report.bias_initializer}",
    ]
    words += [f"inputs {report.inputs}", f"batch {report.batch}"]
    words += [] if report.seed is None else [f"seed {report.seed}"]
    return textwrap.wrap(", ".join(words), WIDTH)


# Heading, width, and what it shows of a layer.
_COLUMNS: tuple[tuple[str, int, Any], ...] = (
    ("fan_in", 7, lambda layer: _count(layer.fan_in)),
    ("fan_out", 8, lambda layer: _count(layer.fan_out)),
    ("net mean", 10, lambda layer: _number(layer.net_mean)),
    ("net std", 9, lambda layer: _number(layer.net_std)),
    ("mean", 10, lambda layer: _number(layer.mean)),
    ("variance", 9, lambda layer: _number(layer.variance)),
    ("sat/dead", 9, lambda layer: _share(layer.saturated if layer.dead is None else layer.dead)),
    ("grad", 9, lambda layer: _number(layer.gradient_rms)),
    ("w grad", 9, lambda layer: _number(layer.weight_gradient_rms)),
    ("same", 6, lambda layer: _count(layer.symmetric)),
)
_NAME = WIDTH - sum(width for _, width, _ in _COLUMNS)


def _table(layers: tuple[LayerReport, ...]) -> list[str]:
    head = f"{'layer':<{_NAME}}" + "".join(f"{name:>{width}}" for name, width, _ in _COLUMNS)
    rows = [
        f"{_short(layer.name):<{_NAME}}"
        + "".join(f"{show(layer):>{width}}" for _, width, show in _COLUMNS)
        for layer in layers
    ]
    return [head, *rows]


def _judged(report: SignalReport) -> list[str]:
    lines = []
    for verdict in report.verdicts.values():
        text = f"{verdict.criterion}: {verdict.reason}" + (
            f". {verdict.recommend}" if verdict.recommend else ""
        )
        lines += _indented(f"({verdict.letter}) {_WORDS[verdict.passed]:<5}", text)
    for note in report.notes:
        lines += _indented("    note ", note)
    return [
        *lines,
        *_indented(
            "(a) -    ", "lower loss on training and test data: needs training, `initfast compare`"
        ),
    ]


def _indented(head: str, text: str) -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=head, subsequent_indent=" " * len(head), break_on_hyphens=False
    )


def _short(name: str) -> str:
    """The end of a long name, which is what tells layers apart."""
    return name if len(name) < _NAME else ".." + name[-(_NAME - 3) :]


def _count(value: int | None) -> str:
    return "-" if value is None else str(value)


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if 0.01 <= abs(value) < 1000 else f"{value:.1e}" if value else "0"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}%"
