"""Versions, kernels, threads and machine, for `initfast info` and bug reports."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path
from typing import Any

import numpy as np

from initfast import _kernels, backends
from initfast._version import STREAM_VERSION, __version__
from initfast.core.threads import get_num_threads
from initfast.core.threads import why as why_threads

# The packages that initfast works with, by their names on PyPI.
_PACKAGES = (
    "ml_dtypes",
    "keras",
    "torch",
    "jax",
    "tensorflow",
    "tensorflow-cpu",
    "dask",
    "zarr",
    "safetensors",
)


def show_config(mode: str = "stdout") -> dict[str, Any] | None:
    """Print versions, kernels, threads and machine, for a bug report.

    Args:
        mode: 'stdout' prints; 'dicts' returns a dictionary instead.

    Raises:
        ValueError: if `mode` has another value, or if INITFAST_BACKEND or INITFAST_NUM_THREADS is
            wrong.
    """
    if mode not in ("stdout", "dicts"):
        raise ValueError(f"mode must be one of 'stdout', 'dicts'; received {mode!r}")
    config: dict[str, Any] = {
        "version": __version__,
        "stream_version": STREAM_VERSION,
        "backends": {
            "compiled": list(backends.compiled()),
            "available": list(backends.available()),
            "active": backends.active(),
            "why": backends.why(),
        },
        "threads": {"count": get_num_threads(), "why": why_threads()},
        "compiler": _kernels.COMPILER,
        "python": f"{platform.python_version()} {platform.python_implementation()}",
        "numpy": np.__version__,
        "packages": {name: version for name in _PACKAGES if (version := _version(name))},
        "machine": platform.machine(),
        "cpu": _cpu(),
        "system": platform.platform(),
        "variables": {
            name: value
            for name, value in sorted(os.environ.items())
            if name.startswith("INITFAST_") or name == "OMP_NUM_THREADS"
        },
    }
    if mode == "dicts":
        return config
    for key, value in config.items():
        print(f"{key}: {value}")
    return None


def _version(package: str) -> str | None:
    """Return a package's version from its metadata, because importing an engine takes seconds."""
    import importlib.metadata  # takes as long to import as all of initfast

    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cpu() -> str:
    """Return the model name of the CPU."""
    try:
        rows = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        rows = ""
    model = re.search(r"^model name\s*: (.*)$", rows, re.MULTILINE)
    return model[1] if model else platform.processor() or platform.machine()
