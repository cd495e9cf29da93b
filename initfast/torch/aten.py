"""The operations of torch that draw normal and uniform values, as calls of `initfast.torch.init`.

These are the operations below autograd and torch.func, to which every other way of drawing comes
down: `Tensor.normal_`, `torch.randn`, a function of `torch.nn.init`, one of a user's own."""

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
    """A tensor to fill by a function of `initfast.torch.init`.

    `seed` is the stream, if it is known already; `finish` makes the result of the filled tensor."""

    tensor: torch.Tensor
    function: str
    arguments: tuple[float, ...]
    finish: Callable[[torch.Tensor], torch.Tensor] | None = None
    seed: Seed | None = None


class Uniform(NamedTuple):
    """A uniform draw of which nothing was made yet: where it lies, its range and its stream."""

    memory: object
    low: float
    high: float
    seed: Seed


def parse(operation: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Draw | None:
    """Return what a call of an operation draws; None if it draws nothing that initfast can draw.

    The tensor of an operation that returns a new one is allocated here."""
    make = _DRAWS.get(getattr(operation, "overloadpacket", None))
    if make is None:
        return None
    names = (argument.name for argument in operation._schema.arguments)
    return make(dict(zip(names, args, strict=False)) | kwargs)


@in_fixed_environment
def parse_inverse(operation: Any, args: tuple[Any, ...], last: Uniform | None) -> Draw | None:
    """Return the truncated normal that `erfinv` makes of the uniform values drawn just before.

    In torch this way to draw one ends at infinity if the range begins at -1, which a float32
    uniform reaches. The normal with the same bounds is drawn instead, from the same stream."""
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
    """Return the draw of one int64: it is how functions of `initfast.torch` draw a seed."""
    if operation is not _ATEN.random_.default or kwargs or len(args) > 1:
        return None
    tensor = args[0]
    if tensor.dtype != torch.int64 or tensor.numel() != 1:
        return None
    place = torch.empty(tensor.shape, dtype=torch.float64, device="cpu")
    return Draw(place, "uniform_", (0.0, 2.0**53), tensor.copy_)


def memory_of(tensor: torch.Tensor) -> object:
    """Return what two tensors that hold the same elements of the same memory have in common."""
    local = targets.local_part(tensor)
    return local.data_ptr(), local.shape, local.stride(), local.dtype


def _empty(given: dict[str, Any]) -> torch.Tensor:
    options = {key: given[key] for key in _OPTIONS if key in given}
    if "out" in given:  # only where `size` is known, too
        return torch.empty(given["size"], out=given["out"])
    if "self" in given:
        return _ATEN.empty_like.default(given["self"], **options)  # type: ignore[no-any-return]
    return _ATEN.empty.memory_format(given["size"], **options)  # type: ignore[no-any-return]


def _uniform(given: dict[str, Any], tensor: torch.Tensor) -> Draw:
    return Draw(tensor, "uniform_", (given.get("from", 0.0), given.get("to", 1.0)))


def _normal(given: dict[str, Any], tensor: torch.Tensor) -> Draw:
    return Draw(tensor, "normal_", (given.get("mean", 0.0), given.get("std", 1.0)))


def _standard(function: str) -> Callable[[dict[str, Any]], Draw]:
    def make(given: dict[str, Any]) -> Draw:
        if _makes_a_shard():
            raise TypeError(
                "a shard of a DTensor that does not exist yet; draw into "
                "torch.distributed.tensor.empty instead"
            )
        return Draw(_empty(given), function, _STANDARD)

    return make


def _makes_a_shard() -> bool:
    """Return whether `torch.distributed.tensor.rand` or `randn` is the caller, on a local shape.

    Nothing else distinguishes such a draw; initfast would give all ranks the same shard."""
    module = sys.modules.get("torch.distributed.tensor._api")
    factory = getattr(module, "_dtensor_init_helper", None)
    if factory is None:
        return False
    frame = sys._getframe()
    while frame and frame.f_code is not factory.__code__:
        frame = frame.f_back  # type: ignore[assignment]
    return frame is not None


def _torch_normal(given: dict[str, Any]) -> Draw | None:
    """`torch.normal`, of two numbers and a size or of tensors of means and deviations."""
    if "size" in given:
        return _normal(given, _empty(given))
    mean, std = given.get("mean", 0.0), given.get("std", 1.0)
    tensors = [each for each in (mean, std) if isinstance(each, torch.Tensor)]
    if not tensors or (torch.as_tensor(std) < 0).any():
        return None
    size = np.broadcast_shapes(*(tensor.shape for tensor in tensors))
    like = {"size": size, "dtype": tensors[0].dtype, "device": tensors[0].device}
    scaled = in_fixed_environment(lambda z: z.mul_(std).add_(mean))
    return Draw(_empty(given | like), "normal_", _STANDARD, scaled)


_DRAWS: dict[Any, Callable[[dict[str, Any]], Draw | None]] = {
    _ATEN.uniform_: lambda given: _uniform(given, given["self"]),
    _ATEN.normal_: lambda given: _normal(given, given["self"]),
    _ATEN.uniform: lambda given: _uniform(given, _empty(given)),  # these two by functionalize
    _ATEN.normal_functional: lambda given: _normal(given, _empty(given)),
    _ATEN.rand: _standard("uniform_"),
    _ATEN.rand_like: _standard("uniform_"),
    _ATEN.randn: _standard("normal_"),
    _ATEN.randn_like: _standard("normal_"),
    _ATEN.normal: _torch_normal,
}
