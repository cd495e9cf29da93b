"""The weights of a model, by paths that do not depend on other models of the session."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple


class Weight(NamedTuple):
    """A variable of a layer, with its path in the model, and whether it is trainable by type."""

    path: str
    layer: Any
    variable: Any
    trained: bool


def weights(model: Any) -> list[Weight]:
    """Return the weights of a model or layer, each once, under its first path.

    Seed generators and metrics are left out. A path consists of the names of layers and of the
    variable, without the name of the model: 'encoder/dense_1/kernel'. Keras numbers the layers that
    it names through the whole session. Here the numbers start again within each layer, as in a new
    session with only this model."""
    return list(_walk(model, "", set()))


def _walk(layer: Any, prefix: str, visited: set[int]) -> Iterator[Weight]:
    if id(layer) in visited:
        return
    visited.add(id(layer))
    # Inner layers first, because a wrapper may list the weights of its layer too.
    inner = list(layer._layers)
    for label, sub in zip(labels(_names(inner)), inner, strict=True):
        yield from _walk(sub, f"{prefix}{label}/", visited)
    trained = len(layer._trainable_variables)
    for number, (label, variable) in enumerate(own(layer)):
        if id(variable) not in visited:
            visited.add(id(variable))
            yield Weight(prefix + label, layer, variable, number < trained)


def named_layers(layer: Any, path: str = "") -> Iterator[tuple[Any, str]]:
    """Yield a layer and its inner layers, each with its path; that of the layer is empty."""
    yield layer, path
    inner = list(layer._layers)
    for label, sub in zip(labels(_names(inner)), inner, strict=True):
        yield from named_layers(sub, f"{path}/{label}".removeprefix("/"))


def own(layer: Any) -> list[tuple[str, Any]]:
    """Return the variables of a layer without those of its sublayers, each with its label."""
    variables = [*layer._trainable_variables, *layer._non_trainable_variables]
    return list(zip(labels(_names(variables)), variables, strict=True))


def _names(objects: Iterable[Any]) -> Iterator[tuple[str, str]]:
    return ((thing.name, type(thing).__name__) for thing in objects)


def labels(names: Iterable[tuple[str, str]]) -> list[str]:
    """Return unique labels for (name, class name) pairs.

    A number that Keras has put after the name of a class is left out. If labels are equal, they get
    numbers that count from the start.

    >>> labels([("dense_7", "Dense"), ("dense_8", "Dense"), ("forward_lstm_3", "LSTM"),
    ...     ("block_2", "Block9")])
    ['dense', 'dense_1', 'forward_lstm', 'block_2']
    """
    result: list[str] = []
    counts: dict[str, int] = {}
    for name, kind in names:
        numbered = re.fullmatch(r"(.*)_\d+", name)
        stem = numbered[1] if numbered and _plain(numbered[1]).endswith(_plain(kind)) else name
        label = stem
        while label in counts:
            counts[stem] += 1
            label = f"{stem}_{counts[stem]}"
        counts.setdefault(label, 0)
        result.append(label)
    return result


def _plain(name: str) -> str:
    return re.sub(r"[\W_]", "", name).lower()
