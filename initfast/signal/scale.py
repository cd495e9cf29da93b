"""Criteria (c) and (f) on the size of the signal: kept from layer to layer in a chain, or along the
stream of a residual network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from initfast.signal.advice import advice, facts_of
from initfast.signal.layers import Block, LayerReport, Verdict
from initfast.signal.thresholds import CRITERIA, THRESHOLDS

__all__ = ["Factor", "chain", "explosion", "factors", "growth", "stream"]


class Factor(NamedTuple):
    """The factor by which a layer multiplies the size of the signal, and the range that keeps it.

    `sentence` says what the layer multiplies, with {} for the layer's name."""

    sentence: str
    value: float
    low: float = 1.0
    high: float = 1.0


def factors(layer: LayerReport) -> list[Factor]:
    """Return the factors by which a layer multiplies the size of the signal.

    The measure of the size depends on the activation f:

    - If f(0) = 0 and f has no upper bound: E[x^2] of the activations over E[x^2] of the layer's
      inputs. The net inputs of the next layer depend on E[x^2], not on the variance, because
      Var[z] = fan_in Var[w] E[x^2]; He's initializer keeps it under ReLU. For activations of mean
      0, as in linear layers, both are the same.
    - If f is bounded (sigmoid, tanh), its output cannot grow for any weights. The measure is
      E[z^2] of the net inputs over E[x^2] of the inputs, which is fan_in Var[w]. The signal settles
      at some size between 1 / f'(0)^2, which keeps a small signal (1 for tanh: Xavier), and
      1 / E[f^2], which keeps a signal of unit variance (2.5 for tanh; torch's gain of 5/3 is 2.8).
    - If f(0) is not 0 (sigmoid, softplus), this constant alone keeps E[x^2], even when the units no
      longer depend on the input. The measure is the variance over the batch, of the activations
      over the inputs, as means over units. The sigmoid has both this measure and the one above.

    The list is empty if the layer's weights, inputs or activation are unknown.
    """
    activation = facts_of(layer)
    if activation is None or layer.fan_in is None or not layer.input_second_moment:
        return []
    result = []
    if activation.family == "saturating":
        gains = activation.gains
        keeping = (
            gains.small,
            gains.gradient,
            gains.variance if activation.at_zero else gains.signal,
        )
        net = layer.net_std * layer.net_std + layer.net_mean * layer.net_mean
        result.append(
            Factor(
                "before its activation, {} multiplies the mean square E[x^2]",
                net / layer.input_second_moment,
                min(keeping),
                max(keeping),
            )
        )
    elif not activation.at_zero:
        result.append(
            Factor(
                "{} multiplies the mean square E[x^2]",
                layer.second_moment / layer.input_second_moment,
            )
        )
    if activation.at_zero and layer.input_batch_variance:
        result.append(
            Factor(
                "{} multiplies the variance over the batch",
                layer.batch_variance / layer.input_batch_variance,
            )
        )
    return result


def chain(layers: Sequence[LayerReport], initializer: str) -> Verdict:
    """Return the verdict on (f) for a network without residual connections."""
    groups: dict[tuple[str, float, float], list[tuple[float, LayerReport]]] = {}
    for layer in layers:
        for sentence, value, low, high in factors(layer) if _in_chain(layer) else ():
            if value == 0.0:
                reason = f"the signal becomes 0 in {layer.title}"
                return _failed(reason, layer, initializer, "unusable")
            if not math.isfinite(value):
                return _failed(f"{layer.title} overflows", layer, initializer, "unusable")
            groups.setdefault((sentence, low, high), []).append((value, layer))
    margin, single = THRESHOLDS["kept"], THRESHOLDS["single"]
    judged = []
    for (sentence, low, high), pairs in groups.items():
        mean = math.exp(sum(math.log(value) for value, _ in pairs) / len(pairs))
        middle = math.sqrt(low * high)
        extreme, layer = max(pairs, key=lambda pair: abs(math.log(pair[0] / middle)))
        outside = max(math.log(low / mean), math.log(mean / high))
        worst_passes = low / single <= extreme <= high * single
        passed = outside <= math.log(margin) and worst_passes
        allowed = f"allowed {low / margin:.3g} to {high * margin:.3g}"
        if len(pairs) == 1:
            reason = f"{sentence.format(layer.title)} by {mean:.3g} ({allowed})"
        else:
            reason = (
                f"{sentence.format('each layer')} by {mean:.3g} on average ({allowed}); the "
                f"worst is {extreme:.3g} in {layer.title}"
            )
        if not worst_passes:
            reason += f"; the limits of one layer are {low / single:.3g} and {high * single:.3g}"
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
        why = "no layer has known weights, inputs and activation"
        normalised = [layer for layer in layers if layer.normalised and layer.fan_in is not None]
        if normalised:
            # Branches that output 0 at first are a design.
            sizes = [(layer.net_std**2, layer.title) for layer in normalised if not layer.silent]
            if lost := _lost(sizes):
                return _failed(f"E[z^2] {lost}", normalised[-1], initializer)
            return Verdict("f", CRITERIA["f"], True, "normalisations keep it for any weights")
        return Verdict("f", CRITERIA["f"], None, why)
    return Verdict("f", CRITERIA["f"], True, reason)


def _lost(sizes: Sequence[tuple[float, str]]) -> str:
    """Return a text on the largest fall of a mean square from one place to a later one; empty if
    no fall is beyond the limit.
    """
    top, worst, text = (0.0, ""), 1.0, ""
    for size, name in sizes:
        top = max(top, (size, name), key=lambda pair: pair[0])
        fall = top[0] / size if size else math.inf
        if fall > max(worst, THRESHOLDS["lost"]):
            worst, text = fall, f"falls from {top[0]:.3g} in {top[1]} to {size:.3g} in {name}"
    return text and f"{text} (limit: a factor of {THRESHOLDS['lost']:.0g})"


def _in_chain(layer: LayerReport) -> bool:
    return layer.followed and not layer.normalised and layer.block is None


def _free(layers: Sequence[LayerReport], initializer: str) -> Verdict | None:
    """Return the verdict on weights that are too large even next to a normalisation, or None."""
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
        f"the weights of {worst.title} multiply the mean square E[x^2] by {size:.3g} = fan_in "
        f"E[w^2] (limit {limit:.3g}, also next to a normalisation)",
        worst,
        initializer,
    )


# Each time step uses the same kernels: small ones lose the signal, large ones saturate.
_RECURRENT = ("LSTM", "GRU", "RNN")


def _recurrent(layers: Sequence[LayerReport], initializer: str) -> Verdict | None:
    """Return the verdict on the kernels of recurrent layers; None if there are none."""
    sizes = [
        (scale**2, layer)
        for layer in layers
        if layer.kind.endswith(_RECURRENT) or layer.kind == "Bidirectional"
        for scale in layer.weight_scales
    ]
    if not sizes:
        return None
    limit = THRESHOLDS["free"]
    low, high = (pick(sizes, key=lambda pair: pair[0]) for pick in (min, max))
    reason = (
        f"the kernels of {low[1].title} multiply the mean square E[x^2] by {low[0]:.3g} to "
        f"{high[0]:.3g} (allowed {1 / limit:.3g} to {limit:.3g})"
    )
    if 1 / limit <= low[0]:
        return Verdict("f", CRITERIA["f"], True, reason)
    return _failed(reason, low[1], initializer)


def stream(layers: Sequence[LayerReport], blocks: Sequence[Block], initializer: str) -> Verdict:
    """Return the verdict on (f) for a residual network: the stream grows no faster than with
    normalised branches, and no weights are too large."""
    for block in blocks:
        if not math.isfinite(block.after):
            return _stream_failed(f"the residual stream overflows in {block.title}", "unusable")
        if not block.after:
            return _stream_failed(f"the signal becomes 0 in {block.title}", "unusable")
    if free := _free(layers, initializer):
        return free
    if lost := _lost([(block.after**2, block.title) for block in blocks]):
        todo = (
            "Check the scales of the normalisations (usually 1) and the layers that project the "
            "stream."
        )
        reason = f"E[x^2] of the residual stream {lost}"
        return Verdict("f", CRITERIA["f"], False, reason, todo, "poor")
    rate, first, last, count = growth(blocks)
    share = blocks[-1].branch ** 2 / blocks[-1].after ** 2
    limit = THRESHOLDS["stream"]
    reason = (
        f"E[x^2] of the residual stream grows by a factor of {rate:.3g} from {first.title} to "
        f"{last.title}, over {count} sums ({count} is usual with normalised branches; limit "
        f"{limit:.3g}); the last branch is {share:.1%} of it"
    )
    if rate <= limit:
        return Verdict("f", CRITERIA["f"], True, reason)
    return _stream_failed(reason, "poor", len(blocks))


def growth(blocks: Sequence[Block]) -> tuple[float, Block, Block, int]:
    """Return the largest growth of E[x^2] along one stream: (factor, first sum, last sum, number of
    sums). A stream ends where it is normalised or projected."""
    streams = [[blocks[0]]]
    for block in blocks[1:]:
        # A ReLU after the sum removes up to half of E[x^2].
        if 0.6 <= block.before / (streams[-1][-1].after or 1.0) <= 1.05:
            streams[-1].append(block)
        else:
            streams.append([block])
    growths = []
    for each in streams:
        # Embeddings are small on purpose, and a transformer's block has two sums: start at the
        # second sum.
        first = each[1] if len(each) > 2 else each[0]
        growths.append(((each[-1].after / first.after) ** 2, first, each[-1], len(each)))
    return max(growths, key=lambda entry: entry[0])


def explosion(
    layers: Sequence[LayerReport], initializer: str, blocks: Sequence[Block] = ()
) -> Verdict:
    """Return the verdict on (c): the RMS of unbounded activations, or of the residual stream."""
    start = layers[0].input_second_moment if layers else None
    inputs = 1.0 if start is None else math.sqrt(start)
    bound = THRESHOLDS["explosion"] * max(1.0, inputs)
    if blocks:
        bound *= math.sqrt(1 + len(blocks))
        block = max(blocks, key=lambda each: each.after if math.isfinite(each.after) else math.inf)
        size, where = block.after, f"the residual stream at {block.title}"
        worst = None
    else:
        unbounded = [
            layer
            for layer in layers
            if (facts := facts_of(layer)) is not None and facts.family != "saturating"
        ]
        if not unbounded:
            return Verdict("c", CRITERIA["c"], None, "all activations are bounded or unknown")
        for layer in unbounded:
            if not math.isfinite(layer.second_moment):
                todo = advice(layer, initializer) or _SCALE
                reason = f"{layer.title} overflows"
                return Verdict("c", CRITERIA["c"], False, reason, todo, "unusable")
        worst = max(unbounded, key=lambda layer: layer.second_moment)
        size, where = math.sqrt(worst.second_moment), worst.title
    reason = f"the largest RMS is {size:.3g}, in {where} (limit {bound:.3g}, inputs {inputs:.3g})"
    if size <= bound:
        return Verdict("c", CRITERIA["c"], True, reason)
    todo = (worst and advice(worst, initializer)) or _SCALE
    level = "poor" if math.isfinite(size) else "unusable"
    return Verdict("c", CRITERIA["c"], False, reason, todo, level)


_SCALE = "Use weights of a different scale."

_IMPOSSIBLE = {
    "sigmoid": "With sigmoid, no scale of the weights keeps the signal without saturating most "
    "units. Use tanh."
}


def _failed(reason: str, layer: LayerReport, initializer: str, level: str = "poor") -> Verdict:
    todo = _IMPOSSIBLE.get(layer.activation) or advice(layer, initializer) or _SCALE
    return Verdict("f", CRITERIA["f"], False, reason, todo, level)


def _stream_failed(reason: str, level: str, sums: int = 0) -> Verdict:
    todo = (
        f"Scale the last layer of each branch by 1 / sqrt({sums}) (there are {sums} sums), or "
        "normalise the branches."
        if sums
        else "Check the weights of the first layer of the stream: random, and of a fitting scale."
    )
    return Verdict("f", CRITERIA["f"], False, reason, todo, level)
