"""Initializers on the streams that engines choose, one for each tensor. A user's class that cannot
draw from one is refused before anything is written.
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
    """Return the same initializer with the stream of one tensor.

    Raises:
        ValueError: the constructor takes integers as seeds and not a `Seed`.
    """
    try:
        return initializer.with_seed(stream)
    except Exception as error:  # whatever the constructor of a user's class raises
        initializer.with_seed(0)  # raises too, unless the kind of the seed is the reason
        raise _refused(initializer, error) from error


def check(initializer: Initializer, shape: indexing.Dims, dtype: DTypeLike) -> None:
    """Raise what making an array from a stream would raise, by making a part of no elements.

    A class that has only `__call__` makes the whole array for it, which is dropped.

    Raises:
        ValueError: also for any exception of a user's own class.
    """
    if isinstance(initializer, Direct):
        blocks.check(initializer, shape, dtype)
        return
    nothing = (slice(0, 0),) * len(shape)
    seeded = with_stream(initializer, _EXAMPLE)
    try:
        seeded.block(shape, nothing, dtype)
    except Exception as error:  # as above
        try:
            initializer.with_seed(0).block(shape, nothing, dtype)
        except Exception:
            raise ValueError(
                f"{short(initializer)} cannot make an array of shape {shape}: "
                f"{type(error).__name__}: {error}"
            ) from error
        raise _refused(initializer, error) from error


def _refused(initializer: Initializer, error: Exception) -> ValueError:
    return ValueError(
        f"{short(initializer)} must accept an initfast.Seed as its seed, such as by "
        "numpy.random.default_rng([seed.seed, seed.stream]), or derive from "
        f"initfast.RandomInitializer; received {type(error).__name__}: {error}"
    )
