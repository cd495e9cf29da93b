"""Record a model's own initialisation: run its `_init_weights`, `reset_parameters` and similar
methods on tensors without values, and return what each parameter is drawn from.
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
from initfast.torch.parametrized import ComputedWeight
from initfast.torch.tape import Event, Tape
from initfast.torch.targets import is_plain, is_sharded, local_part

Place = tuple[int, str]  # the id of a module's dict of tensors, and the key in it
# The methods by which a module initialises its own parameters.
_RESET_METHODS = ("reset_parameters", "_reset_parameters")
# The methods by which a model initialises all of its modules. Only the first one that a class has
# is run, because it calls the others.
_WHOLE_MODEL = (
    "initialize_weights",
    "init_states",
    "init_weights",
    "initialize_parameters",
    "init_parameters",
    "_initialize_weights",
    "_init_parameters",
    "_init_weights",
)


class Origin(NamedTuple):
    """What a tensor is drawn from, by the model's own code.

    Attributes:
        initializer: None if it is unknown.
        own: whether the model's code decides, not only the default of the tensor's layer.
        why: why it is unknown, for an error message; may be empty.
    """

    initializer: Spec | Initializer | None
    own: bool = True
    why: str = ""


Recording = Mapping[Place, Origin]


def place_of(site: Site | ComputedWeight) -> Place:
    """Return the key of a tensor in a recording."""
    return id(site.module if isinstance(site, ComputedWeight) else site.holder), site.key


def has_own_initialisation(module: nn.Module) -> bool:
    """Return whether a module, or one within it, has its own initialisation method, not torch's."""
    return any(_methods(part) for part in module.modules())


def record(module: nn.Module, defaults: Mapping[Place, Spec | None]) -> Recording:
    """Return what the module's own methods draw its parameters and buffers from. The module stays
    unchanged.

    Args:
        module: the module.
        defaults: what each tensor is drawn from before these methods run.

    Raises:
        ValueError: a method cannot run without values; the message names it and its class.
    """
    tape = Tape(
        protected={
            local_part(tensor).untyped_storage()._cdata
            for tensor in (*module.parameters(), *module.buffers())
            if _is_supported(tensor) and not is_lazy(tensor) and not is_meta(tensor)
        }
    )
    with snapshots.attributes(module):
        buffer_copies = _twins(module, tape, defaults)
        with tape:
            for part in _inside_out(module):
                for method, apply in _methods(part):
                    _run(part, method, apply)
        origins = _origins(module, tape, buffer_copies)
    return {**origins, **_from_constructors(module, origins)}


def build(make: Callable[[], nn.Module]) -> tuple[nn.Module, Recording]:
    """Run `make` on a tape. Return the module that it builds, with random tensors on the meta
    device, and what each of its tensors is drawn from.
    """
    tape = Tape()
    with tape:
        module = make()
    if not isinstance(module, nn.Module):
        raise TypeError(
            f"the function must return a torch.nn.Module; received {type(module).__name__}"
        )
    return module, _origins(module, tape, [])


def _tensor_sites(module: nn.Module) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Return every parameter and buffer that has a shape: its name, the dict of its module that
    holds it, and the key in this dict.
    """
    for path, part in module.named_modules():
        for holder in (part._parameters, part._buffers):
            for key, tensor in holder.items():
                if tensor is not None and not is_lazy(tensor) and _is_supported(tensor):
                    yield f"{path}.{key}" if path else key, holder, key


def _is_supported(tensor: Any) -> bool:
    return is_plain(tensor) or is_sharded(tensor)


def _origins(module: nn.Module, tape: Tape, buffer_copies: list[torch.Tensor]) -> Recording:
    """Return what the tape says about each tensor of the module, except unchanged buffers."""
    tensors = {(id(holder), key): holder[key] for _, holder, key in _tensor_sites(module)}
    refs = {each: tape.ref(tensor) for each, tensor in tensors.items() if tape.holds(tensor)}
    unchanged = {id(tensor) for tensor in buffer_copies if tensor._version == 0}
    history = programs.History(tape.events)
    padding: dict[int, set[int]] = defaultdict(set)
    for part in module.modules():
        for key, tensor in part._parameters.items():
            padding[id(tensor)] |= padding_rows([{key: part}])
    origins: dict[Place, Origin] = {}
    for each, tensor in tensors.items():
        if each in refs:
            try:
                origins[each] = Origin(*history.initializer_of(refs[each], padding[id(tensor)]))
            except programs.Uninitialised:
                origins[each] = Origin(None)
            except ValueError as error:
                origins[each] = Origin(None, why=str(error))
        elif id(tensor) not in unchanged:
            origins[each] = Origin(programs.of_values(tensor))
    return origins


def _from_constructors(module: nn.Module, origins: Recording) -> Recording:
    """Return the origins of tensors that only a constructor sets. Models of transformers can be
    built again from their config, on a tape.
    """
    rebuilt: dict[Place, Origin] = {}
    for part in module.modules():
        sites = {name: (id(holder), key) for name, holder, key in _tensor_sites(part)}
        unresolved = {
            name: each
            for name, each in sites.items()
            if each in origins and origins[each].initializer is None and each not in rebuilt
        }
        if unresolved and hasattr(part, "initialize_weights") and hasattr(part, "config"):
            try:
                twin, twin_origins = build(
                    functools.partial(type(part), copy.deepcopy(part.config))
                )
            except Exception as error:
                why = f"{type(part).__name__}(config) cannot be recorded: {error}"
                rebuilt.update({each: Origin(None, why=why) for each in unresolved.values()})
                continue
            by_name = {
                name: twin_origins[id(holder), key] for name, holder, key in _tensor_sites(twin)
            }
            rebuilt.update(
                {each: by_name[name] for name, each in unresolved.items() if name in by_name}
            )
    return rebuilt


def _twins(
    module: nn.Module, tape: Tape, defaults: Mapping[Place, Spec | None]
) -> list[torch.Tensor]:
    """Replace the module's tensors by twins without values, and buffers that have values by copies.

    Ties are preserved, unless the model has `tie_weights`, which ties them after the
    initialisation.

    Returns:
        The copies of the buffers."""
    ties = not any(hasattr(part, "tie_weights") for part in module.modules())
    twins: dict[Any, torch.Tensor] = {}
    copies = []
    for part in module.modules():
        vars(part).pop("_is_hf_initialized", None)  # otherwise transformers skips the module
    for _, holder, key in list(_tensor_sites(module)):
        tensor, place = holder[key], (id(holder), key)
        key_of_twin: Any = id(tensor) if ties else place
        if key_of_twin not in twins:
            if not isinstance(tensor, nn.Parameter) and not is_meta(tensor):
                twin = local_part(tensor).detach().cpu().clone()
                copies.append(twin)
            else:
                twin = _twin(tensor, twins.get(memory_of(tensor)) if ties else None)
                if twins.setdefault(memory_of(tensor), twin) is twin or not ties:
                    spec = defaults.get(place)
                    if spec is not None:
                        tape.events.append(Event("initial", (spec,), {}, (tape.ref(twin),)))
            vars(twin).update(vars(tensor))
            vars(twin).pop("_is_hf_initialized", None)
            twins[key_of_twin] = twin
        holder[key] = twins[key_of_twin]
    return copies


def _twin(tensor: Any, memory_owner: torch.Tensor | None) -> torch.Tensor:
    """Return a tensor of the whole shape on the meta device. `memory_owner`: the twin of a tied
    tensor, whose storage is shared.
    """
    if is_sharded(tensor):
        twin = torch.empty(tensor.shape, dtype=tensor.dtype, device="meta")
    else:
        twin = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")
        if memory_owner is not None and memory_owner.numel() == twin.numel():
            twin = torch.empty(0, dtype=twin.dtype, device="meta").set_(
                memory_owner.untyped_storage(), 0, twin.shape, twin.stride()
            )
    is_parameter = isinstance(tensor, nn.Parameter)
    return nn.Parameter(twin, tensor.requires_grad) if is_parameter else twin


def _inside_out(module: nn.Module) -> Iterator[nn.Module]:
    """Return every module once, children before their parents, as constructors run."""
    visited: set[int] = set()

    def walk(part: nn.Module) -> Iterator[nn.Module]:
        if id(part) not in visited:
            visited.add(id(part))
            for child in part.children():
                yield from walk(child)
            yield part

    return walk(module)


def _methods(part: nn.Module) -> list[tuple[str, bool]]:
    """Return the initialisation methods of a module that are not torch's, and whether each must be
    applied to every module within.
    """
    resets = [
        (name, False)
        for name in _RESET_METHODS
        if _is_own(part, name) and _required_arguments(part, name) == 0
    ]
    for name in _WHOLE_MODEL:
        argument_count = _required_arguments(part, name) if _is_own(part, name) else None
        if argument_count == 0 or (argument_count == 1 and name == "_init_weights"):
            return [*resets, (name, argument_count == 1)]
    return resets


def _is_own(part: nn.Module, name: str) -> bool:
    function = getattr(type(part), name, None)
    return callable(function) and not str(function.__module__).startswith("torch.nn.")


def _required_arguments(part: nn.Module, name: str) -> int:
    """Return the number of arguments that a method requires."""
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
            f"{type(part).__name__}.{name} cannot be recorded: {error}. Pass a rule for every "
            "parameter"
        ) from error
