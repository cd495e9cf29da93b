"""A stream that one test draws from makes no ReusedSeedWarning in another test."""

import sys

import pytest


@pytest.fixture(autouse=True)
def no_streams_in_use():
    streams = sys.modules.get("initfast.torch.streams")  # torch may be missing
    if streams is not None:
        streams._last_tensors.clear()
