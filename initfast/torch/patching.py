"""Make `torch.nn.init` itself draw with initfast, for the time it takes to build a model."""

from __future__ import annotations

import functools
import inspect
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch

from initfast.core.seeds import SeedGenerator
from initfast.torch import init

Function = Callable[..., Any]

# Constants are torch's own functions here, too.
_NAMES = tuple(name for name in init.__all__ if getattr(init, name).__module__ == init.__name__)


@contextmanager
def patch(seed: int | None = None) -> Iterator[None]:
    """A context in which the functions of `torch.nn.init` draw with initfast, so that models build
    fast as they are.

    Every module that holds such a function holds ours instead: `torch.nn.init` itself, and those
    that imported them by
    name. So whatever draws through them does too: layers as they are made, `reset_parameters`, a
    model's own `_init_weights`. Direct calls of `torch.randn` or `tensor.normal_()` do not, nor
    does what holds a function in a dict, default argument or partial from before. On leaving, also
    by an exception, all of it is put back; contexts may be nested.

    Args:
        seed: integer in [0, 2**64): the draws are streams 0, 1, 2, ... of it, in the order of the
            calls. None: each call draws a seed from torch's generator, so that `torch.manual_seed`
            governs. A call with seed= or generator= of its own uses that.

    Modules are shared between threads: other threads draw with initfast, too, while this context is
    open, and two threads must not hold contexts that overlap without being nested."""
    context = _Patch(None if seed is None else SeedGenerator(seed))
    context.enter()
    try:
        yield
    finally:
        context.leave()


class _Patch:
    def __init__(self, streams: SeedGenerator | None) -> None:
        self.streams = streams
        self.active = True
        self.before: dict[Function, Function] = {}  # by what stands in its place

    def enter(self) -> None:
        places: dict[int, Function] = {}
        for name in _NAMES:
            for old, ours in ((name, getattr(init, name)), (name[:-1], _deprecated(name))):
                current = getattr(
                    torch.nn.init, old, None
                )  # the names without _ are deprecated, and may go
                if current is not None:
                    wrapper = self._wrapper(current, ours)
                    self.before[wrapper] = current
                    places[id(current)] = wrapper
        _rebind(places)

    def leave(self) -> None:
        # By what is found now: a module imported since has ours, and what was replaced by others
        # stays replaced.
        self.active = False
        _rebind({id(wrapper): current for wrapper, current in self.before.items()})

    def _wrapper(self, current: Function, ours: Function) -> Function:
        signature = inspect.signature(ours)
        seeded = "generator" in signature.parameters

        @functools.wraps(current)
        def function(*args: Any, **kwargs: Any) -> Any:
            if not self.active:  # kept by someone beyond the end of the context
                return current(*args, **kwargs)
            if seeded and self.streams is not None:
                given = signature.bind(*args, **kwargs).arguments
                if given.get("generator") is None and given.get("seed") is None:
                    kwargs["seed"] = self.streams
            return ours(*args, **kwargs)

        return function


def _deprecated(name: str) -> Function:
    ours = getattr(init, name)

    @functools.wraps(ours)
    def function(*args: Any, **kwargs: Any) -> Any:
        message = f"`nn.init.{name[:-1]}` is now deprecated in favor of `nn.init.{name}`."
        warnings.warn(message, FutureWarning, stacklevel=3)
        return ours(*args, **kwargs)

    return function


def _rebind(places: dict[int, Function]) -> None:
    """Replace functions, by identity, wherever a module holds them under any name."""
    for module in list(sys.modules.values()):
        if not isinstance(module, ModuleType):
            continue
        for name, value in list(vars(module).items()):
            if id(value) in places and callable(value):
                vars(module)[name] = places[id(value)]
