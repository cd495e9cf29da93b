"""Contexts that restore a module at their end: its attributes, or also its values, gradients and
torch's random states.
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
    """Restore the attributes of all modules at the end, with the same tensor objects. Their values
    are not restored.
    """
    saved = [
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
        for current, before, registries in saved:
            _restore(current, before)
            for registry, entries in registries:
                _restore(registry, entries)


@contextlib.contextmanager
def preserved(module: nn.Module) -> Iterator[None]:
    """Restore everything at the end, also after an exception: the same tensor objects with the same
    bytes, gradients, attributes, and torch's random states.
    """
    tensors = [*module.parameters(), *module.buffers()]
    saved = [(each, each.detach().clone(), each.requires_grad) for each in tensors]
    gradients = [(each, each.grad) for each in module.parameters()]
    try:
        with contextlib.ExitStack() as stack:
            stack.enter_context(attributes(module))
            for kind in {"cpu"} | {each.device.type for each in tensors}:
                if kind == "cpu":
                    stack.enter_context(torch.random.fork_rng(devices=[]))
                else:
                    indices = sorted(
                        {each.device.index or 0 for each in tensors if each.device.type == kind}
                    )
                    stack.enter_context(torch.random.fork_rng(devices=indices, device_type=kind))
            yield
    finally:
        with torch.no_grad():
            for tensor, values, _ in saved:
                # Always copied: some in-place writes do not change the version counter, such as
                # those of spectral_norm.
                if not tensor.is_inference():
                    tensor.copy_(values)
        for tensor, _, requires_grad in saved:
            if tensor.is_leaf and tensor.requires_grad != requires_grad:
                tensor.requires_grad_(requires_grad)
        for tensor, gradient in gradients:
            tensor.grad = gradient


def _restore(current: dict[str, Any], before: dict[str, Any]) -> None:
    if current.keys() != before.keys() or any(
        current[name] is not value for name, value in before.items()
    ):
        current.clear()
        current.update(before)
