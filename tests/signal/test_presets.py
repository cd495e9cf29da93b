"""The claims of introductions, by name: all but one hold, from any seed."""

import pytest
from tiers import sample

from initfast.signal.presets import PRESETS, measure


@pytest.mark.parametrize(
    "name", sample(PRESETS, "zeros", "standard-normal", "lost-gradient", "he", "xavier-relu")
)
@pytest.mark.parametrize("seed", sample([1, 2, 3], 1, ids=[1, 2, 3]))
def test_a_claim(name, seed):
    claim = measure(name, seed)
    assert claim.holds is (name != "lost-gradient"), str(claim)
    assert str(claim).startswith(f"{name}: {'holds' if claim.holds else 'DOES NOT HOLD'}")


def test_no_such_claim():
    with pytest.raises(ValueError, match="a preset must be one of zeros"):
        measure("foo")
