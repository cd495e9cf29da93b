"""Test the coordinate check: sizes by width, before and after steps of training."""

import json
import math

import numpy as np
import pytest

from initfast.signal import coordinate_check

WIDTHS = [32, 64, 128, 256]


def test_a_scaled_initializer_is_stable_and_a_fixed_one_is_not():
    scaled = coordinate_check("lecun_normal", widths=WIDTHS, steps=[0])
    assert scaled.stable and str(scaled).startswith("STABLE: ")
    fixed = coordinate_check("random_normal(stddev=0.05)", "linear", widths=WIDTHS, steps=[0])
    assert not fixed.stable and str(fixed).startswith("NOT STABLE: ")
    # Each layer of n inputs multiplies the size by 0.05 sqrt(n); the first has 64 at any width.
    for number, (slope,) in enumerate(fixed.slopes.values()):
        assert slope == pytest.approx(number / 2, abs=0.1)


def test_steps_of_the_standard_parametrisation_change_with_the_width():
    """Yang et al. 2022: with one learning rate, the update of the logits grows with the width."""
    result = coordinate_check(
        "he_normal", "relu", widths=WIDTHS, steps=[0, 1, 3], learning_rate=1.0
    )
    assert all(abs(row[0]) < 0.2 for row in result.slopes.values())
    last = result.sizes["layer_4"]
    assert last[1][-1] / last[0][-1] > 2 * last[1][0] / last[0][0]


def test_what_it_holds():
    result = coordinate_check(widths=[16, 8], steps=[1, 0])
    assert (result.widths, result.steps) == ((8, 16), (0, 1))
    assert set(result.sizes) == {"layer_1", "layer_2", "layer_3", "layer_4"}
    assert json.loads(json.dumps(result.to_dict(), allow_nan=False))["stable"] is result.stable
    zeros = coordinate_check("zeros", widths=[8, 16], steps=[0])
    assert math.isnan(zeros.slopes["layer_1"][0]) and not zeros.stable and "nan" in str(zeros)


@pytest.mark.parametrize(
    ("changed", "message"), [({"widths": [8]}, "two or more"), ({"steps": []}, "one or more")]
)
def test_what_is_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        coordinate_check(**changed)


def test_torch_gives_the_same_at_the_beginning():
    torch = pytest.importorskip("torch")
    from torch import nn

    from initfast.torch import coordinate_check as check

    def make(width):
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Linear(64, width),
            nn.Tanh(),
            nn.Linear(width, width),
            nn.Tanh(),
            nn.Linear(width, 10),
        )
        for part in model:
            if isinstance(part, nn.Linear):
                nn.init.normal_(part.weight, 0.0, part.in_features**-0.5)
                nn.init.zeros_(part.bias)
        return model

    result = check(make, torch.randn(64, 64), widths=WIDTHS, steps=[0, 1, 3])
    assert list(result.sizes) == ["0", "2", "4"]
    assert all(abs(row[0]) < 0.2 for row in result.slopes.values())
    expected = math.sqrt(2 / math.pi)  # mean of |z|, z standard normal
    np.testing.assert_allclose(result.sizes["0"][0], expected, rtol=0.1)
    fixed = check(
        lambda n: nn.Sequential(nn.Linear(64, n), nn.Linear(n, 10)).apply(_ones),
        torch.randn(8, 64),
        widths=WIDTHS,
        steps=[0],
    )
    assert fixed.slopes["1"][0] == pytest.approx(1.0, abs=0.01)
    with pytest.raises(TypeError, match="make must give"):
        check(lambda n: n, torch.ones(2, 3))


def _ones(part):
    if hasattr(part, "weight"):
        part.weight.data.fill_(1.0)
