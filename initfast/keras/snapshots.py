"""Restore the attributes, variables and random states of a model after its use."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import keras

__all__ = ["restore_attributes", "stateless_scope", "without_gradients"]


@contextlib.contextmanager
def restore_attributes(things: list[Any]) -> Iterator[None]:
    """Restore at the end of the block all attributes, and the contents of plain lists and sets in
    them.
    """
    snapshots = [(vars(each), dict(vars(each)), _contents(vars(each))) for each in things]
    try:
        yield
    finally:
        for current, before, contents in snapshots:
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
    """Return plain containers with copies of them, such as the losses that a call collects."""
    return [(each, each.copy()) for each in attributes.values() if type(each) in (list, set)]


def stateless_scope(variables: list[Any], values: list[Any]) -> Any:
    """Return a scope in which variables have other values; assigned values are lost at its end."""
    return keras.StatelessScope(
        state_mapping=list(zip(variables, values, strict=True)), collect_losses=True
    )


@contextlib.contextmanager
def without_gradients() -> Iterator[None]:
    """Run the block without PyTorch's autograd, and restore PyTorch's random state afterwards."""
    if keras.backend.backend() != "torch":
        yield
        return
    import torch

    with torch.random.fork_rng(devices=[]), torch.no_grad():
        yield
