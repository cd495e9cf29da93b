"""The criterion on gradients: of similar size in like layers, through depth."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence

from initfast.signal.advice import advice
from initfast.signal.layers import LayerReport, Verdict
from initfast.signal.thresholds import CRITERIA, THRESHOLDS

__all__ = ["similar"]

Sizes = list[tuple[float, LayerReport]]
_NO_CAUSE = "Look to the depth, or to a layer between them that is drawn in another way."


def similar(layers: Sequence[LayerReport], initializer: str, *, chain: bool) -> Verdict:
    """(d): the RMS of the gradient by the activations differs by a factor of 10 at most.

    Like layers are compared: of one class, one shape and one name but for numbers. In a plain chain
    without normalisations, all layers are, by the gradient of a whole sample: it is what weights
    that keep the signal keep.

    Args:
        chain: whether there are no residual connections.
    """
    sizes = [(layer.gradient_rms, layer) for layer in layers if layer.gradient_rms is not None]
    for size, layer in sizes:
        if not size or not math.isfinite(size):
            said = (
                f"no gradient reaches {layer.name}: it cannot learn"
                if size == 0
                else f"the gradient overflows in {layer.name}"
            )
            advised = advice(layer, initializer) or "Look at the layers between it and the loss."
            return Verdict("d", CRITERIA["d"], False, said, advised, "unusable")
    plain = chain and all(
        layer.fan_in is not None and layer.followed and not layer.normalised for _, layer in sizes
    )
    groups = [sizes] if plain else _alike(sizes)
    measure = _of_a_sample if plain else _of_a_value
    compared = [
        (_ratio(low, high), low, high)
        for group in groups
        if len(group) > 1
        for low, high in [_extremes(group, measure)]
    ]
    if not compared:
        return Verdict("d", CRITERIA["d"], None, "there are no two like layers to compare")
    factor, (least, low), (most, high) = max(compared, key=lambda entry: entry[0])
    what = "RMS by activations" if not plain or low.units == high.units else "norm of a sample"
    limit = THRESHOLDS["gradients"]
    like = "" if plain else f", the widest gap of {sum(len(g) > 1 for g in groups)} kinds of layers"
    reason = (
        f"{what} {least:.3g} in {low.name}, {most:.3g} in {high.name}: a factor of {factor:.3g} "
        f"(limit {limit:.3g}){like}"
    )
    if factor <= limit:
        return Verdict("d", CRITERIA["d"], True, reason)
    advised = advice(low, initializer) if plain else ""
    return Verdict("d", CRITERIA["d"], False, reason, advised or _NO_CAUSE, "poor")


def _alike(sizes: Sizes) -> list[Sizes]:
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


def _of_a_value(layer: LayerReport) -> float:
    return layer.gradient_rms or 0.0


def _of_a_sample(layer: LayerReport) -> float:
    return _of_a_value(layer) * math.sqrt(layer.outputs or layer.units)


def _extremes(
    group: Sizes, measure: Callable[[LayerReport], float]
) -> tuple[tuple[float, LayerReport], tuple[float, LayerReport]]:
    measured = [(measure(layer), layer) for _, layer in group]
    if len({layer.outputs or layer.units for _, layer in group}) == 1:
        measured = list(group)
    return min(measured, key=lambda pair: pair[0]), max(measured, key=lambda pair: pair[0])


def _ratio(low: tuple[float, LayerReport], high: tuple[float, LayerReport]) -> float:
    return high[0] / low[0]
