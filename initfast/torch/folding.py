"""Steps of a tape that amount to one function of `torch.nn.init`.

A scaled or shifted draw is another draw, and only such a function is written shard by shard and
described in a spec; all else is played again as a whole."""

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

_IID = {"uniform_", "normal_", "trunc_normal_", "constant_", "ones_", "zeros_", "erfinv"}
_NEW = {
    torch.ops.aten.rand.default: "uniform_",
    torch.ops.aten.rand_like.default: "uniform_",
    torch.ops.aten.randn.default: "normal_",
    torch.ops.aten.randn_like.default: "normal_",
}
_COPIES = {"clone", "_to_copy"}


class _Stuck(Exception):
    """No single function says it."""


class _State(NamedTuple):
    """What a storage holds: a draw, the tensor as which it was drawn, and rows that are 0."""

    spec: Spec
    shaped: Ref
    zeros: frozenset[int] = frozenset()


@in_fixed_environment
def fold(steps: list[Event], ref: Ref, zeros: Container[int]) -> Spec | None:
    """Return the function that gives a tensor the values of these steps; None if there is not one.

    Args:
        zeros: rows that may be set to 0, because they are in any case.
    """
    known: dict[int, _State] = {}
    try:
        for step in steps:
            out = (step.writes or step.outs)[0]
            if out is None or len(step.writes) + len(step.outs) != 1:
                return None
            known[out.key] = _step(step, out, known)
        spec, shaped, rows = known[ref.key]
    except (_Stuck, KeyError):
        return None
    alike = ref.contiguous and ref.size == shaped.size
    free = spec.function in _IID and not rows
    if spec.function == "erfinv" or not ref.whole or not (free or alike):
        return None
    if not all(row in zeros for row in rows):
        return None
    if len(ref.size) == 3 and "batch_dims" in _parameters(spec.function):
        # Three dims of a rule may be taken for stacked matrices; torch never takes them so.
        spec = spec._replace(arguments={"batch_dims": 0, **spec.arguments})
    return spec


def _step(step: Event, out: Ref, known: dict[int, _State]) -> _State:
    name, args = step.name, step.args
    if name == "held" or step.kwargs.get("memory_format"):
        raise _Stuck
    if not out.whole:
        return _row(step, out, known)
    if name == "initial":
        spec = args[0]
    elif isinstance(step.function, str):
        spec = Spec(name, step.kwargs)
    elif name in ("uniform_", "normal_"):
        spec = Spec(name, _named(name, args[1:], step.kwargs))
    elif step.function in _NEW:
        spec = Spec(_NEW[step.function], {})
    elif step.function is torch.ops.aten.normal.float_float:
        spec = Spec("normal_", {"mean": args[0], "std": args[1]})
    elif name in ("fill_", "zero_", "zeros_like", "ones_like"):
        value = args[1] if name == "fill_" else float(name == "ones_like")
        spec = constant(_number(value))
    elif name == "copy_" and isinstance(args[1], Ref):
        state = _read(args[1], known)
        same = state.shaped.size == args[1].size == out.size
        return state._replace(shaped=out) if same else state
    else:
        state = _read(args[0], known)
        return state._replace(spec=_changed(step, state))
    return _State(spec, out)


def _read(source: Any, known: dict[int, _State]) -> _State:
    if not isinstance(source, Ref) or not source.whole:
        raise _Stuck
    return known[source.key]


def _row(step: Event, out: Ref, known: dict[int, _State]) -> _State:
    """Return the state after a row is set to zero, as the padding of an embedding is."""
    state = known[out.key]
    size, row = state.shaped.size, math.prod(state.shaped.size[1:])
    zero = step.name == "zero_" or (step.name == "fill_" and step.args[1] == 0)
    if not (zero and len(size) > 1 and row and state.shaped.contiguous and out.contiguous):
        raise _Stuck
    if out.numel != row or out.offset % row:
        raise _Stuck
    return state._replace(zeros=state.zeros | {out.offset // row})


def _changed(step: Event, state: _State) -> Spec:
    """Return what a draw is after an operation with numbers."""
    name = step.name.removesuffix("_")
    spec, shaped, rows = state
    if name in _COPIES:
        return spec
    numbers = [_number(each) for each in step.args[1:]]
    numbers += [_number(each) for key, each in step.kwargs.items() if key in ("min", "max")]
    if step.kwargs.get("alpha", 1) != 1 or (rows and name not in ("mul", "div", "neg")):
        raise _Stuck
    if name == "erfinv" and spec.function == "uniform_":
        return Spec("erfinv", {"a": 0.0, "b": 1.0, "reach": _plain(spec, shaped).arguments})
    if name == "clamp" and spec.function == "erfinv" and len(numbers) == 2:
        return _truncated(spec, *numbers)
    if name == "neg":
        return _affine(spec, shaped, -1.0, 0.0)
    if len(numbers) != 1:
        raise _Stuck
    number = numbers[0]
    if name == "mul":
        return _affine(spec, shaped, number, 0.0)
    if name == "div" and number and "rounding_mode" not in step.kwargs:
        return _affine(spec, shaped, 1.0 / number, 0.0)
    if name in ("add", "sub"):
        return _affine(spec, shaped, 1.0, number if name == "add" else -number)
    raise _Stuck


def _affine(spec: Spec, shaped: Ref, scale: float, shift: float) -> Spec:
    if spec.function == "erfinv":
        held = spec.arguments
        moved = {"a": held["a"] * scale + shift, "b": held["b"] * scale}
        return spec._replace(arguments={**held, **moved})
    plain = _plain(spec, shaped)
    found = dict(plain.arguments)
    for key in ("mean", "a", "b", "val"):
        if key in found:
            found[key] = found[key] * scale + shift
    if "std" in found:
        found["std"] *= abs(scale)
    if "a" in found and scale < 0.0:
        found["a"], found["b"] = found["b"], found["a"]
    return (
        constant(found["val"]) if plain.function == "constant_" else plain._replace(arguments=found)
    )


def _truncated(spec: Spec, low: float, high: float) -> Spec:
    """`mean + std * sqrt(2) * erfinv(uniform)`, clamped, which is how a truncated normal was drawn.

    The uniform must reach from one bound to the other; else the clamp makes lumps."""
    mean, std = spec.arguments["a"], abs(spec.arguments["b"]) / math.sqrt(2.0)
    reach = spec.arguments["reach"]
    if not std:
        raise _Stuck
    ends = [math.erf((bound - mean) / std / math.sqrt(2.0)) for bound in (low, high)]
    if not all(
        math.isclose(end, reach[key], abs_tol=1e-6)
        for end, key in zip(ends, ("a", "b"), strict=True)
    ):
        raise _Stuck
    return Spec("trunc_normal_", {"mean": mean, "std": std, "a": low, "b": high})


def _plain(spec: Spec, shaped: Ref) -> Spec:
    """Return the same draw by the function whose arguments are its distribution's, all of them."""
    if spec.function == "trunc_normal_":
        return Spec(
            "trunc_normal_", {"mean": 0.0, "std": 1.0, "a": -2.0, "b": 2.0} | dict(spec.arguments)
        )
    says = recipes.RECIPES[spec.function](shaped.size, shaped.dtype, **spec.arguments).says
    given = None if says is None else says()
    if type(given) is RandomNormal:
        return Spec("normal_", {"mean": given.mean, "std": given.stddev})
    if type(given) is RandomUniform:
        return Spec("uniform_", {"a": given.minval, "b": given.maxval})
    if isinstance(given, Zeros | Ones):
        return Spec("constant_", {"val": float(isinstance(given, Ones))})
    if type(given) is Constant and isinstance(given.value, int | float):
        return Spec("constant_", {"val": given.value})
    raise _Stuck


def _parameters(function: str) -> Container[str]:
    return inspect.signature(recipes.RECIPES[function]).parameters


def constant(value: Any) -> Spec:
    """Return the function that writes one value everywhere."""
    return {0: ZEROS, 1: ONES}.get(value, Spec("constant_", {"val": value}))


def _number(value: Any) -> float:
    if isinstance(value, torch.Tensor) and value.numel() == 1:
        value = value.item()
    if not isinstance(value, int | float):
        raise _Stuck
    return float(value)


def _named(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    keys = ("mean", "std") if name == "normal_" else ("a", "b")
    renamed = {{"from": "a", "to": "b"}.get(key, key): value for key, value in kwargs.items()}
    return {**dict(zip(keys, args, strict=False)), **renamed}
