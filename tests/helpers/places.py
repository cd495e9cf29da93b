"""The folders that tests read, and the modules that need an engine."""

from pathlib import Path

TESTS = Path(__file__).parent.parent
ROOT = TESTS.parent
SOURCES = ROOT / "src"
VECTORS = TESTS / "vectors"
SPECS = TESTS / "files" / "specs"

# Adapters, each with the module of its engine.
ADAPTERS = {
    "torch": "torch",
    "keras": "keras",
    "jax": "jax",
    "dask": "dask",
    "zarr": "zarr",
    "threadpools": "threadpoolctl",
}
