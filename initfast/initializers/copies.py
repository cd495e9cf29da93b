"""Copies of an initializer, which draw from the same stream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["Config", "Uses"]


class Uses:
    """The first whole array that an initializer with a fixed seed, or a copy of it, has made.

    `copy.copy`, `copy.deepcopy` and `Config` share this record. A pickle does not, because it may
    be loaded by another run of the same program.
    """

    __slots__ = ("_address", "_warned")

    def __init__(self) -> None:
        self._address: int | None = None  # of the first array; -1 if unknown
        self._warned = False

    def again(self, address: int = -1) -> bool:
        """Record a whole array; return whether it is a second one that needs a warning.

        Only one warning is needed. Filling the same memory again does not make a second array.
        """
        if self._address is None:
            self._address = address
            return False
        if self._warned or (address == self._address and address != -1):
            return False
        self._warned = True
        return True

    def __deepcopy__(self, memo: Any) -> Uses:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return Uses, ()


class Config(dict[str, Any]):
    """A config with a reference to its initializer, until it becomes JSON.

    Keras copies initializers with `cls.from_config(init.get_config())`, sometimes after it has set
    the axes of a kernel. The reference lets such a copy share `Uses`."""

    def __init__(self, config: Mapping[str, Any], origin: Any) -> None:
        super().__init__(config)
        self.origin = origin

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)
