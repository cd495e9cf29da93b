"""Change the floating-point environment of this thread, as a host may: rounding, FTZ, DAZ."""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

NEEDED = pytest.mark.skipif(
    platform.system() != "Linux" or platform.machine() != "x86_64",
    reason="sets registers in the layout of glibc's fenv_t on x86-64",
)
# Offsets in fenv_t, and bits of MXCSR: Intel's manual, volume 1, 10.2.3.
CONTROL_WORD, MXCSR, FENV_SIZE = 0, 28, 32
ROUND_DOWN, ROUND_UP, ROUND_TO_ZERO, FTZ, DAZ = 0x2000, 0x4000, 0x6000, 0x8000, 0x0040
STATES = {
    "FTZ and DAZ": FTZ | DAZ,
    "FTZ, DAZ and down": FTZ | DAZ | ROUND_DOWN,
    "up": ROUND_UP,
    "to zero": ROUND_TO_ZERO,
}


class Host:
    """The floating-point registers of this thread, through the C library."""

    def __init__(self) -> None:
        self.library = ctypes.CDLL("libm.so.6")
        self.kept = self.read()

    def read(self) -> Any:
        """Return the environment as bytes."""
        state = np.zeros(FENV_SIZE, np.uint8)
        assert self.library.fegetenv(ctypes.c_void_p(state.ctypes.data)) == 0
        return state

    def write(self, state: Any) -> None:
        """Set the environment from bytes."""
        assert self.library.fesetenv(ctypes.c_void_p(state.ctypes.data)) == 0

    def set(self, bits: int) -> int:
        """Set bits of MXCSR, and return its value without the exception flags."""
        state = self.kept.copy()
        state[MXCSR : MXCSR + 4].view(np.uint32)[0] |= bits
        self.write(state)
        return self.controls()

    def controls(self) -> int:
        """Return MXCSR without the exception flags."""
        return int(self.read()[MXCSR : MXCSR + 4].view(np.uint32)[0]) & ~0x3F


def check_parameters(values: Callable[[], dict[str, bytes]]) -> None:
    """Check that values are the same in every state, and that no state changes."""
    plain, host = values(), Host()
    for name, bits in STATES.items():
        before = host.set(bits)
        try:
            changed = values()
            after = host.controls()
        finally:
            host.write(host.kept)
        assert [each for each in plain if plain[each] != changed[each]] == [], name
        assert after == before, name
