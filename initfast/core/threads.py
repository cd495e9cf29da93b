"""How many threads a fill may use. Values never depend on it, only the time does."""

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

# Python refuses to read thousands of digits.
_NUMBER = re.compile(r"[0-9]{1,9}")

# `set_num_threads` governs the process, as in torch. `with threads(n)` governs only the thread or
# task that enters it, which a plain global could not: two threads in such blocks would undo each
# other's number.
_process: int | None = None
_scoped: ContextVar[int | None] = ContextVar("initfast_threads", default=None)
_found: tuple[int, str] | None = (
    None  # the default and its reason; a look-up costs system calls and file reads
)


def get_num_threads() -> int:
    """Return how many threads a large fill uses, the calling one included.

    The innermost `threads` block, else `set_num_threads`, else INITFAST_NUM_THREADS, else
    OMP_NUM_THREADS, else the cores that this process may use. The environment is read once a
    process, at the first need.

    Raises:
        ValueError: if INITFAST_NUM_THREADS is no number of threads.
    """
    scoped = _scoped.get()
    return get_num_threads_of_process() if scoped is None else scoped


def get_num_threads_of_process() -> int:
    """Return the number outside of `threads` blocks. Raises ValueError as `get_num_threads`."""
    return _process if _process is not None else _default()[0]


def set_num_threads(n: int | None) -> None:
    """Let large fills use `n` threads (1 to 1024) in this process; None restores the default."""
    global _process
    _process = None if n is None else _count(n, "the number of threads")
    with suppress(ValueError):  # of the environment: the next fill reports it
        _kernels.limit_xla_threads(get_num_threads_of_process())


def threads(n: int) -> AbstractContextManager[None]:
    """Return a context in which this thread's (or asyncio task's) fills use `n` threads, 1 to 1024.

    Example:
        >>> with threads(1):
        ...     get_num_threads()
        1
    """
    return _scope(_count(n, "the number of threads"))


def set_num_threads_here(n: int) -> None:
    """As entering `threads(n)`, for hosts that restore the number they found (threadpoolctl).

    Where that is the process's own number, this thread or task is held to none any longer.
    """
    count = _count(n, "the number of threads")
    _scoped.set(None if count == get_num_threads_of_process() else count)


def why() -> str:
    """Return, in one line, how many threads a fill uses here and where the number comes from."""
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


def _count(n: object, what: str) -> int:
    try:
        count = operator.index(n)  # type: ignore[arg-type]
    except TypeError:
        count = 0
    if isinstance(n, bool) or not 1 <= count <= MAX_THREADS:
        raise ValueError(f"{what} must be an integer from 1 to {MAX_THREADS}; received {short(n)}")
    return count


def _default() -> tuple[int, str]:
    global _found
    if _found is None:
        _found = _look_up(os.environ, _usable_cores(), _cgroup_quota())
        _log.debug("a large fill uses %d threads: %s", *_found)
    return _found


def _forget() -> None:
    global _found
    _found = None


os.register_at_fork(after_in_child=_forget)  # a forked worker is often given other cores


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _look_up(environment: Mapping[str, str], cores: int, quota: float | None) -> tuple[int, str]:
    """Return the default number of threads, and the reason for it."""
    ours = environment.get("INITFAST_NUM_THREADS", "").strip()
    if ours:
        number = int(ours) if _NUMBER.fullmatch(ours) else ours
        return _count(number, "INITFAST_NUM_THREADS"), "INITFAST_NUM_THREADS"
    # OpenMP allows a list, one number a nesting level. What it means by other values is not our
    # business.
    theirs = environment.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if _NUMBER.fullmatch(theirs) and int(theirs) > 0:
        return min(int(theirs), MAX_THREADS), "OMP_NUM_THREADS"
    if quota is not None and quota < cores:
        return max(1, math.ceil(quota)), f"cgroup quota of {quota:g} of {cores} usable cores"
    return min(cores, MAX_THREADS), "usable cores"


def _cgroup_quota(
    proc: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")
) -> float | None:
    """Return the CPU quota of this process in cores: the least of its control groups, v2 and v1."""
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
        # In a container the path may be the host's, and only the mount itself holds our files: it
        # is looked at last.
        group = Path(path.lstrip("/"))
        for mount in mounts:
            quotas += [_quota(mount / level) for level in (group, *group.parents)]
    return min((quota for quota in quotas if quota is not None), default=None)


def _quota(group: Path) -> float | None:
    text = _read(group / "cpu.max").split() or [
        _read(group / "cpu.cfs_quota_us").strip(),
        _read(group / "cpu.cfs_period_us").strip(),
    ]
    try:
        quota, period = int(text[0]), int(text[1])
    except (ValueError, IndexError):  # "max 100000" is no limit; no file, no limit either
        return None
    return quota / period if quota > 0 < period else None  # v1 says -1 for no limit


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except (OSError, ValueError):  # ValueError: a name that no path can be
        return ""
