"""Reports on the signals of a network, and their text: the verdict first."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from initfast.signal import plots, tables
from initfast.signal.layers import Block, Histogram, LayerReport, Verdict
from initfast.signal.plain import plain

__all__ = ["Block", "Histogram", "LayerReport", "SignalReport", "Summary", "Verdict", "summary"]

_WORDS = {True: "pass", False: "FAIL", None: "n/a"}
# If several criteria fail, the first of these is the cause: equal units make gradients small, but
# small gradients do not make units equal.
_ORDER = "gcbfde"
_FAILURES = {
    "c": "activations explode: ",
    "d": "gradients differ too much between layers: ",
    "e": "the mean of the activations is not near zero: ",
    "f": "the signal does not keep its size: ",
}
_LOSS = "lower loss on training and test data: needs training, see `initfast compare`"


@dataclass(frozen=True)
class Summary:
    """The verdict on the whole network.

    Attributes:
        level: 'UNUSABLE' (the network cannot learn), 'POOR' (a criterion failed), 'GOOD' or 'NOT
            JUDGED' (too little of the network is known).
        sentence: the reason.
    """

    level: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.level}: {self.sentence}"


@dataclass(frozen=True)
class SignalReport:
    """The signals and gradients of a network before its training, layer by layer, with verdicts.

    Attributes:
        activation: name of the activation of the hidden layers; several names are joined by ', '.
        initializer, bias_initializer: the initializers as text; for a real model, texts that refer
            to the model.
        inputs: 'normal', 'bernoulli', or 'given' for an array or a real batch.
        loss: the loss, in words.
        batch: number of samples.
        seed: the seed of a sketch's weights; None for a real model.
        layers: one `LayerReport` for each layer, in the order in which they ran.
        verdicts: one `Verdict` for each criterion, by its letter 'b' to 'g'. Criterion (a), a lower
            loss, needs training: `initfast.compare`.
        notes: texts on dead units, branches that are 0 at first, and weights that are not judged.
        blocks: the sums of residual connections, in order.
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
    blocks: tuple[Block, ...] = ()

    @property
    def summary(self) -> Summary:
        """Return the verdict on the whole network, which begins the printed report."""
        return summary(self.verdicts)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as a dict for strict JSON. Numbers that are not finite become strings
        that `float` reads: 'inf', '-inf', 'nan'."""
        values = {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}
        values["layers"] = [dataclasses.asdict(layer) for layer in self.layers]
        values["verdicts"] = {key: dataclasses.asdict(each) for key, each in self.verdicts.items()}
        result: dict[str, Any] = plain({"summary": dataclasses.asdict(self.summary), **values})
        return result

    def table(self) -> str:
        """Return the table of all layers and all residual sums as text, also if there are many."""
        return "\n".join(tables.layers(self.layers) + tables.blocks(self.blocks))

    def plot(self, path: Any = None) -> Any:
        """Draw the activations of each layer, and variance and gradient through depth, with
        matplotlib.

        Args:
            path: where to write the picture: a PNG, or another format of matplotlib's Agg canvas,
                by the suffix. Default: nowhere.

        Returns:
            The `matplotlib.figure.Figure`.

        Raises:
            ImportError: matplotlib is missing: `pip install 'initfast[plot]'`.
        """
        return plots.report(self, path)

    def __str__(self) -> str:
        parts = [
            _wrapped(str(self.summary)),
            _head(self),
            _judged(self),
            tables.layers(self.layers, tables.ROWS),
            tables.blocks(self.blocks, tables.ROWS),
            tables.legend(self.layers, self.blocks),
        ]
        return "\n\n".join("\n".join(part) for part in parts if part)


def summary(verdicts: dict[str, Verdict]) -> Summary:
    """Return the verdict on the whole network."""
    failed = [
        verdict
        for letter in _ORDER
        if (verdict := verdicts.get(letter)) is not None
        and verdict.passed is False
        and verdict.level != "inherent"
    ]
    worst = next((each for each in failed if each.level == "unusable"), None)
    if worst is not None:
        return Summary("UNUSABLE", worst.reason)
    if failed:
        failure = _FAILURES.get(failed[0].letter, "")
        return Summary("POOR", failure + failed[0].reason)
    passed = [letter for letter in "fdg" if letter in verdicts and verdicts[letter].passed]
    if not {"f", "d"} & set(passed):
        reason = "no criterion failed, but neither signals nor gradients could be compared"
        return Summary("NOT JUDGED", reason)
    *most, last = (verdicts[letter].criterion for letter in passed)
    return Summary("GOOD", f"{', '.join(most)}, and {last}" if most else last)


def compared(reports: Sequence[SignalReport]) -> str:
    """Return one line for each of several reports on one network, the best verdicts first."""
    levels = ("GOOD", "NOT JUDGED", "POOR", "UNUSABLE")
    first = reports[0]
    ordered = sorted(reports, key=lambda each: levels.index(each.summary.level))
    width = max(len(each.initializer) for each in reports)
    lines = [
        *_wrapped(
            f"activation {first.activation}, biases {first.bias_initializer}, inputs "
            f"{first.inputs}, batch {first.batch}, {len(first.layers)} layers"
        ),
        "",
    ]
    for each in ordered:
        head = f"{each.summary.level:<10}  {each.initializer:<{width}}  "
        lines += _wrapped(each.summary.sentence, head if len(head) < 60 else f"{head.strip()}: ")
    return "\n".join([*lines, "", "--details prints the full reports."])


def _wrapped(text: str, head: str = "") -> list[str]:
    return textwrap.wrap(
        text,
        tables.WIDTH,
        initial_indent=head,
        subsequent_indent=" " * min(len(head), 60),
        break_on_hyphens=False,
    )


def _head(report: SignalReport) -> list[str]:
    words = [
        f"activation {report.activation}",
        f"weights {report.initializer}",
        f"biases {report.bias_initializer}",
    ]
    words += [f"inputs {report.inputs}", f"batch {report.batch}"]
    words += [] if report.seed is None else [f"seed {report.seed}"]
    return _wrapped(", ".join(words))


def _judged(report: SignalReport) -> list[str]:
    lines = []
    by_weight: Sequence[Verdict] = sorted(
        report.verdicts.values(),
        key=lambda each: (each.passed is not False, each.level == "inherent", each.passed is None),
    )
    for verdict in by_weight:
        word, text = _WORDS[verdict.passed], f"{verdict.criterion}: {verdict.reason}"
        if verdict.level == "inherent":
            word, text = "note", _FAILURES[verdict.letter] + verdict.reason
        if verdict.recommend:
            text += f". {verdict.recommend}"
        lines += _wrapped(text, f"{word:<6}")
    for note in report.notes:
        lines += _wrapped(note, "note  ")
    return [*lines, *_wrapped(_LOSS, f"{_WORDS[None]:<6}")]
