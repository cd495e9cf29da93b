"""Measurements in a layer: moments of signals and gradients; saturated, dead and equal units."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from initfast.signal.activations import Activation
from initfast.signal.layers import Histogram, LayerReport
from initfast.signal.quadrature import facts

__all__ = ["Moments", "Units", "measure", "moments", "rms", "with_gradients"]

Floats = npt.NDArray[np.floating[Any]]
BINS = 50
# Relative tolerance for the gradients of equal units, which may be summed in different orders.
ROUNDING = {"float64": 1e-10, "float32": 1e-5}


class Moments(NamedTuple):
    """Moments over samples and units. `batch_variance` is the variance over the samples, as a mean
    over units."""

    mean: float
    variance: float
    batch_variance: float
    mean_error: float  # standard error of the mean, from the differences between units


class Units(NamedTuple):
    """The weights (fan_in, units) and biases (units,) of a layer, and the gradients of the loss
    with respect to them."""

    weights: Floats
    bias: Floats | None
    weight_gradient: Floats
    bias_gradient: Floats | None


def measure(
    name: str,
    activation: Activation | str,
    fans: tuple[int, int] | None,
    before: Moments | None,
    net: Floats,
    out: Floats,
) -> LayerReport:
    """Return the report of a layer, still without gradients.

    Args:
        name: name of the layer.
        activation: the activation; its name if it is not elementwise.
        fans: (fan_in, fan_out), or None if the layer has no kernel.
        before: `moments` of the inputs of the layer; None if the inputs are tokens.
        net, out: net inputs and activations, (samples, units); the same array if there is no
            activation.
    """
    elementwise = facts(activation) if isinstance(activation, Activation) else None
    net_mean, net_variance, net_batch_variance, error = moments(net)
    mean, variance, batch_variance = net_mean, net_variance, net_batch_variance
    if out is not net:
        mean, variance, batch_variance, error = moments(out)
    return LayerReport(
        name=name,
        activation=activation.name if isinstance(activation, Activation) else activation,
        fan_in=fans and fans[0],
        fan_out=fans and fans[1],
        units=out.shape[1],
        input_second_moment=None if before is None else before.variance + before.mean * before.mean,
        input_batch_variance=None if before is None else before.batch_variance,
        net_mean=net_mean,
        net_std=float(np.sqrt(net_variance)),
        net_batch_variance=net_batch_variance,
        mean=mean,
        variance=variance,
        second_moment=variance + mean * mean,
        batch_variance=batch_variance,
        mean_error=error,
        saturated=None
        if elementwise is None or elementwise.edge is None
        else float((~(np.abs(net) <= elementwise.edge)).mean()),
        dead=float((~out.any(axis=0)).mean())
        if elementwise is not None and elementwise.family == "rectifier"
        else None,
        gradient_rms=None,
        weight_gradient_rms=None,
        symmetric=None,
        histogram=(shape := histogram(out)),
        net_histogram=shape if out is net else histogram(net),
        facts=elementwise,
    )


def with_gradients(
    layer: LayerReport,
    gradient_rms: float | None,
    weight_gradient_rms: float | None,
    units: Units | None,
    weight_scales: tuple[float, ...] = (),
    bias_rms: float = 0.0,
) -> LayerReport:
    """Return the report of a layer completed by its weights and gradients."""
    expected = None
    if weight_scales and layer.input_second_moment is not None:
        expected = max(weight_scales) ** 2 * layer.input_second_moment + bias_rms**2
    return dataclasses.replace(
        layer,
        weight_scales=weight_scales,
        expected_net_variance=expected,
        gradient_rms=gradient_rms,
        weight_gradient_rms=weight_gradient_rms,
        symmetric=None if units is None else equal_units(units),
    )


def rms(values: Floats) -> float:
    """Return the root of the mean square."""
    flat = values.reshape(-1)
    # Scale, so that squares of small gradients do not underflow and of large ones not overflow.
    largest = float(np.abs(flat).max(initial=0.0))
    if not 0.0 < largest < np.inf:
        return largest
    if 1e-100 < largest < 1e100 and flat.dtype == np.float64:
        return float(np.sqrt(np.dot(flat, flat) / flat.size))
    scaled = flat / largest
    return largest * float(np.sqrt(np.dot(scaled, scaled) / flat.size))


def moments(values: Floats) -> Moments:
    """Return the moments of an array (samples, units)."""
    by_unit = values.mean(axis=0)
    centred = (values - by_unit).reshape(-1)
    within = float(np.dot(centred, centred) / centred.size)
    between = float(by_unit.var())
    return Moments(
        float(by_unit.mean()), within + between, within, float(np.sqrt(between / by_unit.size))
    )


def histogram(values: Floats, bins: int = BINS) -> Histogram:
    """Return the histogram of the finite values; an empty one if there are none."""
    flat = values.reshape(-1)
    low, high = (float(flat.min()), float(flat.max())) if flat.size else (0.0, 0.0)
    if not np.isfinite(high - low):
        flat = flat[np.isfinite(flat)]
        low, high = (float(flat.min()), float(flat.max())) if flat.size else (0.0, 0.0)
        if not flat.size or not np.isfinite(high - low):
            return Histogram((), ())
    with np.errstate(all="ignore"):
        per_unit = bins / np.float64(high - low)
    if not np.isfinite(per_unit):
        # All values are (almost) equal: one bar in the middle.
        low, high, per_unit = low - 0.5, high + 0.5, np.float64(bins)
    index = np.minimum(((flat - low) * per_unit).astype(np.intp), bins - 1)
    counts = np.bincount(index, minlength=bins)
    edges = low + (high - low) * np.arange(bins + 1) / bins
    return Histogram(tuple(edges.tolist()), tuple(counts.tolist()))


def equal_units(units: Units) -> int:
    """Return the number of units that have the same incoming weights, bias and gradients as another
    unit.

    Such units stay equal with any optimizer that treats weights one by one. Gradients count as
    equal if they differ only by rounding."""
    groups = [group for group in _same_columns(units.weights, units.bias) if group.size > 1]
    if not groups:
        return 0
    parts = [units.weight_gradient.reshape(-1, units.weights.shape[1])]
    if units.bias_gradient is not None:
        parts.append(units.bias_gradient.reshape(1, -1))
    gradients = np.concatenate(parts)
    tolerance = ROUNDING[gradients.dtype.name] * float(np.abs(gradients).max(initial=0.0))
    # Sorting by a linear combination of the rows makes equal columns neighbours.
    mixture = np.cos(np.arange(len(gradients)))
    count = 0
    for group in groups:
        columns = gradients[:, group]
        columns = columns[:, np.argsort(mixture @ columns)]
        near = (np.abs(np.diff(columns, axis=1)) <= tolerance).all(axis=0)
        count += int((np.append(near, False) | np.append(False, near)).sum())
    return count


def _same_columns(weights: Floats, bias: Floats | None) -> list[npt.NDArray[np.intp]]:
    """Return the indices of the columns, in groups of equal bytes; empty if all columns differ."""
    # Two rows distinguish random columns; compare all rows only if they do not.
    for rows in (weights[:2], weights):
        parts = [rows] if bias is None else [rows, bias.reshape(1, -1)]
        keys = np.ascontiguousarray((np.concatenate(parts) + 0.0).T)
        whole = keys.view(np.dtype((np.void, keys.dtype.itemsize * keys.shape[1]))).reshape(-1)
        _, inverse, counts = np.unique(whole, return_inverse=True, return_counts=True)
        if counts.max(initial=0) < 2:
            return []
    order = np.argsort(inverse, kind="stable")
    return np.split(order, np.cumsum(counts)[:-1])
