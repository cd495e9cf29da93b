"""Rules: which parameters, by name, and what to draw them from; and how either becomes a fill of
one tensor.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

import torch
from torch import nn

from initfast.core.dtypes import resolve_numeric
from initfast.core.indexing import Dims
from initfast.core.seeds import Seed
from initfast.initializers import grammar, registry, streams
from initfast.initializers.base import Initializer
from initfast.initializers.constant import Ones, Zeros
from initfast.initializers.fans import AXES
from initfast.initializers.fixed_rows import Rows
from initfast.initializers.orthogonal import Orthogonal
from initfast.initializers.variance_scaling import VarianceScaling
from initfast.torch import packed
from initfast.torch.defaults import ONES, ZEROS, Spec
from initfast.torch.fills import Fill, Target, starts
from initfast.torch.packed import Blocks
from initfast.torch.recipes import NOTHING, RECIPES

_MODULES = ("torch.nn.init", "initfast.torch.init")
_OWN = re.compile(r"[^.]+")  # the names of what a module itself holds


Holders = Mapping[str, nn.Module]
"""The modules that hold a parameter, outermost first, by its name within each (`names.holders`)."""


class Rule(NamedTuple):
    """A pattern, and what the parameters that it matches are drawn from: None leaves them as they
    are. With a `kind`, the pattern is for names within modules of this class.
    """

    pattern: str | re.Pattern[str]
    what: Spec | Initializer | Blocks | None
    kind: type[nn.Module] | None = None

    def matches(self, holders: Holders) -> bool:
        """Return whether the pattern fits the whole name, given by the modules that hold it."""
        if self.kind is None:
            return self.fits(next(iter(holders)))
        return any(
            isinstance(module, self.kind) and self.fits(name) for name, module in holders.items()
        )

    def fits(self, name: str) -> bool:
        """Return whether the whole name fits the pattern."""
        if isinstance(self.pattern, str):
            return fnmatchcase(name, self.pattern)
        return self.pattern.fullmatch(name) is not None

    def __str__(self) -> str:
        shown = repr(self.pattern)
        if self.kind is None:
            return shown
        return self.kind.__name__ if self.pattern is _OWN else f"{shown} in {self.kind.__name__}"


def parse(rules: Iterable[Any]) -> list[Rule]:
    """Return the `rules` of `initialize`, checked.

    Raises:
        TypeError, ValueError: if a rule is not a pair of a pattern and something to draw from.
    """
    found: list[Rule] = []
    for pattern, given, kind in _pairs(rules):
        try:
            found.append(Rule(pattern, _what(given), kind))
        except (TypeError, ValueError) as error:
            raise type(error)(f"the rule for {Rule(pattern, None, kind)}: {error}") from error
    return found


def _pairs(rules: Any, kind: Any = None) -> Iterator[tuple[Any, Any, Any]]:
    """Return every pattern and what is given for it, with the class that it is for."""
    for rule in rules.items() if isinstance(rules, Mapping) else rules:
        if isinstance(rule, tuple | list) and len(rule) == 2:
            pattern, given = rule
            if isinstance(pattern, str | re.Pattern):
                yield pattern, given, kind
                continue
            if kind is None and isinstance(pattern, type) and issubclass(pattern, nn.Module):
                if isinstance(given, Mapping) and "class_name" not in given:
                    yield from _pairs(given, pattern)
                else:
                    yield _OWN, given, pattern
                continue
        raise TypeError(
            "a rule must be a pair of a pattern (a glob, an re.Pattern or, outermost, a module "
            f"class) and an initializer; received {rule!r}"
        )


def _what(given: Any) -> Spec | Initializer | Blocks | None:
    if given is None:
        return None
    if isinstance(given, Spec):  # as rules_from gives it, of a function of torch as it is
        return _with(given, batch_dims=0) if takes_axes(given) else given
    if isinstance(given, Blocks):
        return Blocks(tuple(map(_what, given.whats)), given.dim, given.sizes)
    if isinstance(given, functools.partial):
        if given.args:
            raise TypeError(f"a partial must hold keyword arguments only; received {given!r}")
        return _spec(given.func, given.keywords)
    if isinstance(given, tuple | list):
        if len(given) != 2 or not isinstance(given[1], Mapping):
            raise TypeError(
                "a pair must be a function of torch.nn.init and a dict of arguments; received "
                f"{given!r}"
            )
        return _spec(given[0], given[1])
    if inspect.isfunction(given):
        return _spec(given, {})
    if isinstance(given, str) and not given.lstrip().startswith("{"):
        name, arguments = call = grammar.call(given)
        if grammar.is_torch(call):
            return _spec(f"{name.removesuffix('_')}_", arguments)
    initializer = registry.get(given)
    if not isinstance(initializer, Initializer):
        raise TypeError(
            "an initializer must be one of initfast's or a function of torch.nn.init; received "
            f"{given!r}"
        )
    return initializer


def _spec(function: Any, arguments: Mapping[str, Any]) -> Spec:
    name = function
    if getattr(function, "__module__", None) in _MODULES:
        name = function.__name__
    if not isinstance(name, str) or name not in RECIPES:
        raise ValueError(
            f"a function of torch.nn.init must be one of {', '.join(RECIPES)}; received "
            f"{function!r}"
        )
    try:
        inspect.signature(RECIPES[name]).bind((), None, **arguments)
    except TypeError as error:
        raise TypeError(f"{name}: {error}; received {dict(arguments)!r}") from None
    return Spec(name, dict(arguments))


def make_fill(what: Any, shape: Dims, dtype: torch.dtype, axes: str = "torch") -> Fill:
    """Return how to write one tensor: everything that can be wrong with the arguments is found
    here.

    Args:
        what: a Spec, an initializer or Blocks.
        axes: the row of `AXES` by which a rule takes fans that it does not say itself.
    """
    if isinstance(what, Blocks):
        return packed.fill(what, shape, lambda each, part: make_fill(each, part, dtype, axes))
    if type(what) in (Zeros, Ones):  # torch writes these on any device
        what = ONES if isinstance(what, Ones) else ZEROS
    elif type(what) is Orthogonal:  # our own matrix is Keras', prod(shape[:-1]) by shape[-1]
        what = Spec("orthogonal_", {"gain": what.gain})
    if isinstance(what, Initializer):
        return _drawn_by(what, shape, dtype, axes)
    if 0 in shape:
        return NOTHING
    if axes != "torch" and takes_axes(what):
        if axes.startswith("keras") and what.function.startswith("kaiming"):
            mode = str(what.arguments.get("mode", "fan_in")).lower()
            what = _with(what, mode={"fan_in": "fan_out", "fan_out": "fan_in"}.get(mode, mode))
        what = _with(what, batch_dims=len(AXES[axes].batch))
    return RECIPES[what.function](shape, dtype, **what.arguments)


def within(what: Any, module: nn.Module) -> Any:
    """Return what a rule says of a parameter of this module: groups="module" are the module's
    own.
    """
    if isinstance(what, Blocks):
        return Blocks(tuple(within(each, module) for each in what.whats), what.dim, what.sizes)
    if isinstance(what, Spec) and what.arguments.get("groups") == "module":
        return _with(what, groups=getattr(module, "groups", 1))
    return what


def _with(spec: Spec, **arguments: Any) -> Spec:
    return Spec(spec.function, {**spec.arguments, **arguments})


def shown(what: Any) -> str:
    """Return a rule's right-hand side as text, such as `sparse_(sparsity=0.1)`."""
    if not isinstance(what, Spec):
        return repr(what)
    arguments = ", ".join(f"{key}={value!r}" for key, value in what.arguments.items())
    return f"{what.function}({arguments})"


def takes_axes(what: Any) -> bool:
    """Return whether it depends on which axes of a tensor are what, and does not say so itself."""
    if isinstance(what, Blocks):
        return any(map(takes_axes, what.whats))
    if isinstance(what, VarianceScaling):
        return (what.input_axes, what.output_axes) == (None, None)
    if isinstance(what, Spec):
        function = RECIPES.get(what.function)
        known = inspect.signature(function).parameters if function else ()
        return "batch_dims" in known and "batch_dims" not in what.arguments
    return isinstance(what, Orthogonal)


def _drawn_by(given: Initializer, shape: Dims, dtype: torch.dtype, axes: str) -> Fill:
    if len(shape) > 1:
        given = given.with_axes(**AXES[axes].arguments(len(shape)))
    example = given.with_seed(0)
    if example is given and getattr(given, "seed", None) is not None:
        raise ValueError(
            f"{type(given).__name__} has a seed but no with_seed(seed), so that all parameters "
            "would be drawn from one stream: write that method, or derive from a random "
            "initializer of initfast"
        )
    streams.check(given, shape, resolve_numeric(dtype))

    def run(target: Target, seed: Seed) -> None:
        given.with_seed(seed).fill(target.local, target.shape, target.where)

    return Fill(run, says=lambda: example, unsplit=0 if given.whole_only else None)


def with_zero_rows(fill: Fill, rows: Iterable[int]) -> Fill:
    """Return the same fill, and these rows 0 afterwards."""
    chosen = sorted(rows)

    def run(target: Target, seed: Seed) -> None:
        fill.run(target, seed)
        for row in chosen:
            place = row - starts(target)[0]
            if 0 <= place < target.local.shape[0]:
                target.local[place].zero_()

    fixed = (*fill.fixed_rows, *(Rows(row, row + 1, 0.0) for row in chosen))
    return fill._replace(run=run, fixed_rows=fixed)


def first(rules: Iterable[Rule], holders: Holders) -> Rule | None:
    """Return the first rule that matches a parameter or buffer."""
    return next((rule for rule in rules if rule.matches(holders)), None)


def for_buffers(rules: Iterable[Rule], parameters: Iterable[Holders]) -> list[Rule]:
    """Return the rules for buffers: they match no parameter and are not for everything."""
    listed = list(parameters)
    return [rule for rule in rules if not rule.fits("") and not any(map(rule.matches, listed))]


def check_used(rules: Iterable[Rule], listed: Sequence[Holders]) -> None:
    """Refuse a rule that matches nothing, which a misspelt pattern does.

    Raises:
        ValueError: naming the rule.
    """
    for rule in rules:
        if not any(map(rule.matches, listed)):
            names = [next(iter(holders)) for holders in listed]
            shown = ", ".join(map(repr, names[:5])) + (", ..." if len(names) > 5 else "")
            raise ValueError(f"every rule must match a name; {rule} matches none of {shown}")
