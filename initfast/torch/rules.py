"""Rules: which parameters, by name, and what to draw them from; and how either becomes a fill of
one tensor.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

import torch

from initfast.core.dtypes import resolve_numeric
from initfast.core.indexing import Dims
from initfast.core.seeds import Seed
from initfast.initializers import blocks, grammar, registry
from initfast.initializers.base import Initializer
from initfast.initializers.constant import Ones, Zeros
from initfast.initializers.fans import AXES
from initfast.initializers.fixed_rows import Rows
from initfast.initializers.orthogonal import Orthogonal
from initfast.torch.defaults import ONES, ZEROS, Spec
from initfast.torch.recipes import NOTHING, RECIPES
from initfast.torch.targets import Fill, Target, starts

_MODULES = ("torch.nn.init", "initfast.torch.init")


class Rule(NamedTuple):
    """A pattern, and what the parameters that it matches are drawn from: None leaves them as they
    are.
    """

    pattern: str | re.Pattern[str]
    what: Spec | Initializer | None

    def matches(self, name: str) -> bool:
        """Whether the whole name fits the pattern."""
        if isinstance(self.pattern, str):
            return fnmatchcase(name, self.pattern)
        return self.pattern.fullmatch(name) is not None


def parse(rules: Iterable[Any]) -> list[Rule]:
    """The `rules` of `initialize`, checked.

    Raises:
        TypeError, ValueError: if a rule is no pair of a pattern and something to draw from.
    """
    if isinstance(rules, Mapping):
        rules = rules.items()
    found = []
    for rule in rules:
        if (
            not isinstance(rule, tuple | list)
            or len(rule) != 2
            or not isinstance(rule[0], str | re.Pattern)
        ):
            raise TypeError(
                "a rule must be a pair of a pattern (str or re.Pattern) and an initializer; got "
                f"{rule!r}"
            )
        try:
            found.append(Rule(rule[0], _what(rule[1])))
        except (TypeError, ValueError) as error:
            raise type(error)(f"the rule for {rule[0]!r}: {error}") from error
    return found


def _what(given: Any) -> Spec | Initializer | None:
    if given is None:
        return None
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


def make_fill(what: Spec | Initializer, shape: Dims, dtype: torch.dtype) -> Fill:
    """How to write one tensor: everything that can be wrong with the arguments is found here."""
    if type(what) in (Zeros, Ones):  # torch writes these on any device
        what = ONES if isinstance(what, Ones) else ZEROS
    elif type(what) is Orthogonal:  # our own matrix is Keras', prod(shape[:-1]) by shape[-1]
        what = Spec("orthogonal_", {"gain": what.gain})
    if isinstance(what, Initializer):
        return _drawn_by(what, shape, dtype)
    if 0 in shape:
        return NOTHING
    fill = RECIPES[what.function](shape, dtype, **what.arguments)
    return fill if what.zero_row is None else _with_zero_row(fill, what.zero_row)


def _drawn_by(given: Initializer, shape: Dims, dtype: torch.dtype) -> Fill:
    if len(shape) > 1:
        given = given.with_axes(**AXES["torch"].arguments(len(shape)))
    example = given.with_seed(0)
    blocks.check(example, shape, resolve_numeric(dtype))

    def run(target: Target, seed: Seed) -> None:
        given.with_seed(seed).fill(target.local, target.shape, target.where)

    return Fill(run, says=lambda: example)


def _with_zero_row(fill: Fill, row: int) -> Fill:
    def run(target: Target, seed: Seed) -> None:
        fill.run(target, seed)
        place = row - starts(target)[0]
        if 0 <= place < target.local.shape[0]:
            target.local[place].zero_()

    return fill._replace(run=run, fixed_rows=(Rows(row, row + 1, 0.0),))


Lookup = Callable[[str], Rule | None]


def lookup(rules: list[Rule], names: Iterable[str]) -> Lookup:
    """The first rule that matches a name.

    Raises:
        ValueError: if a rule matches none of `names`, which a misspelt pattern does.
    """
    listed = list(names)
    for rule in rules:
        if not any(map(rule.matches, listed)):
            shown = ", ".join(map(repr, listed[:5])) + (", ..." if len(listed) > 5 else "")
            raise ValueError(
                f"every rule must match a name; {rule.pattern!r} matches none of {shown}"
            )
    return lambda name: next((rule for rule in rules if rule.matches(name)), None)
