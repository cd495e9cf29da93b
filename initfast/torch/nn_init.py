"""Do what a function of `torch.nn.init` does in another way, whoever calls it."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FunctionType
from typing import Any, TypeAlias

import torch

Handler: TypeAlias = Callable[[str, torch.Tensor, dict[str, Any]], bool]
"""Takes a function's name, its tensor and its other arguments; False: it is torch's own to do."""

_lock = threading.Lock()
_count = 0  # contexts that are open, in any thread


class _Thread(threading.local):
    handlers: dict[str, Handler] = {}  # by the names of functions  # noqa: RUF012 # never changed


_thread = _Thread()


@contextmanager
def intercept(names: Iterable[str], handler: Handler) -> Iterator[None]:
    """Return a context in which this thread's calls of the functions of these names, of those that
    draw, go to `handler`.

    The function objects get other code meanwhile, so that it does not matter who holds them: a
    module, a dict, a default argument, a partial, an import from before or after."""
    global _count
    outer = _thread.handlers
    with _lock:
        if not _count:
            for function in _functions:
                function.replace()
        _count += 1
    _thread.handlers = outer | dict.fromkeys(names, handler)
    try:
        yield
    finally:
        _thread.handlers = outer
        with _lock:
            _count -= 1
            if not _count:
                for function in _functions:
                    function.restore()


class _Function:
    def __init__(self, function: FunctionType) -> None:
        self._function = function
        self._code = function.__code__
        self._signature = inspect.signature(function)
        self._original = FunctionType(
            self._code, function.__globals__, function.__name__, function.__defaults__
        )
        self._original.__annotations__ = function.__annotations__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        name = self._function.__name__
        handler = _thread.handlers.get(name)
        if handler:
            try:
                given = self._signature.bind(*args, **kwargs)
            except TypeError:
                return self._original(*args, **kwargs)  # which says what is wrong
            given.apply_defaults()
            tensor = given.arguments.pop("tensor")
            if handler(name, tensor, given.arguments):
                return tensor
        return self._original(*args, **kwargs)

    def replace(self) -> None:
        # For the signature and the source.
        self._function.__wrapped__ = self._original  # type: ignore[attr-defined]
        self._function.__kwdefaults__ = {"_initfast": self}
        self._function.__code__ = _call.__code__

    def restore(self) -> None:
        self._function.__code__ = self._code
        self._function.__kwdefaults__ = None
        del self._function.__wrapped__  # type: ignore[attr-defined]


def _call(*args: Any, _initfast: _Function, **kwargs: Any) -> Any:
    return _initfast(*args, **kwargs)


def _drawing() -> Iterator[_Function]:
    for name in torch.nn.init.__all__:
        function = getattr(torch.nn.init, name, None)
        if (
            isinstance(function, FunctionType)
            and function.__globals__ is vars(torch.nn.init)  # else another package has put it there
            and "generator" in inspect.signature(function).parameters
        ):
            yield _Function(function)


_functions = list(_drawing())
