"""Use a model and leave no trace: attributes, variables and random states come back."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import keras

__all__ = ["attributes_kept", "stateless", "without_gradients"]


@contextlib.contextmanager
def attributes_kept(things: list[Any]) -> Iterator[None]:
    """Put back what the block assigns to attributes, and into plain lists and sets that are
    attributes.
    """
    held = [(vars(each), dict(vars(each)), _contents(vars(each))) for each in things]
    try:
        yield
    finally:
        for current, before, contents in held:
            if current.keys() != before.keys() or any(
                current[name] is not value for name, value in before.items()
            ):
                current.clear()
                current.update(before)
            for container, copy in contents:
                if len(container) != len(copy) or any(
                    a is not b for a, b in zip(container, copy, strict=True)
                ):
                    container.clear()
                    (container.extend if isinstance(container, list) else container.update)(copy)


def _contents(attributes: dict[str, Any]) -> list[tuple[Any, Any]]:
    """Plain containers with copies of them, such as the losses that a call collects."""
    return [(each, each.copy()) for each in attributes.values() if type(each) in (list, set)]


def stateless(variables: list[Any], values: list[Any]) -> Any:
    """Return a scope in which variables have other values, and assigned values are dropped at
    its end.
    """
    return keras.StatelessScope(
        state_mapping=list(zip(variables, values, strict=True)), collect_losses=True
    )


@contextlib.contextmanager
def without_gradients() -> Iterator[None]:
    """PyTorch's random state as it was afterwards, and no graph but the one asked for."""
    if keras.backend.backend() != "torch":
        yield
        return
    import torch

    with torch.random.fork_rng(devices=[]), torch.no_grad():
        yield
