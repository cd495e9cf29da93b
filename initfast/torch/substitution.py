"""Draw with initfast whatever torch draws, for the time it takes to build a model."""

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
    models build fast as they are.

    This holds for every way to draw them: `Tensor.normal_` and `uniform_`, `torch.randn`, `rand`
    and `normal`, and the functions of `torch.nn.init`, whoever calls them and wherever the caller
    has them from: a module, dict, default argument or partial of any age. Other draws, such as
    permutations and dropout masks, and draws into tensors that initfast cannot fill remain torch's
    own; a warning names them. Contexts may be nested; the innermost one draws.

    Args:
        seed: integer in [0, 2**64) or `Seed`: the draws are this stream and those that follow it,
            in the order of the calls. A `SeedGenerator` gives its next streams. None: each call
            draws a seed from torch's generator, so that `torch.manual_seed` governs. A call with
            generator= draws its seed from that one in any case.

    The context belongs to one thread; draws of other threads remain torch's. Each process of a
    distributed run draws the same values, and of a DTensor its own part: a sharded model equals the
    unsharded one if both draw in the same order.

    Warns:
        UserWarning: on leaving, if torch drew with its own generator, or if nothing was drawn.
    """
    mode = Mode(_streams(seed))
    with nn_init.intercept(FUNCTIONS, mode.do), mode:
        yield
    message = mode.report()
    if message:
        warnings.warn(message, stacklevel=3)  # one of the frames is contextlib's


def _streams(seed: AnySeed) -> Callable[[], Seed] | None:
    given = given_seed(seed)
    if given is None:
        return None
    if isinstance(given, SeedGenerator):
        return given.next
    first = given if isinstance(given, Seed) else Seed(given)
    return map(functools.partial(Seed, first.seed), itertools.count(first.stream)).__next__
