"""Where the files are that tests read, and which modules need an engine."""

from pathlib import Path

TESTS = Path(__file__).parent.parent
ROOT = TESTS.parent
SOURCES = ROOT / "src"
VECTORS = TESTS / "vectors"
SPECS = TESTS / "files" / "specs"

# Modules for one engine each, and what is imported to use it.
ADAPTERS = {
    "torch": "torch",
    "keras": "keras",
    "jax": "jax",
    "dask": "dask",
    "zarr": "zarr",
    "threadpools": "threadpoolctl",
}
