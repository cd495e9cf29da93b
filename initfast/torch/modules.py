"""Initialise a model: each parameter from the stream of its name, shards and meta tensors
included.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal, NamedTuple, TypeVar, overload

import torch

from initfast.core.seeds import Seed, root_seed
from initfast.initializers.base import Initializer
from initfast.torch import deviations, streams, targets
from initfast.torch import rules as ruling
from initfast.torch.materialise import Site, is_meta, materialise
from initfast.torch.parametrized import Computed
from initfast.torch.plan import Planned, plan, tensors_of

_NAME_IT = (
    "initialize the whole model at once, or give each layer a separate stream, "
    "seed=Seed(42).named('layers.0')"
)
AnyModule = TypeVar("AnyModule", bound=torch.nn.Module)


class _Entry(NamedTuple):
    name: str
    site: Site | Computed
    fill: targets.Fill
    what: Any

    @property
    def tensors(self) -> list[Any]:
        """Return the tensors that are written."""
        return tensors_of(self.site)


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
    """Initialise every parameter of `module` in place, each from the stream of its name, and
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
        text replaces what no initializer writes, such as `sparse_`.

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


def _entries(plans: Iterable[Planned]) -> Iterator[_Entry]:
    """Return what is to be written. Raises if a tensor on the meta device has no known values."""
    unset: dict[str, list[str]] = {"parameter": [], "buffer": []}
    for planned in plans:
        if planned.what is not None:
            yield _Entry(planned.name, planned.site, planned.fill, planned.what)
        elif any(map(is_meta, tensors_of(planned.site))):
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


def _base_seed(seed: int | Seed | None, tensors: Iterable[Any]) -> Seed:
    if seed is None:
        return streams.choose(None, None, None, any(map(targets.is_sharded, tensors)))
    return root_seed(seed)
