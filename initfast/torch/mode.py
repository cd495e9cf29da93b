"""`Mode`: the torch dispatch mode behind `patch`, which draws with initfast and reports the draws
that it left to torch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from initfast.core.indexing import MAX_DIMS
from initfast.core.seeds import Seed
from initfast.torch import aten, recipes, streams, targets

_ERRORS = (TypeError, ValueError, RuntimeError, ArithmeticError)
FUNCTIONS = ("trunc_normal_", "orthogonal_", "sparse_")
"""Functions of `torch.nn.init` with several draws in torch. `Mode.do` does them as a whole."""


class Mode(TorchDispatchMode):  # type: ignore[misc, no-untyped-call, unused-ignore]
    """A context in which the operations that `aten` knows are drawn with initfast in this thread.

    Args:
        next_seed: a function that returns the stream of the next draw. None: torch's generator
            gives a seed for each draw.
    """

    supports_higher_order_operators = True  # they run unchanged

    def __init__(self, next_seed: Callable[[], Seed] | None) -> None:
        super().__init__()  # type: ignore[no-untyped-call, unused-ignore]
        self._next_seed = next_seed
        self._draw_count = 0
        self._meta_count = 0
        self._draws_of_torch: Counter[str] = Counter()
        self._last_uniform: aten.Uniform | None = None
        self._initial_state = _states(None)[0]
        self._initial_seed = torch.default_generator.initial_seed()

    @classmethod
    def is_infra_mode(cls) -> bool:
        return True  # otherwise torch.compile raises an error or skips the function

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # torch skips it by importing torch._dynamo, which takes seconds

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        last, self._last_uniform = self._last_uniform, None
        error_of_initfast = None
        try:
            draw = aten.parse_inverse(operation, args, last)
            draw = draw or aten.parse(operation, args, kwargs)
            if draw is None and self._next_seed:
                draw = aten.parse_seed(operation, args, kwargs)
            if draw and self._fill(draw, kwargs.get("generator")):
                return draw.finish(draw.tensor) if draw.finish else draw.tensor
        except _ERRORS as error:  # torch tries next, and raises its own error if it fails
            error_of_initfast = error
        return self._run(operation, args, kwargs, error_of_initfast)

    def do(self, function: str, tensor: Any, arguments: dict[str, Any]) -> bool:
        """Do the work of a function of `torch.nn.init`. Return False if initfast cannot."""
        self._last_uniform = None
        *numbers, generator = arguments.values()
        try:
            return self._fill(aten.Draw(tensor, function, tuple(numbers)), generator)
        except _ERRORS:  # torch runs the function, and its draws arrive in __torch_dispatch__
            return False

    def _fill(self, draw: aten.Draw, generator: Any) -> bool:
        """Fill the tensor of a draw. Return False if it has no memory or no elements."""
        tensor = _plain(draw.tensor)
        if not targets.has_values(tensor):
            self._meta_count += 1
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
        if target is not None:  # this process holds a part of the tensor
            targets.write(tensor, target, fill, seed)
        if draw.function == "uniform_":
            low, high = draw.arguments
            self._last_uniform = aten.Uniform(aten.memory_of(draw.tensor), low, high, seed)
        self._draw_count += 1
        return True

    def _run(
        self, operation: Any, args: tuple[Any, ...], kwargs: Any, error: Exception | None
    ) -> Any:
        """Let torch run an operation, and count it if it draws with torch's generator."""
        if torch.Tag.nondeterministic_seeded not in getattr(operation, "tags", ()):
            return operation(*args, **kwargs)
        states = _states(kwargs.get("generator"))
        result = operation(*args, **kwargs)
        name = operation.overloadpacket.__name__
        draws_seed = (
            self._next_seed is None and name == "random_"
        )  # of a function of initfast.torch
        # An operation may be marked random and draw nothing, such as attention without dropout.
        if not draws_seed and _states(kwargs.get("generator")) != states:
            self._draws_of_torch[name if error is None else f"{name} ({error})"] += 1
        return result

    def report(self) -> str | None:
        """Return a warning if torch drew something or initfast drew nothing, else None."""
        if self._draws_of_torch:
            operations = (f"{name}, {count}x" for name, count in self._draws_of_torch.items())
            return (
                "torch drew with its own generator in this block of patch(): "
                f"{'; '.join(operations)}. These values depend on torch.manual_seed, not on "
                "patch()"
            )
        reseeded = torch.default_generator.initial_seed() != self._initial_seed
        if self._next_seed and not reseeded and _states(None)[0] != self._initial_state:
            return (
                "torch's generator was used during this block of patch() by another thread or by "
                "code that patch() cannot intercept; these values do not depend on patch()"
            )
        if not self._draw_count:
            return "nothing was drawn in this block of patch()" + (
                ": its tensors have no memory (meta device); call "
                "initfast.torch.initialize(model, seed) instead"
                if self._meta_count
                else "; build the model inside it"
            )
        return None


_dynamo = torch._C._dynamo.eval_frame
if hasattr(_dynamo, "set_code_exec_strategy"):  # torch.compile must not compile the mode itself
    _skip = _dynamo._FrameExecStrategy(_dynamo._FrameAction.SKIP, _dynamo._FrameAction.SKIP)
    _dynamo.set_code_exec_strategy(Mode.__torch_dispatch__.__code__, _skip)


def _plain(tensor: torch.Tensor) -> torch.Tensor:
    """Return the same memory as a tensor that a fill accepts.

    Raises:
        TypeError: only the tensor's own class understands its memory.
    """
    if targets.is_sharded(tensor):
        return tensor
    if type(tensor).__torch_dispatch__ is torch.Tensor.__torch_dispatch__:
        with torch._C.DisableTorchFunctionSubclass():
            tensor = tensor.as_subclass(torch.Tensor)
    targets.check(tensor)
    # Values depend only on the C order of the elements, so the shape may be flattened. Complex
    # tensors need an additional dim.
    return tensor.view(-1) if tensor.dim() >= MAX_DIMS else tensor


def _states(generator: Any) -> list[bytes]:
    """Return the state of a generator, or the states of torch's default generators."""
    generators = [generator]
    if generator is None:
        generators = [
            torch.default_generator,
            *torch.cuda.default_generators,
        ]  # empty before CUDA is initialised
    with _disable_current_modes():  # reading a state uses tensor operations
        return [each.get_state().numpy().tobytes() for each in generators]
