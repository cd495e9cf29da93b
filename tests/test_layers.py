"""Imports go in one direction only, and `import initfast` loads no heavy module.

The directions are read from the source, with imports in functions and for type checkers."""

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

import initfast

PACKAGE = Path(initfast.__file__).parent

# From bottom to top: a room imports only from the rows to its left, and rooms in one row do not
# import each other.
ORDER = (
    "_version _kernels _startup < backends < core < initializers < signal files < "
    "jax dask zarr torch keras threadpools < checkpoint typing _config < __init__ < cli < __main__"
)
ROWS = [row.split() for row in ORDER.split(" < ")]
RANK = {room: rank for rank, row in enumerate(ROWS) for room in row}

# Only its adapter imports an engine. Other modules that load slowly are imported when they are used.
ADAPTERS = {
    "torch": "torch",
    "keras": "keras",
    "jax": "jax",
    "dask": "dask",
    "zarr": "zarr",
    "threadpools": "threadpoolctl",
}
HEAVY = (
    *ADAPTERS.values(),
    "tensorflow",
    "scipy",
    "mpmath",
    "tqdm",
    "safetensors",
    "sklearn",
    "matplotlib",
    "initfast.signal",
    "initfast.checkpoint",
)


def module_of(path: Path) -> str:
    """Return the name of a file's module in the package: 'core.engine', 'core' for a room's __init__,
    or '__init__'.
    """
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


FILES = {module_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}
KNOWN = {*FILES, "_kernels"}


def room_of(module: str) -> str:
    """Return the room of a module."""
    return module.partition(".")[0]


def imported(source: str) -> set[str]:
    """Return the modules of initfast that a source text imports; the package is '__init__'."""
    modules = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute"
            if room_of(node.module or "") == "initfast":
                path = (node.module or "").removeprefix("initfast").removeprefix(".")
                for alias in node.names:
                    inner = f"{path}.{alias.name}".removeprefix(".")
                    modules.add(inner if inner in KNOWN else path or "__init__")
        elif isinstance(node, ast.Import):
            for alias in node.names:
                head, _, rest = alias.name.partition(".")
                if head == "initfast":
                    modules.add(rest or "__init__")
    return modules


IMPORTS = {name: imported(path.read_text(encoding="utf-8")) for name, path in FILES.items()}


def test_the_order_names_every_room():
    assert {room_of(name) for name in KNOWN} == set(RANK)


@pytest.mark.parametrize("name", FILES)
def test_imports_go_downwards(name):
    for other in IMPORTS[name]:
        inside = room_of(other) == room_of(name)
        assert inside or RANK[room_of(other)] < RANK[room_of(name)], f"{name} imports {other}"


def test_there_are_no_circular_imports():
    list(graphlib.TopologicalSorter(IMPORTS).static_order())  # raises CycleError


def test_the_package_has_few_modules_outside_rooms():
    assert len(list(PACKAGE.glob("*.py"))) <= 12


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import initfast", {"__init__"}),
        ("import initfast.core.engine", {"core.engine"}),
        ("from initfast import get, checkpoint", {"__init__", "checkpoint"}),
        ("from initfast.core.seeds import Seed", {"core.seeds"}),
        ("from initfast.core import seeds", {"core.seeds"}),
        ("from initfast.initializers import HeNormal", {"initializers"}),
        ("def f():\n    from initfast._kernels import Source", {"_kernels"}),
        ("import numpy\nfrom collections import deque", set()),
    ],
)
def test_all_kinds_of_imports_are_read(source, expected):
    assert imported(source) == expected


def test_importing_initfast_loads_nothing_heavy():
    code = f"import sys, initfast; print([name for name in {HEAVY} if name in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_dir_shows_public_names_only():
    names = {name for name in dir(initfast) if not name.startswith("__")}
    assert names <= set(initfast.__all__)
    assert {"HeNormal", "signal", "checkpoint", "get"} <= names
    assert all(hasattr(initfast, name) for name in initfast.__all__)


def test_public_classes_have_the_public_module():
    for name in initfast.__all__:
        value = getattr(initfast, name)
        if isinstance(value, type):
            assert value.__module__ in ("initfast", "initfast.signal"), name
