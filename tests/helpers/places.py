"""Where the files are that tests read."""

from pathlib import Path

TESTS = Path(__file__).parent.parent
ROOT = TESTS.parent
SOURCES = ROOT / "src"
VECTORS = TESTS / "vectors"
SPECS = TESTS / "files" / "specs"
