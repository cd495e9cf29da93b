"""The criteria and their limits in one table."""

from __future__ import annotations

import math

__all__ = ["CRITERIA", "THRESHOLDS"]

CRITERIA = {
    "b": "sigmoid and tanh units are not saturated",
    "c": "activations do not explode",
    "d": "gradients are of similar size through depth",
    "e": "activations have a mean near zero",
    "f": "the signal keeps its size through depth",
    "g": "no two units stay equal",
}
"""The criteria by the letters of `SignalReport.verdicts`. Criterion (a), a lower loss, needs
training."""

THRESHOLDS = {
    # (b) "Most" means more than half of a layer's net inputs, over units and samples.
    "saturated": 0.5,
    # (c) Activations explode if their RMS is above 10 and above ten times that of the inputs. For a
    # residual stream, the limit is multiplied by the root of its depth.
    "explosion": 10.0,
    # (d) "Similar" means within one order of magnitude.
    "gradients": 10.0,
    # (e) The mean makes up at most a tenth of the second moment: mean^2 <= (mean^2 + variance) /
    # 10.
    "mean": 1.0 / 3.0,
    # (e) A mean of more than this many standard errors is not explained by the choice of few units.
    "errors": 3.0,
    # (f) The factor of the signal's size, as a geometric mean over layers. One half (Glorot under
    # ReLU) and two (He under a linear activation) must fail and 1 must pass; the limit is half way
    # on a logarithmic scale.
    "kept": math.sqrt(2.0),
    # (f) No single layer changes the size by more than an order of magnitude.
    "single": 10.0,
    # (f) Next to a normalisation or in a residual branch the scale of the weights is free, up to a
    # limit: E[z^2] is at most this times E[x^2]. N(0, 1) weights exceed it with more than 25
    # inputs; the usual N(0, 0.02) reaches it with 62,500 inputs.
    "free": 25.0,
    # (f) Growth of a residual stream: E[x^2] after the last block over E[x^2] after the first.
    # Normalised branches of equal size make it the number of blocks. Beyond this limit, a block at
    # the end adds less than 2% to its input, so depth has no effect.
    "stream": 64.0,
    # (f) Normalised or residual, E[x^2] must not fall by more than this factor from one place to a
    # later one. At a thousandth in RMS, the epsilon of normalisations outweighs the signal.
    "lost": 1e6,
    # For a note only: more than half of the units of a layer are 0 on the whole batch.
    "dead": 0.5,
}
"""The limits of the criteria."""
