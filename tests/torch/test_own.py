"""A user's own initializer in rules and specs, and core initializers that fill a Parameter."""

import numpy as np
import pytest
from own_classes import DepthScaled, Preset, Whole, integers_only

import initfast as ift

torch = pytest.importorskip("torch")

import initfast.torch as fast  # noqa: E402
from initfast.initializers import variance_scaling  # noqa: E402


def model():
    return torch.nn.Sequential(torch.nn.Linear(10, 1000), torch.nn.Linear(1000, 10))


@pytest.mark.parametrize(
    ("mine", "same"),
    [
        (DepthScaled(12, seed=9), lambda fan: ift.RandomNormal(stddev=(24 * fan) ** -0.5)),
        (Whole(seed=9), lambda fan: ift.HeNormal(input_axes=[1], output_axes=[0])),
        (Preset(3), lambda fan: ift.HeNormal(input_axes=[1], output_axes=[0])),
    ],
)
def test_rules(mine, same):
    actual = fast.initialize(model(), 42, {"*.weight": mine})
    for name, fan in (("0.weight", 10), ("1.weight", 1000)):
        weight = actual.get_parameter(name).detach().numpy()
        expected = same(fan).with_seed(ift.Seed(42).named(name))(weight.shape)
        assert np.array_equal(weight, expected)


@pytest.mark.parametrize("early", [False, True])
def test_an_initializer_without_streams_is_refused_first(early):
    mine, module = integers_only(ift.Initializer, early=early)(seed=9), model()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    with pytest.raises(ValueError, match=r"parameter '1.weight': IntegersOnly.* must accept an "):
        fast.initialize(module, 42, {"*.bias": "zeros_", "0.weight": "ones_", "1.weight": mine})
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    fast.initialize(module, 42, {"*.bias": "zeros_", "*.weight": Whole(seed=9)})


def test_specs():
    spec = fast.spec_from(model(), {"*.weight": DepthScaled(12), "*.bias": "zeros_"})
    stddevs = [spec["tensors"][f"{n}.weight"]["init"]["config"]["stddev"] for n in (0, 1)]
    assert stddevs == pytest.approx([240**-0.5, 24000**-0.5])


# the fans of core initializers, which are those of Keras


@pytest.fixture
def fresh():
    variance_scaling._check_parameter.cache_clear()


@pytest.mark.parametrize("make", [ift.HeNormal, ift.LecunUniform])
def test_a_parameter_warns_once(make, fresh):
    layer = torch.nn.Linear(10, 1000)
    with pytest.warns(RuntimeWarning, match=r"fan_in 1000, but .* fan_in 10: use .*initfast.torch"):
        make(seed=1).fill(layer.weight)  # the line
    make(seed=1).fill(layer.weight)


def test_the_warning_points_to_the_line(fresh):
    layer = torch.nn.Conv2d(3, 8, 3)
    with pytest.warns(
        RuntimeWarning, match=r"GlorotUniform .*fan_avg 72, .* fan_avg 49.5"
    ) as records:
        ift.GlorotUniform(seed=1).fill(layer.weight)
    assert [warning.filename for warning in records] == [__file__]


def test_intended_fans_stay_silent(fresh):
    layer = torch.nn.Linear(10, 1000)
    ift.HeNormal(seed=1).fill(layer.weight.data)
    ift.HeNormal(seed=1, input_axes=[1], output_axes=[0]).fill(layer.weight)
    ift.GlorotUniform(seed=1).fill(layer.weight)  # the same mean
    ift.RandomNormal(seed=1).fill(layer.weight)
    ift.HeNormal(seed=1).fill(layer.bias)
    ift.HeNormal(seed=1).fill(torch.nn.Linear(8, 8).weight)
    fast.initialize(layer, 1, {"weight": "he_normal", "bias": "zeros"})
    fast.kaiming_normal_(layer.weight, seed=1)
