"""The C files of this folder as libraries, compiled on first use with Python's compiler."""

from __future__ import annotations

import ctypes
import functools
import shutil
import subprocess
import sysconfig
import tempfile
from pathlib import Path

HERE = Path(__file__).parent


def compiler() -> str | None:
    """Return the C compiler, or None."""
    return shutil.which(str(sysconfig.get_config_var("CC") or "cc").split()[0])


@functools.cache
def library(name: str, *, holds_lock: bool = False) -> ctypes.CDLL:
    """Return `name`.c as a library; with `holds_lock`, calls keep the GIL.

    Raises OSError if it cannot be compiled.
    """
    command = compiler()
    if command is None:
        raise OSError(f"{name}.c needs a C compiler")
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / f"{name}.so"
        options = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
        result = subprocess.run(
            [command, *options, HERE / f"{name}.c", "-o", target], capture_output=True, text=True
        )
        if result.returncode:
            raise OSError(f"{name}.c does not compile here: {result.stderr}")
        return (ctypes.PyDLL if holds_lock else ctypes.CDLL)(str(target))
