"""The verdicts on a network, and the notes of a report.

The last layer is not judged if there are others: the loss function can make up for its saturation,
its width and activation belong to the task, and its gradient is that of the loss itself."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from initfast.signal import gradients, scale, units
from initfast.signal.layers import Block, LayerReport, Verdict
from initfast.signal.thresholds import CRITERIA, THRESHOLDS

__all__ = ["CRITERIA", "THRESHOLDS", "judge", "notes", "unmeasured_note"]

MAX_PATTERNS = 8  # name patterns listed in a note


def judge(
    layers: Sequence[LayerReport], initializer: str = "", blocks: Sequence[Block] = ()
) -> dict[str, Verdict]:
    """Return the verdicts on criteria (b) to (g).

    Args:
        layers: in the order in which they ran.
        initializer: the present initializer; advice never repeats it.
        blocks: the residual sums, in order. If there are any, the network is judged as a stream
            with branches, not as a chain.
    """
    judged = [layer for layer in (layers[:-1] or layers) if layer.reached]
    # A branch that outputs 0 at first is a design: its layers learn after the first step.
    active = [layer for layer in judged if not layer.silent]
    return {
        "b": units.saturation(judged, initializer),
        "c": scale.explosion(judged, initializer, blocks),
        "d": gradients.similar(active, initializer, chain=not blocks),
        "e": units.mean(judged, initializer),
        "f": scale.stream(judged, blocks, initializer)
        if blocks
        else scale.chain(judged, initializer),
        "g": units.symmetry(active),
    }


def notes(layers: Sequence[LayerReport]) -> tuple[str, ...]:
    """Return the notes on dead units, branches that are 0 at first, and layers without a
    gradient."""
    texts = []
    limit = THRESHOLDS["dead"]
    if dead := [(layer.dead, layer) for layer in layers if layer.dead and layer.dead > limit]:
        share, worst = max(dead, key=lambda pair: pair[0])
        texts.append(
            f"{_names([layer for _, layer in dead])}: more than half of the units are 0 on the "
            f"whole batch ({share:.0%} in {worst.title}) and learn nothing from it."
        )
    if silent := [layer for layer in layers if layer.silent]:
        texts.append(
            f"{_names(silent)}: in residual branches that output 0 at first, for example because "
            "the last gamma is 0. This is a usual design; these layers learn after the first step."
        )
    if unreached := [layer for layer in layers if not layer.reached]:
        it = "it" if len(unreached) == 1 else "them"
        texts.append(f"{_names(unreached)}: not judged, because the loss does not depend on {it}.")
    return tuple(texts)


def unmeasured_note(names: Iterable[str]) -> list[str]:
    """Return a note on the weights that belong to no measured layer, as a list of at most one
    text. Names that differ only in numbers are listed once."""
    patterns: dict[str, list[str]] = {}
    for name in names:
        patterns.setdefault(re.sub(r"\d+", "*", name), []).append(name)
    if not patterns:
        return []
    listed = [
        group[0] if len(group) == 1 else f"{pattern} ({len(group)} of them)"
        for pattern, group in patterns.items()
    ]
    hidden = len(listed) - MAX_PATTERNS
    text = ", ".join(listed[:MAX_PATTERNS])
    more = f" and {hidden} more patterns" if hidden > 0 else ""
    return [f"Not judged, because no measured layer uses them: {text}{more}."]


def _names(layers: Sequence[LayerReport]) -> str:
    first, last = layers[0].title, layers[-1].title
    return first if len(layers) == 1 else f"{len(layers)} layers, {first} to {last}"
