"""What is asked of an initialisation, and from where on it fails, all in one table."""

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
"""By the letters of `SignalReport.verdicts`. Criterion (a), a lower loss, takes training."""

THRESHOLDS = {
    # (b) "most": more than half of a layer's net inputs, over units and samples.
    "saturated": 0.5,
    # (c) Activations have exploded where their RMS is above ten times that of the inputs, and above
    # ten; a residual stream, above that times the root of its depth.
    "explosion": 10.0,
    # (d) Similar: within one order of magnitude.
    "gradients": 10.0,
    # (e) The mean makes up at most a tenth of the second moment: mean^2 <= (mean^2 + variance) /
    # 10.
    "mean": 1.0 / 3.0,
    # (e) ... and a mean this many standard errors from 0 is no accident of which few units were
    # drawn.
    "errors": 3.0,
    # (f) The factor of the signal's size, geometric mean over layers. Half (Glorot under ReLU) and
    # double (He where nothing halves) have to fail and 1 to pass; this is half way, as factors go.
    "kept": math.sqrt(2.0),
    # (f) ... and no single layer changes it by an order of magnitude.
    "single": 10.0,
    # (f) Next to a normalisation or in a residual branch the scale of the weights is free, within
    # reason: E[z^2] is at most this times E[x^2]. N(0, 1) weights pass 25 from 25 inputs on; the
    # usual N(0, 0.02) reaches it at 62,500.
    "free": 25.0,
    # (f) A residual stream: E[x^2] after the last block over that after the first. Normalised
    # branches of equal size make it the number of blocks; from here on, a block at the end adds
    # less than 2% of what it is given, and the depth is for nothing.
    "stream": 64.0,
    # (f) Normalised or residual, E[x^2] falls to less than one in this many from one place to a
    # later one: a thousandth in RMS, where the epsilon of normalisations outweighs the signal.
    "lost": 1e6,
    # A note, no criterion: more than half of the units of a layer are 0 on the whole batch.
    "dead": 0.5,
}
