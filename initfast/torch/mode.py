"""The torch dispatch mode that draws with initfast, and the account it gives of what it did not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from initfast.core.indexing import MAX_DIMS
from initfast.core.seeds import Seed
from initfast.torch import aten, recipes, streams, targets

_REFUSALS = (TypeError, ValueError, RuntimeError, ArithmeticError)
FUNCTIONS = ("trunc_normal_", "orthogonal_", "sparse_")
"""Those of `torch.nn.init` that are more than one draw to torch: `Mode.do` does them as a whole."""


class Mode(TorchDispatchMode):  # type: ignore[misc, no-untyped-call, unused-ignore]
    """Draws with initfast, in the thread that enters it, every operation that `aten` knows.

    Args:
        next_seed: gives the stream of each draw; None: torch's generator does.
    """

    supports_higher_order_operators = True  # they are run as they are

    def __init__(self, next_seed: Callable[[], Seed] | None) -> None:
        super().__init__()  # type: ignore[no-untyped-call, unused-ignore]
        self._next_seed = next_seed
        self._drawn = 0
        self._without_values = 0
        self._by_torch: Counter[str] = Counter()
        self._last: aten.Uniform | None = None
        self._state = _states(None)[0]
        self._torch_seed = torch.default_generator.initial_seed()

    @classmethod
    def is_infra_mode(cls) -> bool:
        return True  # else torch.compile refuses, or leaves out, what it would compile

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # torch's way to skip it imports torch._dynamo, which takes seconds

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        last, self._last = self._last, None
        refusal = None
        try:
            draw = aten.parse_inverse(operation, args, last)
            draw = draw or aten.parse(operation, args, kwargs)
            if draw is None and self._next_seed:
                draw = aten.parse_seed(operation, args, kwargs)
            if draw and self._fill(draw, kwargs.get("generator")):
                return draw.finish(draw.tensor) if draw.finish else draw.tensor
        except _REFUSALS as error:  # torch may be able to, and has its own words if not
            refusal = error
        return self._run(operation, args, kwargs, refusal)

    def do(self, function: str, tensor: Any, arguments: dict[str, Any]) -> bool:
        """Do what a function of `torch.nn.init` does; False if initfast cannot."""
        self._last = None
        *numbers, generator = arguments.values()
        try:
            return self._fill(aten.Draw(tensor, function, tuple(numbers)), generator)
        except _REFUSALS:  # what it draws comes here again
            return False

    def _fill(self, draw: aten.Draw, generator: Any) -> bool:
        tensor = _plain(draw.tensor)
        if not targets.has_values(tensor):
            self._without_values += 1
            return False
        if not tensor.numel():
            return False
        fill = recipes.RECIPES[draw.function](tuple(tensor.shape), tensor.dtype, *draw.arguments)
        seed = draw.seed
        if seed is None and generator is None and self._next_seed:
            seed = self._next_seed()
        if seed is None:
            seed = streams.choose(None, None, generator, targets.is_sharded(tensor))
        target = targets.find(tensor)
        if target is not None:  # this rank has a part of the tensor
            targets.write(tensor, target, fill, seed)
        if draw.function == "uniform_":
            low, high = draw.arguments
            self._last = aten.Uniform(aten.memory_of(draw.tensor), low, high, seed)
        self._drawn += 1
        return True

    def _run(
        self, operation: Any, args: tuple[Any, ...], kwargs: Any, refusal: Exception | None
    ) -> Any:
        if torch.Tag.nondeterministic_seeded not in getattr(operation, "tags", ()):
            return operation(*args, **kwargs)
        before = _states(kwargs.get("generator"))
        result = operation(*args, **kwargs)
        name = operation.overloadpacket.__name__
        seed = self._next_seed is None and name == "random_"  # of a function of initfast.torch
        # Attention without dropout draws nothing.
        if not seed and _states(kwargs.get("generator")) != before:
            self._by_torch[name if refusal is None else f"{name} ({refusal})"] += 1
        return result

    def report(self) -> str | None:
        """Say what torch drew since the mode was made, or that initfast drew nothing."""
        if self._by_torch:
            names = (f"{name}, {count}x" for name, count in self._by_torch.items())
            return (
                "torch drew with its own generator in this block of patch(): "
                f"{'; '.join(names)}. patch() does not determine these values; "
                "torch.manual_seed does"
            )
        seeded_anew = torch.default_generator.initial_seed() != self._torch_seed
        if self._next_seed and not seeded_anew and _states(None)[0] != self._state:
            return (
                "torch's generator was used during this block of patch() by another thread or by "
                "code that patch() does not see; patch() does not determine these values"
            )
        if not self._drawn:
            return "nothing was drawn in this block of patch()" + (
                ": its tensors have no memory (meta device); call "
                "initfast.torch.initialize(model, seed) instead"
                if self._without_values
                else "; build the model inside it"
            )
        return None


_dynamo = torch._C._dynamo.eval_frame
if hasattr(_dynamo, "set_code_exec_strategy"):  # what torch.compile runs is not to be compiled here
    _skip = _dynamo._FrameExecStrategy(_dynamo._FrameAction.SKIP, _dynamo._FrameAction.SKIP)
    _dynamo.set_code_exec_strategy(Mode.__torch_dispatch__.__code__, _skip)


def _plain(tensor: torch.Tensor) -> torch.Tensor:
    """Return the same elements as a tensor that `initfast.torch.init` takes.

    Raises:
        TypeError: if only the tensor's own class knows its memory.
    """
    if targets.is_sharded(tensor):
        return tensor
    if type(tensor).__torch_dispatch__ is torch.Tensor.__torch_dispatch__:
        with torch._C.DisableTorchFunctionSubclass():
            tensor = tensor.as_subclass(torch.Tensor)
    targets.check(tensor)
    # Elements are numbered in C order, whatever the dims; a complex one has an extra dim.
    return tensor.view(-1) if tensor.dim() >= MAX_DIMS else tensor


def _states(generator: Any) -> list[bytes]:
    """Return the states of a generator, or of torch's default ones."""
    generators = [generator]
    if generator is None:
        generators = [torch.default_generator, *torch.cuda.default_generators]  # none before CUDA
    with _disable_current_modes():  # a state is a tensor
        return [each.get_state().numpy().tobytes() for each in generators]
