"""A block in which the names of Keras' initializers, also default ones, mean those of initfast."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import keras

from initfast.core.seeds import Seed, root_seed
from initfast.initializers.base import Initializer
from initfast.initializers.random import RandomInitializer
from initfast.initializers.registry import ALL_OBJECTS
from initfast.keras.copies import ACTIVE, Scope
from initfast.keras.initializers import ADAPTED


@contextmanager
def default(seed: int | Seed | None = None) -> Iterator[None]:
    """Make "glorot_uniform", "uniform" and all other names of Keras' initializers mean those of
    initfast in this block.

    This holds for layers with the name of an initializer, or with their default. The n-th random
    initializer that Keras looks up by name in the block draws from the stream of `seed` named 'n',
    counted from '0'. So the same code gives the same weights in every process, no matter which
    models were built before, if the version of Keras is the same. Every variable has different
    values, also in layers that copy other layers. Layers created in the block may be built after
    it. Initializers passed as objects stay as they are.

        with initfast.keras.default(seed=42):
            model = build()

    Args:
        seed: integer in [0, 2**64), `Seed`, or None: drawn from Python's `random`.

    Raises:
        ValueError: `seed` is not one of these.
    """
    scope = Scope(root_seed(seed))
    names = {
        name: _Name(ADAPTED[plain], scope)
        for name, plain in ALL_OBJECTS.items()
        if plain in ADAPTED
    }
    # This is also the name of a layer, and Keras' own initializer gives the same values.
    del names["Identity"]
    with keras.saving.custom_object_scope({}) as outer:
        # Keras' scopes replace one another and do not nest, so repeat the names of the outer one.
        outer_names = dict(outer.backup)
    token = ACTIVE.set(scope)
    try:
        with keras.saving.custom_object_scope({**outer_names, **names}):
            yield
    finally:
        ACTIVE.reset(token)


class _Name:
    """The meaning of a name in a block. Keras calls its `from_config`, as if it were a class."""

    def __init__(self, initializer_class: type[Initializer], scope: Scope) -> None:
        self._class = initializer_class
        self._scope = scope

    def from_config(self, config: Mapping[str, Any]) -> Initializer:
        """Return the initializer of a config; without a seed it gets the block's next stream."""
        arguments = dict(config)
        if issubclass(self._class, RandomInitializer) and arguments.get("seed") is None:
            arguments["seed"] = self._scope.next()
        return self._class.from_config(arguments)
