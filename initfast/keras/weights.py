"""The weights of a model, by paths that do not depend on what else the session has built."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple


class Weight(NamedTuple):
    """A variable of a layer: its path from the model down, and whether the layer made it to be
    trained.
    """

    path: str
    layer: Any
    variable: Any
    trained: bool


def weights(model: Any) -> list[Weight]:
    """Return the weights of a model or layer, each once, under its first path; no seed generators,
    no metrics.

    A path is made of the names of layers and of the variable, without the model's own:
    'encoder/dense_1/kernel'. Keras numbers the layers it names itself through the whole session;
    here they count from the start among the layers side by side, as they would in a new session
    that builds nothing else."""
    return list(_walk(model, "", set()))


def _walk(layer: Any, prefix: str, seen: set[int]) -> Iterator[Weight]:
    if id(layer) in seen:
        return
    seen.add(id(layer))
    # Inner layers first: a layer that wraps another may hold its weights too.
    inner = list(layer._layers)
    for label, sub in zip(labels(_named(inner)), inner, strict=True):
        yield from _walk(sub, f"{prefix}{label}/", seen)
    trained = len(layer._trainable_variables)
    for number, (label, variable) in enumerate(own(layer)):
        if id(variable) not in seen:
            seen.add(id(variable))
            yield Weight(prefix + label, layer, variable, number < trained)


def named_layers(layer: Any, path: str = "") -> Iterator[tuple[Any, str]]:
    """Yield a layer and those within it, each with its path; that of the layer itself is empty."""
    yield layer, path
    inner = list(layer._layers)
    for label, sub in zip(labels(_named(inner)), inner, strict=True):
        yield from named_layers(sub, f"{path}/{label}".removeprefix("/"))


def own(layer: Any) -> list[tuple[str, Any]]:
    """Return the variables of a layer itself, not of its sublayers, with their labels."""
    variables = [*layer._trainable_variables, *layer._non_trainable_variables]
    return list(zip(labels(_named(variables)), variables, strict=True))


def _named(things: Iterable[Any]) -> Iterator[tuple[str, str]]:
    return ((thing.name, type(thing).__name__) for thing in things)


def labels(named: Iterable[tuple[str, str]]) -> list[str]:
    """Labels, each once, for (name, class name) pairs: a number that Keras put after the name of a
    class is left out, and put back, counted from here, where a label would come twice.

    >>> labels([("dense_7", "Dense"), ("dense_8", "Dense"), ("forward_lstm_3", "LSTM"),
    ...     ("block_2", "Block9")])
    ['dense', 'dense_1', 'forward_lstm', 'block_2']
    """
    made: list[str] = []
    taken: dict[str, int] = {}
    for name, kind in named:
        numbered = re.fullmatch(r"(.*)_\d+", name)
        stem = numbered[1] if numbered and _plain(numbered[1]).endswith(_plain(kind)) else name
        label = stem
        while label in taken:
            taken[stem] += 1
            label = f"{stem}_{taken[stem]}"
        taken.setdefault(label, 0)
        made.append(label)
    return made


def _plain(name: str) -> str:
    return re.sub(r"[\W_]", "", name).lower()
