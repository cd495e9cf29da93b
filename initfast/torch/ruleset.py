"""The rules that a model's own initialisation amounts to."""

from __future__ import annotations

import glob
from collections.abc import Callable

from torch import nn

from initfast.initializers.base import Initializer
from initfast.torch import deviations, recording
from initfast.torch.defaults import Spec
from initfast.torch.packed import Blocks
from initfast.torch.plan import plan


def rules_from(
    model: nn.Module | Callable[[], nn.Module],
) -> list[tuple[str, Spec | Initializer | Blocks | None]]:
    """Return what a model's own initialisation draws each parameter from, as rules for
    `initialize` and `spec_from`.

    The model's code runs with its draws recorded instead of made: nothing is written, and no memory
    is needed for what would be drawn. The layers' defaults come first; then, from the inside out,
    each class's own `reset_parameters` and `initialize_weights`, `init_weights`, `_init_weights` or
    the like; the last that writes a parameter decides.

    Args:
        model: a module on any device, also the meta device or sharded; or a function without
            arguments that builds one, such as `lambda: GPT(config)`. What a constructor does beyond
            the methods above can be seen only while it runs: pass the function if it does
            anything, such as scaling some weights at its end. A UserWarning names the parameters of
            a new model that hold something else, as `initialize` says.

    Returns:
        Pairs (name, what), a pair for each parameter and each buffer with known values. `what` is a
        function of `torch.nn.init` with its arguments, an initializer of initfast where the model
        computes values in several steps, or None for frozen parameters that keep what they hold.
        Put your rules in front of them: the first that matches decides.

    Raises:
        ValueError: naming all parameters that nothing initialises, or the method that cannot run
            without values.
        TypeError: the function does not build a module.
    """
    if isinstance(model, nn.Module):
        planned = list(plan(model, [], buffers=True))
        deviations.check(planned)
    else:
        module, recorded = recording.build(model)
        planned = list(plan(module, [], buffers=True, recorded=recorded))
    return [
        (glob.escape(each.name), each.what)
        for each in planned
        if each.kind == "parameter" or each.what is not None
    ]
