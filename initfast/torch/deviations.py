"""`check`: warn if a new model has parameters that differ from what they would be drawn from,
because its constructor changed them after the initialisation that initfast follows.
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
    from initfast.torch.plan import PlanEntry

__all__ = ["check"]

_SAMPLE = 1 << 14  # elements of a parameter to compare, at most
_MIN_FOR_MOMENTS = 1000  # elements that are needed to compare mean and deviation
_FACTOR = 1.25  # mean and standard deviation may differ by a quarter
Bounds = tuple[tuple[int, int, int], ...]  # start, stop and step of each dim


class _Statistics(NamedTuple):
    """The mean and standard deviation of a sample, and whether all of its values are equal."""

    mean: float
    std: float
    constant: bool

    def __str__(self) -> str:
        if self.constant:
            return f"constant {self.mean:.3g}"
        mean = f"mean {self.mean:.2g}, " if abs(self.mean) > 0.2 * self.std else ""
        return f"{mean}std {self.std:.2g}"


class _Comparison(NamedTuple):
    """The statistics of `size` elements of a parameter: of its actual values, and of the values
    that would be drawn.
    """

    name: str
    size: int
    actual: _Statistics
    expected: _Statistics

    @property
    def alike(self) -> bool:
        """Return whether both samples can come from the same distribution."""
        actual, expected = self.actual, self.expected
        if actual.constant or expected.constant:
            return (
                actual.constant
                and expected.constant
                and math.isclose(actual.mean, expected.mean, rel_tol=1e-2)
            )
        error = 5.0 * expected.std / math.sqrt(self.size)
        return (
            abs(actual.std - expected.std) < error
            and abs(actual.mean - expected.mean) < 1.5 * error
        )

    @property
    def differs(self) -> bool:
        """Return whether the constants differ, or the means or deviations differ clearly."""
        actual, expected = self.actual, self.expected
        if actual.constant or expected.constant:
            return not self.alike
        near = expected.std < actual.std * _FACTOR and actual.std < expected.std * _FACTOR
        return not near or abs(actual.mean - expected.mean) > (_FACTOR - 1.0) * expected.std


def check(entries: Iterable[PlanEntry]) -> None:
    """Warn once, with all parameters without a rule that differ from what they would be drawn
    from, if the model seems to be new.
    """
    comparisons = list(_comparisons(entries))
    differing = [each for each in comparisons if each.differs]
    if differing and _is_new(comparisons):
        differences = "; ".join(
            f"{each.name!r} has {each.actual} (expected: {each.expected})" for each in differing
        )
        warn(
            "some parameters of this new model are not as the initialisation that initfast follows "
            f"draws them: {differences}. If the constructor sets them, pass rules_from(a function "
            "that builds the model) as rules; if rules did, pass these rules again.",
            UserWarning,
        )


def _is_new(comparisons: list[_Comparison]) -> bool:
    """Return whether a model seems to be as its constructor left it: not trained, not loaded, and
    not still uninitialised, with zeros everywhere.
    """
    constants = [each for each in comparisons if each.expected.constant]
    if 2 * sum(not each.actual.constant for each in constants) > len(constants):
        return False
    nonzero = [each for each in constants if each.expected.mean]  # such as the ones of norms
    if nonzero:
        return any(each.alike for each in nonzero)
    random = [each for each in comparisons if not each.expected.constant]
    settled = sum(each.alike or each.actual.constant for each in random)
    return 2 * settled >= len(random) and not all(each.actual.constant for each in random)


def _comparisons(entries: Iterable[PlanEntry]) -> Iterator[_Comparison]:
    """Return a comparison for each parameter whose actual and expected values can be sampled and
    are enough to judge.
    """
    drawn_by_kind: dict[Any, _Statistics | None] = {}  # computed once for equal layers
    for each in entries:
        if each.kind != "parameter" or each.by_rule or each.initializer is None:
            continue
        sample_and_bounds = _sample(each.site.tensor) if isinstance(each.site, Site) else None
        if sample_and_bounds is None:
            continue
        sample, bounds = sample_and_bounds
        actual = _statistics(sample)
        min_size = 2 if actual.constant or _is_constant(each.initializer) else _MIN_FOR_MOMENTS
        if sample.size < min_size:
            continue
        initializer = (
            ruling.as_text(each.initializer)
            if isinstance(each.initializer, Spec)
            else id(each.initializer)
        )
        tensor = each.site.tensor
        key = (initializer, tuple(tensor.shape), tensor.dtype, bounds, each.zero_rows)
        if key not in drawn_by_kind:
            drawn_by_kind[key] = _statistics_if_drawn(each, bounds)
        expected = drawn_by_kind[key]
        if expected is not None:
            yield _Comparison(each.name, sample.size, actual, expected)


def _sample(tensor: Any) -> tuple[npt.NDArray[Any], Bounds] | None:
    """Return a sample of this process' part of a parameter, and its index in the whole, or
    None if it has no values.
    """
    if not tensor.is_floating_point() or not tensor.numel() or not targets.has_values(tensor):
        return None
    local = targets.local_part(tensor)
    remaining, steps, starts = local.numel(), [], (0,) * local.dim()
    if not remaining:
        return None
    if targets.is_sharded(tensor):
        try:
            starts = tuple(part.start for part in shards.window(tensor, local))
        except ValueError:  # not one block of the whole: `targets.find` raises if it is written
            return None
    for size in local.shape:
        step = min(size, -(-remaining // _SAMPLE))
        remaining = remaining // size * -(-size // step)
        steps.append(step)
    part = local.detach()
    if max(steps, default=1) > 1:
        part = part[tuple(slice(None, None, step) for step in steps)]
    bounds = tuple(
        (start, start + size, step)
        for start, size, step in zip(starts, local.shape, steps, strict=True)
    )
    return part.cpu().double().numpy(), bounds


def _statistics_if_drawn(entry: PlanEntry, bounds: Bounds) -> _Statistics | None:
    """Return the statistics of a part of a parameter, drawn with some seed, or None if the
    part cannot be computed without the whole.
    """
    tensor = entry.site.tensor
    try:
        initializer = entry.fill.initializer(Seed(0))
    except ValueError:  # writing the parameter raises the same error
        return None
    if initializer is None or (initializer.whole_only and tensor.numel() > _SAMPLE):
        return None
    index = tuple(slice(*each) for each in bounds)
    values = initializer.block(tuple(tensor.shape), index, resolve_numeric(tensor.dtype))
    return _statistics(values.astype(np.float64))


def _is_constant(what: Any) -> bool:
    return isinstance(what, Spec) and what.function in ("constant_", "ones_", "zeros_")


def _statistics(sample: npt.NDArray[Any]) -> _Statistics:
    low, high = float(sample.min()), float(sample.max())
    if low == high:
        return _Statistics(low, 0.0, True)
    return _Statistics(float(sample.mean()), float(sample.std()), False)
