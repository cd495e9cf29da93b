"""Initialise a model: each parameter from the stream of its own name, shards and meta tensors
included.
"""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple, TypeVar, overload

import torch
from torch.nn.parameter import is_lazy

from initfast.core.seeds import Seed, root_seed
from initfast.core.warn import warn
from initfast.initializers.base import Initializer
from initfast.torch import deviations, recording, streams, targets
from initfast.torch import rules as ruling
from initfast.torch.defaults import Spec, axes_of, default, default_buffer, padding_rows
from initfast.torch.materialise import Site, is_meta, materialise, memory_of
from initfast.torch.names import holders
from initfast.torch.packed import Blocks
from initfast.torch.parametrized import Computed, computed
from initfast.torch.unsharded import check_unsharded, flat_shards

_NAME_IT = (
    "initialize the whole model at once, or give each layer a stream of its own, "
    "seed=Seed(42).named('layers.0')"
)
AnyModule = TypeVar("AnyModule", bound=torch.nn.Module)


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
        """How to write it. Raises ValueError, naming it, for arguments that do not fit."""
        return self.fill_of(self.site.tensor.dtype)

    def fill_of(self, dtype: torch.dtype) -> targets.Fill:
        """The same in another dtype."""
        assert self.what is not None
        try:
            fill = ruling.make_fill(self.what, tuple(self.site.tensor.shape), dtype, self.axes)
            return ruling.with_zero_rows(fill, self.zero_rows) if self.zero_rows else fill
        except (TypeError, ValueError, RuntimeError, ArithmeticError) as error:
            raise ValueError(f"{self.kind} {self.name!r}: {error}") from error


class _Entry(NamedTuple):
    name: str
    site: Site | Computed
    fill: targets.Fill
    what: Any

    @property
    def tensors(self) -> list[Any]:
        """The tensors that are written."""
        return _tensors(self.site)


@overload
def initialize(
    module: AnyModule,
    seed: int | Seed | None = None,
    rules: Iterable[Any] = (),
    *,
    buffers: bool = False,
    device: Any = None,
    report: Literal[False] = False,
) -> AnyModule: ...
@overload
def initialize(
    module: torch.nn.Module,
    seed: int | Seed | None = None,
    rules: Iterable[Any] = (),
    *,
    buffers: bool = False,
    device: Any = None,
    report: Literal[True],
) -> dict[str, Initializer | str]: ...
def initialize(
    module: Any,
    seed: int | Seed | None = None,
    rules: Iterable[Any] = (),
    *,
    buffers: bool = False,
    device: Any = None,
    report: bool = False,
) -> Any:
    """Initialise every parameter of `module` in place, each from the stream of its own name, and
    return the module.

    The values of a parameter depend on the seed, its name, global shape and dtype and on what it is
    drawn from, so that any sharding of the model holds the same. Tied parameters are written once,
    in the stream of the first of their names and by the rule of the first name that has one. Names
    are those of the plain model: what torch.compile, DataParallel, DistributedDataParallel,
    AveragedModel, FSDP and activation checkpointing put before them does not count. Padding rows of
    embeddings are 0 under any rule. A weight with a parametrization (weight_norm, spectral_norm,
    orthogonal, also the older hooks) is drawn as a whole under its own name and assigned through
    `right_inverse`.

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
            whole of a name; or a module class, for the parameters that its instances themselves
            hold, or with a dict of rules for the names within them
            ({nn.Linear: {"weight": "xavier_uniform_", "bias": "zeros_"}}).

            `what` is a function of `torch.nn.init` by name or itself ("xavier_uniform_"), the same
            with arguments ("trunc_normal_(std=0.02)", ("trunc_normal_", {"std": 0.02}) or a
            functools.partial of keywords), any other text that `initfast.get` takes ("he_normal"),
            an initializer of initfast (its seed is not used, and its fans are torch's), `blocks` of
            any of these for a parameter that packs several, or None: leave as it is, of any tensor
            class, lazy ones too.

            A parameter without a rule is drawn from what the model's own `_init_weights`,
            `init_weights` or `reset_parameters` draws it from (see `rules_from`), else from what
            its layer's does. A frozen parameter (requires_grad=False) that only a layer's default
            is known for stays as it is.

            What a constructor does on top of that needs `rules_from(a function that builds the
            model)`. A UserWarning names the parameters of a new model that hold another constant
            than they would be drawn from or, from 1000 elements on, differ in mean or deviation by
            more than a quarter; a sample of each is looked at. A model counts as new while half of
            what begins constant is so, ones of norms among it, or, if nothing begins so, half of
            the rest agrees. On the meta device there are no values to compare.

            The arguments of functions with fans may have `groups`, the groups of a convolution, by
            which torch does not divide the fan_out; groups="module" takes those of each module.

            Parameters of three dims outside a convolution are stacked matrices, (expert, out, in)
            or, if the module has a true `is_transposed`, (expert, in, out): each has its own fans
            and is orthogonal in itself. A warning points this out unless a name says "expert" or
            "moe" or the rule says `batch_dims`.
        buffers: reset the running statistics of normalisation layers and what the model's own
            initialisation computes (rotary frequencies, positions), and apply to buffers the rules
            that match no parameter ("*" is for parameters alone). Without it, buffers are written
            that are on the meta device, where they have no values, or that a rule names in full.
        device: where meta tensors get their memory; default: where the mesh of a DTensor is, else
            the CPU.
        report: return what was drawn from what, in place of the module.

    Returns:
        The module; or, with `report`, the initializer of each parameter and buffer that was
        written, by name, with its stream: `found[name].block(shape, ...)` makes its values again. A
        text stands for what no initializer writes, such as `sparse_`.

    Raises:
        ValueError: if parameters have neither rule nor default (all are named), a rule matches
            nothing, an argument does not fit a parameter, a buffer on the meta device has no known
            values, or a parameter is a flat shard of FSDP1 or a placeholder of DeepSpeed ZeRO-3.
            Nothing has been written then.
        TypeError: if a parameter is of a tensor class that is not known, or a rule is no rule.
    """
    planned = list(plan(module, ruling.parse(rules), buffers))
    entries = list(_entries(planned))
    base = _base_seed(seed, (tensor for entry in entries for tensor in entry.tensors))
    _check_memory(entries)
    deviations.check(planned)
    if any(is_meta(tensor) for tensor in (*module.parameters(), *module.buffers())):
        materialise(module, device)
        _check_memory(entries)
    # Of a single layer, whose names do not say which layer it is.
    single = seed is not None and base.name is None and not any(module.children())
    for entry in entries:
        stream = base.named(entry.name)
        if single and entry.fill.draws and not any(map(targets.is_sharded, entry.tensors)):
            streams.note(stream, targets.local_part(entry.tensors[0]), _NAME_IT)
        entry.site.write(entry.fill, stream)
    if report:
        return {entry.name: _reported(entry, base.named(entry.name)) for entry in entries}
    return module


def _reported(entry: _Entry, seed: Seed) -> Initializer | str:
    initializer = entry.fill.initializer(seed)
    return ruling.shown(entry.what) if initializer is None else initializer


def _check_memory(entries: Iterable[_Entry]) -> None:
    """Raise what writing would raise, before anything is written."""
    for entry in entries:
        for tensor in entry.tensors:
            targets.find(tensor)


def _tensors(site: Site | Computed) -> list[Any]:
    """The tensors behind a parameter: itself, or those that it is computed from."""
    return [part.tensor for part in (site.parameters if isinstance(site, Computed) else (site,))]


def _entries(plans: Iterable[Planned]) -> Iterator[_Entry]:
    """What is to be written. Raises if a tensor on the meta device has no known values."""
    unset: dict[str, list[str]] = {"parameter": [], "buffer": []}
    for planned in plans:
        if planned.what is not None:
            yield _Entry(planned.name, planned.site, planned.fill, planned.what)
        elif any(map(is_meta, _tensors(planned.site))):
            unset[planned.kind].append(planned.name)
    if unset["parameter"]:
        raise ValueError(
            "a parameter on the meta device has nothing to leave; received "
            f"{', '.join(map(repr, unset['parameter']))} and a rule None"
        )
    if unset["buffer"]:
        raise ValueError(
            "a buffer on the meta device has no values, and initfast does not know those of "
            f"{', '.join(map(repr, unset['buffer']))}: "
            "make it on the CPU, or pass a rule of its name"
        )


def plan(
    module: torch.nn.Module,
    rules: list[ruling.Rule],
    buffers: bool,
    recorded: recording.Recording | None = None,
) -> Iterator[Planned]:
    """Every parameter, each memory once, then every buffer, with what it is drawn from: a rule, or
    the model's own initialisation, or its layer's default.

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
            for part in _tensors(site):
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
        trained = any(part.requires_grad for part in _tensors(site))
        frozen = not (own.own or trained)  # its constructor may know better than its layer
        what = ruling.within(rule.what, owner) if rule else None if frozen else own.what
        if what is None and rule is None and (trained or any(map(is_meta, _tensors(site)))):
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
    """What tensors without a rule are drawn from, by name. `by_rule` names the parameters."""
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
    """What a parameter of this name and rank usually holds at first."""
    if name.endswith("bias"):
        return "zeros_"
    return "ones_" if tensor.dim() < 2 else "normal_(std=0.02)"


def _axes(name: str, holder: torch.nn.Module, tensor: Any, what: Any) -> str:
    """Which axes of a parameter are what to a rule that does not say so."""
    if not ruling.takes_axes(what):
        return "torch"
    axes, certain = axes_of(name, holder, tensor)
    if not certain:
        warn(
            f"parameter {name!r} of shape {tuple(tensor.shape)}, in a {type(holder).__name__}, is"
            f" drawn as {tensor.shape[0]} stacked matrices (out, in), each with fans of its own. "
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
    except TypeError as error:
        raise TypeError(f"{kind} {name!r}: {error}") from None


def _sites(parts: dict[str, torch.nn.Module], kind: str) -> Iterator[tuple[str, Site | Computed]]:
    """Every parameter or buffer by name, once for each module that holds it.

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


def _base_seed(seed: int | Seed | None, tensors: Iterable[Any]) -> Seed:
    if seed is None:
        return streams.choose(None, None, None, any(map(targets.is_sharded, tensors)))
    return root_seed(seed)
