"""`rules_from`: a model's own initialisation as rules."""

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
    """Return a model's own initialisation as rules for `initialize` and `spec_from`: what it draws
    each parameter from.

    The model's code runs on a recorder: nothing is drawn or written, and random tensors need no
    memory. The defaults of the layers come first. Then the methods `reset_parameters`,
    `initialize_weights`, `init_weights`, `_init_weights` and similar ones of each class run, from
    the innermost modules outwards. The last one that writes a parameter decides.

    Args:
        model: a module on any device, also sharded or on the meta device; or a function without
            arguments that builds one, such as `lambda: GPT(config)`. Pass the function if the
            constructor does more than these methods, such as scaling some weights at its end: this
            can be recorded only while the constructor runs. A UserWarning names the parameters of a
            new model that hold other values, as in `initialize`.

    Returns:
        Pairs (name, initializer), one for each parameter and each buffer with known values. The
        initializer is a function of `torch.nn.init` with its arguments, an initializer of initfast
        if the model computes values in several steps, or None for frozen parameters that stay
        unchanged. Put your own rules before them: the first rule that matches decides.

    Raises:
        ValueError: nothing initialises some parameters (the message names all of them), or a method
            cannot run without values (the message names it).
        TypeError: the function does not return a module.

    >>> rules_from(nn.Linear(4, 2))[1]
    ('bias', Spec(function='uniform_', arguments={'a': -0.5, 'b': 0.5}))
    """
    if isinstance(model, nn.Module):
        entries = list(plan(model, [], buffers=True))
        deviations.check(entries)
    else:
        module, recording_of_model = recording.build(model)
        entries = list(plan(module, [], buffers=True, recorded=recording_of_model))
    return [
        (glob.escape(each.name), each.initializer)
        for each in entries
        if each.kind == "parameter" or each.initializer is not None
    ]
