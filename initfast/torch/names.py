"""Names of parameters as the plain model has them, and the modules that hold a parameter."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

__all__ = ["holders", "stream_name"]

# Steps that torch.compile, activation checkpointing and FSDP put into names; state dicts leave them
# out too.
_STEPS = {"_orig_mod", "_checkpoint_wrapped_module", "_fsdp_wrapped_module"}
# Classes that keep a whole model as their `module`. By name: DeepSpeed's and Megatron's as well,
# which nobody should import for this.
_WRAPPERS = {"AveragedModel", "DataParallel", "DeepSpeedEngine", "DistributedDataParallel"}


def holders(parts: Mapping[str, nn.Module], name: str) -> dict[str, nn.Module]:
    """Return the modules that hold a parameter, outermost first, by its name within each.

    The first key is the parameter's name in the plain model; wrappers do not count.

    Args:
        parts: all modules by path, as of `named_modules(remove_duplicate=False)`.
        name: the parameter's name, as of `named_parameters`.
    """
    steps = name.split(".")
    kept: list[tuple[nn.Module, str]] = []
    for place, step in enumerate(steps):
        holder = parts[".".join(steps[:place])]
        wrapped = step in _STEPS or (step == "module" and _is_wrapper(holder))
        if not wrapped or place == len(steps) - 1:
            kept.append((holder, step))
    return {
        ".".join(step for _, step in kept[place:]): holder for place, (holder, _) in enumerate(kept)
    }


def stream_name(parts: Mapping[str, nn.Module], name: str) -> str:
    """Return the name of a parameter in the plain model, which is that of its stream."""
    return next(iter(holders(parts, name)))


def _is_wrapper(module: nn.Module) -> bool:
    return any(kind.__name__ in _WRAPPERS for kind in type(module).__mro__)
