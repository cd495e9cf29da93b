"""Initializers that were copied from one another, which draw from one stream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["Config", "Uses"]


class Uses:
    """Which array an initializer of a fixed seed, and each of its copies, has made as a whole.

    `copy.copy` and `copy.deepcopy` share it, and so does a `Config`. A pickle does not: what comes
    out of it may be another run of the same program.
    """

    __slots__ = ("_address", "_warned")

    def __init__(self) -> None:
        self._address: int | None = None  # of the first array; -1 if unknown
        self._warned = False

    def again(self, address: int = -1) -> bool:
        """Note a whole array; return whether it is the second one, and nobody was told before.

        The same memory filled again is the same array.
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
    """A config that knows whose it is, until it becomes JSON.

    Keras passes it straight on, or after it has set the axes of a kernel:
    `cls.from_config(init.get_config())`."""

    def __init__(self, config: Mapping[str, Any], origin: Any) -> None:
        super().__init__(config)
        self.origin = origin

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)
