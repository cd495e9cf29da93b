"""The criteria by which an initialisation is judged, and the thresholds, all in one table.

The last layer is not judged where there are others: its saturation can be mended by the cost
function, its width and activation belong to the task, and its gradient is the loss's own."""

from __future__ import annotations

import math
from collections.abc import Sequence

from initfast.signal.activations import ACTIVATIONS, SATURATED_SHARE, Activation
from initfast.signal.layers import LayerReport, Verdict
from initfast.signal.recommendations import recommend

__all__ = ["CRITERIA", "THRESHOLDS", "factors", "judge", "notes"]

CRITERIA = {
    "b": "does not saturate most sigmoid or tanh units",
    "c": "does not explode where activations have no upper bound",
    "d": "gradients of similar size in all layers",
    "e": "activations of mean zero",
    "f": "the size of the signal is kept from layer to layer",
}

THRESHOLDS = {
    # (b) "most": more than half of a layer's net inputs, over units and samples.
    "saturated": 0.5,
    # (c) Activations have exploded where their RMS is above ten times that of the inputs, and above
    # ten.
    "explosion": 10.0,
    # (d) Similar: within one order of magnitude.
    "gradients": 10.0,
    # (e) The mean makes up at most a tenth of the second moment: mean^2 <= (mean^2 + variance) /
    # 10.
    "mean": 1.0 / 3.0,
    # (e) ... and a mean this many standard errors from 0 is no accident of which few units were
    # drawn.
    "errors": 3.0,
    # (f) The factor of the signal's size, geometric mean over layers. Half (Glorot under ReLU) and
    # double (He where nothing halves) have to fail and 1 to pass; this is half way, as factors go.
    "kept": math.sqrt(2.0),
    # (f) ... and no single layer changes it by an order of magnitude.
    "single": 10.0,
    # A note, no criterion: more than half of the units of a layer are 0 on the whole batch.
    "dead": 0.5,
}


def judge(layers: Sequence[LayerReport], initializer: str = "") -> dict[str, Verdict]:
    """The verdicts on criteria (b) to (f).

    Args:
        layers: in the order in which they ran.
        initializer: the one in use; it is not recommended against itself.
    """
    judged = layers[:-1] or layers
    return {letter: rule(judged, initializer) for letter, rule in _RULES.items()}


def notes(layers: Sequence[LayerReport]) -> tuple[str, ...]:
    """What no criterion asks for and yet is wrong."""
    found = []
    if same := [(layer.symmetric / layer.units, layer) for layer in layers if layer.symmetric]:
        _, worst = max(same, key=lambda pair: pair[0])
        found.append(
            f"{_where(same)}: units have the weights and gradients of others ({worst.symmetric} "
            f"of {worst.units} in "
            f"{worst.name}): they stay equal for ever, and count as one. Draw the weights at "
            "random."
        )
    if dead := [
        (layer.dead, layer) for layer in layers if layer.dead and layer.dead > THRESHOLDS["dead"]
    ]:
        share, worst = max(dead, key=lambda pair: pair[0])
        found.append(
            f"{_where(dead)}: units are 0 on the whole batch ({share:.0%} of those of "
            f"{worst.name}): they learn "
            "nothing from it."
        )
    return tuple(found)


def _where(found: Sequence[tuple[float, LayerReport]]) -> str:
    first, last = found[0][1].name, found[-1][1].name
    return first if len(found) == 1 else f"{len(found)} layers, {first} to {last}"


def factors(layer: LayerReport) -> dict[str, float]:
    """By how much a layer multiplies the size of the signal, by name of the measure; 1 keeps it.

    What counts as the size depends on the activation f:

    - Where f(0) = 0 and f has no upper bound, E[x^2] of the activations over that of the layer's
      inputs. This, and not the variance, is what the next layer's net inputs are made of, Var[z] =
      fan_in Var[w] E[x^2], and what He's initializer keeps under ReLU. For activations of mean 0,
      as in linear layers, the two are the same.
    - Where f is bounded (sigmoid, tanh), its output cannot grow, whatever the weights. So it is
      E[z^2] of the net inputs over E[x^2] of the inputs, times f'(0)^2, which is what f passes on
      of a small signal: 1 for tanh, 1/16 for the sigmoid. What tanh itself takes from a larger
      signal is not the weights' doing, and is no part of it.
    - Where f(0) is not 0 (sigmoid, softplus), that constant alone keeps E[x^2], though the units
      may no longer depend on the input. So it is the variance over the batch, of the activations
      over the inputs, means over units; for the sigmoid as well as the above.

    None of them where the layer's weights, inputs or activation are not known.
    """
    known = ACTIVATIONS.get(layer.activation)
    if known is None or layer.fan_in is None or not layer.input_second_moment:
        return {}
    found = {}
    if known.family == "saturating":
        net = layer.net_std * layer.net_std + layer.net_mean * layer.net_mean
        slope = "" if known.slope_at_zero == 1.0 else f" times {known.slope_at_zero:.2f}^2"
        found[f"E[z^2] of net inputs over E[x^2] of inputs{slope}"] = (
            net / layer.input_second_moment * known.slope_at_zero**2
        )
    elif not known.at_zero:
        found["E[x^2] after over before"] = layer.second_moment / layer.input_second_moment
    if known.at_zero and layer.input_batch_variance:
        found["variance over the batch, after over before,"] = (
            layer.batch_variance / layer.input_batch_variance
        )
    return found


def _saturation(layers: Sequence[LayerReport], initializer: str) -> Verdict:
    shares = [(layer.saturated, layer) for layer in layers if layer.saturated is not None]
    if not shares:
        return _none("b", "no sigmoid or tanh is judged")
    share, worst = max(shares, key=lambda pair: pair[0])
    edge = _known(worst).edge
    reason = (
        f"{share:.1%} of {worst.name}, where |z| > {edge:.2f} and the slope is below "
        f"{SATURATED_SHARE:.0%} of its "
        f"greatest (at most {THRESHOLDS['saturated']:.0%})"
    )
    return _verdict("b", share <= THRESHOLDS["saturated"], reason, worst, initializer)


def _explosion(layers: Sequence[LayerReport], initializer: str) -> Verdict:
    open_ended = [
        layer
        for layer in layers
        if layer.activation in ACTIVATIONS and _known(layer).family != "saturating"
    ]
    if not open_ended:
        return _none("c", "all activations are bounded")
    for layer in open_ended:
        if not math.isfinite(layer.second_moment):
            return _verdict("c", False, f"{layer.name} overflows", layer, initializer)
    start = layers[0].input_second_moment
    inputs = 1.0 if start is None else math.sqrt(start)
    worst = max(open_ended, key=lambda layer: layer.second_moment)
    size = math.sqrt(worst.second_moment)
    bound = THRESHOLDS["explosion"] * max(1.0, inputs)
    reason = f"RMS {_n(size)} at most, in {worst.name}, inputs {_n(inputs)} (at most {_n(bound)})"
    return _verdict("c", size <= bound, reason, worst, initializer)


def _gradients(layers: Sequence[LayerReport], initializer: str) -> Verdict:
    sizes = [(layer.gradient_rms, layer) for layer in layers if layer.gradient_rms is not None]
    for size, layer in sizes:
        if not size or not math.isfinite(size):
            said = (
                f"no gradient reaches {layer.name}"
                if size == 0
                else f"the gradient overflows in {layer.name}"
            )
            return _verdict("d", False, said, layer, initializer)
    if len(sizes) < 2:
        return _none("d", "there are no two layers to compare")
    (least, low), (most, high) = (
        min(sizes, key=lambda pair: pair[0]),
        max(sizes, key=lambda pair: pair[0]),
    )
    reason = (
        f"RMS by activations {_n(least)} in {low.name}, {_n(most)} in {high.name}, a factor of "
        f"{_n(most / least)} "
        f"(at most {_n(THRESHOLDS['gradients'])})"
    )
    return _verdict("d", most / least <= THRESHOLDS["gradients"], reason, low, initializer)


def _mean(layers: Sequence[LayerReport], initializer: str) -> Verdict:
    found = []
    for layer in layers:
        if (
            layer.activation not in ACTIVATIONS
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
        return _none("e", "all activations are 0, or not finite")
    failed, share, worst = max(found, key=lambda entry: entry[:2])
    reason = (
        f"mean {_n(worst.mean)} in {worst.name}, {_n(share)} of its standard deviation "
        f"(at most {THRESHOLDS['mean']:.2f}, unless by chance)"
    )
    advice = ""
    if failed and worst.activation in _ONE_SIDED:
        advice = (
            f"No initializer changes that: {_ONE_SIDED[worst.activation]}; tanh or selu, or a "
            "normalisation, would."
        )
    elif failed:
        advice = _advice(worst, initializer)
    return Verdict("e", CRITERIA["e"], not failed, reason, advice)


_ONE_SIDED = {
    "sigmoid": "a sigmoid is never negative",
    "relu": "ReLU is never negative",
    "softplus": "softplus is never negative",
    "leaky_relu": "leaky ReLU is mostly positive",
    "gelu": "GELU is mostly positive",
    "silu": "SiLU is mostly positive",
}


def _size(layers: Sequence[LayerReport], initializer: str) -> Verdict:
    by_measure: dict[str, list[tuple[float, LayerReport]]] = {}
    for layer in layers:
        for measure, value in factors(layer).items():
            if not math.isfinite(value) or value == 0.0:
                said = (
                    f"nothing is left in {layer.name}"
                    if value == 0.0
                    else f"{layer.name} overflows"
                )
                return _verdict("f", False, said, layer, initializer)
            by_measure.setdefault(measure, []).append((value, layer))
    if not by_measure:
        return _none("f", "no layer has weights, inputs and an activation that are known")
    kept, single = THRESHOLDS["kept"], THRESHOLDS["single"]
    found = []
    for measure, pairs in by_measure.items():
        mean = sum(math.log(value) for value, _ in pairs) / len(pairs)
        extreme, layer = max(pairs, key=lambda pair: abs(math.log(pair[0])))
        passed = abs(mean) <= math.log(kept) and 1.0 / single <= extreme <= single
        reason = (
            f"{measure} is {_n(math.exp(mean))} in the mean of layers ({1 / kept:.2f} to "
            f"{kept:.2f}), {_n(extreme)} in "
            f"{layer.name}"
        )
        found.append((passed, -abs(mean), reason, layer))
    passed, _, reason, layer = min(found, key=lambda entry: entry[:2])
    advice = "" if passed else _HOPELESS.get(layer.activation) or _advice(layer, initializer)
    return Verdict("f", CRITERIA["f"], passed, reason, advice)


_HOPELESS = {
    "sigmoid": "No scale of the weights keeps a sigmoid's signal and leaves most units unsaturated;"
    " tanh would keep it."
}


_RULES = {"b": _saturation, "c": _explosion, "d": _gradients, "e": _mean, "f": _size}


def _known(layer: LayerReport) -> Activation:
    return ACTIVATIONS[layer.activation]


def _none(letter: str, reason: str) -> Verdict:
    return Verdict(letter, CRITERIA[letter], None, reason)


def _verdict(
    letter: str, passed: bool, reason: str, layer: LayerReport, initializer: str
) -> Verdict:
    return Verdict(
        letter, CRITERIA[letter], passed, reason, "" if passed else _advice(layer, initializer)
    )


def _advice(layer: LayerReport, initializer: str) -> str:
    if layer.activation not in ACTIVATIONS:
        return ""
    fits = recommend(layer.activation)
    if initializer in (fits.initializer, *fits.also):
        return (
            f"{initializer} is what fits {layer.activation};"
            " look to depth, widths and inputs, or normalise."
        )
    return f"Fits {layer.activation}: {fits.initializer} ({fits.source})."


def _n(value: float) -> str:
    return f"{value:.3g}"
