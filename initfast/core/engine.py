"""Run a kernel for the part of a logical array that a buffer holds."""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from initfast import _kernels, backends
from initfast.core import distributions
from initfast.core.buffers import Buffer, new
from initfast.core.dtypes import CODES, UINT32
from initfast.core.indexing import (
    MAX_DIMS,
    MAX_ELEMENTS,
    Part,
    in_order,
    normalize_shape,
    whole,
)
from initfast.core.moments import Moments, measure
from initfast.core.seeds import Seed
from initfast.core.threads import get_num_threads
from initfast.core.types import Shape
from initfast.core.walks import forward, spaced, walk

if TYPE_CHECKING:
    from initfast._kernels import Source


def fill(
    source: Source, seed: Seed, buffer: Buffer, part: Part, measured: bool = False
) -> Moments | None:
    """Fill `buffer` with the elements of a logical array that `part` describes.

    Args:
        source: the distribution, in the dtype of `buffer`; or a constant with the size of its
            elements.
        seed: seed and stream.
        buffer: memory of the shape of `part`, with any strides.
        part: from `indexing.whole`, `indexing.select` or `indexing.take`.
        measured: whether to compute the moments of the elements while they are in the cache.

    Returns:
        The moments if `measured`, else None. Threads and the backend do not change their bits;
        other strides of the buffer may change the last digits.

    Raises:
        ValueError: if buffer and part differ in shape, or buffer and source in dtype, or if
            INITFAST_BACKEND or INITFAST_NUM_THREADS has a wrong value.
        KeyboardInterrupt: soon after Ctrl-C; elements that are not yet written keep their old
            bytes.
    """
    if buffer.shape != part.shape:
        raise ValueError(
            f"out must have the shape of the part, {part.shape}; received {buffer.shape}"
        )
    constant = source.distribution == _kernels.CONSTANT
    if constant:
        matches = buffer.dtype.itemsize == source.itemsize  # a constant is a pattern of bytes
    else:
        matches = CODES.get(buffer.dtype) == source.dtype
    if not matches:
        raise ValueError(
            f"out must have the dtype of the values; received {buffer.dtype.name} memory"
        )
    if 0 in part.shape:
        return Moments() if measured else None
    in_pass = measured and not constant
    backends.check()
    workers = get_num_threads()
    # Fast path for contiguous output and contiguous elements: the general code below would slow
    # small fills down.
    if in_order(part) and buffer.owner.flags.c_contiguous:
        count = math.prod(part.shape)
        moments = _kernels.fill_flat(
            source, seed.seed, seed.stream, buffer.address, part.start, count, workers, in_pass
        )
        if in_pass:
            return _finite(Moments(count, *moments), buffer)
        return _of_one_value(buffer) if measured else None
    total = Moments()
    for offset, piece, piece_strides in spaced(part, buffer.strides):
        piece, piece_strides, shift = forward(piece, piece_strides)
        shape, steps, strides = walk(piece, piece_strides)
        if len(shape) > MAX_DIMS:
            raise ValueError(
                f"a shape may have at most {MAX_DIMS} dims; received {len(part.shape)} in "
                f"{part.shape}"
            )
        address = buffer.address + offset + shift
        if piece.starts is None and (not shape or (steps, strides) == ((1,), (source.itemsize,))):
            count = shape[0] if shape else 1
            moments = _kernels.fill_flat(
                source, seed.seed, seed.stream, address, piece.start, count, workers, in_pass
            )
        else:
            moments = _kernels.fill(
                source,
                seed.seed,
                seed.stream,
                address,
                piece.start,
                shape,
                steps,
                strides,
                piece.starts,
                workers,
                in_pass,
            )
        if in_pass:
            total = total.merged(Moments(math.prod(piece.shape), *moments))
    if in_pass:
        return _finite(total, buffer)
    return _of_one_value(buffer) if measured else None


def fill_run(source: Source, seed: Seed, address: int, start: int, count: int) -> None:
    """Fill memory with `count` elements of a logical array, from number `start` on in C order.

    Nothing is checked: the caller guarantees that the memory is large enough.
    """
    backends.check()
    workers = get_num_threads()
    _kernels.fill_flat(source, seed.seed, seed.stream, address, start, count, workers)


def _finite(moments: Moments, buffer: Buffer) -> Moments:
    """Return the moments, computed again if the sum of the values has overflowed."""
    return moments if math.isfinite(moments.mean) else measure(buffer.array)


def _of_one_value(buffer: Buffer) -> Moments:
    """Return the moments of a buffer whose elements are all equal."""
    value = float(buffer.array[(0,) * len(buffer.shape)])
    return Moments(math.prod(buffer.shape), value, 0.0, value, value)


def random_bits(
    shape: Shape, seed: int = 0, stream: int = 0, offset: int = 0
) -> npt.NDArray[np.uint32]:
    """Return raw words of Philox4x32-10: element i is word ``(offset + i) & 3`` of its block.

    The block is number ``(offset + i) >> 2``.

    Args:
        shape: shape of the array, up to 8 dims, C order.
        seed: key, an integer in [0, 2**64).
        stream: upper half of the counter, an integer in [0, 2**64).
        offset: first word to draw, an integer >= 0 that leaves all words below 2**63.

    Returns:
        A new uint32 array, 64-byte aligned.

    Raises:
        ValueError: if an argument is out of its range, or is not an integer (1.5, True).

    Example:
        >>> [f"{word:08x}" for word in random_bits(4)]
        ['6627e8d5', 'e169c58d', 'bc57ac4c', '9b00dbd8']
    """
    dims = normalize_shape(shape)
    key = Seed(seed, stream)
    try:
        first = operator.index(offset)
    except TypeError:
        first = -1
    if isinstance(offset, bool) or not 0 <= first <= MAX_ELEMENTS - math.prod(dims):
        raise ValueError(
            f"offset must be an integer >= 0 that leaves all words below 2**63; received {offset!r}"
        )
    words = new(dims, UINT32)
    fill(distributions.bits(), key, words, whole(dims)._replace(start=first))
    return words.owner
