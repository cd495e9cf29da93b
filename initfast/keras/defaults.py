"""A block in which the names of initializers, given as strings or by default, mean those of
initfast.
"""

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
    """In this block "glorot_uniform", "uniform" and all other names of Keras' initializers mean
    initfast's.

    Layers that are given no initializer, or the name of one, then draw fast and reproducibly: the
    n-th name that is looked up for a random initializer gets the stream of `seed` that is named
    'n', counted from '0' in each block. So the same code makes the same weights in every process
    and whatever was built before, with the same version of Keras; every variable has values of its
    own, also in layers that copy others. Layers made in the block may be built after it.
    Initializers given as objects are left as they are.

    Args:
        seed: integer in [0, 2**64), `Seed`, or None: drawn from Python's `random`.

    Raises:
        ValueError: seed is anything else.

        with initfast.keras.default(seed=42):
            model = build()
    """
    scope = Scope(root_seed(seed))
    names = {
        name: _Named(ADAPTED[made], scope) for name, made in ALL_OBJECTS.items() if made in ADAPTED
    }
    # Also the name of a layer, and Keras' own has the same values.
    del names["Identity"]
    with keras.saving.custom_object_scope({}) as outer:
        # Keras' scopes replace one another, they do not nest: keep the names of the outer one.
        kept = dict(outer.backup)
    token = ACTIVE.set(scope)
    try:
        with keras.saving.custom_object_scope({**kept, **names}):
            yield
    finally:
        ACTIVE.reset(token)


class _Named:
    """What a name means in a block; Keras asks it for `from_config`, as if it were a class."""

    def __init__(self, made: type[Initializer], scope: Scope) -> None:
        self._made = made
        self._scope = scope

    def from_config(self, config: Mapping[str, Any]) -> Initializer:
        given = dict(config)
        if issubclass(self._made, RandomInitializer) and given.get("seed") is None:
            given["seed"] = self._scope.next()
        return self._made.from_config(given)
