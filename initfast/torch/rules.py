"""The rules of `initialize`: read them (`parse`), find the rule of a parameter (`first`), and turn
its initializer into the fill of one tensor (`make_fill`).
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
_DIRECT = re.compile(r"[^.]+")  # names without a dot: parameters that a module itself holds


Holders = Mapping[str, nn.Module]
"""The modules that hold a parameter, by its name within each, outermost first (`names.holders`)."""


class Rule(NamedTuple):
    """A pattern and the initializer of the parameters that it matches; None leaves them unchanged.
    With `kind`, the pattern is for names within modules of this class.
    """

    pattern: str | re.Pattern[str]
    initializer: Spec | Initializer | Blocks | None
    kind: type[nn.Module] | None = None

    def matches(self, holders: Holders) -> bool:
        """Return whether the rule is for the parameter with these holders."""
        if self.kind is None:
            return self.fits(next(iter(holders)))
        return any(
            isinstance(module, self.kind) and self.fits(name) for name, module in holders.items()
        )

    def fits(self, name: str) -> bool:
        """Return whether the pattern matches the whole name."""
        if isinstance(self.pattern, str):
            return fnmatchcase(name, self.pattern)
        return self.pattern.fullmatch(name) is not None

    def __str__(self) -> str:
        pattern = repr(self.pattern)
        if self.kind is None:
            return pattern
        return (
            self.kind.__name__ if self.pattern is _DIRECT else f"{pattern} in {self.kind.__name__}"
        )


def parse(rules: Iterable[Any]) -> list[Rule]:
    """Return the rules that a user passed, checked.

    Raises:
        TypeError, ValueError: a rule is not a pair of a pattern and an initializer.
    """
    parsed: list[Rule] = []
    for pattern, value, kind in _pairs(rules):
        try:
            parsed.append(Rule(pattern, _initializer(value), kind))
        except (TypeError, ValueError) as error:
            raise type(error)(f"the rule for {Rule(pattern, None, kind)}: {error}") from error
    return parsed


def _pairs(rules: Any, kind: Any = None) -> Iterator[tuple[Any, Any, Any]]:
    """Return every pattern, its right-hand side, and the module class that it is for or None."""
    for rule in rules.items() if isinstance(rules, Mapping) else rules:
        if isinstance(rule, tuple | list) and len(rule) == 2:
            pattern, value = rule
            if isinstance(pattern, str | re.Pattern):
                yield pattern, value, kind
                continue
            if kind is None and isinstance(pattern, type) and issubclass(pattern, nn.Module):
                if isinstance(value, Mapping) and "class_name" not in value:
                    yield from _pairs(value, pattern)
                else:
                    yield _DIRECT, value, pattern
                continue
        raise TypeError(
            "a rule must be a pair of a pattern (a glob, an re.Pattern or, at the top level, a "
            f"module class) and an initializer; received {rule!r}"
        )


def _initializer(value: Any) -> Spec | Initializer | Blocks | None:
    """Return the right-hand side of a rule, in any of its forms, as an initializer."""
    if value is None:
        return None
    if isinstance(value, Spec):  # from rules_from: torch takes no dims as stacked matrices
        return _with(value, batch_dims=0) if takes_axes(value) else value
    if isinstance(value, Blocks):
        return Blocks(tuple(map(_initializer, value.initializers)), value.dim, value.sizes)
    if isinstance(value, functools.partial):
        if value.args:
            raise TypeError(f"a partial must hold keyword arguments only; received {value!r}")
        return _spec(value.func, value.keywords)
    if isinstance(value, tuple | list):
        if len(value) != 2 or not isinstance(value[1], Mapping):
            raise TypeError(
                "a pair must be a function of torch.nn.init and a dict of arguments; received "
                f"{value!r}"
            )
        return _spec(value[0], value[1])
    if inspect.isfunction(value):
        return _spec(value, {})
    if isinstance(value, str) and not value.lstrip().startswith("{"):
        name, arguments = call = grammar.call(value)
        if grammar.is_torch(call):
            return _spec(f"{name.removesuffix('_')}_", arguments)
    initializer = registry.get(value)
    if not isinstance(initializer, Initializer):
        raise TypeError(
            "an initializer must be an initializer of initfast or a function of torch.nn.init; "
            f"received {value!r}"
        )
    return initializer


def _spec(function: Any, arguments: Mapping[str, Any]) -> Spec:
    """Return the call of a function of `torch.nn.init`, named or itself, with checked arguments."""
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


def make_fill(initializer: Any, shape: Dims, dtype: torch.dtype, axes: str = "torch") -> Fill:
    """Return the fill of one tensor. All arguments are checked here.

    Args:
        initializer: a Spec, an initializer of initfast or Blocks.
        shape, dtype: of the whole tensor.
        axes: the row of `AXES` that defines the fans, unless the initializer has its own axes.
    """
    if isinstance(initializer, Blocks):
        return packed.fill(
            initializer, shape, lambda each, part: make_fill(each, part, dtype, axes)
        )
    if type(initializer) in (Zeros, Ones):  # torch writes these on any device
        initializer = ONES if isinstance(initializer, Ones) else ZEROS
    # initfast.Orthogonal follows Keras, prod(shape[:-1]) by shape[-1]. A rule means torch's matrix.
    elif type(initializer) is Orthogonal:
        initializer = Spec("orthogonal_", {"gain": initializer.gain})
    if isinstance(initializer, Initializer):
        return _fill_by(initializer, shape, dtype, axes)
    if 0 in shape:
        return NOTHING
    if axes != "torch" and takes_axes(initializer):
        if axes.startswith("keras") and initializer.function.startswith("kaiming"):
            mode = str(initializer.arguments.get("mode", "fan_in")).lower()
            initializer = _with(
                initializer, mode={"fan_in": "fan_out", "fan_out": "fan_in"}.get(mode, mode)
            )
        initializer = _with(initializer, batch_dims=len(AXES[axes].batch))
    return RECIPES[initializer.function](shape, dtype, **initializer.arguments)


def for_module(initializer: Any, module: nn.Module) -> Any:
    """Return an initializer with groups="module" replaced by the groups of this module."""
    if isinstance(initializer, Blocks):
        return Blocks(
            tuple(for_module(each, module) for each in initializer.initializers),
            initializer.dim,
            initializer.sizes,
        )
    if isinstance(initializer, Spec) and initializer.arguments.get("groups") == "module":
        return _with(initializer, groups=getattr(module, "groups", 1))
    return initializer


def _with(spec: Spec, **arguments: Any) -> Spec:
    return Spec(spec.function, {**spec.arguments, **arguments})


def as_text(initializer: Any) -> str:
    """Return an initializer as text, such as `sparse_(sparsity=0.1)`."""
    if not isinstance(initializer, Spec):
        return repr(initializer)
    arguments = ", ".join(f"{key}={value!r}" for key, value in initializer.arguments.items())
    return f"{initializer.function}({arguments})"


def takes_axes(initializer: Any) -> bool:
    """Return whether an initializer depends on the meaning of a tensor's axes and does not define
    it.
    """
    if isinstance(initializer, Blocks):
        return any(map(takes_axes, initializer.initializers))
    if isinstance(initializer, VarianceScaling):
        return (initializer.input_axes, initializer.output_axes) == (None, None)
    if isinstance(initializer, Spec):
        function = RECIPES.get(initializer.function)
        parameters = inspect.signature(function).parameters if function else ()
        return "batch_dims" in parameters and "batch_dims" not in initializer.arguments
    return isinstance(initializer, Orthogonal)


def _fill_by(initializer: Initializer, shape: Dims, dtype: torch.dtype, axes: str) -> Fill:
    """Return the fill of an initializer of initfast, with the fans of `axes`."""
    if len(shape) > 1:
        initializer = initializer.with_axes(**AXES[axes].arguments(len(shape)))
    example = initializer.with_seed(0)
    if example is initializer and getattr(initializer, "seed", None) is not None:
        raise ValueError(
            f"{type(initializer).__name__} has a seed but no with_seed(seed), so all parameters "
            "would be drawn from one stream: add that method, or derive the class from a random "
            "initializer of initfast"
        )
    streams.check(initializer, shape, resolve_numeric(dtype))

    def run(target: Target, seed: Seed) -> None:
        initializer.with_seed(seed).fill(target.local, target.shape, target.where)

    return Fill(run, equivalent=lambda: example, unsplit=0 if initializer.whole_only else None)


def with_zero_rows(fill: Fill, rows: Iterable[int]) -> Fill:
    """Return a fill that does the same and then sets these rows to 0."""
    zero_rows = sorted(rows)

    def run(target: Target, seed: Seed) -> None:
        fill.run(target, seed)
        for row in zero_rows:
            place = row - starts(target)[0]
            if 0 <= place < target.local.shape[0]:
                target.local[place].zero_()

    fixed_rows = (*fill.fixed_rows, *(Rows(row, row + 1, 0.0) for row in zero_rows))
    return fill._replace(run=run, fixed_rows=fixed_rows)


def first(rules: Iterable[Rule], holders: Holders) -> Rule | None:
    """Return the first rule that matches a parameter or buffer."""
    return next((rule for rule in rules if rule.matches(holders)), None)


def for_buffers(rules: Iterable[Rule], parameters: Iterable[Holders]) -> list[Rule]:
    """Return the rules for buffers: rules that match no parameter and do not match everything."""
    all_parameters = list(parameters)
    return [
        rule for rule in rules if not rule.fits("") and not any(map(rule.matches, all_parameters))
    ]


def check_used(rules: Iterable[Rule], tensors: Sequence[Holders]) -> None:
    """Raise ValueError if a rule matches none of the tensors, as a misspelt pattern does."""
    for rule in rules:
        if not any(map(rule.matches, tensors)):
            names = [next(iter(holders)) for holders in tensors]
            examples = ", ".join(map(repr, names[:5])) + (", ..." if len(names) > 5 else "")
            raise ValueError(f"every rule must match a name; {rule} matches none of {examples}")
