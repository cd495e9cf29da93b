"""The number of threads that a fill may use. It changes the time, never the values."""

from __future__ import annotations

import logging
import math
import operator
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

from initfast import _kernels
from initfast.core.text import short

MAX_THREADS = _kernels.MAX_THREADS

_log = logging.getLogger(__name__)

# Python does not convert thousands of digits.
_NUMBER = re.compile(r"[0-9]{1,9}")

# `set_num_threads` applies to the process, as in torch. `with threads(n)` applies only to the
# thread or task that enters it: with a global, two threads in such blocks would overwrite each
# other's number.
_process: int | None = None
_scoped: ContextVar[int | None] = ContextVar("initfast_threads", default=None)
# The default number and its reason, stored because a look-up needs system calls and file reads.
_stored_default: tuple[int, str] | None = None


def get_num_threads() -> int:
    """Return how many threads a large fill uses, including the calling thread.

    The number comes from the innermost `threads` block, else from `set_num_threads`, else from
    INITFAST_NUM_THREADS, else from OMP_NUM_THREADS, else it is the number of cores that this
    process may use. The environment is read once per process, when it is first needed.

    Raises:
        ValueError: if INITFAST_NUM_THREADS is not an integer from 1 to 1024.
    """
    scoped = _scoped.get()
    return get_num_threads_of_process() if scoped is None else scoped


def get_num_threads_of_process() -> int:
    """Return the number of threads of fills outside `threads` blocks.

    Raises:
        ValueError: if INITFAST_NUM_THREADS is not an integer from 1 to 1024.
    """
    return _process if _process is not None else _default()[0]


def set_num_threads(n: int | None) -> None:
    """Let large fills use `n` threads (1 to 1024) in this process; None restores the default.

    Raises:
        ValueError: if `n` is not such an integer.
    """
    global _process
    _process = None if n is None else _count(n, "the number of threads")
    with suppress(ValueError):  # if the environment is wrong: the next fill raises it
        _kernels.limit_xla_threads(get_num_threads_of_process())


def threads(n: int) -> AbstractContextManager[None]:
    """Return a context in which this thread's (or asyncio task's) fills use `n` threads, 1 to 1024.

    Raises:
        ValueError: if `n` is not such an integer.

    Example:
        >>> with threads(1):
        ...     get_num_threads()
        1
    """
    return _scope(_count(n, "the number of threads"))


def set_num_threads_here(n: int) -> None:
    """Set the number for this thread or task, as entering `threads(n)` does, without a block.

    For libraries that restore an earlier number themselves (threadpoolctl). If `n` is the number of
    the process, this thread or task has no separate number afterwards.
    """
    count = _count(n, "the number of threads")
    _scoped.set(None if count == get_num_threads_of_process() else count)


def why() -> str:
    """Return in one line how many threads a fill uses here, and the setting that decides it."""
    if _scoped.get() is not None:
        return f"{_scoped.get()}: threads(n)"
    if _process is not None:
        return f"{_process}: set_num_threads(n)"
    count, reason = _default()
    return f"{count}: {reason}"


@contextmanager
def _scope(count: int) -> Iterator[None]:
    token = _scoped.set(count)
    try:
        yield
    finally:
        _scoped.reset(token)


def _count(n: object, name: str) -> int:
    """Return `n` as a number of threads; `name` is for the message."""
    try:
        count = operator.index(n)  # type: ignore[arg-type]
    except TypeError:
        count = 0
    if isinstance(n, bool) or not 1 <= count <= MAX_THREADS:
        raise ValueError(f"{name} must be an integer from 1 to {MAX_THREADS}; received {short(n)}")
    return count


def _default() -> tuple[int, str]:
    global _stored_default
    if _stored_default is None:
        _stored_default = _look_up(os.environ, _usable_cores(), _cgroup_quota())
        _log.debug("a large fill uses %d threads: %s", *_stored_default)
    return _stored_default


def _forget() -> None:
    global _stored_default
    _stored_default = None


os.register_at_fork(after_in_child=_forget)  # a forked worker is often given other cores


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _look_up(environment: Mapping[str, str], cores: int, quota: float | None) -> tuple[int, str]:
    """Return the default number of threads, and the setting that decides it."""
    setting = environment.get("INITFAST_NUM_THREADS", "").strip()
    if setting:
        number = int(setting) if _NUMBER.fullmatch(setting) else setting
        return _count(number, "INITFAST_NUM_THREADS"), "INITFAST_NUM_THREADS"
    # OpenMP allows a list, one number per nesting level. Other values are ignored.
    openmp_setting = environment.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if _NUMBER.fullmatch(openmp_setting) and int(openmp_setting) > 0:
        return min(int(openmp_setting), MAX_THREADS), "OMP_NUM_THREADS"
    if quota is not None and quota < cores:
        return max(1, math.ceil(quota)), f"cgroup quota of {quota:g} of {cores} usable cores"
    return min(cores, MAX_THREADS), "usable cores"


def _cgroup_quota(
    proc: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")
) -> float | None:
    """Return the CPU quota of this process in cores: the smallest of its control groups, v2 and v1.

    None if there is no quota."""
    quotas = []
    for line in _read(proc).splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers == "":
            mounts = [root, root / "unified"]
        elif "cpu" in controllers.split(","):
            mounts = [root / controllers, root / "cpu"]
        else:
            continue
        # In a container the path may be that of the host, and only the mount itself has the files
        # of this process: `group.parents` ends with it.
        group = Path(path.lstrip("/"))
        for mount in mounts:
            quotas += [_quota(mount / level) for level in (group, *group.parents)]
    return min((quota for quota in quotas if quota is not None), default=None)


def _quota(group: Path) -> float | None:
    """Return the CPU quota of one control group in cores, or None."""
    text = _read(group / "cpu.max").split() or [
        _read(group / "cpu.cfs_quota_us").strip(),
        _read(group / "cpu.cfs_period_us").strip(),
    ]
    try:
        quota, period = int(text[0]), int(text[1])
    except (ValueError, IndexError):  # "max 100000", or no file: no limit
        return None
    return quota / period if quota > 0 < period else None  # -1 in v1: no limit


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except (OSError, ValueError):  # ValueError: the path contains a null character
        return ""
