"""The weights of GPT-2 (124 million) in torch modules, initialized as torch users do it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import rivals

SEED, STDDEV = 42, 0.02
DRAWS = ("trunc_normal_", "normal_")


def build(draw: str, layers: int = 12, width: int = 768) -> Any:
    """Build the model, then draw every weight again, as `_init_weights` does.

    Args:
        draw: a function of `torch.nn.init`, used with standard deviation 0.02 and, if it takes
            bounds, with bounds at two standard deviations.
    """
    from torch import nn

    bounds = {"a": -2 * STDDEV, "b": 2 * STDDEV} if draw == "trunc_normal_" else {}
    model = nn.ModuleList([nn.Embedding(50257, width), nn.Embedding(1024, width)])
    for _ in range(layers):
        for inputs, outputs in ((1, 3), (1, 1), (1, 4), (4, 1)):
            model.append(nn.Linear(inputs * width, outputs * width))
    for module in model:
        getattr(nn.init, draw)(module.weight, std=STDDEV, **bounds)
    return model


def fills(layers: int, width: int) -> dict[str, Callable[[], Any]]:
    """Return functions that build the model with torch and under `patch`; empty without torch."""
    if not rivals.installed("torch"):
        return {}
    from initfast.torch import patch

    def run(draw: str, scope: Callable[[], Any]) -> None:
        with scope():
            build(draw, layers, width)

    scopes = {"torch": contextlib.nullcontext, "initfast": lambda: patch(seed=SEED)}
    return {
        f"{library} {draw}": (lambda draw=draw, scope=scope: run(draw, scope))  # type: ignore[misc]
        for draw in DRAWS
        for library, scope in scopes.items()
    }
