"""Measure how signals and gradients go through a real Keras model, and leave it as it was."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np

from initfast.core.seeds import Seed, root_seed
from initfast.keras.flow import Join
from initfast.keras.gradients import gradients
from initfast.keras.layers import kernels, unit_columns
from initfast.keras.probes import Probe, floats, tensors, watched
from initfast.keras.snapshots import attributes_kept, stateless, without_gradients
from initfast.keras.weights import weights
from initfast.signal.diagnosis import LOSS, check_batch, cotangent
from initfast.signal.measures import Units, rms
from initfast.signal.models import completed, report
from initfast.signal.reports import LayerReport, SignalReport
from initfast.signal.trails import Line, Trail
from initfast.signal.verdicts import not_seen

__all__ = ["diagnose"]


def diagnose(
    model: Any, x: Any, y: Any = None, *, training: bool = True, seed: int | Seed = 0
) -> SignalReport:
    """Measure how signals and gradients go through a built model on a batch: two runs forward, one
    back.

    A layer is one with weights and without layers in it, in the order of the run, with the
    normalisation and activation layers that were given its very output. Recurrent and
    time-distributed layers are taken whole. A sum of a tensor and what was computed from it is a
    residual connection, also in the `call` of a layer of yours; one within a function under
    `jax.jit` or `tf.function` is not seen. Works on JAX, PyTorch and TensorFlow. Weights, states,
    seed generators, metrics, optimizer and attributes of the layers are afterwards what they were,
    also if it fails.

    Args:
        model: a built Keras model or layer with weights. Frozen weights count too.
        x: a batch as the model is called with: array, or a list or dict of them. Taken as it is;
            floating values must be finite.
        y: targets; then the gradients are those of the loss that the model is compiled with.
            Default: those of the sum of g * output, with g standard normal, of the first floating
            output.
        training: the mode to run in: dropout drops, and batch normalisation uses the batch.
        seed: integer in [0, 2**64) or `Seed`, for that g.

    Raises:
        ValueError: the model is not built, or there are no weights; the batch is empty or not
            finite; `y` is given and the model is not compiled; the loss is not scalar.
    """
    found = (
        [weight for weight in weights(model) if weight.trained] if hasattr(model, "_layers") else []
    )
    if not found:
        raise ValueError(
            f"a model must be built and have weights to be diagnosed; received {model!r}"
        )
    for part in keras.tree.flatten(x):
        check_batch(np.asarray(keras.ops.convert_to_numpy(part)))
    if y is not None and not getattr(model, "compiled", False):
        raise ValueError(
            f"y needs a model that is compiled with a loss; received {model!r}, which is not"
        )
    variables = [weight.variable for weight in found]
    values = [variable.value for variable in variables]
    trail, given = Trail(), []

    def note(number: int, tensor: Any) -> Any:
        given.append(tensor)
        return tensor

    probe = Probe(note, trail, training=training)
    # A compiled loss notes the form of its first targets.
    noting = (
        [model._compile_loss]
        if y is not None and getattr(model, "_compile_loss", None) is not None
        else []
    )
    with attributes_kept(noting), without_gradients():
        with stateless(variables, values), watched(model, probe):
            output = model(x, training=training)
        for each in tensors(output):
            trail.ended(each)
        if not trail.lines:
            raise ValueError(f"a layer with weights must run; received {model!r}, where none did")
        g = cotangent(tuple(next(tensors(output)).shape), root_seed(seed))
        if y is not None:
            for compiled in noting:
                if not compiled.built:
                    compiled.build(y, output)

        def loss(values: list[Any], probe: Probe) -> Any:
            with stateless(variables, values), watched(model, probe):
                output = model(x, training=training)
                if y is None:
                    first = next(tensors(output))
                    weights = keras.ops.cast(g, first.dtype)
                    return keras.ops.sum(keras.ops.multiply(first, weights))
                return model.compute_loss(x=x, y=y, y_pred=output)

        back = gradients(loss, values, given)
    for join in back.joins:
        _join(trail, probe, join, given)
    by_variable = {
        id(variable): gradient
        for variable, gradient in zip(variables, back.by_variable, strict=True)
    }
    samples = int(np.shape(keras.tree.flatten(x)[0])[0])
    layers = [
        _line(line, back.by_tensor[probe.last(line)], by_variable, samples) for line in trail.lines
    ]
    words = LOSS if y is None else "as compiled"
    unseen = _unseen(found, trail.lines)
    return report(model, trail, layers, unseen, loss=words, samples=samples)


def _join(trail: Trail, probe: Probe, found: Join, given: list[Any]) -> None:
    """Note a sum: a block of the residual stream, or a branch that is 0 next to a projected one."""
    before, added, after = found.sizes
    silent = None if (before == 0.0) == (added == 0.0) else 0 if before == 0.0 else 1
    block, branch = None, silent
    if found.stream is not None:
        branch = 1 - found.stream
        if found.source is not None:
            trail.forked(given[found.source])
        block = trail.joined(found.name, found.sizes[found.stream], found.sizes[branch], after)
    if branch is not None:
        for line in map(probe.line, found.layers[branch]):
            if line is not None:
                trail.belongs(line, block, silent=silent == branch)


def _line(line: Line, by_output: Any, gradients: dict[int, Any], samples: int) -> LayerReport:
    """Return the line of the report, complete. What the loss does not depend on has the
    gradient 0.
    """
    layer = line.owner
    own = [each for each in layer.weights if id(each) in gradients]
    weight = next((each for each in own if len(each.shape) >= 2), own[0] if own else None)
    gradient = None if weight is None else gradients[id(weight)]
    bias: Any = getattr(layer, "bias", None)
    return completed(
        line,
        gradient_rms=0.0 if by_output is None else rms(by_output),
        weight_gradient_rms=None if weight is None else 0.0 if gradient is None else rms(gradient),
        units=_units(layer, gradients),
        weight_scales=tuple(
            rms(floats(each.value)) * math.sqrt(fan) for each, fan in kernels(layer)
        ),
        bias_rms=0.0 if not hasattr(bias, "value") else rms(floats(bias.value)),
        samples=samples,
        reached=not own or any(gradients[id(each)] is not None for each in own),
    )


def _units(layer: Any, gradients: dict[int, Any]) -> Units | None:
    read = unit_columns(layer)
    if read is None:
        return None
    kernel, bias, columns = read
    gradient = gradients.get(id(kernel))
    bias_gradient = None if bias is None else gradients.get(id(bias))
    if gradient is None or (bias is not None and bias_gradient is None):
        return None
    return Units(
        columns(floats(kernel.value)),
        None if bias is None else floats(bias.value).reshape(-1),
        columns(gradient),
        None if bias_gradient is None else bias_gradient.reshape(-1),
    )


def _unseen(found: list[Any], lines: list[Line]) -> list[str]:
    """Return a note on the weights that belong to no line."""
    seen = {
        id(each) for line in lines for part in (line.owner, *line.parts) for each in part.weights
    }
    slopes = (keras.layers.PReLU,)
    return not_seen(
        each.path
        for each in found
        if id(each.variable) not in seen and not isinstance(each.layer, slopes)
    )
