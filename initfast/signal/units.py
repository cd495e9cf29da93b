"""Criteria on the units of a layer: saturated, of mean zero, all different."""

from __future__ import annotations

import math
from collections.abc import Sequence

from initfast.signal.activations import SATURATED_SHARE
from initfast.signal.advice import ONE_SIDED, advice, facts_of
from initfast.signal.layers import LayerReport, Verdict
from initfast.signal.thresholds import CRITERIA, THRESHOLDS

__all__ = ["mean", "saturation", "symmetry"]


def saturation(layers: Sequence[LayerReport], initializer: str) -> Verdict:
    """(b): at most half of a layer's net inputs are where the slope is small."""
    shares = [(layer.saturated, layer) for layer in layers if layer.saturated is not None]
    if not shares:
        return Verdict("b", CRITERIA["b"], None, "no layer has a sigmoid, a tanh or the like")
    share, worst = max(shares, key=lambda pair: pair[0])
    known = facts_of(worst)
    edge = math.inf if known is None or known.edge is None else known.edge
    reason = (
        f"{share:.1%} of the net inputs of {worst.name} are saturated: |z| > {edge:.2f}, slope "
        f"below {SATURATED_SHARE:.0%} of its greatest (limit {THRESHOLDS['saturated']:.0%})"
    )
    passed = share <= THRESHOLDS["saturated"]
    if passed:
        return Verdict("b", CRITERIA["b"], True, reason)
    return Verdict("b", CRITERIA["b"], False, reason, advice(worst, initializer), "poor")


def mean(layers: Sequence[LayerReport], initializer: str) -> Verdict:
    """(e): the mean is small next to the standard deviation, or is chance."""
    found = []
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
        # Sums of equal numbers leave a variance of rounding.
        significant = abs(layer.mean) > THRESHOLDS["errors"] * layer.mean_error
        found.append((share > THRESHOLDS["mean"] and significant, share, layer))
    if not found:
        return Verdict("e", CRITERIA["e"], None, "all activations are 0, not finite, or not known")
    failed, share, worst = max(found, key=lambda entry: entry[:2])
    reason = (
        f"{worst.name}: mean {worst.mean:.3g}, {share:.3g} of the standard deviation (limit "
        f"{THRESHOLDS['mean']:.2f}, unless by chance)"
    )
    if not failed:
        return Verdict("e", CRITERIA["e"], True, reason)
    known = facts_of(worst)
    if known is not None and (known.family == "rectifier" or known.at_zero):
        said = ONE_SIDED.get(worst.activation, f"{worst.activation} is mostly of one sign")
        inherent = f"No initializer changes that: {said}; tanh or selu, or a normalisation, would."
        return Verdict("e", CRITERIA["e"], False, reason, inherent, "inherent")
    return Verdict("e", CRITERIA["e"], False, reason, advice(worst, initializer) or _LOOK, "poor")


_LOOK = "Look at the biases and at the inputs."


def symmetry(layers: Sequence[LayerReport]) -> Verdict:
    """(g): no units have the weights, bias and gradients of another."""
    known = [layer for layer in layers if layer.symmetric is not None]
    if not known:
        return Verdict("g", CRITERIA["g"], None, "no layer has units with separate weights")
    same = [layer for layer in known if layer.symmetric]
    if not same:
        return Verdict("g", CRITERIA["g"], True, f"all units differ in {_layers(len(known))}")
    worst = max(same, key=lambda layer: (layer.symmetric or 0) / layer.units)
    count = worst.symmetric or 0
    of = max(count, worst.units)  # an attention head has units in two dimensions
    zeros = " (zeros)" if worst.weight_scale == 0.0 else ""
    much = f"all {of}" if count == of else f"{count} of {of}"
    more = f", and so in {len(same) - 1} more" if len(same) > 1 else ""
    reason = (
        f"{much} units of {worst.name} stay equal{zeros}{more}: they have the same weights and "
        "gradients, and learn as one"
    )
    level = "unusable" if 2 * count >= of else "poor"
    return Verdict("g", CRITERIA["g"], False, reason, "Draw the weights at random.", level)


def _layers(count: int) -> str:
    return "the only layer that is judged" if count == 1 else f"all {count} layers"
