"""Memory to write into, with any strides and with poison around it."""

import numpy as np
from numpy.lib.stride_tricks import as_strided

from initfast.core import buffers
from initfast.core.engine import fill
from initfast.core.indexing import whole

POISON = 0xA5


def bits(array):
    """Return the elements as unsigned integers, to compare their bytes."""
    return array.view(f"u{array.itemsize}")


def drawn(source, seed, shape, dtype):
    """Return a new array of values from `source`."""
    buffer = buffers.new(shape, dtype)
    fill(source, seed, buffer, whole(shape))
    return buffer.array


def poisoned(shape, strides, itemsize):
    """Return memory full of poison, and a view in its middle with `shape` and `strides` (bytes) as
    unsigned integers.
    """
    reach = [s * (n - 1) for n, s in zip(shape, strides, strict=True) if n]
    below, above = sum(min(0, r) for r in reach), sum(max(0, r) for r in reach)
    memory = np.full(64 - below + above + itemsize + 64, POISON, np.uint8)
    middle = memory[64 - below :][:itemsize].view(f"u{itemsize}")
    return memory, as_strided(middle, shape, strides) if 0 not in shape else np.empty(
        shape, f"u{itemsize}"
    )


def untouched(memory, out):
    """Return whether the memory around `out` is still poison; this overwrites `out`."""
    out[...] = int.from_bytes(bytes([POISON] * out.itemsize), "little")
    return bool((memory == POISON).all())
