"""Memory to write into: any strides, with poison all around."""

import numpy as np
from numpy.lib.stride_tricks import as_strided

from initfast.core import buffers
from initfast.core.engine import fill
from initfast.core.indexing import whole

POISON = 0xA5


def bits(array):
    """The elements as unsigned integers, so that equal means equal bytes."""
    return array.view(f"u{array.itemsize}")


def drawn(source, seed, shape, dtype):
    """Return a new array of what `source` describes."""
    buffer = buffers.new(shape, dtype)
    fill(source, seed, buffer, whole(shape))
    return buffer.array


def poisoned(shape, strides, itemsize):
    """Memory full of poison, and the unsigned integer view of `shape` and `strides` (bytes) in its
    middle.
    """
    reach = [s * (n - 1) for n, s in zip(shape, strides, strict=True) if n]
    below, above = sum(min(0, r) for r in reach), sum(max(0, r) for r in reach)
    memory = np.full(64 - below + above + itemsize + 64, POISON, np.uint8)
    middle = memory[64 - below :][:itemsize].view(f"u{itemsize}")
    return memory, as_strided(middle, shape, strides) if 0 not in shape else np.empty(
        shape, f"u{itemsize}"
    )


def untouched(memory, out):
    """Whether everything around `out` is still poison. Overwrites `out`."""
    out[...] = int.from_bytes(bytes([POISON] * out.itemsize), "little")
    return bool((memory == POISON).all())
