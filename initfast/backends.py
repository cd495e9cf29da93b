"""Which kernels run: `available()`, `active()`, `use(name)`, and the variable INITFAST_BACKEND."""

from __future__ import annotations

import logging
import os
from functools import cache
from types import TracebackType

from initfast import _kernels

_log = logging.getLogger(__name__)


@cache
def _listed() -> list[tuple[str, bool]]:
    """Names, and whether this CPU runs them. Asking a virtual machine's CPU takes 50 us."""
    return _kernels.backends()


def compiled() -> tuple[str, ...]:
    """Return the names of the backends in this build, in ascending order of preference."""
    return tuple(name for name, _ in _listed())


def available() -> tuple[str, ...]:
    """Return the names of the backends that this CPU runs, in ascending order of preference.

    All of them give the same bytes.
    """
    return tuple(name for name, usable in _listed() if usable)


def active() -> str:
    """Return the name of the backend in use. Raises ValueError if INITFAST_BACKEND is wrong."""
    check()
    return _kernels.active()


def check() -> None:
    """Raise ValueError if INITFAST_BACKEND names a backend that is not available.

    Every fill asks this, so that `import initfast` works and the command line can report it.
    """
    if _error is not None:
        raise ValueError(_error)


class use:
    """Fill with the backend `name` from now on; as a context manager, until the end of the block.

    Raises ValueError if the name is not among available().

    >>> with use("portable"):
    ...     active()
    'portable'
    """

    def __init__(self, name: str) -> None:
        self._before = active()
        if error := _wrong("backend", name):
            raise ValueError(error)
        _kernels.use(compiled().index(name))
        _log.debug("backend %s instead of %s", name, self._before)

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _kernels.use(compiled().index(self._before))


def why() -> str:
    """Return why the active backend was chosen."""
    if active() == os.environ.get("INITFAST_BACKEND"):
        return "INITFAST_BACKEND"
    return "best available on this CPU" if active() == available()[-1] else "chosen by backends.use"


def _wrong(what: str, name: str) -> str | None:
    """Return the error message for the name of a backend, or None if it is available."""
    if name in available():
        return None
    return f"{what} must be one of {', '.join(map(repr, available()))}; received {name!r}"


def _from_environment() -> str | None:
    """Use the backend that INITFAST_BACKEND names, or return what is wrong with the name."""
    name = os.environ.get("INITFAST_BACKEND", "").strip()
    error = _wrong("INITFAST_BACKEND", name) if name else None
    if name and error is None:
        _kernels.use(compiled().index(name))
    return error


_error = _from_environment()
