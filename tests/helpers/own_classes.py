"""A user's own initializers, written as documented, and one that accepts only integer seeds."""

from __future__ import annotations

from typing import Any

import numpy as np

import initfast as ift


def depth_scaled(base: type[ift.RandomInitializer]) -> Any:
    """Return a class as documented, derived from the base class of an adapter."""

    class DepthScaled(base):  # type: ignore[valid-type, misc]
        __qualname__ = "DepthScaled"  # for pickles

        def __init__(self, layers: int, seed: Any = None) -> None:
            super().__init__(seed)
            self.layers = layers

        def for_shape(self, shape: Any) -> ift.RandomInitializer:
            fan_in, _ = self.fans(shape)
            return ift.RandomNormal(stddev=(2 * self.layers * fan_in) ** -0.5)

    return DepthScaled


DepthScaled = depth_scaled(ift.RandomInitializer)


class Preset(ift.HeNormal):
    """A subclass of a preset with another argument."""

    def __init__(self, layers: int = 2, seed: Any = None) -> None:
        super().__init__(seed)
        self.layers = layers


class Whole(ift.Initializer):
    """An initializer as in Keras, with `__call__` only."""

    def __init__(
        self, gain: float = 1.0, seed: Any = None, input_axes: Any = None, output_axes: Any = None
    ) -> None:
        self.gain, self.seed = gain, seed
        self.input_axes, self.output_axes = input_axes, output_axes

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        values = ift.HeNormal(self.seed, self.input_axes, self.output_axes)(shape, dtype)
        return self.gain * values


def integers_only(base: type[ift.Initializer], *, early: bool = False) -> Any:
    """Return a class that accepts no `Seed`: a call fails, or with `early` the constructor."""

    class IntegersOnly(base):  # type: ignore[valid-type, misc]
        def __init__(self, seed: Any = None) -> None:
            self.seed = seed
            if early:
                np.random.default_rng(seed)

        def __call__(self, shape: Any, dtype: Any = None) -> Any:
            return np.random.default_rng(self.seed).standard_normal(shape).astype(dtype)

    return IntegersOnly
