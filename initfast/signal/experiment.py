"""`compare`: train the same network on the same data from each initializer (criterion (a))."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from initfast.core.seeds import Seed
from initfast.initializers import registry
from initfast.initializers.base import Initializer
from initfast.initializers.grammar import label
from initfast.initializers.validation import number
from initfast.signal import datasets, training
from initfast.signal.comparisons import Comparison
from initfast.signal.functions import resolve
from initfast.signal.layouts import layouts
from initfast.signal.training import Recipe

__all__ = ["CHANNELS", "DEFAULT_INITIALIZERS", "HIDDEN", "NETWORKS", "compare"]

DEFAULT_INITIALIZERS = (
    "zeros",
    "random_normal(stddev=0.01)",
    "random_normal(stddev=1)",
    "lecun_normal",
    "glorot_uniform",
    "he_normal",
)
NETWORKS = ("mlp", "residual", "convolutional")
HIDDEN = (64,) * 8
"""Units of the hidden layers. They are deep enough for the scale of the weights to matter: with
Glorot's weights, eight ReLU layers halve a signal eight times."""
CHANNELS = (16,) * 3
"""Channels of the convolutions; images of 8 x 8 have room for three of them."""


def compare(
    activation: Any = "relu",
    initializers: Iterable[Any] | Mapping[str, Any] = DEFAULT_INITIALIZERS,
    data: Any = "digits",
    *,
    hidden: Iterable[int] | None = None,
    seeds: int = 5,
    epochs: int = 20,
    batch: int = 32,
    learning_rate: float = 0.02,
    momentum: float = 0.0,
    bias_initializer: Any = "zeros",
    seed: int = 0,
    network: str = "mlp",
    advance: Callable[[int], object] = lambda _: None,
) -> Comparison:
    """Train one network on one data set from each initializer, several times each, and compare the
    losses.

    Only the initial weights differ: the data, their two parts, the order of the samples and the
    learning rate are the same. The training is plain SGD on softmax cross entropy in float32. On
    one machine with one NumPy, each run gives the same bytes for any number of threads, because
    BLAS uses one thread, in the whole process, during the training. Another machine may sum the
    products in another order, and training amplifies this difference.

    Args:
        activation: of the hidden layers, as `initfast.signal.diagnose` takes it.
        initializers: initializers as `initfast.get` takes them, such as
            'random_normal(stddev=0.01)'; or a mapping from names to initializers. Their seeds are
            ignored.
        data: 'digits' or 'breast_cancer' (both from scikit-learn), the path of a `.npz` file with
            arrays `x` and `y`, or a pair (x, y).
        hidden: units of each hidden layer, or channels of each convolution. Default: `HIDDEN`, or
            `CHANNELS` for a convolutional network.
        seeds: number of draws and trainings of each initializer. With one, losses are not compared,
            because the noise is unknown.
        epochs, batch, learning_rate, momentum: settings of SGD, with momentum in [0, 1).
        bias_initializer: initializer of all biases.
        seed: integer in [0, 2**64).
        network: 'mlp'; 'residual' for x + f(x W + b) in hidden layers of equal width;
            'convolutional' for 3 x 3 kernels without padding, then a dense layer. The last needs
            images: `x` of shape (samples, height, width) or (samples, height, width, channels),
            such as 'digits'.
        advance: called with 1 after every epoch of every initializer.

    Returns:
        The `Comparison`; printed, it is a table of losses, ranks and accuracies.

    Raises:
        ValueError, TypeError: an argument is invalid; this is checked before the first training.
        ImportError: threadpoolctl, or scikit-learn for its data sets, is missing:
            `pip install 'initfast[data]'`.

    >>> comparison = compare(initializers=["zeros", "he_normal"], hidden=[16], seeds=3, epochs=3)
    >>> [one.label for one in comparison.standings], comparison.verdicts["zeros"].passed
    (['he_normal', 'zeros'], False)
    """
    resolved = resolve(activation)
    sources = _by_label(initializers)
    biases = _initializer(bias_initializer)
    if network not in NETWORKS:
        raise ValueError(f"network must be one of {', '.join(NETWORKS)}; received {network!r}")
    convolutional = network == "convolutional"
    if hidden is None:
        hidden = CHANNELS if convolutional else HIDDEN
    layers = tuple(_count("hidden", units) for units in hidden)
    if not layers:
        raise ValueError("hidden must have at least one layer")
    repeats = _count("seeds", seeds)
    recipe = Recipe(
        _count("epochs", epochs), _count("batch", batch), *_rates(learning_rate, momentum)
    )
    root = Seed(seed)
    with training.one_blas_thread():
        dataset = datasets.load(data)
        widths = (dataset.features, *layers, dataset.classes)
        form: dict[str, Any] = {
            "residual": network == "residual",
            "layouts": layouts(dataset.shape, layers, convolutional=convolutional),
        }
        # Draw once, so that an initializer that rejects a shape raises before the first training.
        for initializer in sources.values():
            training.draw(initializer, biases, widths, resolved, 1, root, **form)
        curves = {}
        for name, initializer in sources.items():
            model = training.draw(initializer, biases, widths, resolved, repeats, root, **form)
            curves[name] = training.train(model, dataset, recipe, root, advance)
    return Comparison(
        activation=resolved.name,
        data=dataset.name,
        samples=(len(dataset.x_train), len(dataset.x_test)),
        widths=widths,
        guess=dataset.guess(),
        bias_initializer=label(biases),
        recipe=recipe,
        seed=root.seed,
        curves=curves,
        configs={name: _config(initializer) for name, initializer in sources.items()},
        network=network,
    )


def _by_label(initializers: Iterable[Any] | Mapping[str, Any]) -> dict[str, Any]:
    """Return the initializers by their names, or by their labels if they have no names."""
    if isinstance(initializers, str):
        raise TypeError(
            "initializers must be a list, or a mapping from names to initializers; received the "
            f"string {initializers!r}"
        )
    if isinstance(initializers, Mapping):
        pairs = [(str(name), _initializer(one)) for name, one in initializers.items()]
    else:
        pairs = [(label(each), each) for each in map(_initializer, initializers)]
    if not pairs:
        raise ValueError("initializers must not be empty")
    names = [name for name, _ in pairs]
    duplicates = [name for name in names if names.count(name) > 1]
    if duplicates:
        raise ValueError(
            f"initializers must have different names; received {duplicates[0]!r} twice (pass a "
            "mapping to choose the names)"
        )
    return dict(pairs)


def _initializer(identifier: Any) -> Any:
    initializer = registry.get(identifier)
    if initializer is None:
        raise ValueError(
            "an initializer must be an object or a name such as 'he_normal'; received None"
        )
    return initializer


def _config(initializer: Any) -> Any:
    """Return the JSON form of an initializer without its seed; None if it is not initfast's."""
    kind = type(initializer)
    if (
        not isinstance(initializer, Initializer)
        or registry.ALL_OBJECTS.get(kind.__name__) is not kind
    ):
        return None
    config = registry.serialize(initializer)
    assert config is not None
    arguments = {key: value for key, value in config["config"].items() if key != "seed"}
    return {**config, "config": arguments}


def _count(name: str, value: Any) -> int:
    try:
        count = -1 if isinstance(value, (bool, np.bool_)) else operator.index(value)
    except TypeError:
        count = -1
    if count < 1:
        raise ValueError(f"{name} must be an integer >= 1; received {value!r}")
    return count


def _rates(learning_rate: Any, momentum: Any) -> tuple[float, float]:
    rate, decay = number("learning_rate", learning_rate), number("momentum", momentum)
    if rate <= 0.0:
        raise ValueError(f"learning_rate must be > 0; received {learning_rate!r}")
    if not 0.0 <= decay < 1.0:
        raise ValueError(f"momentum must lie in [0, 1); received {momentum!r}")
    return rate, decay
