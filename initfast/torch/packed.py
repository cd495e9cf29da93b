"""Blocks of one parameter: the gates of an LSTM, q, k and v in one matrix."""

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
    """What `blocks` returns: the initializers of the blocks, the dim, and the blocks' lengths."""

    def __init__(self, whats: tuple[Any, ...], dim: int, sizes: tuple[int, ...] | None) -> None:
        self.whats = whats
        self.dim = dim
        self.sizes = sizes

    def __repr__(self) -> str:
        shown = "".join(f"{what!r}, " for what in self.whats)
        return f"blocks({shown}dim={self.dim}, sizes={self.sizes})"


def blocks(
    *what: Any, count: int | None = None, sizes: Sequence[int] | None = None, dim: int = 0
) -> Blocks:
    """Return what a rule draws a parameter from that packs several, each as if it were alone: with
    separate fans, and is orthogonal in itself.

    Block k of parameter `name` is drawn from the stream `name/k`.

    Args:
        what: one initializer for all blocks, or one for each, as in a rule. None is not accepted.
        count: the number of blocks, all of the same length; default: that of `what` or `sizes`.
        sizes: their lengths, such as those of q, k and v under grouped queries.
        dim: the dim along which they lie.

    Raises:
        ValueError, TypeError: the numbers do not agree. A parameter that cannot be divided so is
            refused by name when the rules are applied.

    >>> blocks("orthogonal_", count=4)                                # weight_hh of an LSTM
    blocks('orthogonal_', 'orthogonal_', 'orthogonal_', 'orthogonal_', dim=0, sizes=None)
    >>> forget = blocks("zeros_", "ones_", "zeros_", "zeros_")         # its bias_ih
    >>> fused = blocks("xavier_uniform_", sizes=[4096, 1024, 1024])   # a fused qkv weight
    """
    lengths = None if sizes is None else tuple(map(operator.index, sizes))
    said = (count, None if lengths is None else len(lengths), len(what) if len(what) > 1 else None)
    numbers = {number for number in said if number is not None}
    if not what or len(numbers) != 1 or min(numbers) < 1 or min(lengths or (1,)) < 1:
        raise ValueError(
            "blocks needs an initializer, and either one for each block or count= or sizes=, which"
            f" must agree; received {len(what)} initializers, count={count}, sizes={sizes}"
        )
    if any(each is None or isinstance(each, Blocks) for each in what):
        raise TypeError("a block must be drawn from an initializer; received None or blocks")
    (total,) = numbers
    return Blocks(what if len(what) > 1 else what * total, dim, lengths)


def fill(packed: Blocks, shape: Dims, make: Callable[[Any, Dims], Fill]) -> Fill:
    """Return how to write all blocks of a tensor; `make` says how to write one of its shape."""
    if not -len(shape) <= packed.dim < len(shape):
        raise ValueError(f"blocks along dim {packed.dim} of a tensor of shape {shape}")
    dim, count = packed.dim % len(shape), len(packed.whats)
    sizes = packed.sizes or (shape[dim] // count,) * count
    if sum(sizes) != shape[dim]:
        raise ValueError(
            f"the blocks must add up to the {shape[dim]} of dim {dim}; received"
            f" {count} of {list(packed.sizes) if packed.sizes else 'equal length'}"
        )
    stops = list(itertools.accumulate(sizes))
    spans = [(stop - size, stop) for stop, size in zip(stops, sizes, strict=True)]
    fills = [
        make(what, (*shape[:dim], size, *shape[dim + 1 :]))
        for what, size in zip(packed.whats, sizes, strict=True)
    ]

    def run(target: Target, seed: Seed) -> None:
        for place, ((start, stop), each) in enumerate(zip(spans, fills, strict=True)):
            part = block(target, dim, start, stop)
            if part is not None:
                each.run(part, seed.named(str(place)))

    rows = _constant_rows(spans, fills) if dim == 0 and 0 not in shape else None
    return Fill(
        run,
        draws=any(each.draws for each in fills),
        says=None if rows is None else Zeros,
        fixed_rows=rows or (),
        unsplit=min((each.unsplit for each in fills if each.unsplit is not None), default=None),
    )


def _constant_rows(spans: Sequence[tuple[int, int]], fills: Sequence[Fill]) -> Any:
    """Return the blocks as fixed rows of a spec; None if one of them is not of one value."""
    rows = []
    for (start, stop), each in zip(spans, fills, strict=True):
        said = None if each.says is None or each.fixed_rows else each.says()
        constant = said.value if isinstance(said, Constant) else _CONSTANTS.get(type(said))
        if not isinstance(constant, int | float):
            return None
        rows.append(Rows(start, stop, float(constant)))
    return tuple(rows)
