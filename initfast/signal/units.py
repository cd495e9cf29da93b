"""Criteria (b), (e) and (g) on the units of a layer: not saturated, mean near 0, all different."""

from __future__ import annotations

import math
from collections.abc import Sequence

from initfast.signal.activations import SATURATED_SHARE
from initfast.signal.advice import ONE_SIDED, advice, facts_of
from initfast.signal.layers import LayerReport, Verdict
from initfast.signal.thresholds import CRITERIA, THRESHOLDS

__all__ = ["mean", "saturation", "symmetry"]


def saturation(layers: Sequence[LayerReport], initializer: str) -> Verdict:
    """Return the verdict on (b): at most half of the net inputs of each layer are saturated."""
    shares = [(layer.saturated, layer) for layer in layers if layer.saturated is not None]
    if not shares:
        return Verdict(
            "b", CRITERIA["b"], None, "no layer has a sigmoid, tanh or similar activation"
        )
    share, worst = max(shares, key=lambda pair: pair[0])
    activation = facts_of(worst)
    edge = math.inf if activation is None or activation.edge is None else activation.edge
    reason = (
        f"{share:.1%} of the net inputs z of {worst.title} are saturated (limit "
        f"{THRESHOLDS['saturated']:.0%}): |z| > {edge:.2f}, where the slope is below "
        f"{SATURATED_SHARE:.0%} of its maximum"
    )
    passed = share <= THRESHOLDS["saturated"]
    if passed:
        return Verdict("b", CRITERIA["b"], True, reason)
    return Verdict("b", CRITERIA["b"], False, reason, advice(worst, initializer), "poor")


def mean(layers: Sequence[LayerReport], initializer: str) -> Verdict:
    """Return the verdict on (e): the mean is small compared with the standard deviation, or differs
    from 0 only by chance."""
    judged = []
    active = [layer for layer in layers if layer.activation != "linear"] or layers
    for layer in active:
        if (
            facts_of(layer) is None
            or not math.isfinite(layer.second_moment)
            or not layer.second_moment
        ):
            continue
        std = math.sqrt(layer.variance)
        share = abs(layer.mean) / std if std else math.inf
        # A large share counts only if the mean differs from 0 by more than chance.
        significant = abs(layer.mean) > THRESHOLDS["errors"] * layer.mean_error
        judged.append((share > THRESHOLDS["mean"] and significant, share, layer))
    if not judged:
        return Verdict("e", CRITERIA["e"], None, "all activations are 0, not finite or unknown")
    failed, share, worst = max(judged, key=lambda entry: entry[:2])
    limit = THRESHOLDS["mean"]
    reason = f"mean {worst.mean:.3g} is {share:.3g} of std in {worst.title} (limit {limit:.2f})"
    if not failed:
        chance = f", but within {THRESHOLDS['errors']:g} standard errors of 0"
        return Verdict("e", CRITERIA["e"], True, reason + (chance if share > limit else ""))
    activation = facts_of(worst)
    if activation is not None and (activation.family == "rectifier" or activation.at_zero):
        cause = ONE_SIDED.get(worst.activation, f"{worst.activation} is mostly of one sign")
        inherent = (
            f"No initializer changes this, because {cause}; tanh, selu or a normalisation would."
        )
        return Verdict("e", CRITERIA["e"], False, reason, inherent, "inherent")
    return Verdict("e", CRITERIA["e"], False, reason, advice(worst, initializer) or _CHECK, "poor")


_CHECK = "Check the biases and the inputs."


def symmetry(layers: Sequence[LayerReport]) -> Verdict:
    """Return the verdict on (g): no two units have the same weights, bias and gradients."""
    judged = [layer for layer in layers if layer.symmetric is not None]
    if not judged:
        return Verdict("g", CRITERIA["g"], None, "no layer has units with separate weights")
    equal = [layer for layer in judged if layer.symmetric]
    if not equal:
        return Verdict("g", CRITERIA["g"], True, f"all units differ in {_layers(len(judged))}")
    worst = max(equal, key=lambda layer: (layer.symmetric or 0) / layer.units)
    count = worst.symmetric or 0
    total = max(count, worst.units)  # an attention head has units in two dimensions
    zeros = " (zeros)" if worst.weight_scale == 0.0 else ""
    amount = f"all {total}" if count == total else f"{count} of {total}"
    more = len(equal) - 1
    also = f", as do units of {more} more layer{'s' if more > 1 else ''}" if more else ""
    reason = (
        f"{amount} units of {worst.title} stay equal{zeros}{also}, because their weights and "
        "gradients are equal"
    )
    level = "unusable" if 2 * count >= total else "poor"
    return Verdict("g", CRITERIA["g"], False, reason, "Draw the weights at random.", level)


def _layers(count: int) -> str:
    return "the only judged layer" if count == 1 else f"all {count} layers"
