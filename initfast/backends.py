"""List and choose the kernels: `available()`, `active()`, `use(name)`, INITFAST_BACKEND."""

from __future__ import annotations

import logging
import os
from functools import cache
from types import TracebackType

from initfast import _kernels

_log = logging.getLogger(__name__)


@cache
def _backends() -> list[tuple[str, bool]]:
    """Return (name, whether this CPU supports it) of each backend.

    Cached, because a query of the CPU takes 50 us in a virtual machine."""
    return _kernels.backends()


def compiled() -> tuple[str, ...]:
    """Return the names of the backends in this build, the preferred one last."""
    return tuple(name for name, _ in _backends())


def available() -> tuple[str, ...]:
    """Return the names of the backends that this CPU supports, the preferred one last.

    All of them write the same bytes.
    """
    return tuple(name for name, usable in _backends() if usable)


def active() -> str:
    """Return the name of the backend that fills use.

    Raises:
        ValueError: if INITFAST_BACKEND names a backend that is not available.

    Example:
        >>> active() in available()
        True
    """
    check()
    return _kernels.active()


def check() -> None:
    """Raise ValueError if INITFAST_BACKEND names a backend that is not available.

    Every fill calls this. The import does not, so that the command line can report the error.
    """
    if _error is not None:
        raise ValueError(_error)


class use:
    """A choice of the backend `name` for all later fills, or for the block of a `with` statement.

    Args:
        name: one of `available()`.

    Raises:
        ValueError: if `name` is not one of `available()`.

    Example:
        >>> with use("portable"):
        ...     active()
        'portable'
    """

    def __init__(self, name: str) -> None:
        self._before = active()
        if error := _error_of("backend", name):
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
    """Return the setting that decides the active backend, as text."""
    if active() == os.environ.get("INITFAST_BACKEND"):
        return "INITFAST_BACKEND"
    return "best available on this CPU" if active() == available()[-1] else "set by backends.use"


def _error_of(variable: str, name: str) -> str | None:
    """Return the error message for an unavailable backend, or None if it is available."""
    if name in available():
        return None
    return f"{variable} must be one of {', '.join(map(repr, available()))}; received {name!r}"


def _from_environment() -> str | None:
    """Use the backend that INITFAST_BACKEND names, or return the error message for its value."""
    name = os.environ.get("INITFAST_BACKEND", "").strip()
    error = _error_of("INITFAST_BACKEND", name) if name else None
    if name and error is None:
        _kernels.use(compiled().index(name))
    return error


_error = _from_environment()
