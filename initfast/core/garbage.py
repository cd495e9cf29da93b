"""Pause Python's search for cyclic garbage.

The search takes a third of the time in which Python makes a million objects."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator

__all__ = ["paused"]


@contextlib.contextmanager
def paused() -> Iterator[None]:
    """Return a context without the search for cyclic garbage.

    It is for blocks that make many objects and no cycles."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
