"""Every public name is documented in `help`, with each of its parameters, and in a README."""

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
# A function with the arguments of another one may refer to the documentation of that one.
REFERS = (
    r"(?i)^as `jax\.nn|^an initializer that returns a constant"
    r"|arguments are those of|of these arguments"
)
# Keras' second names for documented classes.
SECOND = {"IdentityInitializer", "OrthogonalInitializer", "STFTInitializer"}


def public(room):
    """Return (name, object) of all public names of a module.

    These are the names in its __all__, or else its own names without an underscore."""
    if room in ADAPTERS:
        pytest.importorskip(ADAPTERS[room])
    module = importlib.import_module(f"initfast.{room}" if room else "initfast")
    names = getattr(module, "__all__", None) or [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", "") == module.__name__
    ]
    return [(name, getattr(module, name)) for name in names]


def callables(name, value):
    """Yield (name, function, docstring) of an object: itself, or a class and its public methods."""
    if inspect.isclass(value) and not issubclass(value, BaseException):
        yield name, value, f"{value.__doc__ or ''} {value.__init__.__doc__ or ''}"
        for method, function in inspect.getmembers(value, inspect.isroutine):
            if (
                not method.startswith("_")
                and function.__qualname__.startswith(value.__name__)
                and value.__module__.startswith("initfast")
            ):
                yield f"{name}.{method}", function, inspect.getdoc(function) or ""
    elif inspect.isfunction(value):
        yield name, value, value.__doc__ or ""


@pytest.mark.parametrize("room", ["", *ROOM_NAMES])
def test_every_public_name_has_a_docstring(room):
    assert public(room)
    for name, value in public(room):
        if inspect.isclass(value) or inspect.isroutine(value) or inspect.ismodule(value):
            for called, _, text in callables(name, value):
                assert len(text.split()) > 3, f"{room}.{called} has no docstring"
            assert (value.__doc__ or "").strip(), f"{room}.{name} has no docstring"


@pytest.mark.parametrize("room", ["", *ROOM_NAMES])
def test_every_parameter_is_named_in_help(room):
    for name, value in public(room):
        for called, function, text in callables(name, value):
            if re.search(REFERS, text):
                continue
            for parameter in inspect.signature(function).parameters:
                if parameter not in ("self", "cls", "args", "kwargs") and not parameter.startswith(
                    "_"
                ):
                    assert re.search(rf"\b{parameter}\b", text), (
                        f"help({called}) must describe {parameter!r}"
                    )


def test_every_name_of_the_package_is_in_its_help_or_the_readme():
    help_text = initfast.__doc__ + DOCUMENTS
    for name in set(initfast.__all__) - set(aliases.__all__) - SECOND:
        assert re.search(rf"\b{name}\b", help_text), name


def test_every_adapter_is_in_the_readme():
    for room in ADAPTERS:
        assert f"initfast.{room}" in DOCUMENTS


def test_the_examples_of_methods_run():
    """Run them here, because pytest looks in the `__module__` of a class and misses methods."""
    examples = 0
    for _, value in public(""):
        for base in value.__mro__ if inspect.isclass(value) else ():
            for function in filter(inspect.isfunction, vars(base).values()):
                for test in doctest.DocTestFinder().find(function, globs=function.__globals__):
                    examples += len(test.examples)
                    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
                    assert runner.run(test).failed == 0
    assert examples
