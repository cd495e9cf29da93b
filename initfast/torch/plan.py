"""`plan`: decide what each parameter and buffer of a model is drawn from: a rule, the model's own
initialisation, or the default of its layer. Nothing is written.
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
from initfast.torch.parametrized import ComputedWeight, computed_weights
from initfast.torch.unsharded import check_unsharded, flat_shards


class PlanEntry(NamedTuple):
    """A parameter or buffer, and its initializer.

    Attributes:
        kind: "parameter" or "buffer".
        name: the name in the plain model, which is also the name of its stream.
        site: the place of the tensor in its module.
        initializer: None leaves the tensor unchanged.
        by_rule: whether a rule of the user decided.
        axes: the row of `fans.AXES` for its fans.
        zero_rows: rows that are 0 in any case (padding of embeddings).
    """

    kind: str
    name: str
    site: Site | ComputedWeight
    initializer: Spec | Initializer | Blocks | None
    by_rule: bool
    axes: str = "torch"
    zero_rows: frozenset[int] = frozenset()

    @property
    def fill(self) -> targets.Fill:
        """Return the fill of the tensor. Raises ValueError, with its name, if an argument of the
        initializer does not fit it.
        """
        return self.fill_of(self.site.tensor.dtype)

    def fill_of(self, dtype: torch.dtype) -> targets.Fill:
        """Return the fill for another dtype."""
        assert self.initializer is not None
        try:
            fill = ruling.make_fill(
                self.initializer, tuple(self.site.tensor.shape), dtype, self.axes
            )
            return ruling.with_zero_rows(fill, self.zero_rows) if self.zero_rows else fill
        except (TypeError, ValueError, RuntimeError, ArithmeticError) as error:
            raise ValueError(f"{self.kind} {self.name!r}: {error}") from error


def tensors_of(site: Site | ComputedWeight) -> list[Any]:
    """Return the tensor at a site, or the tensors that a parametrized weight is computed from."""
    return [
        part.tensor for part in (site.parameters if isinstance(site, ComputedWeight) else (site,))
    ]


def plan(
    module: torch.nn.Module,
    rules: list[ruling.Rule],
    buffers: bool,
    recorded: recording.Recording | None = None,
) -> Iterator[PlanEntry]:
    """Return an entry for every parameter, tied ones once, then for every buffer. It is drawn from
    the first rule that matches, else from the model's own initialisation, else from the default of
    its layer.

    Args:
        module: the module.
        rules: the parsed rules.
        buffers: whether to plan all buffers, not only meta ones and the ones named by a rule.
        recorded: the recording of the function that built the module, if there is one.

    Raises:
        ValueError: a parameter has neither rule nor initialisation nor default (the message names
            all of them), a rule matches nothing, or a tensor cannot be written.
    """
    parts = dict(module.named_modules(remove_duplicate=False))
    parameters = dict(_sites(parts, "_parameters"))
    buffer_sites = dict(_sites(parts, "_buffers"))
    holders_of = {name: holders(parts, name) for name in (*parameters, *buffer_sites)}
    # A rule with exactly the name of a buffer applies to it, with or without `buffers`.
    exact = {rule.pattern for rule in rules}
    with_rules = [
        name
        for name in buffer_sites
        if buffers or glob.escape(next(iter(holders_of[name]))) in exact
    ]
    ruling.check_used(rules, [holders_of[name] for name in (*parameters, *with_rules)])
    ties = _ties(parameters)
    rule_of = {names[0]: _rule_of(rules, names, holders_of) for names in ties}
    shards = flat_shards(parts)
    for name, rule in rule_of.items():
        if rule is None or rule.initializer is not None:
            for part in tensors_of(parameters[name]):
                stream = next(iter(holders_of[name]))
                _check("parameter", stream, part)
                check_unsharded(stream, part, shards)
    origins = _origins(module, rule_of, {**parameters, **buffer_sites}, holders_of, recorded)
    yield from _parameter_entries(ties, parameters, rule_of, origins, holders_of)
    buffer_rules = ruling.for_buffers(rules, (holders_of[name] for name in parameters))
    for name, site in buffer_sites.items():
        stream, initializer, rule = next(iter(holders_of[name])), None, None
        if name in with_rules:
            rule = ruling.first(buffer_rules, holders_of[name])
        if rule is not None:
            initializer = rule.initializer
        elif buffers or is_meta(site.tensor):
            initializer = origins[name].initializer
        if initializer is not None:
            _check("buffer", stream, site.tensor)
        yield PlanEntry("buffer", stream, site, initializer, rule is not None)


def _ties(parameters: Mapping[str, Site | ComputedWeight]) -> list[list[str]]:
    """Return the names of the parameters, with the names of tied ones in one list."""
    by_memory: dict[Any, list[str]] = {}
    for name, site in parameters.items():
        memory = id(site) if isinstance(site, ComputedWeight) else memory_of(site.tensor)
        by_memory.setdefault(memory, []).append(name)
    return list(by_memory.values())


def _rule_of(
    rules: list[ruling.Rule], names: list[str], holders_of: Mapping[str, ruling.Holders]
) -> ruling.Rule | None:
    """Return the rule of tied parameters: that of the first name that has one."""
    return next(filter(None, (ruling.first(rules, holders_of[name]) for name in names)), None)


def _parameter_entries(
    ties: list[list[str]],
    parameters: Mapping[str, Site | ComputedWeight],
    rule_of: Mapping[str, ruling.Rule | None],
    origins: Mapping[str, recording.Origin],
    holders_of: Mapping[str, ruling.Holders],
) -> Iterator[PlanEntry]:
    """Return the entries of the parameters, and raise ValueError if some cannot be initialised."""
    problems = []
    for names in ties:
        name, owners = names[0], holders_of[names[0]]
        site, rule, origin = parameters[name], rule_of[name], origins[name]
        tensor, stream, owner = site.tensor, next(iter(owners)), list(owners.values())[-1]
        trainable = any(part.requires_grad for part in tensors_of(site))
        # A constructor may have frozen it with other values than the default of its layer.
        frozen = not (origin.own or trainable)
        initializer: Any = None
        if rule is not None:
            initializer = ruling.for_module(rule.initializer, owner)
        elif not frozen:
            initializer = origin.initializer
        if (
            initializer is None
            and rule is None
            and (trainable or any(map(is_meta, tensors_of(site))))
        ):
            why = "frozen as its constructor made it" if frozen else origin.why
            problems.append((stream, tensor, owner, why))
            continue
        axes = _axes(stream, owner, tensor, initializer) if rule else "torch"
        zero_rows = frozenset(padding_rows(holders_of[other] for other in names))
        yield PlanEntry("parameter", stream, site, initializer, rule is not None, axes, zero_rows)
    if problems:
        raise ValueError(_problem_message(problems))


def _origins(
    module: torch.nn.Module,
    rule_of: Mapping[str, ruling.Rule | None],
    sites: Mapping[str, Site | ComputedWeight],
    holders_of: Mapping[str, ruling.Holders],
    recorded: recording.Recording | None,
) -> dict[str, recording.Origin]:
    """Return what each tensor would be drawn from without a rule, by name. The keys of `rule_of`
    are the parameters, tied ones once.
    """
    defaults = {}
    for name, site in sites.items():
        if name in rule_of and rule_of[name] is None:
            defaults[name] = default(holders_of[name], site.tensor)
        elif name not in rule_of and isinstance(site, Site):
            key, owner = list(holders_of[name].items())[-1]
            defaults[name] = default_buffer(owner, key)
    if recorded is None:
        needs_recording = not all(rule_of.values()) or any(
            is_meta(each) for each in module.buffers()
        )
        recorded = {}
        if needs_recording and recording.has_own_initialisation(module):
            places = {
                recording.place_of(sites[name]): initializer
                for name, initializer in defaults.items()
            }
            recorded = recording.record(module, places)
    return {
        name: recorded.get(
            recording.place_of(site), recording.Origin(defaults.get(name), own=False)
        )
        for name, site in sites.items()
    }


def _problem_message(problems: list[tuple[str, Any, torch.nn.Module, str]]) -> str:
    tensors = "; ".join(
        f"{stream!r}, of shape {tuple(tensor.shape)}, in a {type(owner).__name__}"
        f"{why and f' ({why})'}"
        for stream, tensor, owner, why in problems
    )
    stream, tensor, *_ = problems[0]
    return (
        "every parameter needs a rule, or a module with an initialisation method or from torch.nn; "
        f"received {tensors}: pass rules such as "
        f"({stream!r}, {_usual_initializer(stream, tensor)!r}), or rules_from(a function that "
        "builds the model)"
    )


def _usual_initializer(name: str, tensor: Any) -> Any:
    """Return a common initializer for a parameter of this name and rank, for an error message."""
    if name.endswith("bias"):
        return "zeros_"
    return "ones_" if tensor.dim() < 2 else "normal_(std=0.02)"


def _axes(name: str, holder: torch.nn.Module, tensor: Any, initializer: Any) -> str:
    """Return the row of `fans.AXES` for a rule that does not define the axes of its parameter. Warn
    if this is a guess.
    """
    if not ruling.takes_axes(initializer):
        return "torch"
    axes, certain = axes_of(name, holder, tensor)
    if not certain:
        warn(
            f"parameter {name!r} of shape {tuple(tensor.shape)}, in a {type(holder).__name__}, is"
            f" drawn as {tensor.shape[0]} stacked matrices (out, in), each with separate fans. "
            "Pass batch_dims=1 in its rule to confirm this, or batch_dims=0 for the kernel of a "
            "convolution (input_axes= and output_axes= in an initializer of initfast).",
            UserWarning,
        )
    return axes


def _check(kind: str, name: str, tensor: Any) -> None:
    """Raise an error with the name of the tensor if it cannot be written."""
    if is_lazy(tensor):
        raise ValueError(
            f"{kind} {name!r} has no shape yet: run a batch through the lazy module first, or pass "
            "a rule None, which leaves it unchanged"
        )
    try:
        targets.check(tensor)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{kind} {name!r}: {error}") from None


def _sites(
    parts: dict[str, torch.nn.Module], kind: str
) -> Iterator[tuple[str, Site | ComputedWeight]]:
    """Return every parameter or buffer by name, once for each module that holds it. A weight that a
    module computes replaces the tensors that it is computed from.
    """
    visited: set[int] = set()
    weights_of = {path: list(computed_weights(part)) for path, part in parts.items()}
    inputs = {
        (id(site.holder), site.key)
        for each in weights_of.values()
        for weight in each
        for site in (*weight.parameters, *weight.buffers)
    }
    for path, part in parts.items():
        if id(part) in visited:
            continue
        visited.add(id(part))
        prefix = f"{path}." if path else ""
        if kind == "_parameters":
            yield from ((f"{prefix}{weight.key}", weight) for weight in weights_of[path])
        holder: dict[str, Any] = getattr(part, kind)
        for key, tensor in holder.items():
            if tensor is not None and (id(holder), key) not in inputs:
                yield f"{prefix}{key}", Site(holder, key)
