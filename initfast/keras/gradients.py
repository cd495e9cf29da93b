"""Gradients of a model's loss by its variables and by what its layers give, on each backend; and
the residual sums that are seen on the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
import numpy.typing as npt

from initfast.keras.flow import Flow, Join
from initfast.keras.probes import Probe, floats, matrix, tensors
from initfast.signal.measures import rms

__all__ = ["Found", "Loss", "gradients"]

Floats = npt.NDArray[np.floating[Any]]
# A loss, given the tensors to put in for the variables, and the probe of what layers give.
Loss = Callable[[list[Any], Probe], Any]


class Found(NamedTuple):
    """Gradients by the variables and by the numbered tensors, None for what the loss does not
    depend on, and the sums of the run."""

    by_variable: list[Any]
    by_tensor: list[Any]
    joins: list[Join]


def gradients(loss: Loss, values: list[Any], given: list[Any]) -> Found:
    """Run a model once forward and once back.

    Args:
        loss: of the model. values: of its variables. given: tensors like the outputs of its layers,
            by their numbers.

    Raises:
        ValueError: the loss is not a scalar. NotImplementedError: the backend has no gradients.
    """
    backend = keras.backend.backend()
    if backend not in _ENGINES:
        raise NotImplementedError(
            f"diagnose needs gradients: set KERAS_BACKEND to {', '.join(_ENGINES)}; the {backend} "
            "backend has none"
        )
    return _ENGINES[backend](loss, values, given)


def _by_jax(loss: Loss, values: list[Any], given: list[Any]) -> Found:
    import jax
    from jax.interpreters import partial_eval

    # The gradient by a tensor is that by zeros added to it.
    zeros = [keras.ops.zeros_like(each) for each in given]
    floating = [i for i, each in enumerate(values) if keras.backend.is_float_dtype(str(each.dtype))]
    probes: list[Probe] = []

    def total(trained: list[Any], added: list[Any]) -> Any:
        complete = list(values)
        for number, each in zip(floating, trained, strict=True):
            complete[number] = each
        probes.append(Probe(lambda number, tensor: tensor + added[number]))
        return _scalar(loss(complete, probes[-1]))

    trained = [values[number] for number in floating]
    found, by_tensor = jax.grad(total, argnums=(0, 1))(trained, zeros)
    program = jax.make_jaxpr(total)(trained, zeros)
    # A gradient of 0 may be one that vanished, or that of a value which the loss never saw.
    _, used = partial_eval.dce_jaxpr(program.jaxpr, [True])
    by_value: list[Any] = [None] * len(values)
    for number, each, seen in zip(floating, found, used, strict=False):
        by_value[number] = floats(each) if seen else None
    joins = _joins_of(program, trained, zeros, probes[-1])
    return Found(by_value, [matrix(each) for each in by_tensor], joins)


def _joins_of(program: Any, trained: list[Any], zeros: list[Any], probe: Probe) -> list[Join]:
    """Return the sums in a traced loss of `trained` and of the zeros that are added to each
    tensor.
    """
    import jax

    flow, wanted = Flow(), []
    added = {id(each): i for i, each in enumerate(program.jaxpr.invars[len(trained) :])}
    for step in program.jaxpr.eqns:
        number = next((added[id(each)] for each in step.invars if id(each) in added), None)
        if step.primitive.name in _SUMS and number is None:
            scopes = str(step.source_info.name_stack)
            if flow.join(probe.place(scopes), *step.invars) is not None:
                wanted += [*step.invars, *step.outvars]
        flow.computed(step.outvars, step.invars)
        if number is not None:
            flow.gave(number, step.outvars[0])
    if wanted:
        shown = program.jaxpr.replace(outvars=wanted)
        sizes = [
            _rms(each) for each in jax.core.eval_jaxpr(shown, program.consts, *trained, *zeros)
        ]
        for i, join in enumerate(flow.joins):
            join.sizes = (sizes[3 * i], sizes[3 * i + 1], sizes[3 * i + 2])
    return flow.joins


def _by_torch(loss: Loss, values: list[Any], given: list[Any]) -> Found:
    import torch
    from torch.overrides import TorchFunctionMode

    flow, taken, probe = _watched()

    class Operations(TorchFunctionMode):
        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            used = list(tensors((args, kwargs or {})))
            versions = {id(each): getattr(each, "_version", 0) for each in used}
            join, before = None, []
            if getattr(func, "__name__", "") in _SUMS and len(used) == 2:
                join = flow.join(probe.place(), *used)
                before = [] if join is None else list(map(_rms, used))  # it may be in place
            out = func(*args, **(kwargs or {}))
            made = list(tensors(out))
            if join is not None:
                join.sizes = (before[0], before[1], _rms(made[0]))
            # Not what is given back as it was, such as by `to`.
            flow.computed([each for each in made if versions.get(id(each)) != each._version], used)
            return out

    with torch.enable_grad():
        leaves = [each.detach().clone().requires_grad_(each.is_floating_point()) for each in values]
        with Operations():
            value = _scalar(loss(leaves, probe))
        wanted = [each for each in (*leaves, *taken) if each.requires_grad]
        found = torch.autograd.grad(value, wanted, allow_unused=True)
    by_identity = dict(zip(map(id, wanted), found, strict=True))
    return _found(leaves, taken, by_identity, flow)


def _by_tensorflow(loss: Loss, values: list[Any], given: list[Any]) -> Found:
    import tensorflow as tf
    from tensorflow.python.framework import op_callbacks

    flow, taken, probe = _watched()

    def ran(
        kind: str, used: Any, attributes: Any, made: Any, op_name: Any = None, graph: Any = None
    ) -> None:
        if graph is not None:
            return
        join = flow.join(probe.place(), *used) if kind in _SUMS else None
        if join is not None:
            join.sizes = (_rms(used[0]), _rms(used[1]), _rms(made[0]))
        flow.computed(made, used)

    leaves = [tf.convert_to_tensor(each) for each in values]
    with tf.GradientTape() as tape:
        tape.watch([each for each in leaves if each.dtype.is_floating])
        op_callbacks.add_op_callback(ran)
        try:
            value = _scalar(loss(leaves, probe))
        finally:
            op_callbacks.remove_op_callback(ran)
    found = tape.gradient(value, [*leaves, *taken])
    dense = [None if each is None else tf.convert_to_tensor(each) for each in found]
    return _found(leaves, taken, dict(zip(map(id, (*leaves, *taken)), dense, strict=True)), flow)


def _watched() -> tuple[Flow, list[Any], Probe]:
    """Return a flow, a list of what layers give, and the probe that fills both."""
    flow, taken = Flow(), list[Any]()

    def note(number: int, tensor: Any) -> Any:
        taken.append(tensor)
        flow.gave(number, tensor)
        return tensor

    return flow, taken, Probe(note)


def _found(leaves: list[Any], taken: list[Any], by_identity: dict[int, Any], flow: Flow) -> Found:
    def read(tensor: Any, values: Callable[[Any], Floats]) -> Any:
        gradient = by_identity.get(id(tensor))
        return None if gradient is None else values(gradient)

    return Found(
        [read(each, floats) for each in leaves], [read(each, matrix) for each in taken], flow.joins
    )


def _scalar(value: Any) -> Any:
    if value is None or np.prod(value.shape) != 1:
        shape = "nothing" if value is None else f"one of shape {tuple(value.shape)}"
        raise ValueError(f"the loss must be a scalar; received {shape}")
    return keras.ops.reshape(value, ())


def _rms(tensor: Any) -> float:
    return rms(matrix(tensor))


# By the names of JAX's, torch's and TensorFlow's operations.
_SUMS = {"add", "add_any", "add_", "__add__", "__iadd__", "__radd__", "Add", "AddV2"}
_ENGINES = {"jax": _by_jax, "torch": _by_torch, "tensorflow": _by_tensorflow}
