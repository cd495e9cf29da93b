"""Imports go one way, downwards, and importing initfast loads nothing it does not need: both read
from the source.
"""

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

import initfast

PACKAGE = Path(initfast.__file__).parent

# From the bottom up. A module imports only from rows below its own, or from those named before it
# in its row.
LAYERS = (
    ("_kernels", "coefficients"),
    ("dtypes", "layout", "threads", "backends", "buffers", "config"),
    ("truncation", "grid", "distributions"),
    ("seeds", "typing"),
    ("fans", "fill"),
    ("arguments", "base"),
    ("initializers", "orthogonals"),
    ("places", "constants", "fourier"),
    ("aliases", "registry", "parts"),
    ("__init__",),
    ("moments", "files"),
    ("fixedrows", "specs", "signal", "bench"),
    ("checkpoint",),
    ("cli",),
    ("__main__",),
)
# Rooms of their own above `signal`, each for one engine, which is imported in its room alone.
ADAPTERS = {
    "torch": "torch",
    "keras": "keras",
    "jax": "jax",
    "dask": "dask",
    "zarr": "zarr",
    "threadpools": "threadpoolctl",
}
# What takes models of any engine, and hands them to its adapter.
ABOVE_ADAPTERS = ("checkpoint",)
# The second implementation, for tests only: nothing of the package imports it.
ASIDE = ("reference",)
# The build reads the version from __init__, and `show_config` shows it.
# __init__ names what stands above it for type checkers, and loads it when it is asked for.
UPWARDS = {("config", "__init__"), ("__init__", "checkpoint"), ("__init__", "signal")}
HEAVY = (
    "keras",
    "torch",
    "jax",
    "tensorflow",
    "scipy",
    "mpmath",
    "ml_dtypes",
    "tqdm",
    "dask",
    "threadpoolctl",
    "zarr",
    "safetensors",
    "sklearn",
    "matplotlib",
    "initfast.signal",
    "initfast.checkpoint",
)


def ranks() -> dict[str, int]:
    return {name: number for number, name in enumerate(name for row in LAYERS for name in row)}


def files(name: str) -> list[Path]:
    """The files of a module, or of a room that has several."""
    alone = PACKAGE / f"{name}.py"
    return [alone] if alone.exists() else sorted((PACKAGE / name).glob("*.py"))


def modules() -> list[str]:
    found = {path.stem for path in PACKAGE.glob("*.py")} | {
        path.parent.name for path in PACKAGE.glob("*/__init__.py")
    }
    return sorted(found - {*ASIDE, *ADAPTERS})


def rooms() -> list[str]:
    return sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))


def adapter_files() -> list[tuple[str, Path]]:
    return [(name, path) for name in ADAPTERS for path in files(name)]


def imported(source: str) -> set[str]:
    """The modules of initfast that a source text imports, also inside functions; the package itself
    is `__init__`.
    """
    known = {*modules(), *ASIDE, "_kernels", *ADAPTERS}
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            path = (
                "initfast" + (f".{node.module}" if node.module else "")
                if node.level
                else node.module or ""
            )
            if path == "initfast":
                # `from initfast import x` takes a module x, or else a name of __init__.
                found |= {alias.name if alias.name in known else "__init__" for alias in node.names}
            elif path.startswith("initfast."):
                found.add(path.split(".")[1])
        elif isinstance(node, ast.Import):
            for alias in node.names:
                head, _, rest = alias.name.partition(".")
                if head == "initfast":
                    found.add(rest.split(".")[0] or "__init__")
    return found


def test_every_module_has_its_place():
    assert set(modules()) <= set(ranks())


@pytest.mark.parametrize("name", modules())
def test_imports_go_downwards(name):
    rank = ranks()
    for other in set().union(
        *(imported(path.read_text(encoding="utf-8")) for path in files(name))
    ) - {name}:
        assert other not in ASIDE, f"{name} imports {other}, which is for tests only"
        if other in ADAPTERS:
            assert name in ABOVE_ADAPTERS, (
                f"{name} imports the adapter {other}, which stands above it"
            )
            continue
        assert rank[other] < rank[name] or (name, other) in UPWARDS, (
            f"{name} imports {other}, which stands above it"
        )


def neighbours(room: str, source: str) -> set[str]:
    """The modules of its own room that a source text imports when it runs."""
    known, found = {path.stem for path in files(room)}, set()
    tree = ast.parse(source)
    tree.body = [
        node
        for node in tree.body
        if not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test))
    ]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"initfast.{room}"):
            rest = (node.module or "").split(".")[2:]
            found |= set(rest[:1]) or {
                alias.name if alias.name in known else "__init__" for alias in node.names
            }
    return found


@pytest.mark.parametrize("room", rooms())
def test_imports_within_a_room_make_no_circle(room):
    uses = {path.stem: neighbours(room, path.read_text(encoding="utf-8")) for path in files(room)}
    assert uses.keys() >= set().union(*uses.values())
    assert any(uses.values())
    list(graphlib.TopologicalSorter(uses).static_order())  # raises CycleError


def test_every_adapter_is_there():
    assert {name for name, _ in adapter_files()} == set(ADAPTERS)


@pytest.mark.parametrize(
    ("name", "path"), adapter_files(), ids=lambda part: getattr(part, "name", part)
)
def test_adapters_import_downwards(name, path):
    rank = ranks()
    source = path.read_text(encoding="utf-8")
    for other in imported(source) - {name}:
        assert other not in ADAPTERS, f"{path.name} imports the adapter {other}"
        assert other not in ASIDE, f"{path.name} imports {other}, which is for tests only"
        assert rank[other] <= rank["signal"], (
            f"{path.name} imports {other}, which stands beside it or above"
        )


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import initfast", {"__init__"}),
        ("import initfast.core.engine", {"fill"}),
        ("from initfast import get, dtypes", {"__init__", "dtypes"}),
        ("from . import fill", {"fill"}),
        ("from .seeds import Seed", {"seeds"}),
        ("from initfast.core.seeds import Seed", {"seeds"}),
        ("def f():\n    from initfast._kernels import Source", {"_kernels"}),
        ("import numpy\nfrom collections import deque", set()),
    ],
)
def test_the_reader_of_imports_sees_them_all(source, expected):
    assert imported(source) == expected


def test_importing_initfast_loads_nothing_heavy():
    code = f"import sys, initfast; print([name for name in {HEAVY} if name in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
