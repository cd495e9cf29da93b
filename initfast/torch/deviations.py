"""Parameters of a new model whose values are not what they would be drawn from: a constructor set
them after the initialisation that initfast knows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from initfast.core.dtypes import resolve_numeric
from initfast.core.seeds import Seed
from initfast.core.warn import warn
from initfast.torch import rules as ruling
from initfast.torch import shards, targets
from initfast.torch.defaults import Spec
from initfast.torch.materialise import Site

if TYPE_CHECKING:
    from initfast.torch.plan import Planned

__all__ = ["check"]

_SAMPLE = 1 << 14  # elements of a parameter that are looked at
_FEWEST = 1000  # elements of which mean and deviation say enough
_FACTOR = 1.25
Bounds = tuple[tuple[int, int, int], ...]  # start, stop and step of each dim


class _Values(NamedTuple):
    """What a sample shows: the mean, the standard deviation, and whether all are one value."""

    mean: float
    std: float
    constant: bool

    def __str__(self) -> str:
        if self.constant:
            return f"{self.mean:.3g}"
        shown = f"mean {self.mean:.2g}, " if abs(self.mean) > 0.2 * self.std else ""
        return f"{shown}std {self.std:.2g}"


class _Compared(NamedTuple):
    """A parameter: a sample of `size` elements that it holds, and the same elements as drawn."""

    name: str
    size: int
    held: _Values
    drawn: _Values

    @property
    def alike(self) -> bool:
        """Return whether both are of one distribution, as far as a sample can say."""
        held, drawn = self.held, self.drawn
        if held.constant or drawn.constant:
            return (
                held.constant
                and drawn.constant
                and math.isclose(held.mean, drawn.mean, rel_tol=1e-2)
            )
        error = 5.0 * drawn.std / math.sqrt(self.size)
        return abs(held.std - drawn.std) < error and abs(held.mean - drawn.mean) < 1.5 * error

    @property
    def differs(self) -> bool:
        """Return whether mean or deviation clearly differ, or a constant at all."""
        held, drawn = self.held, self.drawn
        if held.constant or drawn.constant:
            return not self.alike
        near = drawn.std < held.std * _FACTOR and held.std < drawn.std * _FACTOR
        return not near or abs(held.mean - drawn.mean) > (_FACTOR - 1.0) * drawn.std


def check(planned: Iterable[Planned]) -> None:
    """Warn, once, of all parameters without a rule that hold something else than they would be
    drawn from, if their model seems new.
    """
    compared = list(_compared(planned))
    differing = [each for each in compared if each.differs]
    if differing and _is_new(compared):
        listed = "; ".join(
            f"{each.name!r} holds {each.held} (drawn: {each.drawn})" for each in differing
        )
        warn(
            "the constructor of this model seems to set parameters after the initialisation that "
            f"initfast follows: {listed}. Pass rules_from(a function that builds the model) as "
            "rules, or a rule for each of them.",
            UserWarning,
        )


def _is_new(compared: list[_Compared]) -> bool:
    """Return whether a model seems to be as its constructor left it: not trained, not loaded, and
    not without values yet, which are often 0.
    """
    fixed = [each for each in compared if each.drawn.constant]
    if 2 * sum(not each.held.constant for each in fixed) > len(fixed):
        return False
    marks = [each for each in fixed if each.drawn.mean]  # such as the ones of norms
    if marks:
        return any(each.alike for each in marks)
    rest = [each for each in compared if not each.drawn.constant]
    settled = sum(each.alike or each.held.constant for each in rest)
    return 2 * settled >= len(rest) and not all(each.held.constant for each in rest)


def _compared(planned: Iterable[Planned]) -> Iterator[_Compared]:
    """Return the parameters of which a sample can be had, on both sides, and says something."""
    known: dict[Any, _Values | None] = {}  # layers of one kind are drawn alike
    for each in planned:
        if each.kind != "parameter" or each.by_rule or each.what is None:
            continue
        found = _sample(each.site.tensor) if isinstance(each.site, Site) else None
        if found is None:
            continue
        sample, bounds = found
        held = _values(sample)
        least = 2 if held.constant or _is_constant(each.what) else _FEWEST
        if sample.size < least:
            continue
        what = ruling.shown(each.what) if isinstance(each.what, Spec) else id(each.what)
        tensor = each.site.tensor
        key = (what, tuple(tensor.shape), tensor.dtype, bounds, each.zero_rows)
        if key not in known:
            known[key] = _drawn(each, bounds)
        drawn = known[key]
        if drawn is not None:
            yield _Compared(each.name, sample.size, held, drawn)


def _sample(tensor: Any) -> tuple[npt.NDArray[Any], Bounds] | None:
    """Elements of this process' part of a parameter, and which of the whole they are; None if it
    has no values.
    """
    if not tensor.is_floating_point() or not tensor.numel() or not targets.has_values(tensor):
        return None
    local = targets.local_part(tensor)
    left, steps, starts = local.numel(), [], (0,) * local.dim()
    if not left:
        return None
    if targets.is_sharded(tensor):
        try:
            starts = tuple(part.start for part in shards.window(tensor, local))
        except ValueError:  # only to be written it must be one block of the whole
            return None
    for size in local.shape:
        step = min(size, -(-left // _SAMPLE))
        left = left // size * -(-size // step)
        steps.append(step)
    part = local.detach()
    if max(steps, default=1) > 1:
        part = part[tuple(slice(None, None, step) for step in steps)]
    bounds = tuple(
        (start, start + size, step)
        for start, size, step in zip(starts, local.shape, steps, strict=True)
    )
    return part.cpu().double().numpy(), bounds


def _drawn(planned: Planned, bounds: Bounds) -> _Values | None:
    """Return what a parameter would hold with some seed; None if that cannot be said of a part of
    it.
    """
    tensor = planned.site.tensor
    try:
        initializer = planned.fill.initializer(Seed(0))
    except ValueError:  # writing it raises the same
        return None
    if initializer is None or (initializer.whole_only and tensor.numel() > _SAMPLE):
        return None
    index = tuple(slice(*each) for each in bounds)
    drawn = initializer.block(tuple(tensor.shape), index, resolve_numeric(tensor.dtype))
    return _values(drawn.astype(np.float64))


def _is_constant(what: Any) -> bool:
    return isinstance(what, Spec) and what.function in ("constant_", "ones_", "zeros_")


def _values(sample: npt.NDArray[Any]) -> _Values:
    low, high = float(sample.min()), float(sample.max())
    if low == high:
        return _Values(low, 0.0, True)
    return _Values(float(sample.mean()), float(sample.std()), False)
