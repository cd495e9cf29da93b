"""Let threadpoolctl limit the threads of initfast: call `register()` once per process."""

from __future__ import annotations

import os
from typing import Any

from initfast import _kernels
from initfast._version import __version__
from initfast.core.threads import get_num_threads, set_num_threads_here

try:
    import threadpoolctl
except ImportError:
    raise ImportError(
        "initfast.threadpools needs threadpoolctl: pip install 'threadpoolctl>=3.3'"
    ) from None

__all__ = ["register"]

_registered = False


def register() -> None:
    """Let `threadpoolctl.threadpool_limits` and `threadpool_info` include initfast.

    A limit applies only to the thread (or asyncio task) that sets it, as `with initfast.threads(n)`
    does, so that two threads do not overwrite each other's limit. Inside the limit,
    `set_num_threads` has no effect on that thread. A second call of `register` does nothing.

    Example:
        >>> import initfast as ift, threadpoolctl
        >>> register()
        >>> with threadpoolctl.threadpool_limits(limits=1):
        ...     ift.get_num_threads()
        1
    """
    global _registered
    if not _registered:
        threadpoolctl.register(_Controller)
        _registered = True


class _Controller(threadpoolctl.LibController):  # type: ignore[misc]  # threadpoolctl has no types
    """The controller that threadpoolctl creates for each loaded library named `_kernels*`."""

    user_api = "initfast"
    internal_api = "initfast"
    filename_prefixes = ("_kernels",)
    check_symbols = ("PyInit__kernels",)

    def set_additional_attributes(self) -> None:
        # Other packages may also have a module `_kernels`, with the same symbol. If `dynlib` is
        # None, threadpoolctl finds no symbol and ignores the file.
        if os.path.realpath(self.filepath) != os.path.realpath(_kernels.__file__):
            self.dynlib: Any = None

    def get_version(self) -> str:
        return __version__

    def get_num_threads(self) -> int:
        return get_num_threads()

    def set_num_threads(self, num_threads: int) -> None:
        set_num_threads_here(num_threads)
