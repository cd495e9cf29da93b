"""Initializers with one stream for each tensor. A user's class that does not accept a stream is
refused before anything is written.
"""

from __future__ import annotations

from typing import TypeVar

from initfast.core import indexing
from initfast.core.seeds import Seed
from initfast.core.text import short
from initfast.core.types import DTypeLike
from initfast.initializers import blocks
from initfast.initializers.base import Direct, Initializer

__all__ = ["check", "with_stream"]

AnyInitializer = TypeVar("AnyInitializer", bound=Initializer)
_EXAMPLE = Seed(0).named("example")


def with_stream(initializer: AnyInitializer, stream: Seed) -> AnyInitializer:
    """Return a copy of the initializer with the stream of one tensor.

    Raises:
        ValueError: the constructor accepts integers as seeds, but not a `Seed`.
    """
    try:
        return initializer.with_seed(stream)
    except Exception as error:  # a user's constructor may raise anything
        initializer.with_seed(0)  # raises again, unless the type of the seed was the reason
        raise _seed_error(initializer, error) from error


def check(initializer: Initializer, shape: indexing.Dims, dtype: DTypeLike) -> None:
    """Raise the error that making an array from a stream would raise, by making an empty part.

    A class that has only `__call__` makes the whole array, which is not used.

    Raises:
        ValueError: also for any exception of a user's class.
    """
    if isinstance(initializer, Direct):
        blocks.check(initializer, shape, dtype)
        return
    no_elements = (slice(0, 0),) * len(shape)
    example = with_stream(initializer, _EXAMPLE)
    try:
        example.block(shape, no_elements, dtype)
    except Exception as error:  # a user's class may raise anything
        try:
            initializer.with_seed(0).block(shape, no_elements, dtype)
        except Exception:
            raise ValueError(
                f"{short(initializer)} cannot make an array of shape {shape}: "
                f"{type(error).__name__}: {error}"
            ) from error
        raise _seed_error(initializer, error) from error


def _seed_error(initializer: Initializer, error: Exception) -> ValueError:
    """Return the error for a class that does not accept a `Seed`."""
    return ValueError(
        f"{short(initializer)} must accept an initfast.Seed as its seed, for example with "
        "numpy.random.default_rng([seed.seed, seed.stream]), or derive from "
        f"initfast.RandomInitializer; received {type(error).__name__}: {error}"
    )
