"""`blocks`: rules for a parameter that packs several, such as the gates of an LSTM, or q, k and v
in one matrix.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Sequence
from typing import Any

from initfast.core.indexing import Dims
from initfast.core.seeds import Seed
from initfast.initializers.constant import Constant, Ones, Zeros
from initfast.initializers.fixed_rows import Rows
from initfast.torch.fills import Fill, Target, block

__all__ = ["Blocks", "blocks", "fill"]

_CONSTANTS: dict[type, float] = {Zeros: 0.0, Ones: 1.0}


class Blocks:
    """The result of `blocks`: the initializers of the blocks, their dim and their lengths."""

    def __init__(
        self, initializers: tuple[Any, ...], dim: int, sizes: tuple[int, ...] | None
    ) -> None:
        self.initializers = initializers
        self.dim = dim
        self.sizes = sizes

    def __repr__(self) -> str:
        listed = "".join(f"{initializer!r}, " for initializer in self.initializers)
        return f"blocks({listed}dim={self.dim}, sizes={self.sizes})"


def blocks(
    *initializers: Any, count: int | None = None, sizes: Sequence[int] | None = None, dim: int = 0
) -> Blocks:
    """Return the right-hand side of a rule for a parameter that packs several. Each block is drawn
    like a separate parameter: with its own fans, and orthogonal by itself.

    Block k of parameter `name` is drawn from the stream `name/k`.

    Args:
        initializers: one for all blocks, or one for each block, as in a rule. None is not accepted.
        count: the number of blocks, all of the same length; default: the number of `initializers`
            or `sizes`.
        sizes: the lengths of the blocks, such as those of q, k and v under grouped queries.
        dim: the dim that is divided into blocks.

    Raises:
        ValueError: the numbers do not agree. When the rules are applied: a parameter cannot be
            divided into these blocks; the message has its name.
        TypeError: a block is None or itself blocks.

    >>> blocks("orthogonal_", count=4)                                # weight_hh of an LSTM
    blocks('orthogonal_', 'orthogonal_', 'orthogonal_', 'orthogonal_', dim=0, sizes=None)
    >>> forget = blocks("zeros_", "ones_", "zeros_", "zeros_")         # its bias_ih
    >>> fused = blocks("xavier_uniform_", sizes=[4096, 1024, 1024])   # a fused qkv weight
    """
    lengths = None if sizes is None else tuple(map(operator.index, sizes))
    counts = (
        count,
        None if lengths is None else len(lengths),
        len(initializers) if len(initializers) > 1 else None,
    )
    numbers = {number for number in counts if number is not None}
    if not initializers or len(numbers) != 1 or min(numbers) < 1 or min(lengths or (1,)) < 1:
        raise ValueError(
            "blocks needs initializers: one for each block, or one and count= or sizes=. Their "
            f"numbers must agree; received {len(initializers)} initializers, count={count}, "
            f"sizes={sizes}"
        )
    if any(each is None or isinstance(each, Blocks) for each in initializers):
        raise TypeError("the arguments of blocks must be initializers; received None or blocks")
    (total,) = numbers
    return Blocks(initializers if len(initializers) > 1 else initializers * total, dim, lengths)


def fill(packed: Blocks, shape: Dims, make: Callable[[Any, Dims], Fill]) -> Fill:
    """Return the fill that writes all blocks of a tensor of `shape`. `make` returns the fill of one
    block, from its initializer and its shape.
    """
    if not -len(shape) <= packed.dim < len(shape):
        raise ValueError(f"blocks: a tensor of shape {shape} has no dim {packed.dim}")
    dim, count = packed.dim % len(shape), len(packed.initializers)
    sizes = packed.sizes or (shape[dim] // count,) * count
    if sum(sizes) != shape[dim]:
        raise ValueError(
            f"the blocks must add up to {shape[dim]}, the size of dim {dim}; received {count} of"
            f" {list(packed.sizes) if packed.sizes else 'equal length'}"
        )
    stops = list(itertools.accumulate(sizes))
    spans = [(stop - size, stop) for stop, size in zip(stops, sizes, strict=True)]
    fills = [
        make(initializer, (*shape[:dim], size, *shape[dim + 1 :]))
        for initializer, size in zip(packed.initializers, sizes, strict=True)
    ]

    def run(target: Target, seed: Seed) -> None:
        for place, ((start, stop), block_fill) in enumerate(zip(spans, fills, strict=True)):
            part = block(target, dim, start, stop)
            if part is not None:
                block_fill.run(part, seed.named(str(place)))

    rows = _constant_rows(spans, fills) if dim == 0 and 0 not in shape else None
    return Fill(
        run,
        draws=any(block_fill.draws for block_fill in fills),
        equivalent=None if rows is None else Zeros,
        fixed_rows=rows or (),
        unsplit=min(
            (block_fill.unsplit for block_fill in fills if block_fill.unsplit is not None),
            default=None,
        ),
    )


def _constant_rows(spans: Sequence[tuple[int, int]], fills: Sequence[Fill]) -> Any:
    """Return the blocks as fixed rows of a spec, or None if a block is not constant."""
    rows = []
    for (start, stop), block_fill in zip(spans, fills, strict=True):
        initializer = (
            None
            if block_fill.equivalent is None or block_fill.fixed_rows
            else block_fill.equivalent()
        )
        constant = (
            initializer.value
            if isinstance(initializer, Constant)
            else _CONSTANTS.get(type(initializer))
        )
        if not isinstance(constant, int | float):
            return None
        rows.append(Rows(start, stop, float(constant)))
    return tuple(rows)
