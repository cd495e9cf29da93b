"""Record how a model's own code computes its tensors, with every draw noted instead of made.

A `Tape` is a dispatch mode: it sees each operation of torch below all of its Python functions, so
that no way of calling one escapes. Tensors that are drawn have no values while the tape runs: they
are on the meta device, or, if they have memory, their memory is not written. What does not depend
on a draw (positions, rotary frequencies, sinusoids) is computed as usual, on the CPU."""

from __future__ import annotations

import threading
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves, tree_map

from initfast.torch import nn_init

# Those that draw; most of them do nothing on the meta device, so that no operation would be seen.
DRAWING = (
    "uniform_", "normal_", "trunc_normal_", "xavier_uniform_", "xavier_normal_",
    "kaiming_uniform_", "kaiming_normal_", "orthogonal_", "sparse_",
)  # fmt: skip
_CPU, _META = torch.device("cpu"), torch.device("meta")
_running = threading.local()


@dataclass(frozen=True, slots=True)
class Ref:
    """A tensor over a storage of the tape, by the storage's key."""

    key: int
    nbytes: int
    dtype: torch.dtype
    size: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int

    @property
    def whole(self) -> bool:
        """Return whether it has every element of the storage, each once."""
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
    """One operation. Tensors in `args` and `kwargs` are `Ref` if the tape holds them, else copies.

    `function` is an operator of torch, the name of a function of `torch.nn.init`, or "held": the
    storage's content when the tape began, which `args` holds. `writes` are the arguments written in
    place, `outs` the new results."""

    function: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    writes: tuple[Ref, ...]
    outs: tuple[Any, ...] = ()
    draws: bool = False

    @property
    def name(self) -> str:
        """Such as `normal_`."""
        if isinstance(self.function, str):
            return self.function
        return str(self.function.overloadpacket.__name__)


class Tape(TorchDispatchMode):  # type: ignore[misc, no-untyped-call, unused-ignore]
    """The context in which operations are recorded, in `events`.

    Args:
        protected: storages (`_cdata`) of tensors that must not be written.
    """

    def __init__(self, protected: Collection[int] = ()) -> None:
        super().__init__()  # type: ignore[no-untyped-call, unused-ignore]
        self.events: list[Event] = []
        self._protected = protected
        self._storages: dict[int, Any] = {}  # also keeps them, so that no key comes twice

    def __enter__(self) -> Any:
        self._before = getattr(_running, "tape", None)
        self._functions = nn_init.handled(DRAWING, self._handle)
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
        """Return the reference to a tensor, which the tape holds from now on."""
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key not in self._storages:
            self._storages[key] = storage
            if not tensor.is_meta:
                held = torch.empty(0, dtype=torch.uint8).set_(storage)
                whole = Ref(key, storage.nbytes(), torch.uint8, (storage.nbytes(),), (1,), 0)
                self.events.append(Event("held", (held.clone(),), {}, (whole,)))
        return Ref(
            key,
            storage.nbytes(),
            tensor.dtype,
            tuple(tensor.shape),
            tensor.stride(),
            tensor.storage_offset(),
        )

    def holds(self, tensor: Any) -> bool:
        """Return whether the tensor's values are on the tape, and not in its memory."""
        return bool(tensor.is_meta) or tensor.untyped_storage()._cdata in self._storages

    def draw(self, name: str, tensor: torch.Tensor, arguments: dict[str, Any]) -> None:
        """Record a function of `torch.nn.init`, or of this package by that name."""
        with _disable_current_modes():
            self._allow(tensor)
            ref = self.ref(tensor)
        self.events.append(Event(name, (ref,), arguments, (ref,), draws=True))

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        tensors = [each for each in tree_leaves((args, kwargs)) if isinstance(each, torch.Tensor)]
        written = _written(func, args, kwargs)
        for each in written:
            self._allow(each)
        draws = torch.Tag.nondeterministic_seeded in func.tags
        if not draws and not any(map(self.holds, tensors)):
            return self._compute(func, args, kwargs, tensors)
        if func.is_view:
            return func(*args, **kwargs)
        kwargs.pop("generator", None)
        if "device" in kwargs:
            kwargs["device"] = _CPU
        # In this order: what is adopted here gets its event before this one.
        writes = tuple(map(self.ref, written))
        arguments, options = tree_map(self._noted, (args, kwargs))
        outs: tuple[Ref | None, ...] = ()
        if written:
            result = written[0] if len(written) == 1 else tuple(written)
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
        """Values that depend on no draw, on the CPU if a default device says meta; memory without
        values is on the meta device.
        """
        empty = not tensors and func.overloadpacket.__name__.startswith("empty")
        if empty:
            kwargs["device"] = _META
        elif kwargs.get("device") == _META:
            kwargs["device"] = _CPU
        return func(*args, **kwargs)

    def _noted(self, value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        return self.ref(value) if self.holds(value) else value.detach().clone()

    def _allow(self, tensor: torch.Tensor) -> None:
        if not tensor.is_meta and tensor.untyped_storage()._cdata in self._protected:
            raise RuntimeError("it writes a tensor that is not among its module's parameters")


def current() -> Tape | None:
    """Return the tape that records this thread."""
    return getattr(_running, "tape", None)


def _written(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
    found = []
    for place, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            value = kwargs.get(argument.name, args[place] if place < len(args) else None)
            found += [each for each in tree_leaves(value) if isinstance(each, torch.Tensor)]
    return found


def _meta(value: Any) -> Any:
    if not isinstance(value, torch.Tensor) or value.is_meta:
        return value
    return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device=_META)
