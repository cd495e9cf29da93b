"""Draw the weights of a built model again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from initfast.core.dtypes import resolve
from initfast.core.seeds import Seed, root_seed
from initfast.initializers import streams
from initfast.initializers.base import Initializer
from initfast.initializers.random import RandomInitializer
from initfast.keras import tensors
from initfast.keras.sources import Derived, axes, source, with_seed
from initfast.keras.weights import Weight, weights

Rules = Mapping[str, "Initializer | str | Callable[..., Any] | None"]


def initialize(
    model: Any, seed: int | Seed | None = None, rules: Rules | None = None
) -> dict[str, Initializer]:
    """Draw every weight of a built model or layer again, from its layer's own initializer and in
    the stream of the weight's name.

    A weight's name is its path in the model, such as 'encoder/dense_1/kernel'. Numbers that Keras
    adds to the names of layers count from the start in the model. So the same model has the same
    weights in every process and backend, no matter what was built before. Constants are written
    again; seeds of the layers' initializers do not matter.

    Args:
        model: a Keras model or layer. Layers in it that are not built are skipped.
        seed: integer in [0, 2**64), `Seed`, or None: drawn from Python's `random`.
        rules: initializers for weights by path, or by patterns of `fnmatch` such as '*/kernel'; the
            first match is used. None leaves a weight as it is. A trainable weight without a known
            initializer needs a rule. (Its layer has no `<weight>_initializer`, and a copy of the
            layer, built from its configs, has other weights.) Other weights without one are states
            and stay as they are.

    Returns:
        The initializer of each weight that was drawn, by path. For example,
        `initializers[path].block(shape, ...)` returns its values again.

    Raises:
        ValueError: the model is not built, a rule matches no weight, or weights have no usable
            initializer or rule. The message names them, and no weight has been changed.
        TypeError: JAX is tracing the calling function. No weight has been changed.

    Your own initializer, or one derived from Keras', is created again from its config with an
    integer `seed` that depends on `seed` and the weight's name. LoRA pairs are drawn from the
    defaults of `enable_lora`, because no layer keeps its arguments; a rule can replace them.
    Seed generators, metrics and optimizers stay as they are.

    >>> import keras
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    >>> sorted(initialize(model, seed=7))
    ['dense/bias', 'dense/kernel']
    """
    plans = plan(model, seed, rules)
    tensors.check_untraced()
    initializers = {}
    for weight, initializer, _ in plans:
        if initializer is not None:
            tensors.assign(weight.variable, initializer)
            initializers[weight.path] = initializer
    return initializers


class Plan(NamedTuple):
    """A weight and its new initializer; None: the weight stays as it is."""

    weight: Weight
    initializer: Initializer | None
    by_rule: bool


def plan(model: Any, seed: int | Seed | None, rules: Rules | None) -> list[Plan]:
    """Return all weights of a model with the initializers that `initialize` draws them from; raise
    as it does.
    """
    root = root_seed(seed)
    all_weights = weights(model)
    if not all_weights:
        raise ValueError(
            "a model must be built and have weights: call it or model.build(shape) first; received "
            f"{model!r}"
        )
    plans, problems, used = [], [], set()
    for weight in all_weights:
        pattern = next(
            (pattern for pattern in rules or () if fnmatchcase(weight.path, pattern)), None
        )
        try:
            if pattern is None:
                initializer = source(weight, root.named(weight.path))
            else:
                assert rules is not None
                used.add(pattern)
                initializer = (
                    None
                    if rules[pattern] is None
                    else with_seed(rules[pattern], root.named(weight.path), axes(weight))
                )
            if initializer is not None:
                _check(initializer, weight)
            elif pattern is None and weight.trained:
                name = weight.variable.name
                problems.append(
                    f"{weight.path}: {type(weight.layer).__name__} has no {name}_initializer"
                )
            plans.append(Plan(weight, initializer, pattern is not None))
        except (ValueError, TypeError) as error:
            problems.append(f"{weight.path}: {error}")
    unused = [pattern for pattern in rules or () if pattern not in used]
    if unused:
        paths = ", ".join(repr(weight.path) for weight in all_weights)
        raise ValueError(
            f"each rule must be the first that matches some weight; received {unused[0]!r} for "
            f"{paths}"
        )
    if problems:
        raise ValueError(
            "some weights have no usable initializer: pass rules={path: initializer}, or None "
            "instead of an initializer to leave a weight as it is\n  " + "\n  ".join(problems)
        )
    return plans


def _check(initializer: Initializer, weight: Weight) -> None:
    """Raise the errors of drawing a weight, without drawing it."""
    shape, dtype = tuple(weight.variable.shape), tensors.dtype_name(weight.variable.dtype)
    inner = initializer.inner if isinstance(initializer, Derived) else initializer
    if isinstance(inner, RandomInitializer):
        resolve(dtype)
    streams.check(inner, shape, dtype)
