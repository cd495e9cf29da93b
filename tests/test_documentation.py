"""Every public name is documented where one looks for it: in `help`, with each of its parameters,
and in a README.
"""

import doctest
import importlib
import inspect
import re

import pytest
from places import ADAPTERS, ROOT
from readmes import READMES

import initfast
from initfast.initializers import aliases

ROOM_NAMES = (*ADAPTERS, "typing", "checkpoint", "signal", "backends")
DOCUMENTS = "".join(READMES.values()) + (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
# A function of another library's signature, or of another function's, may leave the arguments to
# that.
REFERS = (
    r"(?i)^as `jax\.nn|^an initializer that returns a constant"
    r"|arguments are those of|of these arguments"
)
# Keras' second names for what is documented under its first.
SECOND = {"IdentityInitializer", "OrthogonalInitializer", "STFTInitializer"}


def public(room):
    """(name, object) of a module: what its __all__ lists, else what it defines without an
    underscore.
    """
    if room in ADAPTERS:
        pytest.importorskip(ADAPTERS[room])
    module = importlib.import_module(f"initfast.{room}" if room else "initfast")
    names = getattr(module, "__all__", None) or [
        name
        for name, found in vars(module).items()
        if not name.startswith("_") and getattr(found, "__module__", "") == module.__name__
    ]
    return [(name, getattr(module, name)) for name in names]


def callables(name, found):
    """What of a public name is called: itself, its constructor, its public methods."""
    if inspect.isclass(found) and not issubclass(found, BaseException):
        yield name, found, f"{found.__doc__ or ''} {found.__init__.__doc__ or ''}"
        for method, function in inspect.getmembers(found, inspect.isroutine):
            if (
                not method.startswith("_")
                and function.__qualname__.startswith(found.__name__)
                and found.__module__.startswith("initfast")
            ):
                yield f"{name}.{method}", function, inspect.getdoc(function) or ""
    elif inspect.isfunction(found):
        yield name, found, found.__doc__ or ""


@pytest.mark.parametrize("room", ["", *ROOM_NAMES])
def test_every_public_name_says_what_it_is(room):
    assert public(room)
    for name, found in public(room):
        if inspect.isclass(found) or inspect.isroutine(found) or inspect.ismodule(found):
            for called, _, text in callables(name, found):
                assert len(text.split()) > 3, f"{room}.{called} has no docstring"
            assert (found.__doc__ or "").strip(), f"{room}.{name} has no docstring"


@pytest.mark.parametrize("room", ["", *ROOM_NAMES])
def test_every_parameter_is_named_in_help(room):
    for name, found in public(room):
        for called, function, text in callables(name, found):
            if re.search(REFERS, text):
                continue
            for parameter in inspect.signature(function).parameters:
                if parameter not in ("self", "cls", "args", "kwargs") and not parameter.startswith(
                    "_"
                ):
                    assert re.search(rf"\b{parameter}\b", text), (
                        f"help({called}) says nothing of {parameter!r}"
                    )


def test_every_name_of_the_package_is_in_its_help_or_the_readme():
    help_text = initfast.__doc__ + DOCUMENTS
    for name in set(initfast.__all__) - set(aliases.__all__) - SECOND:
        assert re.search(rf"\b{name}\b", help_text), name


def test_every_adapter_is_in_the_readme():
    for room in ADAPTERS:
        assert f"initfast.{room}" in DOCUMENTS


def test_the_examples_of_methods_run():
    """pytest looks for them in the module that a class names, `initfast`, and misses methods."""
    examples = 0
    for _, found in public(""):
        for base in found.__mro__ if inspect.isclass(found) else ():
            for function in filter(inspect.isfunction, vars(base).values()):
                for test in doctest.DocTestFinder().find(function, globs=function.__globals__):
                    examples += len(test.examples)
                    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
                    assert runner.run(test).failed == 0
    assert examples
