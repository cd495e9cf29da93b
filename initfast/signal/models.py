"""The report on a real model, from the measurements of an engine (torch or Keras)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from initfast.signal.layers import LayerReport
from initfast.signal.measures import Units, with_gradients
from initfast.signal.reports import SignalReport
from initfast.signal.trails import Line, Trail
from initfast.signal.verdicts import judge, notes

__all__ = ["completed", "report"]


def completed(
    line: Line,
    *,
    gradient_rms: float,
    weight_gradient_rms: float | None,
    units: Units | None,
    weight_scales: tuple[float, ...],
    bias_rms: float,
    samples: int,
    reached: bool,
) -> LayerReport:
    """Return the report of a layer after the backward pass; the arguments are as in `LayerReport`.

    The expected variance is only known for layers with one kernel and a fan_in."""
    layer = with_gradients(
        line.report, gradient_rms, weight_gradient_rms, units, weight_scales, bias_rms
    )
    expected = layer.expected_net_variance
    return dataclasses.replace(
        layer,
        expected_net_variance=expected if len(weight_scales) == 1 and layer.fan_in else None,
        outputs=max(1, math.prod(line.output.shape) // max(1, samples)),
        reached=reached,
    )


def report(
    model: Any,
    trail: Trail,
    layers: Sequence[LayerReport],
    unseen: Sequence[str],
    *,
    loss: str,
    samples: int,
) -> SignalReport:
    """Return the report on a model: its layers, its residual sums, and the verdicts on them.

    Args:
        model: the model; the report shows the name of its class.
        trail: the layers and residual sums of the run.
        layers: the completed reports of the layers.
        unseen: notes on weights that belong to no layer.
        loss: the loss in words.
        samples: number of samples of the batch.
    """
    names = [each.activation for each in layers if each.activation != "linear"] or ["linear"]
    return SignalReport(
        activation=", ".join(dict.fromkeys(names)),
        initializer=f"as in {type(model).__name__}",
        bias_initializer="as in the model",
        inputs="given",
        loss=loss,
        batch=samples,
        seed=None,
        layers=tuple(layers),
        verdicts=judge(layers, blocks=trail.blocks),
        notes=(*notes(layers), *unseen),
        blocks=tuple(trail.blocks),
    )
