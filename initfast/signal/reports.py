"""What a report holds, and how it is printed: the verdict first."""

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

_WORDS = {True: "pass", False: "FAIL", None: "-"}
# Which criterion names the trouble if several fail: equal units make small gradients, not the other
# way about.
_ORDER = "gcbfde"
_FAILS = {
    "c": "activations explode: ",
    "d": "gradients are not of one size through depth: ",
    "e": "activations have a mean: ",
    "f": "the signal does not keep its size: ",
}
_LOSS = "a lower loss on training and test data: takes training, `initfast compare`"


@dataclass(frozen=True)
class Summary:
    """The verdict on the whole, for a reader in a hurry.

    Attributes:
        level: 'UNUSABLE' (the network cannot learn), 'POOR' (a criterion failed), 'GOOD' or 'NOT
            JUDGED' (too little of it is known).
        sentence: why.
    """

    level: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.level}: {self.sentence}"


@dataclass(frozen=True)
class SignalReport:
    """How signals and gradients go through a network before its training.

    Attributes: activation: of the hidden layers, or several joined by ', '. initializer,
        bias_initializer: in words; 'as the model has it' for a real model. inputs, loss: in words.
        batch: samples. seed: of a sketch's weights; None for a real model. layers: in the order in
        which they ran. verdicts: by letter, 'b' to 'g'. Criterion (a), a lower loss, needs
        training: `initfast.compare`. notes: what no criterion asks for and is worth knowing.
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
        """Return the verdict on the whole; str() of it is the first line of a printed report."""
        return summary(self.verdicts)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as strict JSON holds it; what is not finite becomes a string that
        `float` reads: 'inf', '-inf', 'nan'."""
        found = {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}
        found["layers"] = [dataclasses.asdict(layer) for layer in self.layers]
        found["verdicts"] = {key: dataclasses.asdict(each) for key, each in self.verdicts.items()}
        result: dict[str, Any] = plain({"summary": dataclasses.asdict(self.summary), **found})
        return result

    def table(self) -> str:
        """Return the table of all layers, and of all residual sums, however many there are."""
        return "\n".join(tables.layers(self.layers) + tables.blocks(self.blocks))

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
    """Return the verdict on the whole."""
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
        said = _FAILS.get(failed[0].letter, "")
        return Summary("POOR", said + failed[0].reason)
    passed = [letter for letter in "fdg" if letter in verdicts and verdicts[letter].passed]
    if not {"f", "d"} & set(passed):
        why = "nothing failed, but there is neither a signal nor a gradient to compare"
        return Summary("NOT JUDGED", why)
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
    return "\n".join([*lines, "", "--details prints the whole reports."])


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
        word = "known" if verdict.level == "inherent" else _WORDS[verdict.passed]
        text = f"{verdict.criterion}: {verdict.reason}" + (
            f". {verdict.recommend}" if verdict.recommend else ""
        )
        lines += _wrapped(text, f"{word:<6}")
    for note in report.notes:
        lines += _wrapped(note, "note  ")
    return [*lines, *_wrapped(_LOSS, "-     ")]
