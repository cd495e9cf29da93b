"""A model's own initialisation, recorded: its `_init_weights`, `reset_parameters` and the like run
on tensors without values, and say what each parameter is drawn from.
"""

from __future__ import annotations

import copy
import functools
import inspect
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from initfast.initializers.base import Initializer
from initfast.torch import programs, snapshots
from initfast.torch.defaults import Spec, padding_rows
from initfast.torch.materialise import Site, is_meta, memory_of
from initfast.torch.parametrized import Computed
from initfast.torch.tape import Event, Tape
from initfast.torch.targets import is_plain, is_sharded, local_part

Place = tuple[int, str]  # id of a module's dict of tensors, and the key
# In the order of a constructor, which sets its own parameters before it looks at its children's.
_RESETS = ("reset_parameters", "_reset_parameters")
# The first of them that a class has calls the others.
_WHOLE = (
    "initialize_weights",
    "init_states",
    "init_weights",
    "initialize_parameters",
    "init_parameters",
    "_initialize_weights",
    "_init_parameters",
    "_init_weights",
)


class Known(NamedTuple):
    """What a tensor is drawn from, and whether more than its layer's default says so (`own`).

    `what` is None if that cannot be known; `why` then says more."""

    what: Spec | Initializer | None
    own: bool = True
    why: str = ""


Recording = Mapping[Place, Known]


def place(site: Site | Computed) -> Place:
    """Return the key of a recording."""
    return id(site.module if isinstance(site, Computed) else site.holder), site.key


def has_own(module: nn.Module) -> bool:
    """Return whether a class that is not torch's has its own initialisation."""
    return any(_methods(part) for part in module.modules())


def record(module: nn.Module, defaults: Mapping[Place, Spec | None]) -> Recording:
    """Return what the module's own methods do to its parameters and buffers, which stay as they
    are.

    Args:
        defaults: what each tensor holds before.

    Raises:
        ValueError: naming the class and the method, if one of them cannot run without values.
    """
    tape = Tape(
        protected={
            local_part(tensor).untyped_storage()._cdata
            for tensor in (*module.parameters(), *module.buffers())
            if _understood(tensor) and not is_lazy(tensor) and not is_meta(tensor)
        }
    )
    with snapshots.attributes(module):
        untouched = _twins(module, tape, defaults)
        with tape:
            for part in _inside_out(module):
                for method, apply in _methods(part):
                    _run(part, method, apply)
        found = _found(module, tape, untouched)
    return {**found, **_rebuilt(module, found)}


def build(make: Callable[[], nn.Module]) -> tuple[nn.Module, Recording]:
    """Return the module that `make` builds, whose drawn tensors are on the meta device, and what
    all of its tensors are drawn from.
    """
    tape = Tape()
    with tape:
        module = make()
    if not isinstance(module, nn.Module):
        raise TypeError(f"the function must return a module; received {type(module).__name__}")
    return module, _found(module, tape, [])


def _held(module: nn.Module) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Return every parameter and buffer that has a shape: its name, its module's dict of such, and
    the key in there.
    """
    for path, part in module.named_modules():
        for holder in (part._parameters, part._buffers):
            for key, tensor in holder.items():
                if tensor is not None and not is_lazy(tensor) and _understood(tensor):
                    yield f"{path}.{key}" if path else key, holder, key


def _understood(tensor: Any) -> bool:
    return is_plain(tensor) or is_sharded(tensor)


def _found(module: nn.Module, tape: Tape, untouched: list[torch.Tensor]) -> Recording:
    tensors = {(id(holder), key): holder[key] for _, holder, key in _held(module)}
    refs = {each: tape.ref(tensor) for each, tensor in tensors.items() if tape.holds(tensor)}
    same = {id(tensor) for tensor in untouched if tensor._version == 0}
    history = programs.History(tape.events)
    padding: dict[int, set[int]] = defaultdict(set)
    for part in module.modules():
        for key, tensor in part._parameters.items():
            padding[id(tensor)] |= padding_rows([{key: part}])
    found: dict[Place, Known] = {}
    for each, tensor in tensors.items():
        if each in refs:
            try:
                found[each] = Known(*history.what(refs[each], padding[id(tensor)]))
            except programs.Unknown:
                found[each] = Known(None)
            except ValueError as error:
                found[each] = Known(None, why=str(error))
        elif id(tensor) not in same:
            found[each] = Known(programs.held(tensor))
    return found


def _rebuilt(module: nn.Module, found: Recording) -> Recording:
    """Return what only the constructors of transformers' models say: they can be called again."""
    more: dict[Place, Known] = {}
    for part in module.modules():
        sites = {name: (id(holder), key) for name, holder, key in _held(part)}
        wanted = {
            name: each
            for name, each in sites.items()
            if each in found and found[each].what is None and each not in more
        }
        if wanted and hasattr(part, "initialize_weights") and hasattr(part, "config"):
            try:
                twin, recorded = build(functools.partial(type(part), copy.deepcopy(part.config)))
            except Exception as error:
                why = f"{type(part).__name__}(config) cannot be recorded: {error}"
                more.update({each: Known(None, why=why) for each in wanted.values()})
                continue
            built = {name: recorded[id(holder), key] for name, holder, key in _held(twin)}
            more.update({each: built[name] for name, each in wanted.items() if name in built})
    return more


def _twins(
    module: nn.Module, tape: Tape, defaults: Mapping[Place, Spec | None]
) -> list[torch.Tensor]:
    """Put tensors without values in place of the module's own, except for buffers that have some.

    Ties are kept, unless the model ties its tensors again after their initialisation.

    Returns:
        copies of the buffers that have values."""
    ties = not any(hasattr(part, "tie_weights") for part in module.modules())
    made: dict[Any, torch.Tensor] = {}
    copies = []
    for part in module.modules():
        vars(part).pop("_is_hf_initialized", None)  # else transformers leaves it as it is
    for _, holder, key in list(_held(module)):
        tensor, same = holder[key], (id(holder), key)
        identity: Any = id(tensor) if ties else same
        if identity not in made:
            if not isinstance(tensor, nn.Parameter) and not is_meta(tensor):
                twin = local_part(tensor).detach().cpu().clone()
                copies.append(twin)
            else:
                twin = _twin(tensor, made.get(memory_of(tensor)) if ties else None)
                if made.setdefault(memory_of(tensor), twin) is twin or not ties:
                    spec = defaults.get(same)
                    if spec is not None:
                        tape.events.append(Event("initial", (spec,), {}, (tape.ref(twin),)))
            vars(twin).update(vars(tensor))
            vars(twin).pop("_is_hf_initialized", None)
            made[identity] = twin
        holder[key] = made[identity]
    return copies


def _twin(tensor: Any, tied: torch.Tensor | None) -> torch.Tensor:
    """Return a tensor of the whole's shape on the meta device, over the memory of another."""
    if is_sharded(tensor):
        twin = torch.empty(tensor.shape, dtype=tensor.dtype, device="meta")
    else:
        twin = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")
        if tied is not None and tied.numel() == twin.numel():
            twin = torch.empty(0, dtype=twin.dtype, device="meta").set_(
                tied.untyped_storage(), 0, twin.shape, twin.stride()
            )
    is_parameter = isinstance(tensor, nn.Parameter)
    return nn.Parameter(twin, tensor.requires_grad) if is_parameter else twin


def _inside_out(module: nn.Module) -> Iterator[nn.Module]:
    """Return every module once, children before those that hold them, as constructors run."""
    seen: set[int] = set()

    def walk(part: nn.Module) -> Iterator[nn.Module]:
        if id(part) not in seen:
            seen.add(id(part))
            for child in part.children():
                yield from walk(child)
            yield part

    return walk(module)


def _methods(part: nn.Module) -> list[tuple[str, bool]]:
    """Return the methods by which a class initialises itself, and whether each is to be applied to
    every module within.
    """
    found = [(name, False) for name in _RESETS if _own(part, name) and _needs(part, name) == 0]
    for name in _WHOLE:
        needs = _needs(part, name) if _own(part, name) else None
        if needs == 0 or (needs == 1 and name == "_init_weights"):
            return [*found, (name, needs == 1)]
    return found


def _own(part: nn.Module, name: str) -> bool:
    function = getattr(type(part), name, None)
    return callable(function) and not str(function.__module__).startswith("torch.nn.")


def _needs(part: nn.Module, name: str) -> int:
    """Return how many arguments a method cannot do without."""
    return sum(
        each.default is each.empty and each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
        for each in inspect.signature(getattr(part, name)).parameters.values()
    )


def _run(part: nn.Module, name: str, apply: bool) -> None:
    method = getattr(part, name)
    try:
        if apply:
            part.apply(method)
        else:
            method()
    except Exception as error:
        raise ValueError(
            f"{type(part).__name__}.{name} cannot be recorded: {error}. Pass rules for all "
            "parameters"
        ) from error
