"""Initialise a model: each parameter from the stream of its own name, shards and meta tensors
included.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, TypeVar

import torch
from torch.nn.parameter import is_lazy

from initfast.core.seeds import Seed, root_seed
from initfast.initializers.base import Initializer
from initfast.torch import rules as ruling
from initfast.torch import streams, targets
from initfast.torch.defaults import Spec, default, default_buffer
from initfast.torch.materialise import Site, is_meta, materialise, memory_of

_NAME_IT = (
    "initialize the whole model at once, or give each layer a stream of its own, "
    "seed=Seed(42).named('layers.0')"
)
AnyModule = TypeVar("AnyModule", bound=torch.nn.Module)

# What torch.compile, activation checkpointing and FSDP put between the names; state dicts leave it
# out too.
_WRAPPERS = re.compile(r"\b(_orig_mod|_checkpoint_wrapped_module|_fsdp_wrapped_module)\.")


class Planned(NamedTuple):
    """A parameter or buffer (`kind`) by the name of its stream, and what it is drawn from; None: it
    stays as it is.
    """

    kind: str
    name: str
    site: Site
    what: Spec | Initializer | None
    by_rule: bool

    @property
    def fill(self) -> targets.Fill:
        """How to write it. Raises ValueError, naming it, for arguments that do not fit."""
        return self.fill_of(self.site.tensor.dtype)

    def fill_of(self, dtype: torch.dtype) -> targets.Fill:
        """The same in another dtype."""
        assert self.what is not None
        try:
            return ruling.make_fill(self.what, tuple(self.site.tensor.shape), dtype)
        except (TypeError, ValueError, RuntimeError, ArithmeticError) as error:
            raise ValueError(f"{self.kind} {self.name!r}: {error}") from error


class _Entry(NamedTuple):
    name: str
    site: Site
    fill: targets.Fill


def initialize(
    module: AnyModule,
    seed: int | Seed | None = None,
    rules: Iterable[Any] = (),
    *,
    buffers: bool = False,
    device: Any = None,
) -> AnyModule:
    """Initialise every parameter of `module` in place, each from the stream of its own name, and
    return the module.

    The values of a parameter depend on the seed, its name, global shape and dtype and on what it is
    drawn from, so that any sharding of the model holds the same. Tied parameters are written once,
    in the stream of the first of their names and by the rule of the first name that has one.

    Args:
        module: any module, on any device. Parameters on the meta device get memory first, ties
            kept. DTensors (FSDP2, tensor parallelism) get their local part; fans are of the global
            shape.
        seed: integer in [0, 2**64), or a `Seed`, whose name then comes before the parameters'.
            A ReusedSeedWarning says if single layers of one model get one seed without a name.
            None: drawn from torch's default generator; refused if a parameter is a DTensor, because
            all ranks need the same.
        rules: pairs (pattern, what), or a dict of them; the first that matches a parameter's name
            decides. A pattern is a glob ("*.attn.*.weight") or an `re.Pattern`, and has to fit the
            whole of a name. `what` is a function of `torch.nn.init` by name or itself
            ("xavier_uniform_"), the same with arguments ("trunc_normal_(std=0.02)",
            ("trunc_normal_", {"std": 0.02}) or a functools.partial of keywords), any other text
            that `initfast.get` takes ("he_normal"), an initializer of initfast (its seed is not
            used, and its fans are torch's), or None: leave as it is. A parameter
            without a rule is drawn from what its module's own `reset_parameters` draws from. What a
            model does on top of that, in its own __init__, needs rules (or `patch`).
        buffers: also apply rules to buffers, and reset the running statistics of normalisation
            layers. All other buffers stay as they are in either case, and must not be on the meta
            device, where they are nothing.
        device: where meta tensors get their memory; default: where the mesh of a DTensor is, else
            the CPU.

    Raises:
        ValueError: if a parameter has neither rule nor default, a rule matches nothing, an argument
            does not fit a parameter, or a buffer on the meta device has no known values. Nothing
            has been written then.
        TypeError: if a parameter is of a tensor class that is not known, or a rule is no rule.
    """
    entries = list(_entries(module, ruling.parse(rules), buffers))
    base = _base_seed(seed, (entry.site.tensor for entry in entries))
    found = [(entry, targets.find(entry.site.tensor)) for entry in entries]
    if any(is_meta(tensor) for tensor in (*module.parameters(), *module.buffers())):
        materialise(module, device)
        found = [(entry, targets.find(entry.site.tensor)) for entry in entries]
    single = seed is not None and base.name is None and not any(module.children())
    for entry, target in found:
        if target is not None:
            stream = base.named(entry.name)
            # Of a single layer, whose names do not say which layer it is.
            if single and entry.fill.draws and not targets.is_sharded(entry.site.tensor):
                streams.note(stream, target.local, _NAME_IT)
            targets.write(entry.site.tensor, target, entry.fill, stream)
    return module


def _entries(module: torch.nn.Module, rules: list[ruling.Rule], buffers: bool) -> Iterator[_Entry]:
    """What is to be written. Raises if anything has no known values."""
    for planned in plan(module, rules, buffers):
        if planned.what is not None:
            yield _Entry(planned.name, planned.site, planned.fill)
        elif not is_meta(planned.site.tensor):
            continue
        elif planned.kind == "parameter":
            raise ValueError(
                f"a parameter on the meta device has nothing to leave; received {planned.name!r} "
                "and a rule None"
            )
        else:
            known = "" if buffers else ", which knows running statistics,"
            raise ValueError(
                "a buffer on the meta device has no values, and initfast does not know those of "
                f"{planned.name!r}: "
                f"make it on the CPU, or give buffers=True{known} and a rule"
            )


def plan(module: torch.nn.Module, rules: list[ruling.Rule], buffers: bool) -> Iterator[Planned]:
    """Every parameter, each memory once, then every buffer, with what it is drawn from.

    Raises:
        ValueError: if a parameter has neither rule nor default, or a rule matches nothing.
    """
    parts = dict(module.named_modules(remove_duplicate=False))
    parameters = dict(_sites(module, parts, "_parameters"))
    held = dict(_sites(module, parts, "_buffers"))
    considered = [stream_name(name) for name in (*parameters, *(held if buffers else ()))]
    lookup = ruling.lookup(rules, considered)
    tied: dict[Any, list[str]] = {}
    for name, site in parameters.items():
        _check("parameter", stream_name(name), site.tensor)
        tied.setdefault(memory_of(site.tensor), []).append(name)
    for names in tied.values():
        name, site = names[0], parameters[names[0]]
        tensor, stream = site.tensor, stream_name(name)
        rule = next(filter(None, (lookup(stream_name(each)) for each in names)), None)
        what = rule.what if rule else default(_ancestors(parts, name), tensor)
        if what is None and rule is None:
            owner = type(parts[name.rpartition(".")[0]]).__name__
            raise ValueError(
                "every parameter needs a rule or a module that initfast knows; received "
                f"{stream!r}, of shape "
                f"{tuple(tensor.shape)}, in a {owner}: give a rule such as ({stream!r}, 'zeros_')"
            )
        yield Planned("parameter", stream, site, what, rule is not None)
    for name, site in held.items():
        stream, what, rule = stream_name(name), None, None
        if buffers:
            owner_name, _, key = name.rpartition(".")
            rule = lookup(stream)
            what = rule.what if rule else default_buffer(parts[owner_name], key)
        if what is not None:
            _check("buffer", stream, site.tensor)
        yield Planned("buffer", stream, site, what, rule is not None)


def _check(kind: str, name: str, tensor: Any) -> None:
    if is_lazy(tensor):
        raise ValueError(
            f"{kind} {name!r} has no shape yet; run a batch through the lazy module first"
        )
    try:
        targets.check(tensor)
    except TypeError as error:
        raise TypeError(f"{kind} {name!r}: {error}") from None


def _sites(
    module: torch.nn.Module, parts: dict[str, torch.nn.Module], kind: str
) -> Iterator[tuple[str, Site]]:
    """Every parameter or buffer by name, once for each module that holds it."""
    seen: set[int] = set()
    for path, part in parts.items():
        if id(part) not in seen:
            seen.add(id(part))
            holder: dict[str, Any] = getattr(part, kind)
            for key, tensor in holder.items():
                if tensor is not None:
                    yield f"{path}.{key}" if path else key, Site(holder, key)


def _ancestors(parts: dict[str, torch.nn.Module], name: str) -> dict[str, torch.nn.Module]:
    """The modules that hold a parameter, outermost first, by the parameter's name within them."""
    steps = name.split(".")
    return {stream_name(".".join(steps[i:])): parts[".".join(steps[:i])] for i in range(len(steps))}


def stream_name(name: str) -> str:
    """The name of a parameter without what wrappers put into it."""
    return _WRAPPERS.sub("", name)


def _base_seed(seed: int | Seed | None, tensors: Iterable[Any]) -> Seed:
    if seed is None:
        return streams.choose(None, None, None, any(map(targets.is_sharded, tensors)))
    return root_seed(seed)
