"""`fold`: recognise steps of a tape that amount to one function of `torch.nn.init`.

For example, a normal draw times 0.02 is `normal_(std=0.02)`. Only such a function can be written
shard by shard and described in a spec. All other steps are repeated as a whole (`programs.py`)."""

from __future__ import annotations

import inspect
import math
from collections.abc import Container
from typing import Any, NamedTuple

import torch

from initfast.core.rounding import in_fixed_environment
from initfast.initializers.constant import Constant, Ones, Zeros
from initfast.initializers.random import RandomNormal, RandomUniform
from initfast.torch import recipes
from initfast.torch.defaults import ONES, ZEROS, Spec
from initfast.torch.tape import Event, Ref

_ELEMENTWISE = {"uniform_", "normal_", "trunc_normal_", "constant_", "ones_", "zeros_", "erfinv"}
_NEW = {
    torch.ops.aten.rand.default: "uniform_",
    torch.ops.aten.rand_like.default: "uniform_",
    torch.ops.aten.randn.default: "normal_",
    torch.ops.aten.randn_like.default: "normal_",
}
_COPY_NAMES = {"clone", "_to_copy"}


class _NotOneFunction(Exception):
    """Steps that are not equivalent to one function."""


class _State(NamedTuple):
    """The content of a storage: a draw, the tensor that it was drawn as, and the rows set to 0.

    The function "erfinv" of `spec` is only an intermediate state: `a + b * erfinv(u)`, with u
    uniform on `reach`.
    """

    spec: Spec
    shaped: Ref
    zeros: frozenset[int] = frozenset()


@in_fixed_environment
def fold(steps: list[Event], ref: Ref, zeros: Container[int]) -> Spec | None:
    """Return the function that draws a tensor like these steps do, or None.

    Args:
        steps: the events that the tensor depends on, in their order.
        ref: the tensor.
        zeros: the rows that are always 0, so that steps may set them to 0.
    """
    states: dict[int, _State] = {}
    try:
        for step in steps:
            out = (step.writes or step.outs)[0]
            if out is None or len(step.writes) + len(step.outs) != 1:
                return None
            states[out.key] = _step(step, out, states)
        spec, shaped, rows = states[ref.key]
    except (_NotOneFunction, KeyError):
        return None
    same_geometry = ref.contiguous and ref.size == shaped.size
    elementwise = spec.function in _ELEMENTWISE and not rows
    if spec.function == "erfinv" or not ref.whole or not (elementwise or same_geometry):
        return None
    if not all(row in zeros for row in rows):
        return None
    if len(ref.size) == 3 and "batch_dims" in _parameters(spec.function):
        # A rule may take three dims as stacked matrices. torch never does.
        spec = spec._replace(arguments={"batch_dims": 0, **spec.arguments})
    return spec


def _step(step: Event, out: Ref, states: dict[int, _State]) -> _State:
    """Return the content of the storage of `out` after a step."""
    name, args = step.name, step.args
    if name == "content" or step.kwargs.get("memory_format"):
        raise _NotOneFunction
    if not out.whole:
        return _row(step, out, states)
    if name == "initial":
        spec = args[0]
    elif isinstance(step.function, str):
        spec = Spec(name, step.kwargs)
    elif name in ("uniform_", "normal_"):
        spec = Spec(name, _arguments(name, args[1:], step.kwargs))
    elif step.function in _NEW:
        spec = Spec(_NEW[step.function], {})
    elif step.function is torch.ops.aten.normal.float_float:
        spec = Spec("normal_", {"mean": args[0], "std": args[1]})
    elif name in ("fill_", "zero_", "zeros_like", "ones_like"):
        value = args[1] if name == "fill_" else float(name == "ones_like")
        spec = constant(_number(value))
    elif name == "copy_" and isinstance(args[1], Ref):
        state = _state_of(args[1], states)
        same_size = state.shaped.size == args[1].size == out.size
        return state._replace(shaped=out) if same_size else state
    else:
        state = _state_of(args[0], states)
        return state._replace(spec=_transformed(step, state))
    return _State(spec, out)


def _state_of(source: Any, states: dict[int, _State]) -> _State:
    if not isinstance(source, Ref) or not source.whole:
        raise _NotOneFunction
    return states[source.key]


def _row(step: Event, out: Ref, states: dict[int, _State]) -> _State:
    """Return the state after one row is set to 0, as for the padding of an embedding."""
    state = states[out.key]
    size, row = state.shaped.size, math.prod(state.shaped.size[1:])
    zero = step.name == "zero_" or (step.name == "fill_" and step.args[1] == 0)
    if not (zero and len(size) > 1 and row and state.shaped.contiguous and out.contiguous):
        raise _NotOneFunction
    if out.numel != row or out.offset % row:
        raise _NotOneFunction
    return state._replace(zeros=state.zeros | {out.offset // row})


def _transformed(step: Event, state: _State) -> Spec:
    """Return the draw after an arithmetic operation with numbers."""
    name = step.name.removesuffix("_")
    spec, shaped, rows = state
    if name in _COPY_NAMES:
        return spec
    numbers = [_number(each) for each in step.args[1:]]
    numbers += [_number(each) for key, each in step.kwargs.items() if key in ("min", "max")]
    if step.kwargs.get("alpha", 1) != 1 or (rows and name not in ("mul", "div", "neg")):
        raise _NotOneFunction
    if name == "erfinv" and spec.function == "uniform_":
        return Spec("erfinv", {"a": 0.0, "b": 1.0, "reach": _plain(spec, shaped).arguments})
    if name == "clamp" and spec.function == "erfinv" and len(numbers) == 2:
        return _truncated(spec, *numbers)
    if name == "neg":
        return _affine(spec, shaped, -1.0, 0.0)
    if len(numbers) != 1:
        raise _NotOneFunction
    number = numbers[0]
    if name == "mul":
        return _affine(spec, shaped, number, 0.0)
    if name == "div" and number and "rounding_mode" not in step.kwargs:
        return _affine(spec, shaped, 1.0 / number, 0.0)
    if name in ("add", "sub"):
        return _affine(spec, shaped, 1.0, number if name == "add" else -number)
    raise _NotOneFunction


def _affine(spec: Spec, shaped: Ref, scale: float, shift: float) -> Spec:
    """Return the draw `scale * x + shift` for x drawn by `spec`."""
    if spec.function == "erfinv":
        previous = spec.arguments
        transformed = {"a": previous["a"] * scale + shift, "b": previous["b"] * scale}
        return spec._replace(arguments={**previous, **transformed})
    plain = _plain(spec, shaped)
    arguments = dict(plain.arguments)
    for key in ("mean", "a", "b", "val"):
        if key in arguments:
            arguments[key] = arguments[key] * scale + shift
    if "std" in arguments:
        arguments["std"] *= abs(scale)
    if "a" in arguments and scale < 0.0:
        arguments["a"], arguments["b"] = arguments["b"], arguments["a"]
    return (
        constant(arguments["val"])
        if plain.function == "constant_"
        else plain._replace(arguments=arguments)
    )


def _truncated(spec: Spec, low: float, high: float) -> Spec:
    """Return the truncated normal that clamps `mean + std * sqrt(2) * erfinv(uniform)`.

    The uniform must reach exactly from one bound to the other; otherwise the clamp would pile up
    values at the bounds."""
    mean, std = spec.arguments["a"], abs(spec.arguments["b"]) / math.sqrt(2.0)
    reach = spec.arguments["reach"]
    if not std:
        raise _NotOneFunction
    ends = [math.erf((bound - mean) / std / math.sqrt(2.0)) for bound in (low, high)]
    if not all(
        math.isclose(end, reach[key], abs_tol=1e-6)
        for end, key in zip(ends, ("a", "b"), strict=True)
    ):
        raise _NotOneFunction
    return Spec("trunc_normal_", {"mean": mean, "std": std, "a": low, "b": high})


def _plain(spec: Spec, shaped: Ref) -> Spec:
    """Return the same draw as a function with explicit parameters of its distribution, such as
    `normal_(mean, std)` for `xavier_normal_`.
    """
    if spec.function == "trunc_normal_":
        return Spec(
            "trunc_normal_", {"mean": 0.0, "std": 1.0, "a": -2.0, "b": 2.0} | dict(spec.arguments)
        )
    make_initializer = recipes.RECIPES[spec.function](
        shaped.size, shaped.dtype, **spec.arguments
    ).equivalent
    initializer = None if make_initializer is None else make_initializer()
    if type(initializer) is RandomNormal:
        return Spec("normal_", {"mean": initializer.mean, "std": initializer.stddev})
    if type(initializer) is RandomUniform:
        return Spec("uniform_", {"a": initializer.minval, "b": initializer.maxval})
    if isinstance(initializer, Zeros | Ones):
        return Spec("constant_", {"val": float(isinstance(initializer, Ones))})
    if type(initializer) is Constant and isinstance(initializer.value, int | float):
        return Spec("constant_", {"val": initializer.value})
    raise _NotOneFunction


def _parameters(function: str) -> Container[str]:
    return inspect.signature(recipes.RECIPES[function]).parameters


def constant(value: Any) -> Spec:
    """Return the function that writes one value to all elements."""
    return {0: ZEROS, 1: ONES}.get(value, Spec("constant_", {"val": value}))


def _number(value: Any) -> float:
    if isinstance(value, torch.Tensor) and value.numel() == 1:
        value = value.item()
    if not isinstance(value, int | float):
        raise _NotOneFunction
    return float(value)


def _arguments(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    keys = ("mean", "std") if name == "normal_" else ("a", "b")
    keywords = {{"from": "a", "to": "b"}.get(key, key): value for key, value in kwargs.items()}
    return {**dict(zip(keys, args, strict=False)), **keywords}
