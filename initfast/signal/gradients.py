"""Criterion (d): gradients have a similar size in similar layers, through depth."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence

from initfast.signal.advice import advice
from initfast.signal.layers import LayerReport, Verdict
from initfast.signal.thresholds import CRITERIA, THRESHOLDS

__all__ = ["similar"]

Sizes = list[tuple[float, LayerReport]]
_NO_CAUSE = "Check the depth, and whether a layer between them has a different initializer."


def similar(layers: Sequence[LayerReport], initializer: str, *, chain: bool) -> Verdict:
    """Return the verdict on (d): the RMS of the gradient with respect to the activations differs by
    at most a factor of 10.

    Layers are compared if they have the same class and shape, and names that differ only in
    numbers. In a plain chain without normalisations all layers are compared, by the norm of the
    gradient of one sample, because weights that keep the signal keep this norm.

    Args:
        layers: in the order in which they ran.
        initializer: the present one, as in `judge`.
        chain: whether there are no residual connections.
    """
    sizes = [(layer.gradient_rms, layer) for layer in layers if layer.gradient_rms is not None]
    for size, layer in sizes:
        if not size or not math.isfinite(size):
            reason = (
                f"no gradient reaches {layer.title}: it cannot learn"
                if size == 0
                else f"the gradient overflows in {layer.title}"
            )
            todo = advice(layer, initializer) or "Check the layers between it and the loss."
            return Verdict("d", CRITERIA["d"], False, reason, todo, "unusable")
    plain = chain and all(
        layer.fan_in is not None and layer.followed and not layer.normalised for _, layer in sizes
    )
    groups = [sizes] if plain else _by_kind(sizes)
    measure = _per_sample if plain else _per_value
    compared = [
        (_ratio(low, high), low, high)
        for group in groups
        if len(group) > 1
        for low, high in [_extremes(group, measure)]
    ]
    if not compared:
        return Verdict("d", CRITERIA["d"], None, "there are no two similar layers to compare")
    factor, (least, low), (most, high) = max(compared, key=lambda entry: entry[0])
    quantity = "RMS" if not plain or _of_one_size(sizes) else "norm per sample"
    limit = THRESHOLDS["gradients"]
    kinds = sum(len(group) > 1 for group in groups)
    among = "" if plain else f", the largest among {kinds} kind{'s' if kinds > 1 else ''} of layers"
    reason = (
        f"gradient {quantity} is {least:.3g} in {low.title} and {most:.3g} in {high.title}: a "
        f"factor of {factor:.3g} (limit {limit:.3g}){among}"
    )
    if factor <= limit:
        return Verdict("d", CRITERIA["d"], True, reason)
    todo = advice(low, initializer) if plain else ""
    return Verdict("d", CRITERIA["d"], False, reason, todo or _NO_CAUSE, "poor")


def _by_kind(sizes: Sizes) -> list[Sizes]:
    """Return the layers in groups of one kind: names that differ only in numbers, one shape."""
    groups: dict[tuple[object, ...], Sizes] = {}
    for size, layer in sizes:
        role = re.sub(r"\d+", "*", layer.name.partition("#")[0])
        key = (
            role,
            layer.kind,
            layer.fan_in,
            layer.fan_out,
            layer.units,
            layer.outputs,
            layer.activation,
        )
        if layer.fan_in is not None:
            groups.setdefault(key, []).append((size, layer))
    return list(groups.values())


def _per_value(layer: LayerReport) -> float:
    return layer.gradient_rms or 0.0


def _per_sample(layer: LayerReport) -> float:
    return _per_value(layer) * math.sqrt(layer.outputs or layer.units)


def _extremes(
    group: Sizes, measure: Callable[[LayerReport], float]
) -> tuple[tuple[float, LayerReport], tuple[float, LayerReport]]:
    pairs = [(measure(layer), layer) for _, layer in group]
    if _of_one_size(group):
        pairs = list(group)
    return min(pairs, key=lambda pair: pair[0]), max(pairs, key=lambda pair: pair[0])


def _of_one_size(group: Sizes) -> bool:
    return len({layer.outputs or layer.units for _, layer in group}) == 1


def _ratio(low: tuple[float, LayerReport], high: tuple[float, LayerReport]) -> float:
    return high[0] / low[0]
