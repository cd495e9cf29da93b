"""Measure how signals and gradients pass through a real Keras model without changing it."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np

from initfast.core.seeds import Seed, root_seed
from initfast.keras.flow import Join
from initfast.keras.gradients import gradients
from initfast.keras.layers import kernels, unit_columns
from initfast.keras.probes import Probe, floats, tensors, watch_layers
from initfast.keras.snapshots import restore_attributes, stateless_scope, without_gradients
from initfast.keras.weights import weights
from initfast.signal.diagnosis import LOSS, check_batch, cotangent
from initfast.signal.measures import Units, rms
from initfast.signal.models import completed, report
from initfast.signal.reports import LayerReport, SignalReport
from initfast.signal.trails import Line, Trail
from initfast.signal.verdicts import unmeasured_note

__all__ = ["diagnose"]


def diagnose(
    model: Any, x: Any, y: Any = None, *, training: bool = True, seed: int | Seed = 0
) -> SignalReport:
    """Measure how signals and gradients pass through a built model on a batch, in two forward
    passes and one backward pass.

    The report has a line for each layer that has weights and contains no other layers, in the order
    of the run. A normalisation or activation layer belongs to the line of the layer whose output is
    its input. Recurrent and time-distributed layers are one line each. A sum of a tensor and
    another one computed from it is a residual connection, also in the `call` of your own layer. A
    sum in a function under `jax.jit` or `tf.function` is not noticed. This works on JAX, PyTorch
    and TensorFlow. It leaves weights, states, seed generators, metrics, optimizer and attributes of
    the layers unchanged, also if it fails.

    Args:
        model: a built Keras model or layer with weights. Frozen weights count too.
        x: a batch for the model: an array, or a list or dict of arrays, used unchanged. Floating
            values must be finite.
        y: targets: the gradients are then those of the loss that the model is compiled with.
            Default: those of the sum of g * output of the first floating output, with g standard
            normal.
        training: the mode of the run. With True, dropout drops and batch normalisation uses the
            batch.
        seed: integer in [0, 2**64) or `Seed`, for that g.

    Raises:
        ValueError: the model is not built, or has no weights; the batch is empty or not finite;
            `y` is passed and the model is not compiled; the loss is not scalar.
    """
    trained_weights = (
        [weight for weight in weights(model) if weight.trained] if hasattr(model, "_layers") else []
    )
    if not trained_weights:
        raise ValueError(
            "a model must be built and have weights: call it or model.build(shape) first; received "
            f"{model!r}"
        )
    for part in keras.tree.flatten(x):
        check_batch(np.asarray(keras.ops.convert_to_numpy(part)))
    if y is not None and not getattr(model, "compiled", False):
        raise ValueError(
            f"y needs a compiled model: call model.compile(loss=...) first; received {model!r}"
        )
    variables = [weight.variable for weight in trained_weights]
    values = [variable.value for variable in variables]
    trail, layer_outputs = Trail(), []

    def note(number: int, tensor: Any) -> Any:
        layer_outputs.append(tensor)
        return tensor

    probe = Probe(note, trail, training=training)
    # A compiled loss keeps the structure of its first targets as attributes.
    compiled_losses = (
        [model._compile_loss]
        if y is not None and getattr(model, "_compile_loss", None) is not None
        else []
    )
    with restore_attributes(compiled_losses), without_gradients():
        with stateless_scope(variables, values), watch_layers(model, probe):
            output = model(x, training=training)
        for each in tensors(output):
            trail.end(each)
        if not trail.lines:
            raise ValueError(f"a layer with weights must run; in {model!r} no such layer ran")
        g = cotangent(tuple(next(tensors(output)).shape), root_seed(seed))
        if y is not None:
            for compiled in compiled_losses:
                if not compiled.built:
                    compiled.build(y, output)

        def loss(values: list[Any], probe: Probe) -> Any:
            with stateless_scope(variables, values), watch_layers(model, probe):
                output = model(x, training=training)
                if y is None:
                    first = next(tensors(output))
                    weights = keras.ops.cast(g, first.dtype)
                    return keras.ops.sum(keras.ops.multiply(first, weights))
                return model.compute_loss(x=x, y=y, y_pred=output)

        back = gradients(loss, values, layer_outputs)
    for join in back.joins:
        _join(trail, probe, join, layer_outputs)
    by_variable = {
        id(variable): gradient
        for variable, gradient in zip(variables, back.by_variable, strict=True)
    }
    samples = int(np.shape(keras.tree.flatten(x)[0])[0])
    layers = [
        _line(line, back.by_tensor[probe.last(line)], by_variable, samples) for line in trail.lines
    ]
    words = LOSS if y is None else "as compiled"
    unseen = _unseen(trained_weights, trail.lines)
    return report(model, trail, layers, unseen, loss=words, samples=samples)


def _join(trail: Trail, probe: Probe, join: Join, layer_outputs: list[Any]) -> None:
    """Note a sum: a block of the residual stream, or a branch that is 0 next to a projected
    shortcut."""
    before, added, after = join.sizes
    silent = None if (before == 0.0) == (added == 0.0) else 0 if before == 0.0 else 1
    block, branch = None, silent
    if join.stream is not None:
        branch = 1 - join.stream
        if join.source is not None:
            trail.fork(layer_outputs[join.source])
        block = trail.join(join.name, join.sizes[join.stream], join.sizes[branch], after)
    if branch is not None:
        for line in map(probe.line, join.layers[branch]):
            if line is not None:
                trail.assign(line, block, silent=silent == branch)


def _line(line: Line, by_output: Any, gradients: dict[int, Any], samples: int) -> LayerReport:
    """Return the report of a layer. If the loss does not depend on a value, its gradient is 0."""
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
    parts = unit_columns(layer)
    if parts is None:
        return None
    kernel, bias, columns = parts
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


def _unseen(all_weights: list[Any], lines: list[Line]) -> list[str]:
    """Return notes on the weights that belong to no line."""
    measured = {
        id(each) for line in lines for part in (line.owner, *line.parts) for each in part.weights
    }
    slopes = (keras.layers.PReLU,)
    return unmeasured_note(
        each.path
        for each in all_weights
        if id(each.variable) not in measured and not isinstance(each.layer, slopes)
    )
