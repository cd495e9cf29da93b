"""`patch`: make torch draw with initfast while a model is built."""

from __future__ import annotations

import functools
import itertools
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from initfast.core.seeds import AnySeed, Seed, SeedGenerator, given_seed
from initfast.torch import nn_init
from initfast.torch.mode import FUNCTIONS, Mode


@contextmanager
def patch(seed: AnySeed = None) -> Iterator[None]:
    """Return a context in which normal and uniform values of torch are drawn with initfast, so that
    existing code builds models faster and reproducibly.

    This includes `Tensor.normal_` and `uniform_`, `torch.randn`, `rand` and `normal`, and the
    functions of `torch.nn.init`, also if a caller keeps a reference to them: in a module, a dict, a
    default argument or a partial. Other random operations, such as permutations and dropout masks,
    and tensors that initfast cannot fill are left to torch; a warning names them. Contexts may be
    nested; the innermost one draws.

    Args:
        seed: an integer in [0, 2**64) or a `Seed`: the first draw uses this stream, and each
            further draw the next one. A `SeedGenerator` gives its next streams. None: each draw
            takes a seed from torch's generator, so that `torch.manual_seed` determines the values.
            A call with generator= always takes its seed from that generator.

    The context affects only the thread that enters it. Each process of a distributed run draws the
    same values, and of a DTensor its own part: a sharded model equals the unsharded one if both
    draw in the same order.

    Warns:
        UserWarning: at the end, if torch drew with its own generator, or if nothing was drawn.

    >>> import torch
    >>> with patch(seed=42):
    ...     layer = torch.nn.Linear(64, 32)
    """
    mode = Mode(_streams(seed))
    with nn_init.intercept(FUNCTIONS, mode.do), mode:
        yield
    message = mode.report()
    if message:
        warnings.warn(message, stacklevel=3)  # one of the frames is contextlib's


def _streams(seed: AnySeed) -> Callable[[], Seed] | None:
    value = given_seed(seed)
    if value is None:
        return None
    if isinstance(value, SeedGenerator):
        return value.next
    first = value if isinstance(value, Seed) else Seed(value)
    return map(functools.partial(Seed, first.seed), itertools.count(first.stream)).__next__
