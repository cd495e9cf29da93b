"""What a report holds of one layer, and the verdict on a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from initfast.signal.quadrature import Facts

__all__ = ["Block", "Histogram", "LayerReport", "Verdict"]


class Histogram(NamedTuple):
    """How a layer's activations are spread: `counts[i]` of them in [edges[i], edges[i + 1]], the
    finite ones only.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]


NO_VALUES = Histogram((), ())


@dataclass(frozen=True)
class Verdict:
    """Whether a network meets one of the criteria.

    Attributes:
        letter: 'b' to 'g', the key in `SignalReport.verdicts`.
        criterion: what is asked, in words.
        passed: True, False, or None where the criterion does not apply.
        reason: why, with the numbers and the layer.
        recommend: what to do about it, with its source; empty unless it failed.
        level: how bad a failure is: 'unusable' (the network cannot learn), 'poor', or 'inherent'
            (the activation's doing, no initializer's). Empty unless it failed.
    """

    letter: str
    criterion: str
    passed: bool | None
    reason: str
    recommend: str = ""
    level: str = ""


class Block(NamedTuple):
    """A sum that adds a branch to the stream that it was computed from: a residual connection.

    `name`: the module in which the sum is. `before`, `branch`, `after`: RMS of the stream, of the
    branch, and of their sum.
    """

    name: str
    before: float
    branch: float
    after: float


@dataclass(frozen=True)
class LayerReport:
    """One layer: net inputs z = x W + b, activations f(z), and the loss's gradients. All are over
    batch and units.

    Attributes: name: the layer's own name in a model; 'layer_1' and so on in a sketch. activation:
        its name; of a model's, also one that reports do not know. fan_in, fan_out: of its weights;
        None if it has no weights of two dimensions or more. units: how many it has: outputs of a
        dense layer, channels of a convolution. input_second_moment: E[x^2] of what went into the
        layer; None for integers (tokens). input_batch_variance: the variance over the
        batch, mean over units. net_mean, net_std: of the net inputs. net_batch_variance: of the net
        inputs, over the batch alone, mean over units: the part that depends on the input, without
        what sets the units apart from each other.
        mean, variance, second_moment: of the activations; second_moment = variance + mean^2.
        batch_variance: of the activations, over the batch alone, mean over units.
        mean_error: standard error of `mean`, from how the units differ.
        saturated: share of the net inputs, of units and samples, where the slope is below a tenth
            of the greatest; None unless the activation is 'sigmoid' or 'tanh'.
        dead: share of the units that are 0 on the whole batch; None unless the activation is of
            ReLU's family.
        gradient_rms: of the loss by the activations; None where no gradient can be had.
        weight_gradient_rms: of the loss by the weights, without biases.
        symmetric: units with the incoming weights, bias and gradients of another: they stay equal
            for ever. None if units have no separate weights.
        histogram: of the activations. net_histogram: of the net inputs z.
        facts: of the activation, from its values; None if it is not elementwise.
        kind: the layer's class in a real model, such as 'Linear'; empty in a sketch.
        outputs: values that it gives for one sample: units times positions.
        weight_scales: RMS of each of the weights that multiply a signal, times sqrt(fan_in).
        expected_net_variance: E[z^2] as theory has it: fan_in E[w^2] E[x^2] + E[b^2].
        normalised: what goes in or comes out is normalised, so that the scale of the weights
            neither keeps nor loses the signal.
        followed: whether the activations go straight into another layer (through reshapes, pooling
            and dropout at most), or are the output: only then a chain is judged by them.
        block: number of the residual sum, from 0, to whose branch the layer belongs, or None.
        silent: whether it is part of a branch that gives 0 at first, as of a zero gamma.
        reached: whether the loss depends on the layer at all.
    """

    name: str
    activation: str
    fan_in: int | None
    fan_out: int | None
    units: int
    input_second_moment: float | None
    input_batch_variance: float | None
    net_mean: float
    net_std: float
    net_batch_variance: float
    mean: float
    variance: float
    second_moment: float
    batch_variance: float
    mean_error: float
    saturated: float | None
    dead: float | None
    gradient_rms: float | None
    weight_gradient_rms: float | None
    symmetric: int | None
    histogram: Histogram
    facts: Facts | None = None
    net_histogram: Histogram = NO_VALUES
    kind: str = ""
    outputs: int | None = None
    weight_scales: tuple[float, ...] = ()
    expected_net_variance: float | None = None
    normalised: bool = False
    followed: bool = True
    block: int | None = None
    silent: bool = False
    reached: bool = True

    @property
    def weight_scale(self) -> float | None:
        """Return the greatest of `weight_scales`."""
        return max(self.weight_scales, default=None)
