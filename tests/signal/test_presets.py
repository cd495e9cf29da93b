"""Test the claims of introductions by name: all except one hold, with any seed."""

import math
import re

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
    assert ("  why:      " in str(claim)) is (name == "lost-gradient")


def test_a_claim_that_does_not_hold_is_explained():
    """Each layer multiplies the variance of the gradient by sqrt(n) / (6 sqrt(pi)): above 1 from
    114 units."""
    claim = measure("lost-gradient")
    wide, narrow = re.findall(r"([\d.e-]+) to ([\d.e-]+) with", claim.measured)
    assert float(wide[0]) < float(wide[1]) and float(narrow[0]) > float(narrow[1])
    assert math.floor((6 * math.sqrt(math.pi)) ** 2) == 113
    assert "113 units" in claim.why and claim.why.endswith("slopes.")


def test_no_such_claim():
    with pytest.raises(ValueError, match="a preset must be one of zeros"):
        measure("foo")
