"""A constructor changes parameters after the initialisation that initfast follows: one warning."""

import math
import warnings

import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

import initfast.torch as fast  # noqa: E402
from initfast.torch import deviations  # noqa: E402


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm, self.c_fc = nn.LayerNorm(width), nn.Linear(width, 2 * width)
        self.c_proj = nn.Linear(2 * width, width)

    def forward(self, x):
        return x + self.c_proj(torch.relu(self.c_fc(self.norm(x))))


class GPT(nn.Module):
    """Like nanoGPT: the constructor scales projections after `apply`."""

    scaled = True

    def __init__(self, width=48):
        super().__init__()
        self.wte = nn.Embedding(200, width)
        self.h = nn.Sequential(*(Block(width) for _ in range(2)))
        self.apply(self._init_weights)
        for name, parameter in self.named_parameters():
            if self.scaled and name.endswith("c_proj.weight"):
                nn.init.normal_(parameter, std=0.02 / math.sqrt(4))

    def _init_weights(self, module):
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)

    def forward(self, x):
        return self.h(self.wte(x))


class Matching(GPT):
    scaled = False


def residual():
    """Like torchvision's models: a loop in the constructor, over layers that also have a default."""
    model = nn.Sequential(
        *(nn.Sequential(nn.Conv2d(16, 16, 3), nn.BatchNorm2d(16)) for _ in range(3)),
        nn.Linear(16, 100),
    )
    for part in model.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
    nn.init.zeros_(model[2][1].weight)
    return model


def layer(inputs, outputs):
    """Like models for reinforcement learning: no parameter keeps the default of its layer."""
    module = nn.Linear(inputs, outputs)
    nn.init.orthogonal_(module.weight, math.sqrt(2))
    nn.init.constant_(module.bias, 0.0)
    return module


def zero_projections():
    model = Matching()
    for block in model.h:
        nn.init.zeros_(block.c_proj.weight)
    return model


NEW = {
    "depth-scaled": (
        GPT,
        {"h.0.c_proj.weight", "h.1.c_proj.weight"},
        "std 0.0[01].* .expected: std 0.0",
    ),
    "in a loop": (
        residual,
        {"0.0.weight", "1.0.weight", "2.0.weight", "2.1.weight"},
        r"'2.1.weight' has constant 0 \(expected: constant 1\)",
    ),
    "zeros": (
        zero_projections,
        {"h.0.c_proj.weight", "h.1.c_proj.weight"},
        r"'h.0.c_proj.weight' has constant 0 \(expected: std 0.0",
    ),
    "every layer": (
        lambda: nn.Sequential(layer(40, 64), nn.Tanh(), layer(64, 64), nn.Tanh(), layer(64, 4)),
        {f"{k}.{kind}" for k in (0, 2, 4) for kind in ("weight", "bias")} - {"4.weight"},
        r"'2.weight' has std 0.18 \(expected: std 0.07",
    ),
    "a mean": (
        lambda: nn.Sequential(nn.LSTM(64, 256), nn.LayerNorm(256)),
        {"0.bias_ih_l0"},
        r"has mean 0.25, std 0.43 \(expected: std 0.03",
    ),
}


def new_model(name):
    torch.manual_seed(0)
    model = NEW[name][0]()
    if name == "a mean":
        with torch.no_grad():
            model[0].bias_ih_l0.zero_()[256:512] = 1.0
    return model


CALLS = {
    "initialize": lambda model: fast.initialize(model, 1),
    "spec_from": fast.spec_from,
    "rules_from": fast.rules_from,
}


def names_in(text):
    return {part.split("'")[1] for part in text.split(" has ")[:-1]}


@pytest.mark.parametrize("name", NEW)
@pytest.mark.parametrize("call", CALLS)
def test_a_new_model_warns_once_with_all_names(name, call):
    model = new_model(name)
    with pytest.warns(UserWarning, match=NEW[name][2]) as records:
        CALLS[call](model)
    assert len(records) == 1 and records[0].filename == __file__
    text = str(records[0].message)
    assert names_in(text) == NEW[name][1]
    assert "rules_from(a function that builds the model)" in text


def test_a_function_a_rule_or_a_second_time_is_silent():
    fast.initialize(GPT(), 1, fast.rules_from(GPT))
    model = GPT()
    fast.initialize(model, 1, {"*c_proj.weight": "normal_(std=0.01)"})
    with pytest.warns(UserWarning, match="c_proj"):
        fast.initialize(model, 1)
    fast.initialize(model, 2)
    fast.spec_from(model)


@pytest.mark.parametrize(
    "make",
    [
        Matching,
        lambda: Matching().bfloat16(),
        lambda: nn.Transformer(64, 4, 2, 2, 128, batch_first=True),
        lambda: nn.Sequential(
            nn.Embedding(99, 64, padding_idx=0), nn.GRU(64, 64), nn.Linear(64, 1)
        ),
        lambda: nn.Sequential(
            nn.Conv2d(3, 64, 7), nn.BatchNorm2d(64), nn.PReLU(), nn.Linear(64, 9)
        ),
        lambda: nn.utils.parametrizations.weight_norm(nn.Linear(64, 64)),
    ],
)
def test_a_model_that_matches_is_silent(make):
    for seed in range(3):
        torch.manual_seed(seed)
        fast.initialize(make(), 1)


def trained(model, inputs, rate):
    """Make steps as large as Adam's, whose import takes seconds."""
    for _ in range(5):
        gradients = torch.autograd.grad(model(inputs).square().mean(), list(model.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(model.parameters(), gradients, strict=True):
                parameter.sub_(rate * gradient.sign())
    return model


@pytest.mark.parametrize("rate", [1e-4, 1e-2])
def test_a_trained_model_is_silent(rate):
    torch.manual_seed(0)
    numbers = torch.randn(64, 64)
    for model, inputs in [
        (GPT(), torch.arange(60).view(3, 20)),
        (new_model("every layer"), numbers[:, :40]),
        (nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 256), nn.Tanh()), numbers),
    ]:
        fast.initialize(trained(model, inputs, rate), 1)


@pytest.mark.parametrize("value", [0.0, math.nan])
def test_memory_without_values_is_silent(value):
    for make in (GPT, lambda: new_model("every layer")):
        model = make()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.fill_(value)
        fast.initialize(model, 1)
        with torch.device("meta"):
            fast.initialize(GPT(), 1)


@pytest.mark.parametrize("shape", [(50257, 40), (3, 700_000), (2_000_000,), (2, 3, 5, 7), (100, 1)])
def test_a_sample_is_compared(shape):
    tensor = torch.empty(shape).uniform_()
    sample, bounds = deviations._sample(tensor)
    assert min(tensor.numel(), 2**12) <= sample.size <= 2**14
    assert (tensor[tuple(slice(*each) for each in bounds)].numpy() == sample).all()
    turned = deviations._sample(tensor.movedim(0, -1))[0]
    assert turned.size <= 2**14


def test_padding_rows_and_other_dtypes():
    model = nn.Sequential(nn.Embedding(64, 64, padding_idx=0), nn.LayerNorm(64)).half()
    with torch.no_grad():
        model[0].weight.mul_(0.1)
        model[0].weight[0] = 0.0
    with pytest.warns(UserWarning, match=r"'0.weight' has std 0.1 \(expected: std 1\)"):
        fast.initialize(model, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fast.initialize(nn.Embedding(4, 4, padding_idx=0), 1)
