"""`parse`: from an operation of torch that draws normal or uniform values to a function of
`torch.nn.init` with the same distribution. The table at the end lists the operations.

They are the ATen operations below autograd and torch.func, which every way of drawing calls in the
end: `Tensor.normal_`, `torch.randn`, functions of `torch.nn.init` and of users."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch

from initfast.core.rounding import in_fixed_environment
from initfast.core.seeds import Seed
from initfast.torch import targets

_ATEN = torch.ops.aten
_OPTIONS = ("dtype", "layout", "device", "pin_memory", "memory_format")
_STANDARD = (0.0, 1.0)


class Draw(NamedTuple):
    """A tensor to fill, and the function of `torch.nn.init` to fill it with.

    Attributes:
        tensor: the tensor.
        function: the name of the function.
        arguments: its arguments.
        finish: a function from the filled tensor to the result of the operation. None: the tensor
            is the result.
        seed: the stream. None: the mode chooses it.
    """

    tensor: torch.Tensor
    function: str
    arguments: tuple[float, ...]
    finish: Callable[[torch.Tensor], torch.Tensor] | None = None
    seed: Seed | None = None


class Uniform(NamedTuple):
    """The last uniform draw: the key of its memory, its range and its stream."""

    memory: object
    low: float
    high: float
    seed: Seed


def parse(operation: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Draw | None:
    """Return the draw of an operation, or None if initfast cannot draw it.

    If the operation returns a new tensor, it is allocated here."""
    make = _DRAWS.get(getattr(operation, "overloadpacket", None))
    if make is None:
        return None
    names = (argument.name for argument in operation._schema.arguments)
    return make(dict(zip(names, args, strict=False)) | kwargs)


@in_fixed_environment
def parse_inverse(operation: Any, args: tuple[Any, ...], last: Uniform | None) -> Draw | None:
    """Return the truncated normal that code draws as `erfinv` of the uniform values `last`, or
    None if the operation is something else.

    In torch this gives infinity if the range begins at -1, because a float32 uniform can be exactly
    -1. The truncated normal with the same bounds is drawn instead, from the same stream."""
    inverse = operation in (_ATEN.erfinv_.default, _ATEN.erfinv.default)
    if not (last and inverse and -1.0 <= last.low < last.high <= 1.0):
        return None
    if memory_of(args[0]) != last.memory:
        return None
    ends = torch.tensor([last.low, last.high], dtype=torch.float64, device="cpu")
    low, high = ends.erfinv_().tolist()
    tensor = args[0] if operation is _ATEN.erfinv_.default else torch.empty_like(args[0])
    return Draw(tensor, "trunc_normal_", (0.0, math.sqrt(0.5), low, high), seed=last.seed)


def parse_seed(operation: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Draw | None:
    """Return the draw of a single int64, by which functions of `initfast.torch` draw a seed, or
    None if the operation is something else.
    """
    if operation is not _ATEN.random_.default or kwargs or len(args) > 1:
        return None
    tensor = args[0]
    if tensor.dtype != torch.int64 or tensor.numel() != 1:
        return None
    seed_tensor = torch.empty(tensor.shape, dtype=torch.float64, device="cpu")
    return Draw(seed_tensor, "uniform_", (0.0, 2.0**53), tensor.copy_)


def memory_of(tensor: torch.Tensor) -> object:
    """Return a key that is equal for tensors with the same elements of the same memory."""
    local = targets.local_part(tensor)
    return local.data_ptr(), local.shape, local.stride(), local.dtype


def _empty(arguments: dict[str, Any]) -> torch.Tensor:
    options = {key: arguments[key] for key in _OPTIONS if key in arguments}
    if "out" in arguments:  # such an operation also has `size`
        return torch.empty(arguments["size"], out=arguments["out"])
    if "self" in arguments:
        return _ATEN.empty_like.default(arguments["self"], **options)  # type: ignore[no-any-return]
    return _ATEN.empty.memory_format(arguments["size"], **options)  # type: ignore[no-any-return]


def _uniform(arguments: dict[str, Any], tensor: torch.Tensor) -> Draw:
    return Draw(tensor, "uniform_", (arguments.get("from", 0.0), arguments.get("to", 1.0)))


def _normal(arguments: dict[str, Any], tensor: torch.Tensor) -> Draw:
    return Draw(tensor, "normal_", (arguments.get("mean", 0.0), arguments.get("std", 1.0)))


def _standard(function: str) -> Callable[[dict[str, Any]], Draw]:
    def make(arguments: dict[str, Any]) -> Draw:
        if _makes_a_shard():
            raise TypeError(
                "a shard of a DTensor that does not exist yet: draw into "
                "torch.distributed.tensor.empty instead"
            )
        return Draw(_empty(arguments), function, _STANDARD)

    return make


def _makes_a_shard() -> bool:
    """Return whether `torch.distributed.tensor.rand` or `randn` is the caller, on a local shape.

    Only the call stack shows this. Without the check, all ranks would get the same shard."""
    module = sys.modules.get("torch.distributed.tensor._api")
    factory = getattr(module, "_dtensor_init_helper", None)
    if factory is None:
        return False
    frame = sys._getframe()
    while frame and frame.f_code is not factory.__code__:
        frame = frame.f_back  # type: ignore[assignment]
    return frame is not None


def _torch_normal(arguments: dict[str, Any]) -> Draw | None:
    """Return the draw of `torch.normal`, with numbers and a size, or with tensors of means and
    standard deviations. Return None for other arguments, which torch handles.
    """
    if "size" in arguments:
        return _normal(arguments, _empty(arguments))
    mean, std = arguments.get("mean", 0.0), arguments.get("std", 1.0)
    tensors = [each for each in (mean, std) if isinstance(each, torch.Tensor)]
    if not tensors or (torch.as_tensor(std) < 0).any():
        return None
    size = np.broadcast_shapes(*(tensor.shape for tensor in tensors))
    like = {"size": size, "dtype": tensors[0].dtype, "device": tensors[0].device}
    scaled = in_fixed_environment(lambda z: z.mul_(std).add_(mean))
    return Draw(_empty(arguments | like), "normal_", _STANDARD, scaled)


_DRAWS: dict[Any, Callable[[dict[str, Any]], Draw | None]] = {
    _ATEN.uniform_: lambda arguments: _uniform(arguments, arguments["self"]),
    _ATEN.normal_: lambda arguments: _normal(arguments, arguments["self"]),
    # functionalize replaces the two operations above by the next two.
    _ATEN.uniform: lambda arguments: _uniform(arguments, _empty(arguments)),
    _ATEN.normal_functional: lambda arguments: _normal(arguments, _empty(arguments)),
    _ATEN.rand: _standard("uniform_"),
    _ATEN.rand_like: _standard("uniform_"),
    _ATEN.randn: _standard("normal_"),
    _ATEN.randn_like: _standard("normal_"),
    _ATEN.normal: _torch_normal,
}
