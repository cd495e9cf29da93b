"""`intercept`: replace functions of `torch.nn.init` for this thread, for every caller."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FunctionType
from typing import Any, TypeAlias

import torch

Handler: TypeAlias = Callable[[str, torch.Tensor, dict[str, Any]], bool]
"""A function of a name, a tensor and the other arguments. It returns False to let torch do it."""

_lock = threading.Lock()
_open_contexts = 0  # contexts that are open, in any thread


class _Thread(threading.local):
    handlers: dict[str, Handler] = {}  # by function name  # noqa: RUF012 # replaced, never modified


_thread = _Thread()


@contextmanager
def intercept(names: Iterable[str], handler: Handler) -> Iterator[None]:
    """Return a context in which calls of these random functions go to `handler`, in this thread.

    The code of the function objects is replaced meanwhile. This also reaches callers that keep a
    reference to them: in a module, a dict, a default argument or a partial."""
    global _open_contexts
    outer = _thread.handlers
    with _lock:
        if not _open_contexts:
            for function in _functions:
                function.replace()
        _open_contexts += 1
    _thread.handlers = outer | dict.fromkeys(names, handler)
    try:
        yield
    finally:
        _thread.handlers = outer
        with _lock:
            _open_contexts -= 1
            if not _open_contexts:
                for function in _functions:
                    function.restore()


class _Function:
    """A function of `torch.nn.init` whose code can be replaced and restored."""

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
                bound = self._signature.bind(*args, **kwargs)
            except TypeError:
                return self._original(*args, **kwargs)  # raises the error that users of torch know
            bound.apply_defaults()
            tensor = bound.arguments.pop("tensor")
            if handler(name, tensor, bound.arguments):
                return tensor
        return self._original(*args, **kwargs)

    def replace(self) -> None:
        # inspect.signature and inspect.getsource follow __wrapped__.
        self._function.__wrapped__ = self._original  # type: ignore[attr-defined]
        self._function.__kwdefaults__ = {"_initfast": self}
        self._function.__code__ = _replacement.__code__

    def restore(self) -> None:
        self._function.__code__ = self._code
        self._function.__kwdefaults__ = None
        del self._function.__wrapped__  # type: ignore[attr-defined]


def _replacement(*args: Any, _initfast: _Function, **kwargs: Any) -> Any:
    return _initfast(*args, **kwargs)


def _random_functions() -> Iterator[_Function]:
    for name in torch.nn.init.__all__:
        function = getattr(torch.nn.init, name, None)
        if (
            isinstance(function, FunctionType)
            and function.__globals__ is vars(torch.nn.init)  # not replaced by another package
            and "generator" in inspect.signature(function).parameters
        ):
            yield _Function(function)


_functions = list(_random_functions())
