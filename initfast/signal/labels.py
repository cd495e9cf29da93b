"""Short names of initializers, to show and to type: `random_normal(stddev=0.01)`."""

from __future__ import annotations

import ast
import inspect
import json
from typing import Any

import numpy as np

from initfast.initializers import registry

__all__ = ["from_label", "label"]

_LONGEST = 40
_RULE = (
    "an initializer must be a Keras name, such as he_normal, a name with arguments, such as "
    "random_normal(stddev=0.01), or Keras JSON; received {text!r}"
)
# A class has several names; the one to show is the one in snake case.
_NAMES = {made: name for name, made in reversed(registry.ALL_OBJECTS.items()) if name.islower()}
_NAMES |= {made: name for name, made in registry.ALL_OBJECTS.items() if "_" in name}


def label(initializer: Any) -> str:
    """What a table calls an initializer: its Keras name, and the arguments that are not the
    default. No seed.

    Args:
        initializer: what `initfast.get` takes.

    >>> label("HeNormal"), label({"class_name": "RandomNormal", "config": {"stddev": 1, "seed": 7}})
    ('he_normal', 'random_normal(stddev=1)')
    """
    initializer = registry.get(initializer)
    kind = type(initializer)
    name = _NAMES.get(kind)
    if name is None:
        return str(getattr(initializer, "__name__", kind.__name__))
    shown = []
    for key, parameter in inspect.signature(kind).parameters.items():
        value = getattr(initializer, key, parameter.default)
        if key != "seed" and (isinstance(value, np.ndarray) or value != parameter.default):
            text = repr(value).removesuffix(".0")
            shown.append(f"{key}={text if len(text) <= _LONGEST else '...'}")
    return f"{name}({', '.join(shown)})" if shown else name


def from_label(text: str) -> Any:
    """The initializer that a name, a label or a JSON object means: how a command line says one.

    >>> from_label("random_normal(stddev=0.01)").stddev
    0.01

    Raises:
        ValueError, TypeError: it means none, or an argument is wrong.
    """
    text = text.strip()
    if text.startswith("{"):
        try:
            return registry.get(json.loads(text))
        except json.JSONDecodeError:
            raise ValueError(_RULE.format(text=text)) from None
    if "(" not in text:
        return registry.get(text)
    try:
        call = ast.parse(text, mode="eval").body
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.args:
            raise SyntaxError
        # Literals only: numbers, strings, tuples, None.
        config = {
            str(given.arg): ast.literal_eval(given.value) for given in call.keywords if given.arg
        }
        if len(config) != len(call.keywords):
            raise SyntaxError
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ValueError(_RULE.format(text=text)) from None
    return registry.deserialize({"class_name": call.func.id, "config": config}, text)
