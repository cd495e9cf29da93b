"""Convert an activation in any form to an `Activation`: a name in any spelling, a torch module or
function, a Keras activation or layer, a JAX function, or any function on arrays."""

from __future__ import annotations

import inspect
import re
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from initfast.signal import activations
from initfast.signal.activations import ACTIVATIONS, Activation
from initfast.signal.quadrature import from_function

__all__ = ["identified", "resolve"]

Floats = npt.NDArray[np.floating[Any]]

_PROBES = np.linspace(-9.0, 9.0, 182)
# Two rows of the table differ by more than this; GELU and its approximations differ by less.
_SAME = 2e-3


def resolve(activation: Any, name: str = "") -> Activation:
    """Return the activation of a name, a module, a class or a function.

    A function is identified by its values, not by its name: `torch.nn.LeakyReLU(0.01)` is not the
    'leaky_relu' of slope 0.2.

    Args:
        activation: the name, module, class or function.
        name: a name for a function, instead of its own.

    Raises:
        ValueError: the name is unknown; or the function is not elementwise (softmax, GLU, maxout),
            is random, or does not take arrays.
    """
    if isinstance(activation, Activation):
        return activation
    if activation is None:
        return ACTIVATIONS["linear"]
    if not callable(activation):
        return activations.get(activation)
    function: Any = activation() if inspect.isclass(activation) else activation
    name = _snake(name) if name else _name(function)
    result = identified(name, _on_arrays(name, function))
    # extra_repr() of a torch module returns its settings.
    settings = function.extra_repr() if hasattr(function, "extra_repr") else ""
    if settings and result is not ACTIVATIONS.get(result.name):
        return replace(result, name=f"{name}({settings})")
    return result


def identified(name: str, value: Callable[[Floats], Floats]) -> Activation:
    """Return the activation of the table whose values agree with an elementwise function on float64
    arrays; otherwise a new activation with this name."""
    values = value(_PROBES)
    for row in ACTIVATIONS.values():
        if np.abs(values - row.value(_PROBES)).max() < _SAME:
            return row
    return from_function(name, value)


def _name(function: Any) -> str:
    name = getattr(function, "__name__", None)
    if not isinstance(name, str):
        name = type(function).__name__
    if name.startswith("<"):
        return "function"
    return _snake(name)


def _snake(name: str) -> str:
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().replace("re_lu", "relu")
    try:
        return activations.get(snake).name
    except ValueError:
        return snake


def _on_arrays(name: str, function: Callable[..., Any]) -> Callable[[Floats], Floats]:
    """Return a version of the function from float64 arrays to float64 arrays.

    Raises:
        ValueError: the function does not take arrays, is not elementwise, or is random.
    """
    problem = f"an activation must be an elementwise function on arrays; received {name}, which"
    sample = np.stack([_PROBES, _PROBES[::-1]])
    call = next(
        (each for each in (_plain, _torch) if _works(each, function, sample)),
        None,
    )
    if call is None:
        raise ValueError(
            f"{problem} takes neither NumPy arrays nor torch tensors. For a model, use diagnose of "
            "initfast.torch or initfast.keras"
        )
    whole = call(function, sample)
    if whole.shape != sample.shape:
        raise ValueError(f"{problem} changes the shape ({_IN_A_MODEL})")
    # The result for an element must not depend on the other elements.
    alone = np.where(np.arange(sample.shape[1]) % 7 == 0, sample, 0.0)
    probes = alone != 0.0
    if not np.allclose(call(function, alone)[probes], whole[probes], atol=1e-6):
        raise ValueError(f"{problem} mixes elements or is random ({_IN_A_MODEL})")
    return lambda z: call(function, np.asarray(z))


_IN_A_MODEL = "in a model, it is measured but not judged"


def _works(call: Any, function: Any, sample: Floats) -> bool:
    try:
        return bool(np.asarray(call(function, sample)).dtype.kind == "f")
    except Exception:  # libraries raise various errors for arrays of another library
        return False


def _plain(function: Any, z: Floats) -> Floats:
    if type(function).__module__.startswith("torch."):
        raise TypeError("modules of torch take tensors")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _numpy(function(z))


def _torch(function: Any, z: Floats) -> Floats:
    torch = sys.modules.get("torch")
    if torch is None:
        raise TypeError("torch is not imported")
    first = next(iter(function.parameters()), None) if hasattr(function, "parameters") else None
    dtype = torch.float64 if first is None else first.dtype
    tensor = torch.tensor(np.asarray(z, np.float64), dtype=dtype)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        return _numpy(function(tensor))


def _numpy(value: Any) -> Floats:
    if hasattr(value, "detach"):
        value = value.detach().cpu().double().numpy()
    array: Floats = np.asarray(value, np.float64)
    return array
