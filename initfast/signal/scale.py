"""Criteria on the size of the signal: kept from layer to layer in a chain, or along the stream of a
residual network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from initfast.signal.advice import advice, facts_of
from initfast.signal.layers import Block, LayerReport, Verdict
from initfast.signal.thresholds import CRITERIA, THRESHOLDS

__all__ = ["Factor", "chain", "explosion", "factors", "growth", "stream"]


class Factor(NamedTuple):
    """By how much a layer multiplies the size of the signal, and which factors keep it."""

    measure: str
    value: float
    low: float = 1.0
    high: float = 1.0


def factors(layer: LayerReport) -> list[Factor]:
    """Return by how much a layer multiplies the size of the signal.

    What counts as the size depends on the activation f:

    - Where f(0) = 0 and f has no upper bound, E[x^2] of the activations over that of the layer's
      inputs. This, and not the variance, is what the next layer's net inputs are made of, Var[z] =
      fan_in Var[w] E[x^2], and what He's initializer keeps under ReLU. For activations of mean 0,
      as in linear layers, the two are the same.
    - Where f is bounded (sigmoid, tanh), its output cannot grow, whatever the weights. So it is
      E[z^2] of the net inputs over E[x^2] of the inputs, which is fan_in Var[w]. From 1 / f'(0)^2,
      which keeps a small signal (1 for tanh: Xavier), to 1 / E[f^2], which keeps one of unit
      variance (2.5 for tanh; torch's gain of 5/3 is 2.8), all of it settles at some size.
    - Where f(0) is not 0 (sigmoid, softplus), that constant alone keeps E[x^2], though the units
      may no longer depend on the input. So it is the variance over the batch, of the activations
      over the inputs, means over units; for the sigmoid as well as the above.

    None of them where the layer's weights, inputs or activation are not known.
    """
    known = facts_of(layer)
    if known is None or layer.fan_in is None or not layer.input_second_moment:
        return []
    found = []
    if known.family == "saturating":
        gains = known.gains
        keeping = (gains.small, gains.gradient, gains.variance if known.at_zero else gains.signal)
        net = layer.net_std * layer.net_std + layer.net_mean * layer.net_mean
        found.append(
            Factor(
                "E[z^2] of net inputs over E[x^2] of inputs",
                net / layer.input_second_moment,
                min(keeping),
                max(keeping),
            )
        )
    elif not known.at_zero:
        found.append(Factor("E[x^2] out/in", layer.second_moment / layer.input_second_moment))
    if known.at_zero and layer.input_batch_variance:
        found.append(
            Factor(
                "variance over the batch, out/in,",
                layer.batch_variance / layer.input_batch_variance,
            )
        )
    return found


def chain(layers: Sequence[LayerReport], initializer: str) -> Verdict:
    """(f) of a network without residual connections."""
    found: dict[tuple[str, float, float], list[tuple[float, LayerReport]]] = {}
    for layer in layers:
        for measure, value, low, high in factors(layer) if _in_chain(layer) else ():
            if not math.isfinite(value) or value == 0.0:
                said = f"nothing is left of the signal in {layer.name}"
                said = said if value == 0.0 else f"{layer.name} overflows"
                return _failed(said, layer, initializer, "unusable")
            found.setdefault((measure, low, high), []).append((value, layer))
    kept, single = THRESHOLDS["kept"], THRESHOLDS["single"]
    judged = []
    for (measure, low, high), pairs in found.items():
        mean = math.exp(sum(math.log(value) for value, _ in pairs) / len(pairs))
        middle = math.sqrt(low * high)
        extreme, layer = max(pairs, key=lambda pair: abs(math.log(pair[0] / middle)))
        outside = max(math.log(low / mean), math.log(mean / high))
        passed = outside <= math.log(kept) and low / single <= extreme <= high * single
        reason = (
            f"{measure} is {mean:.3g} in the mean of {_count(len(pairs))} ({low / kept:.3g} to "
            f"{high * kept:.3g} keeps the signal), {extreme:.3g} in {layer.name}"
        )
        judged.append((passed, -outside, reason, layer))
    if judged:
        passed, _, reason, layer = min(judged, key=lambda entry: entry[:2])
        if not passed:
            return _failed(reason, layer, initializer)
    if free := _free(layers, initializer):
        return free
    recurrent = _recurrent(layers, initializer)
    if recurrent is not None and (recurrent.passed is False or not judged):
        return recurrent
    if not judged:
        why = "no layer has weights, inputs and an activation that are known"
        normalised = [layer for layer in layers if layer.normalised and layer.fan_in is not None]
        if normalised:
            # A branch that is 0 at first is a design.
            sizes = [(layer.net_std**2, layer.name) for layer in normalised if not layer.silent]
            if lost := _lost(sizes):
                return _failed(f"E[z^2] {lost}", normalised[-1], initializer)
            return Verdict("f", CRITERIA["f"], True, "normalisations keep it, whatever the weights")
        return Verdict("f", CRITERIA["f"], None, why)
    return Verdict("f", CRITERIA["f"], True, reason)


def _lost(sizes: Sequence[tuple[float, str]]) -> str:
    """Return where the greatest fall of a square is from one place to a later one, in words; empty
    if it is within reason.
    """
    top, worst, said = (0.0, ""), 1.0, ""
    for size, name in sizes:
        top = max(top, (size, name), key=lambda pair: pair[0])
        fall = top[0] / size if size else math.inf
        if fall > max(worst, THRESHOLDS["lost"]):
            worst, said = fall, f"falls from {top[0]:.3g} in {top[1]} to {size:.3g} in {name}"
    return said and f"{said} (limit 1 / {THRESHOLDS['lost']:.0g})"


def _in_chain(layer: LayerReport) -> bool:
    return layer.followed and not layer.normalised and layer.block is None


def _free(layers: Sequence[LayerReport], initializer: str) -> Verdict | None:
    """Return the verdict on weights that are too large even where a normalisation takes care
    of it.
    """
    limit = THRESHOLDS["free"]
    sizes = [
        (layer.weight_scale**2, layer)
        for layer in layers
        if layer.weight_scale is not None and not (_in_chain(layer) and factors(layer))
    ]
    size, worst = max(sizes, key=lambda pair: pair[0], default=(0.0, None))
    if worst is None or size <= limit:
        return None
    return _failed(
        f"the weights of {worst.name} multiply E[x^2] by {size:.3g}: fan_in E[w^2] (limit "
        f"{limit:.3g}, even next to a normalisation)",
        worst,
        initializer,
    )


# Their kernels are used again and again: too small forgets, too large saturates.
_RECURRENT = ("LSTM", "GRU", "RNN")


def _recurrent(layers: Sequence[LayerReport], initializer: str) -> Verdict | None:
    """Return the verdict on the kernels of recurrent layers; None without any."""
    found = [
        (scale**2, layer)
        for layer in layers
        if layer.kind.endswith(_RECURRENT) or layer.kind == "Bidirectional"
        for scale in layer.weight_scales
    ]
    if not found:
        return None
    limit = THRESHOLDS["free"]
    low, high = (pick(found, key=lambda pair: pair[0]) for pick in (min, max))
    reason = (
        f"the kernels of {low[1].name} multiply E[x^2] by {low[0]:.3g} to {high[0]:.3g} "
        f"({1 / limit:.3g} to {limit:.3g} keeps the signal)"
    )
    if 1 / limit <= low[0]:
        return Verdict("f", CRITERIA["f"], True, reason)
    return _failed(reason, low[1], initializer)


def stream(layers: Sequence[LayerReport], blocks: Sequence[Block], initializer: str) -> Verdict:
    """(f) of a residual network: the stream grows no faster than with normalised branches, and no
    branch is too strong."""
    for block in blocks:
        if not math.isfinite(block.after):
            return _stream_failed(f"the residual stream overflows in {block.name}", "unusable")
        if not block.after:
            return _stream_failed(f"nothing is left of the signal in {block.name}", "unusable")
    if free := _free(layers, initializer):
        return free
    if lost := _lost([(block.after**2, block.name) for block in blocks]):
        advised = (
            "Look at the scales of normalisations (usually 1) and at what projects the stream."
        )
        reason = f"E[x^2] of the residual stream {lost}"
        return Verdict("f", CRITERIA["f"], False, reason, advised, "poor")
    rate, first, last, count = growth(blocks)
    share = blocks[-1].branch ** 2 / blocks[-1].after ** 2
    limit = THRESHOLDS["stream"]
    reason = (
        f"E[x^2] of the residual stream grows x{rate:.3g} from {first.name} to {last.name}, in "
        f"{count} sums (normalised branches of one size: x{count}; limit {limit:.3g}); the last "
        f"branch is {share:.1%} of it"
    )
    if rate <= limit:
        return Verdict("f", CRITERIA["f"], True, reason)
    return _stream_failed(reason, "poor", len(blocks))


def growth(blocks: Sequence[Block]) -> tuple[float, Block, Block, int]:
    """Return the greatest growth of E[x^2] along one stream: how much, from and to which sum, and
    over how many sums. A stream ends where it is normalised or projected."""
    streams = [[blocks[0]]]
    for block in blocks[1:]:
        # ReLU after the sum takes up to half of E[x^2].
        if 0.6 <= block.before / (streams[-1][-1].after or 1.0) <= 1.05:
            streams[-1].append(block)
        else:
            streams.append([block])
    found = []
    for each in streams:
        # Embeddings are small on purpose, and a transformer's block has two sums.
        first = each[1] if len(each) > 2 else each[0]
        found.append(((each[-1].after / first.after) ** 2, first, each[-1], len(each)))
    return max(found, key=lambda entry: entry[0])


def explosion(
    layers: Sequence[LayerReport], initializer: str, blocks: Sequence[Block] = ()
) -> Verdict:
    """(c): RMS of activations without a bound, or of the residual stream."""
    start = layers[0].input_second_moment if layers else None
    inputs = 1.0 if start is None else math.sqrt(start)
    bound = THRESHOLDS["explosion"] * max(1.0, inputs)
    if blocks:
        bound *= math.sqrt(1 + len(blocks))
        block = max(blocks, key=lambda each: each.after if math.isfinite(each.after) else math.inf)
        size, where = block.after, f"the residual stream of {block.name}"
        worst = None
    else:
        open_ended = [
            layer
            for layer in layers
            if (known := facts_of(layer)) is not None and known.family != "saturating"
        ]
        if not open_ended:
            return Verdict("c", CRITERIA["c"], None, "all activations are bounded, or not known")
        for layer in open_ended:
            if not math.isfinite(layer.second_moment):
                advised = advice(layer, initializer) or _SMALLER
                said = f"{layer.name} overflows"
                return Verdict("c", CRITERIA["c"], False, said, advised, "unusable")
        worst = max(open_ended, key=lambda layer: layer.second_moment)
        size, where = math.sqrt(worst.second_moment), worst.name
    reason = f"RMS {size:.3g} at most, in {where}, inputs {inputs:.3g} (limit {bound:.3g})"
    if size <= bound:
        return Verdict("c", CRITERIA["c"], True, reason)
    advised = (worst and advice(worst, initializer)) or _SMALLER
    level = "poor" if math.isfinite(size) else "unusable"
    return Verdict("c", CRITERIA["c"], False, reason, advised, level)


def _count(layers: int) -> str:
    return "1 layer" if layers == 1 else f"{layers} layers"


_SMALLER = "Draw weights of another scale."

_HOPELESS = {
    "sigmoid": "No scale of the weights keeps a sigmoid's signal and leaves most units unsaturated;"
    " tanh would keep it."
}


def _failed(reason: str, layer: LayerReport, initializer: str, level: str = "poor") -> Verdict:
    advised = _HOPELESS.get(layer.activation) or advice(layer, initializer) or _SMALLER
    return Verdict("f", CRITERIA["f"], False, reason, advised, level)


def _stream_failed(reason: str, level: str, sums: int = 0) -> Verdict:
    advised = (
        f"Scale the last layer of each branch by 1 / sqrt({sums}), the number of sums, or "
        "normalise the branches."
        if sums
        else "Draw the weights of the stream's first layer at random, with a scale that fits."
    )
    return Verdict("f", CRITERIA["f"], False, reason, advised, level)
