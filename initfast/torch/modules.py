"""`initialize`: fill the parameters of a model, each from the stream of its name, also if they are
sharded or on the meta device.
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
from initfast.torch.parametrized import ComputedWeight
from initfast.torch.plan import PlanEntry, plan, tensors_of

_WAY_OUT = (
    "initialize the whole model at once, or give each layer a separate stream, "
    "seed=Seed(42).named('layers.0')"
)
AnyModule = TypeVar("AnyModule", bound=torch.nn.Module)


class _Entry(NamedTuple):
    """A parameter or buffer to write, and how."""

    name: str
    site: Site | ComputedWeight
    fill: targets.Fill
    initializer: Any

    @property
    def tensors(self) -> list[Any]:
        """Return the tensors to write."""
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

    The values of a parameter depend only on the seed, its name, its global shape, its dtype and its
    initializer. They are the same for any sharding and any number of ranks. Tied parameters are
    written once, from the stream of their first name and by the rule of the first name that has
    one. Names are those of the plain model, without the prefixes of torch.compile, DataParallel,
    DistributedDataParallel, AveragedModel, FSDP and activation checkpointing. Padding rows of
    embeddings are 0 under any rule. A weight with a parametrization (weight_norm, spectral_norm,
    orthogonal, or their older hooks) is drawn under its own name and assigned through
    `right_inverse`.

    Args:
        module: any module, on any device. Parameters on the meta device are allocated first; ties
            are preserved. DTensors (FSDP2, tensor parallelism) get their local part, with fans of
            the global shape.
        seed: an integer in [0, 2**64), or a `Seed`, whose name is then a prefix of the parameters'
            names. A ReusedSeedWarning is shown if single layers of one model get the same seed
            without a name. None: drawn from torch's default generator; not accepted if a parameter
            is a DTensor, because all ranks need the same seed.
        rules: pairs (pattern, initializer), or a dict of them. The first one that matches a
            parameter decides. A pattern is a glob ("*.attn.*.weight") or an `re.Pattern`, which
            must match the whole name. It may also be a module class: either for all parameters
            that instances of this class directly hold, or with a dict of rules for the names within
            them ({nn.Linear: {"weight": "xavier_uniform_", "bias": "zeros_"}}).

            An initializer is a function of `torch.nn.init` or its name ("xavier_uniform_"), the
            same with arguments ("trunc_normal_(std=0.02)", ("trunc_normal_", {"std": 0.02}) or a
            functools.partial with keywords), any other text that `initfast.get` accepts
            ("he_normal"), an initializer of initfast (its seed is ignored, and its fans are
            torch's), or `blocks` of these for a parameter that packs several. None leaves a
            parameter unchanged, which may then be lazy or of any tensor class.

            A parameter without a rule is initialised like the model's own `_init_weights`,
            `init_weights` or `reset_parameters` does (see `rules_from`), else like the
            `reset_parameters` of its layer. A frozen parameter (requires_grad=False) stays
            unchanged if only the default of its layer is known.

            If a constructor changes parameters after that, pass `rules_from(a function that builds
            the model)`. A UserWarning names such parameters of a new model. They are found by
            comparing a sample with what would be drawn: another constant, or, for 1000 elements or
            more, a mean or standard deviation that differs by more than a quarter. A model counts
            as new if at least half of its constant parameters are still constant, and one with a
            nonzero constant (such as the ones of norms) agrees; without such ones, if half of its
            random parameters agree. On the meta device there are no values to compare.

            Functions with fans accept `groups`, the groups of a convolution, by which torch does
            not divide fan_out. groups="module" uses the groups of each module.

            Parameters of three dims outside a convolution are taken as stacked matrices,
            (expert, out, in), or (expert, in, out) if the module has a true `is_transposed`: each
            has its own fans and is orthogonal by itself. A warning is shown unless a name contains
            "expert" or "moe", or the rule has `batch_dims`.
        buffers: True also resets the running statistics of normalisation layers and the buffers
            that the model's own initialisation computes (rotary frequencies, positions), and
            applies to buffers the rules that match no parameter ("*" is for parameters only).
            False writes only buffers on the meta device, which have no values, and buffers that a
            rule names in full.
        device: where meta tensors are allocated. Default: the device type of the mesh for a
            DTensor, else the CPU.
        report: return the initializers instead of the module.

    Returns:
        The module. With `report`, the initializer of each parameter and buffer that was written, by
        name, with its stream: `result[name].block(shape, ...)` computes its values again. If no
        initializer writes the same, as for `sparse_`, there is a text instead.

    Raises:
        ValueError: parameters have neither rule nor default (the message names all of them), a rule
            matches nothing, an argument does not fit a parameter, a buffer on the meta device has
            no known values, or a parameter is a flat shard of FSDP1 or a placeholder of DeepSpeed
            ZeRO-3. Nothing has been written then.
        TypeError: a parameter is of an unsupported tensor class, or a rule has a wrong type.

    >>> layer = torch.nn.Linear(64, 32)
    >>> initialize(layer, seed=42, rules={"weight": "he_normal", "bias": "zeros_"}) is layer
    True
    """
    plan_entries = list(plan(module, ruling.parse(rules), buffers))
    entries = list(_entries(plan_entries))
    base = _base_seed(seed, (tensor for entry in entries for tensor in entry.tensors))
    _check_memory(entries)
    deviations.check(plan_entries)
    if any(is_meta(tensor) for tensor in (*module.parameters(), *module.buffers())):
        materialise(module, device)
        _check_memory(entries)
    # A single layer has no prefix in its names, so that another layer may use the same streams.
    single = seed is not None and base.name is None and not any(module.children())
    for entry in entries:
        stream = base.named(entry.name)
        if single and entry.fill.draws and not any(map(targets.is_sharded, entry.tensors)):
            streams.check_reuse(stream, targets.local_part(entry.tensors[0]), _WAY_OUT)
        entry.site.write(entry.fill, stream)
    if report:
        return {entry.name: _report_entry(entry, base.named(entry.name)) for entry in entries}
    return module


def _report_entry(entry: _Entry, seed: Seed) -> Initializer | str:
    initializer = entry.fill.initializer(seed)
    return ruling.as_text(entry.initializer) if initializer is None else initializer


def _check_memory(entries: Iterable[_Entry]) -> None:
    """Raise the errors that writing would raise, before anything is written."""
    for entry in entries:
        for tensor in entry.tensors:
            targets.find(tensor)


def _entries(plan_entries: Iterable[PlanEntry]) -> Iterator[_Entry]:
    """Return the tensors to write. Raise ValueError if one on the meta device would stay unset."""
    unset: dict[str, list[str]] = {"parameter": [], "buffer": []}
    for entry in plan_entries:
        if entry.initializer is not None:
            yield _Entry(entry.name, entry.site, entry.fill, entry.initializer)
        elif any(map(is_meta, tensors_of(entry.site))):
            unset[entry.kind].append(entry.name)
    if unset["parameter"]:
        raise ValueError(
            "a rule None cannot leave parameters on the meta device unset: "
            f"{', '.join(map(repr, unset['parameter']))}. Pass an initializer for them, or build "
            "the model on the CPU"
        )
    if unset["buffer"]:
        raise ValueError(
            "buffers on the meta device have no values, and initfast does not know the values of "
            f"{', '.join(map(repr, unset['buffer']))}: build the model on the CPU, or pass a rule "
            "with the buffer's name"
        )


def _base_seed(seed: int | Seed | None, tensors: Iterable[Any]) -> Seed:
    if seed is None:
        return streams.choose(None, None, None, any(map(targets.is_sharded, tensors)))
    return root_seed(seed)
