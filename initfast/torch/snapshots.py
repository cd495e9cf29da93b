"""Use a module and leave no trace: parameters, buffers, gradients, attributes and random states
come back.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

__all__ = ["attributes", "preserved"]

_REGISTRIES = ("_parameters", "_buffers", "_modules")


@contextlib.contextmanager
def attributes(module: nn.Module) -> Iterator[None]:
    """Put the attributes of all modules back at the end, and the very same tensors, whose values
    are not looked at.
    """
    held = [
        (
            vars(part),
            dict(vars(part)),
            [(vars(part)[name], dict(vars(part)[name])) for name in _REGISTRIES],
        )
        for part in module.modules()
    ]
    try:
        yield
    finally:
        for current, before, registries in held:
            _restore(current, before)
            for registry, entries in registries:
                _restore(registry, entries)


@contextlib.contextmanager
def preserved(module: nn.Module) -> Iterator[None]:
    """Put everything back at the end, also after an exception: byte for byte, and the very same
    tensors.
    """
    tensors = [*module.parameters(), *module.buffers()]
    held = [(each, each.detach().clone(), each.requires_grad) for each in tensors]
    gradients = [(each, each.grad) for each in module.parameters()]
    try:
        with contextlib.ExitStack() as stack:
            stack.enter_context(attributes(module))
            for kind in {"cpu"} | {each.device.type for each in tensors}:
                if kind == "cpu":
                    stack.enter_context(torch.random.fork_rng(devices=[]))
                else:
                    places = sorted(
                        {each.device.index or 0 for each in tensors if each.device.type == kind}
                    )
                    stack.enter_context(torch.random.fork_rng(devices=places, device_type=kind))
            yield
    finally:
        with torch.no_grad():
            for tensor, values, _ in held:
                # Copied in any case: not all that writes in place counts up the version,
                # spectral_norm for one.
                if not tensor.is_inference():
                    tensor.copy_(values)
        for tensor, _, required in held:
            if tensor.is_leaf and tensor.requires_grad != required:
                tensor.requires_grad_(required)
        for tensor, gradient in gradients:
            tensor.grad = gradient


def _restore(current: dict[str, Any], before: dict[str, Any]) -> None:
    if current.keys() != before.keys() or any(
        current[name] is not value for name, value in before.items()
    ):
        current.clear()
        current.update(before)
