"""Read initializers from text, for commands, rules and specs: `random_normal(stddev=0.02)`.

A text is a name, a name with keyword arguments, or Keras JSON. The name is one of the 41 names of
Keras, or a function of `torch.nn.init`, with or without its `_`:

- It means torch's function if it ends in `_`, if Keras has no such name, or if an argument belongs
  only to torch's function: `normal_`, `kaiming_normal`, `normal(std=0.02)`. It then has torch's
  arguments and defaults, and is translated into the initializer of the same distribution.
- Every other name is Keras': `normal` and `normal(stddev=0.05)` are RandomNormal, with its stddev
  of 0.05 by default, and `normal(std=0.02, stddev=0.05)` is an error.

Fans always follow Keras' axes, (in, out). Only the rules of `initfast.torch` use (out, in), and
read torch's names as its functions. Functions that Keras lacks (`dirac_`, `sparse_`) are refused.
Only JSON can contain a seed."""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from initfast.core.rounding import in_fixed_environment
from initfast.core.seeds import AnySeed
from initfast.core.text import short
from initfast.initializers.base import Initializer
from initfast.initializers.bounds import in_stddevs
from initfast.initializers.configs import ALL_OBJECTS, deserialize, unknown_name
from initfast.initializers.validation import number

__all__ = ["Call", "call", "is_torch", "label", "parse"]

_LONGEST = 40  # characters of an argument in a label
_RULE = (
    "an initializer must be a name of Keras or torch, such as he_normal, a name with arguments, "
    "such as random_normal(stddev=0.01), or Keras JSON; received {text}"
)
# The name of each class to show: the one in snake case.
_NAMES = {kind: name for name, kind in reversed(ALL_OBJECTS.items()) if name.islower()}
_NAMES |= {kind: name for name, kind in ALL_OBJECTS.items() if "_" in name}


class Call(NamedTuple):
    """A name with arguments, not yet checked."""

    name: str
    arguments: dict[str, Any]


@in_fixed_environment
def parse(text: str, seed: AnySeed = None) -> Initializer:
    """Return the initializer that a text describes.

    Args:
        text: a name, a name with keyword arguments, or Keras JSON.
        seed: the seed of a random initializer, unless the JSON contains one. None: drawn at random.

    Raises:
        ValueError, TypeError: the text does not describe an initializer, or an argument is wrong.

    >>> parse("random_normal(stddev=0.01)").stddev, parse("kaiming_normal").scale
    (0.01, 2.0)
    """
    if text.lstrip().startswith("{"):
        try:
            config = json.loads(text)
        except (json.JSONDecodeError, RecursionError):
            raise ValueError(_RULE.format(text=short(text))) from None
        assert isinstance(config, dict)  # it begins with {
        return deserialize(config, seed=seed)
    name, arguments = expression = call(text)
    if "seed" in arguments:
        raise ValueError(
            f"only Keras JSON can contain a seed: remove seed=; received {short(text)}"
        )
    if not is_torch(expression):
        if name not in ALL_OBJECTS:
            raise unknown_name(name, [*ALL_OBJECTS, *_TORCH], text)
        return deserialize({"class_name": name, "config": arguments}, text, seed)
    translate = _TORCH[name.removesuffix("_")]
    try:
        inspect.signature(translate).bind(**arguments)
        name, arguments = translate(**arguments)
        return deserialize({"class_name": name, "config": arguments}, text, seed)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{error}; received {short(text)}") from None


def call(text: str) -> Call:
    """Return the name and the arguments of a text that is not JSON.

    Raises:
        ValueError: the text is neither a name nor a name with literal keyword arguments.
    """
    text = text.strip()
    if "(" not in text:
        return Call(text, {})
    try:
        node = ast.parse(text, mode="eval").body
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.args:
            raise SyntaxError
        # Only literals are accepted, so that a text cannot run code.
        arguments = {
            str(each.arg): ast.literal_eval(each.value) for each in node.keywords if each.arg
        }
        if len(arguments) != len(node.keywords):
            raise SyntaxError
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        raise ValueError(_RULE.format(text=short(text))) from None
    return Call(node.func.id, arguments)


def is_torch(expression: Call) -> bool:
    """Return whether an expression means a function of `torch.nn.init`."""
    translate = _TORCH.get(expression.name.removesuffix("_"))
    if translate is None or expression.name not in ALL_OBJECTS:
        return translate is not None
    ours = inspect.signature(ALL_OBJECTS[expression.name]).parameters
    return any(
        key in inspect.signature(translate).parameters and key not in ours
        for key in expression.arguments
    )


def label(initializer: Any) -> str:
    """Return the text from which `parse` makes an equal initializer, except for the seed.

    An argument of more than 40 characters is shortened to '...', which `parse` cannot read. The
    label of a callable that is not an initializer of initfast is its name.

    >>> from initfast.initializers.random import RandomNormal
    >>> label(RandomNormal(stddev=1, seed=7))
    'random_normal(stddev=1)'
    """
    kind = type(initializer)
    name = _NAMES.get(kind)
    if name is None:
        return str(getattr(initializer, "__name__", kind.__name__))
    arguments = []
    for key, parameter in inspect.signature(kind).parameters.items():
        value = getattr(initializer, key, parameter.default)
        if key != "seed" and (isinstance(value, np.ndarray) or value != parameter.default):
            plain = value.tolist() if isinstance(value, np.ndarray) else value
            text = repr(plain).removesuffix(".0")
            arguments.append(f"{key}={text if len(text) <= _LONGEST else '...'}")
    return f"{name}({', '.join(arguments)})" if arguments else name


# --- torch's functions, with torch's arguments and defaults, translated to Keras' names ---


def _uniform(a: float = 0.0, b: float = 1.0) -> Call:
    return Call("RandomUniform", {"minval": a, "maxval": b})


def _normal(mean: float = 0.0, std: float = 1.0) -> Call:
    return Call("RandomNormal", {"mean": mean, "stddev": std})


def _trunc_normal(mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0) -> Call:
    mean, std = number("mean", mean), number("std", std)
    low, high = (
        value if value in (-np.inf, np.inf) else number(name, value)
        for name, value in (("a", a), ("b", b))
    )
    if not (std > 0.0 and low < high):
        raise ValueError("trunc_normal needs std > 0 and a < b")
    lower, upper = in_stddevs(mean, std, low, high)
    return Call("TruncatedNormal", {"mean": mean, "stddev": std, "lower": lower, "upper": upper})


def _constant(val: float) -> Call:
    return Call("Constant", {"value": val})


def _xavier_uniform(gain: float = 1.0) -> Call:
    return _scaled(_squared(gain), "fan_avg", "uniform")


def _xavier_normal(gain: float = 1.0) -> Call:
    return _scaled(_squared(gain), "fan_avg", "untruncated_normal")


def _kaiming_uniform(a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu") -> Call:
    return _scaled(_squared_gain(nonlinearity, a), _fan(mode), "uniform")


def _kaiming_normal(a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu") -> Call:
    return _scaled(_squared_gain(nonlinearity, a), _fan(mode), "untruncated_normal")


def _orthogonal(gain: float = 1) -> Call:
    return Call("Orthogonal", {"gain": gain})


def _only_torch(**arguments: Any) -> Call:
    raise ValueError(
        "Keras has no such initializer; only the rules of initfast.torch accept this name"
    )


_TORCH: dict[str, Callable[..., Call]] = {
    "uniform": _uniform,
    "normal": _normal,
    "trunc_normal": _trunc_normal,
    "constant": _constant,
    "ones": lambda: Call("Ones", {}),
    "zeros": lambda: Call("Zeros", {}),
    "eye": lambda: Call("Identity", {}),
    "xavier_uniform": _xavier_uniform,
    "xavier_normal": _xavier_normal,
    "kaiming_uniform": _kaiming_uniform,
    "kaiming_normal": _kaiming_normal,
    "orthogonal": _orthogonal,
    "dirac": _only_torch,
    "sparse": _only_torch,
}
_PRESETS = {
    (1.0, "fan_avg", "uniform"): "GlorotUniform",
    (1.0, "fan_in", "uniform"): "LecunUniform",
    (2.0, "fan_in", "uniform"): "HeUniform",
}
_SQUARED_GAINS = {"tanh": 25 / 9, "relu": 2.0, "selu": 9 / 16}


def _scaled(scale: float, mode: str, distribution: str) -> Call:
    preset = _PRESETS.get((scale, mode, distribution))
    if preset is not None:
        return Call(preset, {})
    return Call("VarianceScaling", {"scale": scale, "mode": mode, "distribution": distribution})


def _squared(gain: float) -> float:
    if number("gain", gain) <= 0.0:
        raise ValueError("gain must be > 0")
    return float(gain) ** 2


def _squared_gain(nonlinearity: str, a: float) -> float:
    """Return the square of `torch.nn.init.calculate_gain(nonlinearity, a)`."""
    if nonlinearity == "leaky_relu":
        return 2.0 / (1.0 + number("a", a) ** 2)
    if nonlinearity in ("linear", "sigmoid") or re.fullmatch(
        r"conv(_transpose)?[123]d", str(nonlinearity)
    ):
        return 1.0
    if nonlinearity not in _SQUARED_GAINS:
        raise ValueError(f"Unsupported nonlinearity {nonlinearity}")
    return _SQUARED_GAINS[nonlinearity]


def _fan(mode: str) -> str:
    if str(mode).lower() not in ("fan_in", "fan_out"):
        raise ValueError(f"Mode {mode} not supported, please use one of ['fan_in', 'fan_out']")
    return str(mode).lower()
