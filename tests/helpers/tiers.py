"""Two tiers: what runs by default shows every room, backend and promise in a sample; `-m long` runs
the rest, and properties with many more cases.
"""

from typing import Any

import pytest
from hypothesis import settings

FEW, MANY = 20, 200

# A case may take as long as it likes: how long it took says how busy the machine is.
settings.register_profile("default", deadline=None, max_examples=FEW, database=None)
settings.register_profile("long", deadline=None, max_examples=MANY)


def choose(markers: str) -> None:
    """Load the profile of the tier that pytest's `-m` chooses."""
    settings.load_profile("long" if markers == "long" else "default")


def cases(count: int) -> settings:
    """Return the settings of a property: `count` cases in the long tier, fewer by default."""
    return settings(max_examples=number(count))


def number(count: int) -> int:
    """Return how many cases stand for `count` in this tier."""
    return count if settings.default.max_examples == MANY else max(FEW, count // 20)


def sample(values: Any, *kept: Any, ids: Any = None) -> list[Any]:
    """Return pytest parameters for all values, where all that are not in `kept` are marked long.

    Args:
        ids: the names of the values, among which `kept` then is; by default the values themselves.
    """
    names = list(values if ids is None else ids)
    values = list(values)
    assert not set(kept) - set(names)
    return [
        pytest.param(value, id=str(name), marks=() if name in kept else (pytest.mark.long,))
        for name, value in zip(names, values, strict=True)
    ]
