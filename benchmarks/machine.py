"""Describe the machine, the compiler and the versions on which the figures depend."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import subprocess
import time
from pathlib import Path
from typing import Any

from compiled import compiler, library

import initfast as ift

LIBRARIES = ("numpy", "torch", "jax", "tensorflow", "tensorflow-cpu", "keras", "mkl", "mkl_random")


def describe() -> dict[str, Any]:
    """Return the properties of the machine on which the figures depend."""
    return {
        "cpu": cpu(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "memory": f"{memory_bytes('MemTotal') / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "compiler": compiler_version(),
        "backend": ift.backends.active(),
        "versions": {"initfast": f"{ift.__version__}{commit()}", **versions()},
    }


def cpu() -> str:
    """Return the model, with its family and number: virtual machines hide the full name."""
    rows = dict(re.findall(r"^(.+?)\s*: (.*)$", _read("/proc/cpuinfo"), re.MULTILINE))
    name = rows.get("model name", platform.processor() or platform.machine())
    numbers = [rows[key] for key in ("cpu family", "model") if key in rows]
    return f"{name} (family {numbers[0]}, model {numbers[1]})" if len(numbers) == 2 else name


def slug() -> str:
    """Return the machine's name as a file name."""
    return re.sub(r"[^a-z0-9]+", "-", f"{cpu()} {os.cpu_count()} cores".lower()).strip("-")


def memory_bytes(row: str) -> int:
    """Return a row of /proc/meminfo in bytes: 'MemAvailable', 'MemTotal'."""
    match = re.search(rf"^{row}:\s+(\d+) kB", _read("/proc/meminfo"), re.MULTILINE)
    return 1024 * int(match[1]) if match else 2**33


def compiler_version() -> str:
    """Return the first line of `CC --version`."""
    command = compiler()
    if command is None:
        return "no compiler"
    result = subprocess.run([command, "--version"], capture_output=True, text=True)
    return (
        result.stdout.splitlines()[0]
        if result.returncode == 0 and result.stdout
        else "compiler unknown"
    )


def versions() -> dict[str, str]:
    """Return the versions of the installed libraries."""
    numbers = {}
    for name in LIBRARIES:
        try:
            numbers[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return numbers


def commit() -> str:
    """Return the commit of this checkout in brackets, marked if the library has changed since."""
    here = Path(__file__).parent.parent
    code = ("--", "src", "initfast", "setup.py")
    try:
        name = _output("git", "-C", str(here), "rev-parse", "--short", "HEAD")
        changed = _output("git", "-C", str(here), "status", "--porcelain", *code)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return f" ({name}{', changed' if changed else ''})"


def file_system(folder: Path) -> str:
    """Return the type of a folder's file system, such as 'ext4'."""
    return _output("df", "--output=fstype", str(folder)).splitlines()[-1]


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def cycle_seconds(turns: int = 50, times: int = 2000) -> float | None:
    """Return the seconds of a cycle of this core: the shortest of many chains of additions."""
    try:
        chain = library("roof").dependent_additions
    except OSError:
        return None
    least = float("inf")
    for _ in range(turns):
        start = time.perf_counter()
        chain(times)
        least = min(least, time.perf_counter() - start)
    return least / (64 * times)


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
