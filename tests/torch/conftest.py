"""What one test draws makes no warning in another."""

import sys

import pytest


@pytest.fixture(autouse=True)
def nothing_drawn():
    streams = sys.modules.get("initfast.torch.streams")  # torch may be missing
    if streams is not None:
        streams._last_tensors.clear()
