"""The programs of this folder measure evidence; only `test_evidence.py` is a test."""

from pathlib import Path

collect_ignore = [
    path.name for path in Path(__file__).parent.glob("*.py") if not path.name.startswith("test_")
]
