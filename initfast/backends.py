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
    """Names of the backends in this build, in ascending order of preference."""
    return tuple(name for name, _ in _listed())


def available() -> tuple[str, ...]:
    """Names of the backends that this CPU runs, in ascending order of preference. All of them give
    the same bytes.
    """
    return tuple(name for name, usable in _listed() if usable)


def active() -> str:
    """Name of the backend that fills now."""
    return _kernels.active()


class use:
    """Fill with the backend `name` from now on; as a context manager, until the end of the block.

    Raises ValueError if the name is not among available().

    >>> with use("portable"):
    ...     active()
    'portable'
    """

    def __init__(self, name: str) -> None:
        if name not in available():
            raise ValueError(
                f"backend must be one of {', '.join(map(repr, available()))}; received {name!r}"
            )
        self._before = active()
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
    """Why the active backend is the one it is."""
    asked = os.environ.get("INITFAST_BACKEND")
    if asked is not None and asked == active():
        return "INITFAST_BACKEND"
    return (
        "the best that this CPU runs" if active() == available()[-1] else "chosen by backends.use"
    )


def _from_environment() -> None:
    asked = os.environ.get("INITFAST_BACKEND")
    if asked is not None:
        try:
            use(asked)
        except ValueError as error:
            raise ValueError(f"INITFAST_BACKEND: {error}") from None


_from_environment()
