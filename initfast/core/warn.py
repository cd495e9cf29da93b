"""Warnings that point to the user's own line, whichever library called initfast for it."""

from __future__ import annotations

import sys
import warnings

# A line in one of these is not the user's.
_LIBRARIES = ("initfast", "dask", "equinox", "flax", "jax", "keras", "torch", "transformers")


def warn(message: str, category: type[Warning]) -> None:
    """Warn at the innermost line that lies in none of the libraries."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None:
        name: str = frame.f_globals.get("__name__", "")
        if name.partition(".")[0] not in _LIBRARIES:
            break
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
