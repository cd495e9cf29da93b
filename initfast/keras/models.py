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
    """Draw every weight of a built model or layer again, each from its layer's own initializer in
    the stream of its name.

    A weight's name is its path from the model down, such as 'encoder/dense_1/kernel', in which
    layers that Keras has named count from the start within the model: the same model has the same
    weights in every process and backend, whatever was built before. Constants are written again;
    seeds that initializers were given do not matter.

    Args:
        model: a Keras model or layer. Layers in it that are not built are passed over.
        seed: integer in [0, 2**64), `Seed`, or None: drawn from Python's `random`.
        rules: initializers for weights by path, or by patterns of `fnmatch` such as '*/kernel'; the
            first that matches counts. None leaves a weight as it is. Needed for weights made to be
            trained of which no initializer is known: the layer has no `<weight>_initializer`, and a
            copy of it, built from its configs, has other weights. Other such weights are states and
            are left alone.

    Returns:
        The initializer of each weight that was drawn, by path. `found[path].block(shape, ...)`
        makes its values again.

    Raises:
        ValueError, TypeError: and nothing has been written then. The message names the weights that
            no initializer could be found for. TypeError also within a function that JAX traces.

    Your own initializer, or one derived from Keras', is made again from its config with an
    integer `seed` that depends on `seed` and the weight's name. LoRA pairs are drawn from the
    defaults of `enable_lora`, because no layer keeps what it was given; rules can say it.
    Seed generators, metrics and optimizers are not touched.
    """
    planned = plan(model, seed, rules)
    tensors.check_untraced()
    drawn = {}
    for weight, made, _ in planned:
        if made is not None:
            tensors.assign(weight.variable, made)
            drawn[weight.path] = made
    return drawn


class Planned(NamedTuple):
    """A weight and its initializer, with its seed; None: the weight stays as it is."""

    weight: Weight
    made: Initializer | None
    by_rule: bool


def plan(model: Any, seed: int | Seed | None, rules: Rules | None) -> list[Planned]:
    """Return every weight of a model, and what `initialize` draws it from; raise as it does."""
    root = root_seed(seed)
    found = weights(model)
    if not found:
        raise ValueError(
            f"a model must be built to be initialized; received {model!r}, which has no weights"
        )
    planned, problems, used = [], [], set()
    for weight in found:
        pattern = next(
            (pattern for pattern in rules or () if fnmatchcase(weight.path, pattern)), None
        )
        try:
            if pattern is None:
                made = source(weight, root.named(weight.path))
            else:
                assert rules is not None
                used.add(pattern)
                made = (
                    None
                    if rules[pattern] is None
                    else with_seed(rules[pattern], root.named(weight.path), axes(weight))
                )
            if made is not None:
                _try(made, weight)
            elif pattern is None and weight.trained:
                name = weight.variable.name
                problems.append(
                    f"{weight.path}: {type(weight.layer).__name__} has no {name}_initializer"
                )
            planned.append(Planned(weight, made, pattern is not None))
        except (ValueError, TypeError) as error:
            problems.append(f"{weight.path}: {error}")
    unused = [pattern for pattern in rules or () if pattern not in used]
    if unused:
        paths = ", ".join(repr(weight.path) for weight in found)
        raise ValueError(f"a rule must match a weight first; received {unused[0]!r} for {paths}")
    if problems:
        raise ValueError(
            "every weight needs an initializer to draw it from, or rules={path: initializer}, or "
            "None to leave it as "
            "it is; received\n  " + "\n  ".join(problems)
        )
    return planned


def _try(made: Initializer, weight: Weight) -> None:
    """Raise what drawing would raise."""
    shape, dtype = tuple(weight.variable.shape), tensors.named_dtype(weight.variable.dtype)
    inner = made.inner if isinstance(made, Derived) else made
    if isinstance(inner, RandomInitializer):
        resolve(dtype)
    streams.check(inner, shape, dtype)
