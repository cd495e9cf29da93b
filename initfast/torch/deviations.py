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
from initfast.torch import targets
from initfast.torch.materialise import Site

if TYPE_CHECKING:
    from initfast.torch.modules import Planned

__all__ = ["check"]

_SAMPLE = 1 << 14  # elements of a parameter that are looked at
_FEWEST = 1000  # elements of which mean and deviation say enough
_FACTOR = 1.25


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
    """A parameter: a sample of `count` elements that it holds, and the same elements as drawn."""

    name: str
    count: int
    held: _Values
    drawn: _Values

    @property
    def alike(self) -> bool:
        """Whether both are of one distribution, as far as a sample can say."""
        held, drawn = self.held, self.drawn
        if held.constant or drawn.constant:
            return (
                held.constant
                and drawn.constant
                and math.isclose(held.mean, drawn.mean, rel_tol=1e-2)
            )
        error = 5.0 * drawn.std / math.sqrt(self.count)
        return abs(held.std - drawn.std) < error and abs(held.mean - drawn.mean) < 1.5 * error

    @property
    def differs(self) -> bool:
        """Whether mean or deviation clearly differ, or a constant at all."""
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
    """Whether a model seems to be as its constructor left it: not trained, not loaded, and not
    without values yet, which are often 0.
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
    """The parameters of which a sample can be had, on both sides, and says something."""
    for each in planned:
        if each.kind != "parameter" or each.by_rule or each.what is None:
            continue
        if isinstance(each.site, Site) and each.site.tensor.is_floating_point():
            samples = _samples(each)
            if samples is not None:
                held, drawn = map(_values, samples)
                count = samples[0].size
                fixed = held.constant or drawn.constant
                if count >= (_FEWEST if not fixed else 2):
                    yield _Compared(each.name, count, held, drawn)


def _samples(planned: Planned) -> tuple[npt.NDArray[Any], npt.NDArray[Any]] | None:
    """The same elements of a parameter, as held and as drawn with some seed."""
    tensor = planned.site.tensor
    try:
        target, initializer = targets.find(tensor), planned.fill.initializer(Seed(0))
    except (RuntimeError, TypeError, ValueError):  # which another step says, if it matters
        return None
    if target is None or initializer is None:
        return None
    left = target.local.numel()
    if initializer.whole_only and math.prod(target.shape) > _SAMPLE:
        return None
    steps = []
    for size in target.local.shape:
        step = min(size, -(-left // _SAMPLE))
        left = left // size * -(-size // step)
        steps.append(step)
    where = target.where or tuple(slice(0, size) for size in target.shape)
    index = tuple(
        slice(part.start, part.stop, step) for part, step in zip(where, steps, strict=True)
    )
    held = target.local[tuple(slice(None, None, step) for step in steps)].detach().cpu().double()
    drawn = initializer.block(target.shape, index, resolve_numeric(tensor.dtype))
    return held.numpy(), drawn.astype(np.float64)


def _values(sample: npt.NDArray[Any]) -> _Values:
    constant = bool(sample.min() == sample.max())
    return _Values(float(sample.mean()), float(sample.std()), constant)
