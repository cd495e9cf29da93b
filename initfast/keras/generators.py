"""Seed generators of Keras as seeds of the initializers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import keras

from initfast.core.seeds import Seed, SeedGenerator


class KerasSeedGenerator(SeedGenerator):
    """The streams of a `keras.random.SeedGenerator`; each draw takes the next one.

    The generator's state is (seed, counter), and a draw has stream `counter` of that seed. So the
    values are those of an `initfast.SeedGenerator` of the same seed. All initializers with the
    generator share its counter, as in Keras.

    Args:
        generator: the generator of Keras.
    """

    def __init__(self, generator: keras.random.SeedGenerator) -> None:
        self.generator = generator
        super().__init__(_read_state(lambda: generator.state.value)[0], generator.name)

    @property
    def counter(self) -> int:
        """The stream of the next draw."""
        return _read_state(lambda: self.generator.state.value)[1]

    def next(self) -> Seed:
        """Return the seed of the next stream, and advance the generator."""
        return Seed(*_read_state(self.generator.next))

    def get_config(self) -> dict[str, Any]:
        """Return the config of Keras' generator, with its seed unless it is None."""
        config: dict[str, Any] = self.generator.get_config()
        return config if config["seed"] is None else {**config, "seed": self.seed}


def _read_state(state: Callable[[], Any]) -> tuple[int, int]:
    """Return the seed and the counter of a generator's state, as 64-bit words."""
    try:
        with _eager_scope():
            seed, counter = (int(word) for word in state() * 1)
    except Exception as error:
        raise ValueError(
            "a keras.random.SeedGenerator cannot be read in a function that is being compiled: "
            "build the layer before, or pass seed=initfast.Seed(...)"
        ) from error
    return seed % 2**64, counter % 2**64


def _eager_scope() -> Any:
    """Return a context in which a generator can be read while a user's function is traced."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return tf.init_scope()
    if backend == "jax":
        import jax

        return jax.ensure_compile_time_eval()
    return nullcontext()
