"""What each parameter and buffer of a model is drawn from: a rule, or the model's own
initialisation, or its layer's default.
"""

from __future__ import annotations

import glob
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch.nn.parameter import is_lazy

from initfast.core.warn import warn
from initfast.initializers.base import Initializer
from initfast.torch import recording, targets
from initfast.torch import rules as ruling
from initfast.torch.defaults import Spec, axes_of, default, default_buffer, padding_rows
from initfast.torch.materialise import Site, is_meta, memory_of
from initfast.torch.names import holders
from initfast.torch.packed import Blocks
from initfast.torch.parametrized import Computed, computed
from initfast.torch.unsharded import check_unsharded, flat_shards


class Planned(NamedTuple):
    """A parameter or buffer (`kind`) by the name of its stream, and what it is drawn from; None: it
    stays as it is.
    """

    kind: str
    name: str
    site: Site | Computed
    what: Spec | Initializer | Blocks | None
    by_rule: bool
    axes: str = "torch"
    zero_rows: frozenset[int] = frozenset()

    @property
    def fill(self) -> targets.Fill:
        """Return how to write it. Raises ValueError, naming it, for arguments that do not fit."""
        return self.fill_of(self.site.tensor.dtype)

    def fill_of(self, dtype: torch.dtype) -> targets.Fill:
        """Return the same in another dtype."""
        assert self.what is not None
        try:
            fill = ruling.make_fill(self.what, tuple(self.site.tensor.shape), dtype, self.axes)
            return ruling.with_zero_rows(fill, self.zero_rows) if self.zero_rows else fill
        except (TypeError, ValueError, RuntimeError, ArithmeticError) as error:
            raise ValueError(f"{self.kind} {self.name!r}: {error}") from error


def tensors_of(site: Site | Computed) -> list[Any]:
    """Return the tensors of a parameter: itself, or the ones from which it is computed."""
    return [part.tensor for part in (site.parameters if isinstance(site, Computed) else (site,))]


def plan(
    module: torch.nn.Module,
    rules: list[ruling.Rule],
    buffers: bool,
    recorded: recording.Recording | None = None,
) -> Iterator[Planned]:
    """Return every parameter, each memory once, then every buffer, with what it is drawn from: a
    rule, or the model's own initialisation, or its layer's default.

    Raises:
        ValueError: if parameters have none of them (all are named), or a rule matches nothing.
    """
    parts = dict(module.named_modules(remove_duplicate=False))
    parameters = dict(_sites(parts, "_parameters"))
    held = dict(_sites(parts, "_buffers"))
    held_by = {name: holders(parts, name) for name in (*parameters, *held)}
    # A rule of exactly a buffer's name asks for the buffer.
    exact = {rule.pattern for rule in rules}
    asked = [name for name in held if buffers or glob.escape(next(iter(held_by[name]))) in exact]
    ruling.check_used(rules, [held_by[name] for name in (*parameters, *asked)])
    shards = flat_shards(parts)
    tied: dict[Any, list[str]] = {}
    for name, site in parameters.items():
        memory = id(site) if isinstance(site, Computed) else memory_of(site.tensor)
        tied.setdefault(memory, []).append(name)
    by_rule: dict[str, ruling.Rule | None] = {}
    for names in tied.values():
        name, site = names[0], parameters[names[0]]
        rule = next(filter(None, (ruling.first(rules, held_by[other]) for other in names)), None)
        if rule is None or rule.what is not None:
            for part in tensors_of(site):
                stream = next(iter(held_by[name]))
                _check("parameter", stream, part)
                check_unsharded(stream, part, shards)
        by_rule[name] = rule
    known = _known(module, by_rule, {**parameters, **held}, held_by, recorded)
    problems = []
    for names in tied.values():
        name, each = names[0], held_by[names[0]]
        site, rule, own = parameters[name], by_rule[name], known[name]
        tensor, stream, owner = site.tensor, next(iter(each)), list(each.values())[-1]
        trained = any(part.requires_grad for part in tensors_of(site))
        frozen = not (own.own or trained)  # its constructor may know better than its layer
        what = ruling.within(rule.what, owner) if rule else None if frozen else own.what
        if what is None and rule is None and (trained or any(map(is_meta, tensors_of(site)))):
            why = "frozen as its constructor made it" if frozen else own.why
            problems.append((stream, tensor, owner, why))
            continue
        axes = _axes(stream, owner, tensor, what) if rule else "torch"
        zero = frozenset(padding_rows(held_by[other] for other in names))
        yield Planned("parameter", stream, site, what, rule is not None, axes, zero)
    if problems:
        raise ValueError(_unknown(problems))
    listed = ruling.for_buffers(rules, (held_by[name] for name in parameters))
    for name, site in held.items():
        stream, what, rule = next(iter(held_by[name])), None, None
        if name in asked:
            rule = ruling.first(listed, held_by[name])
        if rule is not None:
            what = rule.what
        elif buffers or is_meta(site.tensor):
            what = known[name].what
        if what is not None:
            _check("buffer", stream, site.tensor)
        yield Planned("buffer", stream, site, what, rule is not None)


def _known(
    module: torch.nn.Module,
    by_rule: Mapping[str, ruling.Rule | None],
    sites: Mapping[str, Site | Computed],
    held_by: Mapping[str, ruling.Holders],
    recorded: recording.Recording | None,
) -> dict[str, recording.Known]:
    """Return what tensors without a rule are drawn from, by name. `by_rule` names the
    parameters.
    """
    defaults = {}
    for name, site in sites.items():
        if name in by_rule and by_rule[name] is None:
            defaults[name] = default(held_by[name], site.tensor)
        elif name not in by_rule and isinstance(site, Site):
            key, owner = list(held_by[name].items())[-1]
            defaults[name] = default_buffer(owner, key)
    if recorded is None:
        lacking = not all(by_rule.values()) or any(is_meta(each) for each in module.buffers())
        recorded = {}
        if lacking and recording.has_own(module):
            places = {recording.place(sites[name]): what for name, what in defaults.items()}
            recorded = recording.record(module, places)
    return {
        name: recorded.get(recording.place(site), recording.Known(defaults.get(name), own=False))
        for name, site in sites.items()
    }


def _unknown(problems: list[tuple[str, Any, torch.nn.Module, str]]) -> str:
    listed = "; ".join(
        f"{stream!r}, of shape {tuple(tensor.shape)}, in a {type(owner).__name__}"
        f"{why and f' ({why})'}"
        for stream, tensor, owner, why in problems
    )
    stream, tensor, *_ = problems[0]
    return (
        "every parameter needs a rule or a module that initialises it in a method or that initfast "
        f"knows; received {listed}: pass rules such as "
        f"({stream!r}, {_harmless(stream, tensor)!r}), or rules_from(a function that builds the "
        "model)"
    )


def _harmless(name: str, tensor: Any) -> Any:
    """Return what a parameter of this name and rank usually holds at first."""
    if name.endswith("bias"):
        return "zeros_"
    return "ones_" if tensor.dim() < 2 else "normal_(std=0.02)"


def _axes(name: str, holder: torch.nn.Module, tensor: Any, what: Any) -> str:
    """Return which axes of a parameter are what to a rule that does not say so."""
    if not ruling.takes_axes(what):
        return "torch"
    axes, certain = axes_of(name, holder, tensor)
    if not certain:
        warn(
            f"parameter {name!r} of shape {tuple(tensor.shape)}, in a {type(holder).__name__}, is"
            f" drawn as {tensor.shape[0]} stacked matrices (out, in), each with separate fans. "
            "Say so in its rule, with batch_dims=1, or with batch_dims=0 if it is the kernel of a "
            "convolution (input_axes= and output_axes= in an initializer of initfast).",
            UserWarning,
        )
    return axes


def _check(kind: str, name: str, tensor: Any) -> None:
    if is_lazy(tensor):
        raise ValueError(
            f"{kind} {name!r} has no shape yet; run a batch through the lazy module first, or give "
            "a rule None, which leaves it as it is"
        )
    try:
        targets.check(tensor)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{kind} {name!r}: {error}") from None


def _sites(parts: dict[str, torch.nn.Module], kind: str) -> Iterator[tuple[str, Site | Computed]]:
    """Return every parameter or buffer by name, once for each module that holds it.

    A weight that a module computes is there in the place of what it is computed from.
    """
    seen: set[int] = set()
    weights = {path: list(computed(part)) for path, part in parts.items()}
    hidden = {
        (id(site.holder), site.key)
        for each in weights.values()
        for weight in each
        for site in (*weight.parameters, *weight.buffers)
    }
    for path, part in parts.items():
        if id(part) in seen:
            continue
        seen.add(id(part))
        prefix = f"{path}." if path else ""
        if kind == "_parameters":
            yield from ((f"{prefix}{weight.key}", weight) for weight in weights[path])
        holder: dict[str, Any] = getattr(part, kind)
        for key, tensor in holder.items():
            if tensor is not None and (id(holder), key) not in hidden:
                yield f"{prefix}{key}", Site(holder, key)
