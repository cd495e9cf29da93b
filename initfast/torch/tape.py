"""`Tape`: record how a model's own code computes its tensors, without drawing anything.

A `Tape` is a dispatch mode: it sees every operation of torch below the Python functions, so that
none is missed, however it is called. Random tensors have no values while the tape runs: they are on
the meta device, or their memory is not written. Values that do not depend on a draw (positions,
rotary frequencies, sinusoids) are computed as usual, on the CPU."""

from __future__ import annotations

import threading
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves, tree_map

from initfast.torch import nn_init

# The random functions of torch.nn.init. They are intercepted because most of them call no operation
# on the meta device, so that the tape would not see them.
DRAWING = (
    "uniform_", "normal_", "trunc_normal_", "xavier_uniform_", "xavier_normal_",
    "kaiming_uniform_", "kaiming_normal_", "orthogonal_", "sparse_",
)  # fmt: skip
_CPU, _META = torch.device("cpu"), torch.device("meta")
_running = threading.local()


@dataclass(frozen=True, slots=True)
class Ref:
    """A reference to a tensor of the tape: the key of its storage, and its geometry in it."""

    key: int
    nbytes: int
    dtype: torch.dtype
    size: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int

    @property
    def whole(self) -> bool:
        """Return whether the tensor has every element of the storage exactly once."""
        return self.offset == 0 and self.numel * self.dtype.itemsize == self.nbytes

    @property
    def numel(self) -> int:
        return torch.Size(self.size).numel()

    @property
    def contiguous(self) -> bool:
        step = 1
        for size, stride in zip(self.size[::-1], self.stride[::-1], strict=True):
            if size != 1 and stride != step:
                return False
            step *= size
        return True


class Event(NamedTuple):
    """One operation on a tape.

    Attributes:
        function: an operator of torch, the name of a function of `torch.nn.init`, "content" (the
            storage held `args[0]` when the tape first saw it) or "initial" (the tensor held what
            the Spec `args[0]` draws).
        args, kwargs: the arguments. Tensors of the tape are `Ref`, other tensors are copies.
        writes: the arguments that are written in place.
        outs: the new results.
        draws: whether the operation is random.
    """

    function: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    writes: tuple[Ref, ...]
    outs: tuple[Any, ...] = ()
    draws: bool = False

    @property
    def name(self) -> str:
        """Return the name of the operation, such as `normal_`."""
        if isinstance(self.function, str):
            return self.function
        return str(self.function.overloadpacket.__name__)


class Tape(TorchDispatchMode):  # type: ignore[misc, no-untyped-call, unused-ignore]
    """A context that records the operations of this thread in `events`.

    Args:
        protected: the storages (`_cdata`) of tensors that must not be written.
    """

    def __init__(self, protected: Collection[int] = ()) -> None:
        super().__init__()  # type: ignore[no-untyped-call, unused-ignore]
        self.events: list[Event] = []
        self._protected = protected
        self._storages: dict[int, Any] = {}  # keeps storages alive, so that no key is reused

    def __enter__(self) -> Any:
        self._before = getattr(_running, "tape", None)
        self._functions = nn_init.intercept(DRAWING, self._handle)
        self._functions.__enter__()
        _running.tape = self
        return super().__enter__()  # type: ignore[no-untyped-call, unused-ignore]

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call, unused-ignore]
        _running.tape = self._before
        self._functions.__exit__(None, None, None)

    def _handle(self, name: str, tensor: torch.Tensor, arguments: dict[str, Any]) -> bool:
        arguments.pop("generator", None)
        self.draw(name, tensor, arguments)
        return True

    def ref(self, tensor: Any) -> Ref:
        """Return the reference to a tensor, which belongs to the tape from now on."""
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key not in self._storages:
            self._storages[key] = storage
            if not tensor.is_meta:
                memory = torch.empty(0, dtype=torch.uint8).set_(storage)
                whole = Ref(key, storage.nbytes(), torch.uint8, (storage.nbytes(),), (1,), 0)
                self.events.append(Event("content", (memory.clone(),), {}, (whole,)))
        return Ref(
            key,
            storage.nbytes(),
            tensor.dtype,
            tuple(tensor.shape),
            tensor.stride(),
            tensor.storage_offset(),
        )

    def holds(self, tensor: Any) -> bool:
        """Return whether the tensor's values are defined by the tape, not by its memory."""
        return bool(tensor.is_meta) or tensor.untyped_storage()._cdata in self._storages

    def draw(self, name: str, tensor: torch.Tensor, arguments: dict[str, Any]) -> None:
        """Record a call of a function of `torch.nn.init` or of its counterpart in initfast."""
        with _disable_current_modes():
            self._allow(tensor)
            ref = self.ref(tensor)
        self.events.append(Event(name, (ref,), arguments, (ref,), draws=True))

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Record an operation if it draws or depends on a draw; otherwise run it."""
        kwargs = dict(kwargs or {})
        tensors = [each for each in tree_leaves((args, kwargs)) if isinstance(each, torch.Tensor)]
        targets = _written_tensors(func, args, kwargs)
        for each in targets:
            self._allow(each)
        draws = torch.Tag.nondeterministic_seeded in func.tags
        if not draws and not any(map(self.holds, tensors)):
            return self._compute(func, args, kwargs, tensors)
        if func.is_view:
            return func(*args, **kwargs)
        kwargs.pop("generator", None)
        if "device" in kwargs:
            kwargs["device"] = _CPU
        # `ref` may add "content" events, which must come before the event of this operation.
        writes = tuple(map(self.ref, targets))
        arguments, options = tree_map(self._as_argument, (args, kwargs))
        outs: tuple[Ref | None, ...] = ()
        if targets:
            result = targets[0] if len(targets) == 1 else tuple(targets)
        else:
            if "device" in kwargs or not tensors:
                kwargs["device"] = _META
            result = func(*tree_map(_meta, args), **tree_map(_meta, kwargs))
            outs = tuple(
                self.ref(each) if isinstance(each, torch.Tensor) else None
                for each in (result if isinstance(result, tuple | list) else (result,))
            )
        self.events.append(Event(func, arguments, options, writes, outs, draws))
        return result

    def _compute(self, func: Any, args: Any, kwargs: Any, tensors: list[Any]) -> Any:
        """Compute values that depend on no draw, on the CPU even if the default device is meta.
        Memory without values stays on the meta device.
        """
        empty = not tensors and func.overloadpacket.__name__.startswith("empty")
        if empty:
            kwargs["device"] = _META
        elif kwargs.get("device") == _META:
            kwargs["device"] = _CPU
        return func(*args, **kwargs)

    def _as_argument(self, value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        return self.ref(value) if self.holds(value) else value.detach().clone()

    def _allow(self, tensor: torch.Tensor) -> None:
        if not tensor.is_meta and tensor.untyped_storage()._cdata in self._protected:
            raise RuntimeError("it writes a tensor that is not a parameter of its module")


def current() -> Tape | None:
    """Return the tape that records this thread."""
    return getattr(_running, "tape", None)


def _written_tensors(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
    tensors = []
    for index, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            value = kwargs.get(argument.name, args[index] if index < len(args) else None)
            tensors += [each for each in tree_leaves(value) if isinstance(each, torch.Tensor)]
    return tensors


def _meta(value: Any) -> Any:
    if not isinstance(value, torch.Tensor) or value.is_meta:
        return value
    return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device=_META)
