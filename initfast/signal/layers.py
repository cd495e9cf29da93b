"""The parts of a report: layers, residual sums, histograms and verdicts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from initfast.signal.quadrature import Facts

__all__ = ["Block", "Histogram", "LayerReport", "Verdict"]


class Histogram(NamedTuple):
    """The histogram of a layer's finite activations: `counts[i]` of them lie in [edges[i],
    edges[i + 1]]."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


NO_VALUES = Histogram((), ())


@dataclass(frozen=True)
class Verdict:
    """The verdict on one criterion.

    Attributes:
        letter: 'b' to 'g', the key in `SignalReport.verdicts`; 'a' in a comparison.
        criterion: the criterion in words.
        passed: True, False, or None if the criterion does not apply.
        reason: the reason, with the numbers and the layer.
        recommend: advice, with its source; empty unless the criterion failed.
        level: severity of a failure: 'unusable' (the network cannot learn), 'poor', or 'inherent'
            (caused by the activation; no initializer changes it). Empty without a failure.
    """

    letter: str
    criterion: str
    passed: bool | None
    reason: str
    recommend: str = ""
    level: str = ""


class Block(NamedTuple):
    """A residual connection: a sum of a stream and a branch that was computed from it.

    Attributes:
        name: the module that contains the sum.
        before, branch, after: RMS of the stream, of the branch, and of their sum.
    """

    name: str
    before: float
    branch: float
    after: float

    @property
    def title(self) -> str:
        """Return the name for use in a sentence: 'layer 7' for the name '7'."""
        return _title(self.name)


@dataclass(frozen=True)
class LayerReport:
    """One layer: net inputs z = x W + b, activations f(z), and gradients of the loss. Means and
    variances are over batch and units, if not stated otherwise.

    Attributes:
        name: name of the layer in its model; 'layer_1' and so on in a sketch.
        activation: name of the activation, also if it is not in `ACTIVATIONS`.
        fan_in, fan_out: fans of the weights; None if no weight has two or more dimensions.
        units: number of units: outputs of a dense layer, channels of a convolution.
        input_second_moment: E[x^2] of the inputs of the layer; None for integers (tokens).
        input_batch_variance: variance of the inputs over the batch, as a mean over units.
        net_mean, net_std: mean and standard deviation of the net inputs.
        net_batch_variance: variance of the net inputs over the batch, as a mean over units. It
            measures the part that depends on the input, without the differences between units.
        mean, variance, second_moment: of the activations; second_moment = variance + mean^2.
        batch_variance: variance of the activations over the batch, as a mean over units.
        mean_error: standard error of `mean`, from the differences between units.
        saturated: share of the net inputs, over units and samples, at which the slope is below a
            tenth of its maximum; None unless the activation saturates, like sigmoid and tanh.
        dead: share of the units that are 0 on the whole batch; None unless the activation belongs
            to the family of ReLU.
        gradient_rms: RMS of the gradient of the loss with respect to the activations; None if there
            is no such gradient.
        weight_gradient_rms: RMS of the gradient with respect to the weights, without biases.
        symmetric: number of units with the same incoming weights, bias and gradients as another
            unit, so that they stay equal; None if units have no separate weights.
        histogram: histogram of the activations.
        facts: facts about the activation, from its values; None if it is not elementwise.
        net_histogram: histogram of the net inputs z.
        kind: class of the layer in a real model, such as 'Linear'; empty in a sketch.
        outputs: number of output values for one sample: units times positions.
        weight_scales: for each weight that multiplies a signal, its RMS times sqrt(fan_in).
        expected_net_variance: E[z^2] in theory: fan_in E[w^2] E[x^2] + E[b^2].
        normalised: whether the input or the output is normalised, so that the scale of the weights
            does not change the size of the signal.
        followed: whether the activations are the input of another layer (also after reshape,
            pooling or dropout), or the output of the model. Only then is the layer judged as a
            link of a chain.
        block: index of the residual sum, from 0, to whose branch the layer belongs, or None.
        silent: whether the layer is part of a branch that outputs 0 at first, as with a zero gamma.
        reached: whether the loss depends on the layer.
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
    def title(self) -> str:
        """Return the name for use in a sentence: 'layer 7' for the name '7'."""
        return _title(self.name)

    @property
    def weight_scale(self) -> float | None:
        """Return the largest of `weight_scales`; None if there are none."""
        return max(self.weight_scales, default=None)


def _title(name: str) -> str:
    return f"layer {name}" if name[:1].isdigit() else name
