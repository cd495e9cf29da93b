"""Two tiers of tests: by default a sample of every room, backend and promise runs; `-m long` runs the
other tests, and property tests with many more cases.
"""

from typing import Any

import pytest
from hypothesis import settings

FEW, MANY = 20, 200

# No deadline, because the time of a case depends on how busy the machine is.
settings.register_profile("default", deadline=None, max_examples=FEW, database=None)
settings.register_profile("long", deadline=None, max_examples=MANY)


def choose(markers: str) -> None:
    """Load the profile of the tier that pytest's `-m` selects."""
    settings.load_profile("long" if markers == "long" else "default")


def cases(count: int) -> settings:
    """Return the settings of a property test: `count` cases in the long tier, fewer by default."""
    return settings(max_examples=number(count))


def number(count: int) -> int:
    """Return the number of cases in this tier for `count` in the long tier."""
    return count if settings.default.max_examples == MANY else max(FEW, count // 20)


def sample(values: Any, *default_tier: Any, ids: Any = None) -> list[Any]:
    """Return pytest parameters for all values; those that are not in `default_tier` are marked long.

    Args:
        values: the values.
        default_tier: the ids of values for the default tier.
        ids: the ids of the values; by default the values themselves.
    """
    names = list(values if ids is None else ids)
    values = list(values)
    assert not set(default_tier) - set(names)
    return [
        pytest.param(value, id=str(name), marks=() if name in default_tier else (pytest.mark.long,))
        for name, value in zip(names, values, strict=True)
    ]
