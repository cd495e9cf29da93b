"""Gradients of a model's loss by its variables and by the outputs of its layers, on each backend,
and the residual sums of the run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
import numpy.typing as npt

from initfast.keras.flow import Flow, Join
from initfast.keras.probes import Probe, floats, matrix, tensors
from initfast.signal.measures import rms

__all__ = ["Gradients", "Loss", "gradients"]

Floats = npt.NDArray[np.floating[Any]]
# A loss as a function of the variables' values and of the probe of the layer outputs.
Loss = Callable[[list[Any], Probe], Any]


class Gradients(NamedTuple):
    """Gradients by the variables and by the numbered layer outputs, and the residual sums of the
    run. A gradient is None if the loss does not depend on the value."""

    by_variable: list[Any]
    by_tensor: list[Any]
    joins: list[Join]


def gradients(loss: Loss, values: list[Any], outputs: list[Any]) -> Gradients:
    """Return the gradients of a loss, from one forward and one backward pass.

    Args:
        loss: the loss of the model.
        values: the values of its variables.
        outputs: tensors like the outputs of its layers, by their numbers.

    Raises:
        ValueError: the loss is not a scalar.
        NotImplementedError: the backend has no gradients.
    """
    backend = keras.backend.backend()
    if backend not in _ENGINES:
        raise NotImplementedError(
            f"the {backend} backend has no gradients: set KERAS_BACKEND to one of "
            f"{', '.join(_ENGINES)}"
        )
    return _ENGINES[backend](loss, values, outputs)


def _by_jax(loss: Loss, values: list[Any], outputs: list[Any]) -> Gradients:
    import jax
    from jax.interpreters import partial_eval

    # The gradient by a tensor is that by zeros added to it.
    zeros = [keras.ops.zeros_like(each) for each in outputs]
    floating = [i for i, each in enumerate(values) if keras.backend.is_float_dtype(str(each.dtype))]
    probes: list[Probe] = []

    def total(trained: list[Any], added: list[Any]) -> Any:
        complete = list(values)
        for number, each in zip(floating, trained, strict=True):
            complete[number] = each
        probes.append(Probe(lambda number, tensor: tensor + added[number]))
        return _scalar(loss(complete, probes[-1]))

    trained = [values[number] for number in floating]
    by_trained, by_tensor = jax.grad(total, argnums=(0, 1))(trained, zeros)
    program = jax.make_jaxpr(total)(trained, zeros)
    # A gradient of 0 may have vanished, or may belong to a value that the loss does not use.
    _, used = partial_eval.dce_jaxpr(program.jaxpr, [True])
    by_value: list[Any] = [None] * len(values)
    for number, each, is_used in zip(floating, by_trained, used, strict=False):
        by_value[number] = floats(each) if is_used else None
    joins = _joins_of(program, trained, zeros, probes[-1])
    return Gradients(by_value, [matrix(each) for each in by_tensor], joins)


def _joins_of(program: Any, trained: list[Any], zeros: list[Any], probe: Probe) -> list[Join]:
    """Return the residual sums in a traced loss.

    Args:
        program: the traced loss, a function of `trained` and `zeros`.
        trained: the values of the variables.
        zeros: the zeros that the loss adds to the layer outputs.
        probe: the probe of the run.
    """
    import jax

    flow, terms = Flow(), []
    added = {id(each): i for i, each in enumerate(program.jaxpr.invars[len(trained) :])}
    for step in program.jaxpr.eqns:
        number = next((added[id(each)] for each in step.invars if id(each) in added), None)
        if step.primitive.name in _SUMS and number is None:
            scopes = str(step.source_info.name_stack)
            if flow.join(probe.current_layer(scopes), *step.invars) is not None:
                terms += [*step.invars, *step.outvars]
        flow.note_operation(step.outvars, step.invars)
        if number is not None:
            flow.note_output(number, step.outvars[0])
    if terms:
        sums = program.jaxpr.replace(outvars=terms)
        sizes = [_rms(each) for each in jax.core.eval_jaxpr(sums, program.consts, *trained, *zeros)]
        for i, join in enumerate(flow.joins):
            join.sizes = (sizes[3 * i], sizes[3 * i + 1], sizes[3 * i + 2])
    return flow.joins


def _by_torch(loss: Loss, values: list[Any], outputs: list[Any]) -> Gradients:
    import torch
    from torch.overrides import TorchFunctionMode

    flow, layer_outputs, probe = _flow_and_probe()

    class Operations(TorchFunctionMode):
        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            inputs = list(tensors((args, kwargs or {})))
            versions = {id(each): getattr(each, "_version", 0) for each in inputs}
            join, before = None, []
            if getattr(func, "__name__", "") in _SUMS and len(inputs) == 2:
                join = flow.join(probe.current_layer(), *inputs)
                # Before the call, which may write in place.
                before = [] if join is None else list(map(_rms, inputs))
            out = func(*args, **(kwargs or {}))
            results = list(tensors(out))
            if join is not None:
                join.sizes = (before[0], before[1], _rms(results[0]))
            # An operation such as `to` may return its input.
            flow.note_operation(
                [each for each in results if versions.get(id(each)) != each._version], inputs
            )
            return out

    with torch.enable_grad():
        leaves = [each.detach().clone().requires_grad_(each.is_floating_point()) for each in values]
        with Operations():
            value = _scalar(loss(leaves, probe))
        differentiable = [each for each in (*leaves, *layer_outputs) if each.requires_grad]
        by_tensor = torch.autograd.grad(value, differentiable, allow_unused=True)
    by_identity = dict(zip(map(id, differentiable), by_tensor, strict=True))
    return _as_gradients(leaves, layer_outputs, by_identity, flow)


def _by_tensorflow(loss: Loss, values: list[Any], outputs: list[Any]) -> Gradients:
    import tensorflow as tf
    from tensorflow.python.framework import op_callbacks

    flow, layer_outputs, probe = _flow_and_probe()

    def note_operation(
        kind: str,
        inputs: Any,
        attributes: Any,
        results: Any,
        op_name: Any = None,
        graph: Any = None,
    ) -> None:
        if graph is not None:
            return
        join = flow.join(probe.current_layer(), *inputs) if kind in _SUMS else None
        if join is not None:
            join.sizes = (_rms(inputs[0]), _rms(inputs[1]), _rms(results[0]))
        flow.note_operation(results, inputs)

    leaves = [tf.convert_to_tensor(each) for each in values]
    with tf.GradientTape() as tape:
        tape.watch([each for each in leaves if each.dtype.is_floating])
        op_callbacks.add_op_callback(note_operation)
        try:
            value = _scalar(loss(leaves, probe))
        finally:
            op_callbacks.remove_op_callback(note_operation)
    by_tensor = tape.gradient(value, [*leaves, *layer_outputs])
    dense = [None if each is None else tf.convert_to_tensor(each) for each in by_tensor]
    return _as_gradients(
        leaves,
        layer_outputs,
        dict(zip(map(id, (*leaves, *layer_outputs)), dense, strict=True)),
        flow,
    )


def _flow_and_probe() -> tuple[Flow, list[Any], Probe]:
    """Return a flow, a list for the layer outputs, and the probe that fills both."""
    flow, layer_outputs = Flow(), list[Any]()

    def note(number: int, tensor: Any) -> Any:
        layer_outputs.append(tensor)
        flow.note_output(number, tensor)
        return tensor

    return flow, layer_outputs, Probe(note)


def _as_gradients(
    leaves: list[Any], layer_outputs: list[Any], by_identity: dict[int, Any], flow: Flow
) -> Gradients:
    """Return the gradients by the variables and by the layer outputs, as arrays."""

    def gradient_of(tensor: Any, values: Callable[[Any], Floats]) -> Any:
        gradient = by_identity.get(id(tensor))
        return None if gradient is None else values(gradient)

    return Gradients(
        [gradient_of(each, floats) for each in leaves],
        [gradient_of(each, matrix) for each in layer_outputs],
        flow.joins,
    )


def _scalar(value: Any) -> Any:
    if value is None or np.prod(value.shape) != 1:
        shape = "None" if value is None else f"one of shape {tuple(value.shape)}"
        raise ValueError(f"the loss must be a scalar; received {shape}")
    return keras.ops.reshape(value, ())


def _rms(tensor: Any) -> float:
    return rms(matrix(tensor))


# By the names of JAX's, torch's and TensorFlow's operations.
_SUMS = {"add", "add_any", "add_", "__add__", "__iadd__", "__radd__", "Add", "AddV2"}
_ENGINES = {"jax": _by_jax, "torch": _by_torch, "tensorflow": _by_tensorflow}
