"""What this installation is and what it would run: for `initfast info` and for bug reports."""

from __future__ import annotations

import platform
import sys
from typing import Any

import numpy as np

from initfast import backends
from initfast.threads import get_num_threads
from initfast.threads import why as why_threads

STREAM_VERSION = 1
"""Version of the stream that src/README.md specifies. The values of a version never change after release 1.0."""


def show_config(mode: str = "stdout") -> dict[str, Any] | None:
    """Print, or with `mode="dicts"` return, versions, backends and threads.

    Raises:
        ValueError: if mode is neither 'stdout' nor 'dicts'.
    """
    if mode not in ("stdout", "dicts"):
        raise ValueError(f"mode must be one of 'stdout', 'dicts'; received {mode!r}")
    from initfast import __version__

    found: dict[str, Any] = {
        "version": __version__,
        "stream_version": STREAM_VERSION,
        "backends": {
            "compiled": list(backends.compiled()),
            "available": list(backends.available()),
            "active": backends.active(),
            "why": backends.why(),
        },
        "threads": {"count": get_num_threads(), "why": why_threads()},
        "python": platform.python_version(),
        "numpy": np.__version__,
        "machine": platform.machine(),
        "system": sys.platform,
    }
    if mode == "dicts":
        return found
    for key, value in found.items():
        print(f"{key}: {value}")
    return None
