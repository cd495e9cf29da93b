"""The rounding direction of the host does not change the values of functions and defaults."""

import pytest
from host import NEEDED, check_parameters

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

import initfast.torch as fast  # noqa: E402
from initfast.initializers import sources  # noqa: E402
from initfast.torch import recipes  # noqa: E402

pytestmark = [NEEDED, pytest.mark.filterwarnings("ignore::initfast.ReusedSeedWarning")]
SHAPES = [(13, 11), (7, 5, 3, 3), (6, 10), (23, 3)]
FUNCTIONS = {
    "normal_": {"std": 0.1},
    "trunc_normal_": {"std": 0.3, "a": -0.7, "b": 0.2},
    "constant_": {"val": 0.1},
    "xavier_uniform_": {"gain": 0.7},
    "xavier_normal_": {"gain": 0.7},
    "kaiming_uniform_": {"a": 0.3},
    "kaiming_normal_": {"nonlinearity": "selu", "mode": "fan_out"},
}


def fresh():
    for cached in (sources.uniform, sources.normal, sources.truncated_normal):
        cached.cache_clear()
    recipes._trunc_normal.cache_clear()


def bits(tensor):
    return tensor.detach().contiguous().flatten().view(torch.uint8).numpy().tobytes()


def functions():
    fresh()
    actual = {}
    for name, arguments in FUNCTIONS.items():
        for shape in SHAPES:
            for dtype in (torch.float64, torch.float32, torch.complex128):
                if dtype.is_complex and name == "trunc_normal_":
                    continue
                parameters = fast.initialize(
                    nn.ParameterDict({"w": torch.zeros(shape, dtype=dtype)}),
                    1,
                    {"w": (name, arguments)},
                )
                actual[f"{name} {shape} {dtype}"] = bits(parameters["w"])
    return actual


def test_functions():
    check_parameters(functions)


class Scaled(nn.Linear):
    """A layer with steps that fold into one draw, and steps that do not."""

    def reset_parameters(self):
        nn.init.kaiming_uniform_(self.weight, a=0.3)
        self.weight.data.mul_(0.7).div_(3.0)
        with torch.no_grad():
            self.bias.copy_(torch.rand(self.bias.shape, device=self.bias.device).add(0.1).sqrt())


def modules():
    fresh()
    models = [
        nn.Sequential(nn.Linear(11, 13), nn.Conv2d(3, 7, 3), nn.Bilinear(7, 5, 3), nn.LSTM(5, 7)),
        Scaled(5, 3000),
        nn.utils.parametrizations.weight_norm(nn.Linear(11, 13)),
    ]
    initializer = fast.spec_from(Scaled(5, 3000))["tensors"]["bias"]["init"].with_seed(1)
    return {
        "recorded": initializer.block((3000,), ..., "float32").tobytes(),
        **{
            f"{kind} {name}": bits(value)
            for kind, each in enumerate(models)
            for name, value in fast.initialize(each.double(), 1).state_dict().items()
        },
    }


def test_modules():
    check_parameters(modules)


def patched():
    fresh()
    with fast.patch(seed=1):
        spread = torch.linspace(1, 2, 33, dtype=torch.float64)
        means = torch.normal(spread, spread)
        cut = torch.empty(99, dtype=torch.float64).uniform_(-0.9, 0.7).erfinv_()
    return {"normal": bits(means), "erfinv": bits(cut)}


def test_patch():
    check_parameters(patched)
