"""Measure how signals and gradients go through a real Keras model, and leave it as it was."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from initfast.core.seeds import Seed, root_seed
from initfast.keras.layers import kernels, unit_columns
from initfast.keras.probes import Probe, attributes_kept, matrix, tensors, watched
from initfast.keras.weights import weights
from initfast.signal.diagnosis import LOSS, check_batch, cotangent
from initfast.signal.measures import Units, rms, with_gradients
from initfast.signal.reports import LayerReport, SignalReport
from initfast.signal.trails import Line, Trail
from initfast.signal.verdicts import judge, not_seen, notes

__all__ = ["diagnose"]

Floats = npt.NDArray[np.floating[Any]]
# A loss, given the tensors to put in for the variables and what to do with the tensors that layers
# give.
Loss = Callable[[list[Any], Callable[[int, Any], Any]], Any]


def diagnose(
    model: Any, x: Any, y: Any = None, *, training: bool = True, seed: int | Seed = 0
) -> SignalReport:
    """Measure how signals and gradients go through a built model on a batch: two runs forward, one
    back.

    A layer is one with weights and without layers in it, in the order of the run, with the
    normalisation and activation layers that were given its very output. Recurrent and
    time-distributed layers are taken whole. Works on JAX, PyTorch and TensorFlow. Weights, states,
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
    g: list[Any] = []

    def loss(given: list[Any], tap: Callable[[int, Any], Any]) -> Any:
        with _scope(variables, given), watched(model, Probe(tap)):
            output = model(x, training=training)
            if y is None:
                first = next(tensors(output))
                return keras.ops.sum(keras.ops.multiply(first, keras.ops.cast(g[0], first.dtype)))
            return model.compute_loss(x=x, y=y, y_pred=output)

    trail = Trail()
    probe = Probe(lambda number, tensor: tensor, trail, training=training)
    shapes: list[Any] = []

    def note(number: int, tensor: Any) -> Any:
        shapes.append(tensor)
        return tensor

    probe.tap = note
    # A compiled loss notes the form of its first targets.
    noting = (
        [model._compile_loss]
        if y is not None and getattr(model, "_compile_loss", None) is not None
        else []
    )
    with attributes_kept(noting), _without_gradients():
        with _scope(variables, values), watched(model, probe):
            output = model(x, training=training)
        for each in tensors(output):
            trail.ended(each)
        if not trail.lines:
            raise ValueError(f"a layer with weights must run; received {model!r}, where none did")
        g.append(cotangent(tuple(next(tensors(output)).shape), root_seed(seed)))
        if y is not None:
            for compiled in noting:
                if not compiled.built:
                    compiled.build(y, output)
        by_variable, by_tensor = _GRADIENTS[keras.backend.backend()](loss, values, shapes)
    gradients = {
        id(variable): gradient for variable, gradient in zip(variables, by_variable, strict=True)
    }
    samples = int(np.shape(keras.tree.flatten(x)[0])[0])
    layers = tuple(
        _line(line, by_tensor[probe.last(line)], gradients, samples) for line in trail.lines
    )
    blocks = tuple(trail.blocks)
    names = [each.activation for each in layers if each.activation != "linear"] or ["linear"]
    return SignalReport(
        activation=", ".join(dict.fromkeys(names)),
        initializer=f"as in {type(model).__name__}",
        bias_initializer="likewise",
        inputs="given",
        loss=LOSS if y is None else "as compiled",
        batch=samples,
        seed=None,
        layers=layers,
        verdicts=judge(layers, blocks=blocks),
        notes=(*notes(layers), *_unseen(found, trail.lines)),
        blocks=blocks,
    )


def _line(line: Line, by_output: Any, gradients: dict[int, Any], samples: int) -> LayerReport:
    """The line of the report, complete. What the loss does not depend on has the gradient 0."""
    layer = line.owner
    own = [each for each in layer.weights if id(each) in gradients]
    weight = next((each for each in own if len(each.shape) >= 2), own[0] if own else None)
    gradient = None if weight is None else gradients[id(weight)]
    weight_rms = None if weight is None else 0.0 if gradient is None else rms(gradient)
    bias: Any = getattr(layer, "bias", None)
    multiplied = kernels(layer)
    complete = with_gradients(
        line.report,
        0.0 if by_output is None else rms(by_output),
        weight_rms,
        _units(layer, gradients),
        tuple(rms(_numpy(each.value)) * math.sqrt(fan) for each, fan in multiplied),
        0.0 if not hasattr(bias, "value") else rms(_numpy(bias.value)),
    )
    if len(multiplied) != 1 or line.report.fan_in is None:
        complete = dataclasses.replace(complete, expected_net_variance=None)
    return dataclasses.replace(
        complete,
        outputs=max(1, int(np.prod(line.output.shape)) // max(1, samples)),
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
        columns(_numpy(kernel.value)),
        None if bias is None else _numpy(bias.value).reshape(-1),
        columns(gradient),
        None if bias_gradient is None else bias_gradient.reshape(-1),
    )


def _unseen(found: list[Any], lines: list[Line]) -> list[str]:
    """A note on the weights that belong to no line."""
    seen = {
        id(each) for line in lines for part in (line.owner, *line.parts) for each in part.weights
    }
    slopes = (keras.layers.PReLU,)
    return not_seen(
        each.path
        for each in found
        if id(each.variable) not in seen and not isinstance(each.layer, slopes)
    )


def _numpy(tensor: Any) -> Floats:
    """The values in float32, or float64 if they are."""
    values = np.asarray(keras.ops.convert_to_numpy(tensor))
    return values if values.dtype == np.float64 else values.astype(np.float32)


def _scope(variables: list[Any], values: list[Any]) -> Any:
    """Where variables have other values, and nothing that is assigned to any variable stays."""
    return keras.StatelessScope(
        state_mapping=list(zip(variables, values, strict=True)), collect_losses=True
    )


@contextlib.contextmanager
def _without_gradients() -> Iterator[None]:
    """PyTorch's random state as it was afterwards, and no graph but the one asked for."""
    if keras.backend.backend() != "torch":
        yield
        return
    import torch

    with torch.random.fork_rng(devices=[]), torch.no_grad():
        yield


def _check_loss(value: Any) -> Any:
    if value is None or np.prod(value.shape) != 1:
        shape = "nothing" if value is None else f"one of shape {tuple(value.shape)}"
        raise ValueError(f"the loss must be a scalar; received {shape}")
    return keras.ops.reshape(value, ())


def _by_jax(loss: Loss, values: list[Any], tensors_given: list[Any]) -> tuple[list[Any], list[Any]]:
    import jax
    from jax.interpreters import partial_eval

    # The gradient by a tensor is that by zeros added to it.
    zeros = [keras.ops.zeros_like(each) for each in tensors_given]

    def total(given: list[Any], added: list[Any]) -> Any:
        return _check_loss(loss(given, lambda number, tensor: tensor + added[number]))

    floating = [
        number
        for number, each in enumerate(values)
        if keras.backend.is_float_dtype(str(each.dtype))
    ]

    def of_floating(given: list[Any], added: list[Any]) -> Any:
        complete = list(values)
        for number, each in zip(floating, given, strict=True):
            complete[number] = each
        return total(complete, added)

    given = [values[number] for number in floating]
    found, by_tensor = jax.grad(of_floating, argnums=(0, 1))(given, zeros)
    # A gradient of 0 may be one that vanished, or that of a value which the loss never saw.
    traced = jax.make_jaxpr(of_floating)(given, zeros).jaxpr
    _, used = partial_eval.dce_jaxpr(traced, [True])
    by_value: list[Any] = [None] * len(values)
    for number, each, seen in zip(floating, found, used, strict=False):
        by_value[number] = _numpy(each) if seen else None
    return by_value, [matrix(each) for each in by_tensor]


def _by_torch(
    loss: Loss, values: list[Any], tensors_given: list[Any]
) -> tuple[list[Any], list[Any]]:
    import torch

    with torch.enable_grad():
        leaves = [each.detach().clone().requires_grad_(each.is_floating_point()) for each in values]
        taken: list[Any] = []

        def note(number: int, tensor: Any) -> Any:
            taken.append(tensor)
            return tensor

        value = _check_loss(loss(leaves, note))
        wanted = [each for each in (*leaves, *taken) if each.requires_grad]
        found = dict(
            zip(map(id, wanted), torch.autograd.grad(value, wanted, allow_unused=True), strict=True)
        )
    return _split(leaves, taken, lambda each: found.get(id(each)))


def _by_tensorflow(
    loss: Loss, values: list[Any], tensors_given: list[Any]
) -> tuple[list[Any], list[Any]]:
    import tensorflow as tf

    leaves = [tf.convert_to_tensor(each) for each in values]
    taken: list[Any] = []

    def note(number: int, tensor: Any) -> Any:
        taken.append(tensor)
        return tensor

    with tf.GradientTape() as tape:
        tape.watch([each for each in leaves if each.dtype.is_floating])
        value = _check_loss(loss(leaves, note))
    found = tape.gradient(value, [*leaves, *taken])
    dense = [None if each is None else tf.convert_to_tensor(each) for each in found]
    by_leaf = dict(zip(map(id, (*leaves, *taken)), dense, strict=True))
    return _split(leaves, taken, lambda each: by_leaf[id(each)])


def _split(
    leaves: list[Any], taken: list[Any], gradient: Callable[[Any], Any]
) -> tuple[list[Any], list[Any]]:
    by_value = [None if gradient(each) is None else _numpy(gradient(each)) for each in leaves]
    return by_value, [None if gradient(each) is None else matrix(gradient(each)) for each in taken]


_GRADIENTS = {"jax": _by_jax, "torch": _by_torch, "tensorflow": _by_tensorflow}
