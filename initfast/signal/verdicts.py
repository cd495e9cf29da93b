"""The verdicts on a network, and what is worth a note.

The last layer is not judged where there are others: its saturation can be mended by the cost
function, its width and activation belong to the task, and its gradient is the loss's own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from initfast.signal import gradients, scale, units
from initfast.signal.layers import Block, LayerReport, Verdict
from initfast.signal.thresholds import CRITERIA, THRESHOLDS

__all__ = ["CRITERIA", "THRESHOLDS", "judge", "not_seen", "notes"]

MOST = 8  # kinds that a note names


def judge(
    layers: Sequence[LayerReport], initializer: str = "", blocks: Sequence[Block] = ()
) -> dict[str, Verdict]:
    """Return the verdicts on criteria (b) to (g).

    Args:
        layers: in the order in which they ran.
        initializer: the one in use; it is not recommended against itself.
        blocks: the residual sums, in order. With any, the network is judged as a stream with
            branches, not as a chain.
    """
    judged = [layer for layer in (layers[:-1] or layers) if layer.reached]
    # A branch that is 0 at first is a design: its layers learn once its last factor has moved.
    awake = [layer for layer in judged if not layer.silent]
    return {
        "b": units.saturation(judged, initializer),
        "c": scale.explosion(judged, initializer, blocks),
        "d": gradients.similar(awake, initializer, chain=not blocks),
        "e": units.mean(judged, initializer),
        "f": scale.stream(judged, blocks, initializer)
        if blocks
        else scale.chain(judged, initializer),
        "g": units.symmetry(awake),
    }


def notes(layers: Sequence[LayerReport]) -> tuple[str, ...]:
    """Return what no criterion asks for and is worth knowing."""
    found = []
    limit = THRESHOLDS["dead"]
    if dead := [(layer.dead, layer) for layer in layers if layer.dead and layer.dead > limit]:
        share, worst = max(dead, key=lambda pair: pair[0])
        found.append(
            f"{_where([layer for _, layer in dead])}: units are 0 on the whole batch ({share:.0%} "
            f"of those of {worst.name}): they learn nothing from it."
        )
    if silent := [layer for layer in layers if layer.silent]:
        found.append(
            f"{_where(silent)}: their branches are 0 at first, as with a last gamma of 0: a usual "
            "design; they learn after the first step."
        )
    if aside := [layer for layer in layers if not layer.reached]:
        found.append(f"The loss does not depend on {_where(aside)}: not judged.")
    return tuple(found)


def not_seen(names: Iterable[str]) -> list[str]:
    """Return a note on the weights that belong to no line: those alike but for numbers once."""
    kinds: dict[str, int] = {}
    for name in names:
        pattern = re.sub(r"\d+", "*", name)
        kinds[pattern] = kinds.get(pattern, 0) + 1
    shown = [name if count == 1 else f"{name} ({count} of them)" for name, count in kinds.items()]
    if not shown:
        return []
    more = f" and {len(shown) - MOST} more kinds" if len(shown) > MOST else ""
    return [f"In no layer that ran, so not judged: {', '.join(shown[:MOST])}{more}."]


def _where(found: Sequence[LayerReport]) -> str:
    first, last = found[0].name, found[-1].name
    return first if len(found) == 1 else f"{len(found)} layers, {first} to {last}"
