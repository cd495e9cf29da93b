"""Diagnosis of real networks: their structure, verdicts, and a line or a note for each parameter."""

import re
import warnings

import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from initfast.torch import diagnose  # noqa: E402


@pytest.fixture(autouse=True)
def _same_draws():
    torch.manual_seed(0)


def he(module):
    for part in module.modules():
        if isinstance(part, (nn.Linear, nn.Conv2d)):
            nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
            nn.init.zeros_(part.bias)
    return module


class Block(nn.Module):
    def __init__(self, width, scale=1.0):
        super().__init__()
        self.norm, self.fc, self.out = (
            nn.LayerNorm(width),
            nn.Linear(width, width),
            nn.Linear(width, width),
        )
        self.scale = nn.Parameter(torch.full((width,), scale))

    def forward(self, x):
        return x + self.scale * self.out(F.gelu(self.fc(self.norm(x))))


def test_a_residual_network_is_recognised():
    report = diagnose(
        nn.Sequential(nn.Linear(8, 16), *(Block(16) for _ in range(4)), nn.Linear(16, 3)),
        torch.randn(32, 8),
    )
    assert [block.name for block in report.blocks] == ["1", "2", "3", "4"]
    assert [layer.block for layer in report.layers] == [
        None,
        *[i for i in range(4) for _ in range(2 if i == 0 else 3)],
        None,
    ]
    for before, after in zip(report.blocks, report.blocks[1:], strict=False):
        assert after.before == pytest.approx(before.after)
    assert "residual stream" in report.verdicts["f"].reason
    assert report.notes == (
        "Not judged, because no measured layer uses them: *.scale (4 of them).",
    )
    assert "1 + depth" in str(report)


def test_a_branch_that_is_0_at_first_is_a_design():
    report = diagnose(
        nn.Sequential(nn.Linear(8, 16), *(Block(16, 0.0) for _ in range(3)), nn.Linear(16, 3)),
        torch.randn(32, 8),
    )
    assert all(layer.silent == (layer.block is not None) for layer in report.layers)
    assert report.summary.level == "GOOD" and "a usual design" in report.notes[0]


def test_a_sum_of_two_branches_is_not_residual():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.head = nn.Linear(8, 16), nn.Linear(8, 16), nn.Linear(16, 2)

        def forward(self, x):
            return self.head(torch.relu(self.a(x)) + torch.tanh(self.b(x)))

    report = diagnose(Two(), torch.randn(32, 8))
    assert report.blocks == () and [layer.followed for layer in report.layers] == [
        False,
        False,
        True,
    ]
    assert report.verdicts["f"].passed is None, "a sum follows: neither is a link of a chain"


@pytest.mark.parametrize(
    "between",
    [nn.Dropout(0.1), nn.MaxPool2d(2), nn.Flatten(2), nn.Identity(), nn.AdaptiveAvgPool2d(4)],
)  # fmt: skip
def test_an_activation_after_pooling_belongs_to_the_layer(between):
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), between, nn.ReLU())
    report = diagnose(model, torch.randn(4, 3, 8, 8))
    assert [layer.activation for layer in report.layers] == ["relu"]


class Stepwise(nn.Module):
    """A GELU in several steps, with a sum and a tanh."""

    def forward(self, z):
        return 0.5 * z * (1.0 + torch.tanh(0.7978845608 * (z + 0.044715 * torch.pow(z, 3.0))))


@pytest.mark.parametrize(
    ("module", "name"),
    [(Stepwise(), "gelu"), (nn.LeakyReLU(0.01), "leaky_relu"), (nn.RReLU(), "rrelu"),
     (nn.PReLU(8), "prelu"), (nn.Softmax(-1), "softmax"), (nn.GLU(), "glu"), (nn.Softshrink(), "softshrink"),
     (nn.ReLU6(inplace=True), "relu6"), (nn.Threshold(0.5, 0.0), "threshold")],
)  # fmt: skip
def test_any_activation(module, name):
    width = 8
    report = diagnose(
        nn.Sequential(nn.Linear(width, width), module, nn.Linear(4 if name == "glu" else width, 2)),
        torch.randn(32, width),
    )
    assert report.layers[0].activation == name
    assert (report.layers[0].facts is None) == (name in ("softmax", "glu"))
    assert report.blocks == ()
    json_facts = report.to_dict()["layers"][0]["facts"]
    assert json_facts is None or set(json_facts["gains"]) >= {"signal", "gradient", "meet"}


def test_a_clamp_is_a_relu_and_slopes_count():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(8, 8), nn.Linear(8, 8)

        def forward(self, x):
            return self.b(self.a(x).clamp(min=0))

    assert diagnose(Net(), torch.randn(9, 8)).layers[0].activation == "relu"


def test_like_layers_are_compared_by_their_role():
    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.q, self.k, self.v, self.o = (nn.Linear(16, 16) for _ in range(4))
            self.norm = nn.LayerNorm(16)

        def forward(self, x):
            y = self.norm(x)
            weights = torch.softmax(0.001 * self.q(y) @ self.k(y).transpose(-1, -2), -1)
            return x + self.o(weights @ self.v(y))

    net = nn.Sequential(nn.Linear(8, 16), *(Attention() for _ in range(3)), nn.Linear(16, 2))
    report = diagnose(net, torch.randn(4, 6, 8))
    sizes = {layer.name: layer.gradient_rms for layer in report.layers}
    assert sizes["1.o"] > 100 * sizes["1.q"], "they differ by their role"
    assert report.verdicts["d"].passed is True
    with torch.no_grad():
        net[2].q.weight *= 1e4
    assert diagnose(net, torch.randn(4, 6, 8)).summary.level == "POOR"


class Experts(nn.Module):
    """Stacked kernels next to an activation module, as in transformers 5."""

    def __init__(self):
        super().__init__()
        self.up = nn.Parameter(torch.randn(4, 24, 16) / 4)
        self.down = nn.Parameter(torch.randn(4, 16, 24) / 5)
        self.act = nn.SiLU()

    def forward(self, x):
        return sum(self.act(x @ up.T) @ down.T for up, down in zip(self.up, self.down, strict=True))


def test_experts_have_a_line():
    report = diagnose(
        nn.Sequential(nn.Linear(8, 16), Experts(), nn.Linear(16, 2)), torch.randn(9, 8)
    )
    assert [(layer.name, layer.kind, layer.fan_in) for layer in report.layers] == [
        ("0", "Linear", 8),
        ("1", "Experts", 16),
        ("2", "Linear", 16),
    ]
    assert report.layers[1].weight_scales == (
        pytest.approx(1.0, rel=0.1),
        pytest.approx(24**0.5 / 5, rel=0.1),
    )
    assert report.notes == ()


def test_layers_without_a_kernel_are_never_advised():
    class Bad(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.norm, self.out = nn.Embedding(9, 6), nn.LayerNorm(6), nn.Linear(6, 2)

        def forward(self, x):
            return self.out(0.0 * self.norm(self.table(x)))

    report = diagnose(Bad(), torch.arange(8))
    assert report.summary.level == "UNUSABLE"
    recommended = " ".join(verdict.recommend for verdict in report.verdicts.values())
    assert recommended and not re.search(r"Use \w+ for", recommended)


def test_no_advice_that_the_model_follows_already():
    deep = he(
        nn.Sequential(
            *(part for _ in range(60) for part in (nn.Linear(4, 4), nn.ReLU())), nn.Linear(4, 2)
        )
    )
    report = diagnose(deep, torch.randn(64, 4))
    recommended = " ".join(verdict.recommend for verdict in report.verdicts.values())
    assert report.summary.level != "GOOD" and not re.search(r"Use \w+ for", recommended)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize(("std", "level"), [(None, "GOOD"), (0.005, "POOR"), (1.0, "POOR")])
def test_recurrent_layers(kind, std, level):
    class Tagger(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell, self.head = kind(32, 64, batch_first=True), nn.Linear(64, 3)
            for name, each in self.cell.named_parameters():
                if std is not None and name.startswith("weight"):
                    nn.init.normal_(each, 0.0, std)

        def forward(self, x):
            return self.head(self.cell(x)[0])

    report = diagnose(Tagger(), torch.randn(8, 10, 32))
    assert report.summary.level == level, str(report)


def test_a_compiled_and_a_parallel_model_are_unwrapped():
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))
    x = torch.randn(9, 8)
    plain = diagnose(model, x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # from torch, when it imports its compiler
        compiled = torch.compile(model)
    assert diagnose(compiled, x) == plain
    assert diagnose(nn.DataParallel(model), x) == plain
    model.compile()
    assert diagnose(model, x) == plain
    assert diagnose(nn.Sequential(compiled), x).layers[0].name.endswith("0")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_a_scripted_model_is_refused():
    traced = torch.jit.trace(nn.Linear(3, 2), torch.ones(1, 3))
    with pytest.raises(TypeError, match="pass the module that it was made from"):
        diagnose(traced, torch.ones(2, 3))


def test_the_numbers_of_a_report_have_the_right_names():
    """Theory equals measurement: E[z^2] = fan_in E[w^2] E[x^2] + E[b^2]."""
    model = nn.Sequential(nn.Linear(500, 300), nn.Tanh(), nn.Linear(300, 2))
    layer = diagnose(model, torch.randn(400, 500)).layers[0]
    measured = layer.net_std**2 + layer.net_mean**2
    assert layer.expected_net_variance == pytest.approx(measured, rel=0.05)
    weight, bias = model[0].weight.detach(), model[0].bias.detach()
    expected = 500 * float(weight.square().mean()) * layer.input_second_moment + float(
        bias.square().mean()
    )
    assert layer.expected_net_variance == pytest.approx(expected, rel=1e-5)


def test_every_row_of_a_long_model_is_printed_or_counted():
    model = nn.Sequential(*(nn.Linear(4, 4) for _ in range(40)))
    report = diagnose(model, torch.randn(5, 4))
    assert re.search(r"\.\.\. 16 more layers: print\(report\.table\(\)\)", str(report))
    assert report.table().count("(Linear)") == 40
