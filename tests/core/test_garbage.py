"""The search for cyclic garbage is paused within a block, and restored after it."""

import gc

import pytest

from initfast.core import garbage
from initfast.files import specs


@pytest.fixture(params=[True, False])
def enabled(request):
    before = gc.isenabled()
    (gc.enable if request.param else gc.disable)()
    yield request.param
    (gc.enable if before else gc.disable)()


def test_it_is_as_it_was(enabled):
    with garbage.paused():
        assert not gc.isenabled()
    assert gc.isenabled() == enabled
    with pytest.raises(ValueError), garbage.paused():
        raise ValueError
    assert gc.isenabled() == enabled


def test_a_wrong_spec_leaves_it_as_it_was(enabled):
    with pytest.raises(ValueError):
        specs.read({"tensors": {"w": {}}})
    assert gc.isenabled() == enabled
