"""Train one small network from several draws of its weights at once: softmax cross entropy, plain
SGD, NumPy.

The first axis of every array counts the draws ("repeats"), which never mix. Each repeat has a
separate matrix product, so its numbers do not depend on the other repeats."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from initfast.core.seeds import Seed
from initfast.core.types import Array
from initfast.initializers.base import Initializer
from initfast.signal.activations import Activation
from initfast.signal.datasets import Dataset, permutation
from initfast.signal.layouts import Dense, Images

__all__ = ["Curves", "Network", "Recipe", "draw", "gradients", "one_blas_thread", "train"]

_CHUNK = 1024  # samples measured at a time, to limit the memory for large data


@dataclass(frozen=True)
class Recipe:
    """The settings of the training, the same for every network of a comparison.

    Attributes:
        epochs: passes over the training part.
        batch: samples per step; the last step of an epoch may have fewer.
        learning_rate, momentum: velocity = momentum * velocity + gradient;
            weights -= learning_rate * velocity.
    """

    epochs: int = 20
    batch: int = 32
    learning_rate: float = 0.02
    momentum: float = 0.0


@dataclass
class Network:
    """The layers of all repeats: kernels (repeats, inputs of a unit, units), biases (repeats, 1,
    units), and the layout of each layer (default: all are dense)."""

    kernels: list[Array]
    biases: list[Array]
    activation: Activation
    residual: bool = False
    layouts: Sequence[Dense | Images] = ()

    def __post_init__(self) -> None:
        self.layouts = self.layouts or [Dense(kernel.shape[1]) for kernel in self.kernels]

    def skips(self, layer: int) -> bool:
        """Return whether the inputs of this layer are added to its activations: x + f(x W + b)."""
        inputs, units = self.kernels[layer].shape[1:]
        return self.residual and inputs == units and layer < len(self.kernels) - 1

    def forward(self, x: Array) -> tuple[list[Array], list[Array]]:
        """Return the net inputs and the inputs of every layer for `x`, which has shape (samples,
        features) or (repeats, samples, features).

        Those of a convolution are flat, too: (repeats, samples, patches * channels). The last net
        inputs are the logits of the softmax.
        """
        inputs, nets = [x], []
        for kernel, bias, layout in zip(self.kernels, self.biases, self.layouts, strict=True):
            net = np.matmul(layout.unfold(inputs[-1]), kernel) + bias
            nets.append(net.reshape(len(kernel), x.shape[-2], -1))
            if len(nets) < len(self.kernels):
                # Some activations return float64 for any input.
                out = self.activation.value(nets[-1]).astype(x.dtype, copy=False)
                inputs.append(out + inputs[-1] if self.skips(len(nets) - 1) else out)
        return nets, inputs


@dataclass
class Curves:
    """Losses and accuracies of a training: float64 arrays (repeats, epochs + 1). The first column
    is before any step.

    A loss is the mean cross entropy in nats, an accuracy a share in [0, 1]. Values of inf or nan
    mean that the training diverged."""

    train_loss: Array
    test_loss: Array
    train_accuracy: Array
    test_accuracy: Array


def draw(
    initializer: Callable[..., Any],
    bias_initializer: Callable[..., Any],
    widths: tuple[int, ...],
    activation: Activation,
    repeats: int,
    seed: Seed,
    dtype: str = "float32",
    *,
    residual: bool = False,
    layouts: Sequence[Dense | Images] = (),
) -> Network:
    """Return the networks before the training; `widths` are the features, then the units or
    channels of each layer.

    The kernel of layer i in repeat r comes from the stream
    `seed.named(f"repeat/{r}/layer/{i}/kernel")`, its bias from the same name with "bias". All
    initializers draw from the same streams: two normals of different scales give the same numbers
    up to the scale, so chance does not favour one initializer."""

    def stack(source: Callable[..., Any], shape: tuple[int, ...], name: str) -> Array:
        draws = []
        for repeat in range(repeats):
            stream = seed.named(f"repeat/{repeat}/{name}")
            draws.append(
                np.asarray(
                    (source.with_seed(stream) if isinstance(source, Initializer) else source)(
                        shape, dtype
                    )
                )
            )
        if draws[0].shape != shape:
            raise ValueError(
                f"an initializer must return an array of the requested shape {shape}; received "
                f"shape {draws[0].shape}"
            )
        return np.stack(draws).astype(dtype)

    layouts = layouts or [Dense(inputs) for inputs in widths[:-1]]
    kernels, biases = [], []
    for i, (layout, units) in enumerate(zip(layouts, widths[1:], strict=True)):
        kernel = stack(initializer, layout.shape(units), f"layer/{i}/kernel")
        kernels.append(kernel.reshape(repeats, -1, units))
        biases.append(stack(bias_initializer, (units,), f"layer/{i}/bias")[:, None, :])
    return Network(kernels, biases, activation, residual, layouts)


def softmax_loss(logits: Array, y: Array) -> tuple[Array, Array]:
    """Return the cross entropy of each sample, and its gradient with respect to the logits, which
    is softmax minus one-hot.

    Args:
        logits: (repeats, samples, classes). y: classes, (samples,) or (repeats, samples).
    """
    shifted = logits - logits.max(axis=-1, keepdims=True)
    exponentials = np.exp(shifted)
    total = exponentials.sum(axis=-1, keepdims=True)
    hot = np.broadcast_to(y, logits.shape[:-1])[..., None]
    losses = np.log(total) - np.take_along_axis(shifted, hot, axis=-1)
    slope = exponentials / total
    np.put_along_axis(
        slope, hot, np.take_along_axis(slope, hot, axis=-1) - slope.dtype.type(1), axis=-1
    )
    return losses[..., 0], slope


def gradients(network: Network, x: Array, y: Array) -> tuple[Array, list[Array], list[Array]]:
    """Return the mean loss of each repeat over its samples, and its gradients with respect to
    kernels and biases, by back-propagation.

    Args:
        x: (repeats, samples, features). y: (repeats, samples).
    """
    nets, inputs = network.forward(x)
    losses, slope = softmax_loss(nets[-1], y)
    slope /= slope.dtype.type(x.shape[1])
    by_output = slope
    in_kernels: list[Array] = []
    in_biases: list[Array] = []
    for layer in reversed(range(len(nets))):
        kernel, layout = network.kernels[layer], network.layouts[layer]
        slope = slope.reshape(len(kernel), -1, kernel.shape[2])
        in_kernels.insert(0, np.matmul(layout.unfold(inputs[layer]).transpose(0, 2, 1), slope))
        in_biases.insert(0, slope.sum(axis=1, keepdims=True))
        if layer:
            by_input = layout.fold(np.matmul(slope, kernel.transpose(0, 2, 1)))
            if network.skips(layer):
                by_input += by_output
            by_output, slope = by_input, by_input * network.activation.slope(nets[layer - 1])
    return losses.mean(axis=1, dtype=np.float64), in_kernels, in_biases


def _measure(network: Network, x: Array, y: Array) -> tuple[Array, Array]:
    """Return loss and accuracy of each repeat over a part of the data. A sample without a finite
    loss counts as wrong."""
    total = np.zeros(len(network.kernels[0]))
    correct = np.zeros(len(total))
    for first in range(0, len(x), _CHUNK):
        labels = y[first : first + _CHUNK]
        logits = network.forward(x[first : first + _CHUNK])[0][-1]
        losses, _ = softmax_loss(logits, labels)
        total += losses.sum(axis=1, dtype=np.float64)
        correct += ((logits.argmax(axis=-1) == labels) & np.isfinite(losses)).sum(axis=1)
    return total / len(x), correct / len(x)


def train(
    network: Network,
    dataset: Dataset,
    recipe: Recipe,
    seed: Seed,
    advance: Callable[[int], object] = lambda _: None,
) -> Curves:
    """Train all repeats of a network in place and return their curves; `advance(1)` is called after
    every epoch.

    Epoch e of repeat r takes the samples in the order of stream
    `seed.named(f"repeat/{r}/epoch/{e}/order")`, the same for every initializer. An overflow raises
    no error and no warning: it shows in the curves."""
    x, y = dataset.x_train, dataset.y_train
    repeats = len(network.kernels[0])
    parameters = network.kernels + network.biases
    velocities = [np.zeros_like(parameter) for parameter in parameters]
    rate, momentum = x.dtype.type(recipe.learning_rate), x.dtype.type(recipe.momentum)
    rows = []
    with np.errstate(all="ignore"):
        for epoch in range(recipe.epochs + 1):
            if epoch:
                names = [f"repeat/{repeat}/epoch/{epoch}/order" for repeat in range(repeats)]
                order = np.stack([permutation(len(x), seed.named(name)) for name in names])
                for first in range(0, len(x), recipe.batch):
                    samples = order[:, first : first + recipe.batch]
                    _, in_kernels, in_biases = gradients(network, x[samples], y[samples])
                    for parameter, velocity, slope in zip(
                        parameters, velocities, in_kernels + in_biases, strict=True
                    ):
                        velocity *= momentum
                        velocity += slope
                        parameter -= rate * velocity
                advance(1)
            rows.append(
                (*_measure(network, x, y), *_measure(network, dataset.x_test, dataset.y_test))
            )
    train_loss, train_accuracy, test_loss, test_accuracy = np.array(rows).transpose(1, 2, 0)
    return Curves(train_loss, test_loss, train_accuracy, test_accuracy)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Limit BLAS to one thread, in the whole process, inside the `with` block.

    The number of threads may change the order in which a product is summed, and so its last bits;
    training amplifies such differences. The products are small, so more threads would not be
    faster."""
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        raise ImportError("compare needs threadpoolctl: pip install 'initfast[data]'") from None
    with threadpool_limits(limits=1, user_api="blas"):
        yield
