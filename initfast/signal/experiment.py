"""Criterion (a), measured: train the same network on the same data from each initializer."""

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
"""Deep enough for the scale of the weights to decide: with Glorot's, eight ReLU layers halve a
signal eight times.
"""
CHANNELS = (16,) * 3
"""As many convolutions as images of 8 x 8 have room for."""


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
    """Train one network on one set of data from each initializer, several times each, and see which
    lowers the loss.

    Everything but the weights at the beginning is the same for all: data and their two parts, order
    of the samples, learning rate. Softmax cross entropy, plain SGD, float32. The result is the same
    to the byte in each run on one machine with one NumPy, whatever the number of threads: BLAS is
    held to one thread, in the whole process, meanwhile. On another machine the products may be
    summed in another order, and a training grows that difference.

    Args:
        activation: of the hidden layers, as `initfast.signal.diagnose` takes it.
        initializers: what `initfast.get` takes, such as 'random_normal(stddev=0.01)'; or a mapping
            from names that you choose to them. Their own seeds are not used.
        data: 'digits', 'breast_cancer' (both of scikit-learn), the path of a `.npz` file with `x`
            and `y`, or (x, y).
        hidden: units of each hidden layer; channels of each convolution. Default: `HIDDEN`, or
            `CHANNELS` of a convolutional network.
        seeds: how often each initializer is drawn and trained. With less than 2 no difference can
            be told from noise.
        epochs, batch, learning_rate, momentum: of SGD, momentum in [0, 1).
        bias_initializer: of all biases.
        seed: integer in [0, 2**64).
        network: 'mlp'; 'residual': x + f(x W + b) in hidden layers of one width; 'convolutional':
            kernels of 3 x 3 without padding, then a dense layer. It takes images: `x` of shape
            (samples, height, width) or (samples, height, width, channels), such as 'digits'.
        advance: called with 1 after every epoch of every initializer.

    Raises:
        ValueError, TypeError: an argument is not what it must be; nothing has been trained then.
        ImportError: threadpoolctl, or for its data scikit-learn, is missing: `pip install
            'initfast[data]'`.

    >>> found = compare(initializers=["zeros", "he_normal"], hidden=[16], seeds=3, epochs=3)
    >>> [one.label for one in found.standings], found.verdicts["zeros"].passed
    (['he_normal', 'zeros'], False)
    """
    chosen = resolve(activation)
    named = _named(initializers)
    biases = _initializer(bias_initializer)
    if network not in NETWORKS:
        raise ValueError(f"network must be one of {', '.join(NETWORKS)}; received {network!r}")
    convolutional = network == "convolutional"
    if hidden is None:
        hidden = CHANNELS if convolutional else HIDDEN
    layers = tuple(_count("hidden", units) for units in hidden)
    if not layers:
        raise ValueError("hidden must name at least one layer")
    repeats = _count("seeds", seeds)
    recipe = Recipe(
        _count("epochs", epochs), _count("batch", batch), *_rates(learning_rate, momentum)
    )
    root = Seed(seed)
    with training.one_blas_thread():
        known = datasets.load(data)
        widths = (known.features, *layers, known.classes)
        form: dict[str, Any] = {
            "residual": network == "residual",
            "layouts": layouts(known.shape, layers, convolutional=convolutional),
        }
        # What an initializer has against a shape, it says before the first training.
        for made in named.values():
            training.draw(made, biases, widths, chosen, 1, root, **form)
        curves = {}
        for name, made in named.items():
            drawn = training.draw(made, biases, widths, chosen, repeats, root, **form)
            curves[name] = training.train(drawn, known, recipe, root, advance)
    return Comparison(
        activation=chosen.name,
        data=known.name,
        samples=(len(known.x_train), len(known.x_test)),
        widths=widths,
        guess=known.guess(),
        bias_initializer=label(biases),
        recipe=recipe,
        seed=root.seed,
        curves=curves,
        configs={name: _config(made) for name, made in named.items()},
        network=network,
    )


def _named(initializers: Iterable[Any] | Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(initializers, str):
        raise TypeError(
            "initializers must be a list of them, or a mapping; received the string "
            f"{initializers!r}"
        )
    if isinstance(initializers, Mapping):
        pairs = [(str(name), _initializer(one)) for name, one in initializers.items()]
    else:
        pairs = [(label(made), made) for made in map(_initializer, initializers)]
    if not pairs:
        raise ValueError("initializers must name at least one")
    names = [name for name, _ in pairs]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ValueError(
            "initializers must have a name each (a mapping gives them others); received "
            f"{twice[0]!r} twice"
        )
    return dict(pairs)


def _initializer(given: Any) -> Any:
    made = registry.get(given)
    if made is None:
        raise ValueError(
            "an initializer must be what initfast.get takes, such as 'he_normal'; received None"
        )
    return made


def _config(made: Any) -> Any:
    if not isinstance(made, Initializer) or registry.ALL_OBJECTS.get(
        type(made).__name__
    ) is not type(made):
        return None
    found = registry.serialize(made)
    assert found is not None
    return {
        **found,
        "config": {key: value for key, value in found["config"].items() if key != "seed"},
    }


def _count(name: str, value: Any) -> int:
    try:
        found = -1 if isinstance(value, (bool, np.bool_)) else operator.index(value)
    except TypeError:
        found = -1
    if found < 1:
        raise ValueError(f"{name} must be an integer >= 1; received {value!r}")
    return found


def _rates(learning_rate: Any, momentum: Any) -> tuple[float, float]:
    rate, kept = number("learning_rate", learning_rate), number("momentum", momentum)
    if rate <= 0.0:
        raise ValueError(f"learning_rate must be > 0; received {learning_rate!r}")
    if not 0.0 <= kept < 1.0:
        raise ValueError(f"momentum must lie in [0, 1); received {momentum!r}")
    return rate, kept
