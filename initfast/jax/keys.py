"""Convert a JAX key to a seed and a stream."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from initfast.core.seeds import Seed


def seed_of(key: Any) -> Seed:
    """Return the seed and stream of a JAX key: the same in every process, different for each key.

    A key of two words (threefry) is the seed, the high word first. In a key of four words (rbg),
    the last two words are the stream.

    Args:
        key: one key, new style or old (uint32 words).

    Raises:
        TypeError: `key` is not a key of `jax.random`.
        ValueError: there are several keys, or the key does not have 2 or 4 words.

    >>> seed_of(jax.random.key(42))
    Seed(42)
    """
    return seed_of_words(words_of(key))


def seed_of_words(words: Any) -> Seed:
    """Return the seed and stream of the words of one key, uint32 of shape (2,) or (4,)."""
    numbers = [high << 32 | low for high, low in np.asarray(words).reshape(-1, 2).tolist()]
    return Seed(*numbers)


def words_of(key: Any) -> Any:
    """Return the words of one key, uint32 of shape (2,) or (4,), traced if the key is traced.

    Raises:
        TypeError, ValueError: as for `seed_of`, also within `jit`.
    """
    traced = isinstance(key, jax.core.Tracer)
    words = key
    if hasattr(key, "dtype") and jax.numpy.issubdtype(key.dtype, jax.dtypes.prng_key):
        if traced:
            words = jax.random.key_data(key)
        else:
            with jax.ensure_compile_time_eval():  # the words of a key from outside of jit
                words = jax.random.key_data(key)
    words = words if traced else np.asarray(words)
    if words.dtype != np.uint32:
        raise TypeError(f"key must be a key of jax.random; received {key!r}")
    if words.shape not in ((2,), (4,)):
        raise ValueError(
            f"key must be one key of 2 or 4 words; received words of shape {words.shape}"
        )
    return words
