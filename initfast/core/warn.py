"""Warnings that show the user's line, also if another library called initfast."""

from __future__ import annotations

import sys
import warnings

# Lines in these packages are not the user's.
_LIBRARIES = ("initfast", "dask", "equinox", "flax", "jax", "keras", "torch", "transformers")


def warn(message: str, category: type[Warning]) -> None:
    """Issue a warning for the innermost line outside these libraries."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None:
        name: str = frame.f_globals.get("__name__", "")
        if name.partition(".")[0] not in _LIBRARIES:
            break
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
