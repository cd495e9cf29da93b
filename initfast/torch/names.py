"""The names of parameters in the plain model, without the prefixes of wrappers, and the modules
that hold a parameter.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

__all__ = ["holders", "stream_name"]

# torch.compile, activation checkpointing and FSDP add these steps to names. State dicts omit them.
_STEPS = {"_orig_mod", "_checkpoint_wrapped_module", "_fsdp_wrapped_module"}
# Classes that keep a whole model as their `module`. They are compared by name, so that DeepSpeed
# need not be imported.
_WRAPPERS = {"AveragedModel", "DataParallel", "DeepSpeedEngine", "DistributedDataParallel"}


def holders(parts: Mapping[str, nn.Module], name: str) -> dict[str, nn.Module]:
    """Return the modules that hold a parameter, outermost first: from the parameter's name within
    each module to the module. The first key is the name in the plain model, without wrappers.

    Args:
        parts: all modules by path, from `named_modules(remove_duplicate=False)`.
        name: the parameter's name, from `named_parameters`.
    """
    steps = name.split(".")
    path: list[tuple[nn.Module, str]] = []
    for index, step in enumerate(steps):
        holder = parts[".".join(steps[:index])]
        wrapped = step in _STEPS or (step == "module" and _is_wrapper(holder))
        if not wrapped or index == len(steps) - 1:
            path.append((holder, step))
    return {
        ".".join(step for _, step in path[index:]): holder for index, (holder, _) in enumerate(path)
    }


def stream_name(parts: Mapping[str, nn.Module], name: str) -> str:
    """Return the name of a parameter in the plain model, which is also the name of its stream."""
    return next(iter(holders(parts, name)))


def _is_wrapper(module: nn.Module) -> bool:
    return any(kind.__name__ in _WRAPPERS for kind in type(module).__mro__)
