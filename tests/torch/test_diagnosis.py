"""`initfast.torch.diagnose`: the numbers are right, and the module is restored."""

import copy
import json

import numpy as np
import pytest

import initfast as ift
from initfast.signal import diagnose as sketch
from initfast.signal import networks

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from initfast.torch import diagnose, initialize  # noqa: E402

FIELDS = (
    "fan_in", "fan_out", "units", "input_second_moment", "input_batch_variance", "net_mean", "net_std",
    "net_batch_variance", "mean", "variance", "second_moment", "batch_variance", "mean_error", "saturated", "dead",
    "gradient_rms", "weight_gradient_rms", "symmetric",
)  # fmt: skip
MODULES = {
    "linear": nn.Identity, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "relu": nn.ReLU, "elu": nn.ELU, "selu": nn.SELU,
    "leaky_relu": lambda: nn.LeakyReLU(0.2), "gelu": nn.GELU, "silu": nn.SiLU, "softplus": nn.Softplus,
}  # fmt: skip


def like(layers, activation):
    """Return the same network in torch."""
    parts = []
    for layer in layers:
        dense = nn.Linear(*layer.weights.shape, dtype=torch.float64)
        with torch.no_grad():
            dense.weight.copy_(torch.from_numpy(layer.weights.T))
            dense.bias.copy_(torch.from_numpy(layer.bias))
        parts += [dense, activation()]
    return nn.Sequential(*parts)


@pytest.mark.parametrize("name", MODULES)
def test_the_numbers_equal_the_sketch(name):
    """One network twice: by NumPy and by torch, with the same loss."""
    arguments = ([30, 20, 25, 5], "he_normal", name, ift.RandomNormal(stddev=0.2))
    x = np.random.default_rng(0).normal(size=(40, 30))
    expected = sketch(*arguments, x, 3)
    actual = diagnose(
        like(networks.build(*arguments, 3), MODULES[name]), torch.from_numpy(x), seed=3
    )
    assert [layer.name for layer in actual.layers] == ["0", "2", "4"]
    assert (actual.activation, actual.batch, actual.inputs) == (name, 40, "given")
    for mine, theirs in zip(actual.layers, expected.layers, strict=True):
        for field in FIELDS:
            value = getattr(theirs, field)
            assert getattr(mine, field) == (
                value if value is None else pytest.approx(value, rel=1e-9, abs=1e-12)
            ), field
        assert mine.histogram.edges == pytest.approx(theirs.histogram.edges)
    assert [verdict.passed for verdict in actual.verdicts.values()] == [
        verdict.passed for verdict in expected.verdicts.values()
    ]


class Functions(nn.Module):
    """Activations as functions, one in place, one after a normalisation, one after a sum."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.norm = nn.BatchNorm2d(8)
        self.wide = nn.Linear(288, 12)
        self.gate = nn.Linear(288, 12)
        self.out = nn.Linear(12, 4)

    def forward(self, x):
        x = F.gelu(self.norm(self.conv(x))).flatten(1)
        wide, gate = self.wide(x), self.gate(x)
        y = F.relu_(wide) + torch.sigmoid(gate)
        return self.out(y.tanh())


def test_fans_of_grouped_and_transposed_convolutions():
    module = nn.Sequential(
        nn.Conv1d(4, 6, 3, groups=2),
        nn.ConvTranspose1d(6, 8, 5),
        nn.ConvTranspose1d(8, 4, 2, groups=4),
    )
    report = diagnose(module, torch.randn(3, 4, 9))
    # Each group of the first has 2 of the 4 channels, and 3 of the 6 outputs.
    assert [(layer.fan_in, layer.fan_out) for layer in report.layers] == [(6, 9), (30, 40), (4, 2)]


def test_functions_in_place_and_after_a_normalisation():
    torch.manual_seed(0)
    module, x = Functions(), torch.randn(10, 3, 8, 8)
    report = diagnose(module, x)
    assert [
        (layer.name, layer.activation, layer.fan_in, layer.fan_out, layer.units)
        for layer in report.layers
    ] == [
        ("conv", "gelu", 27, 72, 8),
        ("wide", "relu", 288, 12, 12),
        ("gate", "sigmoid", 288, 12, 12),
        ("out", "linear", 12, 4, 4),
    ]
    conv, wide, gate, _ = report.layers
    module.requires_grad_(False)
    net = module.norm(module.conv(x))
    assert conv.net_std == pytest.approx(1.0, abs=1e-3), "after the normalisation, by channels"
    assert conv.second_moment == pytest.approx(float(F.gelu(net).square().mean()), rel=1e-5)
    assert conv.net_batch_variance == pytest.approx(
        float(net.var(dim=(0, 2, 3), correction=0).mean()), rel=1e-5
    )
    hidden = F.gelu(net).flatten(1)
    assert wide.net_mean == pytest.approx(float(module.wide(hidden).mean()), rel=1e-4), (
        "before it was overwritten"
    )
    assert gate.mean == pytest.approx(float(torch.sigmoid(module.gate(hidden)).mean()), rel=1e-5)


def test_gradients_of_a_custom_loss():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))
    x, y = torch.randn(8, 6), torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])
    report = diagnose(module, x, lambda output: F.cross_entropy(output, y))
    hidden = torch.tanh(module[0](x))
    hidden.retain_grad()
    F.cross_entropy(module[2](hidden), y).backward()
    assert report.loss == "given"
    assert report.layers[0].gradient_rms == pytest.approx(
        float(hidden.grad.square().mean().sqrt()), rel=1e-5
    )
    for layer, part in zip(report.layers, (module[0], module[2]), strict=True):
        assert layer.weight_gradient_rms == pytest.approx(
            float(part.weight.grad.square().mean().sqrt()), rel=1e-5
        )


class Stateful(nn.Module):
    """A module with everything that a run may change: statistics, dropout, a counter, a cache, a buffer rebound,
    an embedding cut.
    """

    def __init__(self, fail=False):
        super().__init__()
        self.table = nn.Embedding(9, 6, max_norm=0.5)
        self.norm = nn.BatchNorm1d(6)
        self.body = nn.utils.parametrizations.spectral_norm(nn.Linear(6, 6))
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(6, 2)
        self.register_buffer("rebound", torch.zeros(3))
        self.calls, self.cache, self.fail = 0, None, fail

    def forward(self, tokens):
        self.calls += 1
        self.head.bias.grad = None
        self.rebound = self.rebound + 1
        x = F.relu(self.body(self.norm(self.table(tokens))), inplace=True)
        self.cache = x
        torch.rand(5)
        if self.fail:
            raise RuntimeError("in the middle")
        return self.head(self.drop(x))


def snapshot(module):
    """Return the state of a module and of torch's random generator, as bytes and object ids."""
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    return {
        "tensors": {
            name: (id(each), each.detach().numpy().tobytes()) for name, each in tensors.items()
        },
        "requires": {name: each.requires_grad for name, each in tensors.items()},
        "gradients": {
            name: None if each.grad is None else (id(each.grad), each.grad.numpy().tobytes())
            for name, each in module.named_parameters()
        },
        "modes": {name: part.training for name, part in module.named_modules()},
        "hooks": {
            (name, kind): list(getattr(part, kind))
            for name, part in module.named_modules()
            for kind in (
                "_forward_hooks",
                "_forward_pre_hooks",
                "_backward_hooks",
                "_backward_pre_hooks",
            )
        },
        "attributes": {
            name: {key: id(value) for key, value in vars(part).items()}
            for name, part in module.named_modules()
        },
        "random": torch.random.get_rng_state().numpy().tobytes(),
        "enabled": torch.is_grad_enabled(),
    }


def prepared(fail=False):
    torch.manual_seed(3)
    module = Stateful(fail)
    module.head.weight.requires_grad_(False)
    module.drop.eval()
    module.body.register_forward_hook(lambda *_: None)
    module.head.bias.grad = torch.full((2,), 7.0)
    return module, torch.arange(8)


@pytest.mark.parametrize("loss", [None, lambda output: output.square().mean()])
@pytest.mark.parametrize("enabled", [True, False])
def test_the_module_is_restored(loss, enabled):
    module, tokens = prepared()
    with torch.set_grad_enabled(enabled):
        before = snapshot(module)
        report = diagnose(module, tokens, loss)
        assert snapshot(module) == before
    assert [layer.name for layer in report.layers] == ["table", "body", "head"]
    assert all(
        layer.gradient_rms > 0 and layer.weight_gradient_rms > 0 for layer in report.layers
    ), "frozen ones too"
    assert module.calls == 0 and module.cache is None
    # Without `diagnose`, a run changes this model.
    module(tokens)
    changed = snapshot(module)
    assert changed["random"] != before["random"] and changed["tensors"] != before["tensors"]


@pytest.mark.parametrize("where", ["forward", "loss", "scalar"])
def test_the_module_is_restored_after_an_exception(where):
    module, tokens = prepared(fail=where == "forward")
    before = snapshot(module)
    with pytest.raises(
        (RuntimeError, ValueError), match="in the middle" if where != "scalar" else "scalar"
    ):
        diagnose(module, tokens, failing if where == "loss" else lambda output: output)
    assert snapshot(module) == before


def failing(output):
    raise RuntimeError("in the middle")


def test_a_repeated_diagnosis_is_equal_and_the_batch_unchanged():
    torch.manual_seed(0)
    module = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(4, 4), nn.Dropout(0.5), nn.Linear(4, 2))
    x = torch.randn(6, 4)
    before = x.clone()
    assert diagnose(module, x) == diagnose(module, x)
    assert torch.equal(x, before)


def test_the_current_mode_is_used():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Linear(8, 2))
    x = torch.randn(50, 8)
    assert diagnose(module, x).layers[0].net_std == pytest.approx(1.0, abs=1e-3)
    assert diagnose(module.eval(), x).layers[0].net_std < 0.9, "running statistics of 0 and 1"


def test_units_that_are_equal():
    module = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3))
    for parameter in module.parameters():
        nn.init.constant_(parameter, 0.1)
    report = diagnose(module, torch.randn(9, 5, generator=torch.Generator().manual_seed(0)))
    assert [layer.symmetric for layer in report.layers] == [4, 0]
    assert report.summary.sentence.startswith("all 4 units of layer 0 stay equal")
    conv = nn.Sequential(nn.Conv1d(2, 6, 3), nn.ReLU(), nn.Conv1d(6, 2, 3))
    nn.init.ones_(conv[0].weight)
    nn.init.ones_(conv[0].bias)
    nn.init.ones_(conv[2].weight)
    assert diagnose(conv, torch.ones(3, 2, 9)).layers[0].symmetric == 6


def test_a_layer_called_twice_and_a_tied_weight():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)
            self.b.weight = self.a.weight

        def forward(self, x):
            return self.b(torch.relu(self.a(torch.relu(self.a(x)))))

    torch.manual_seed(0)
    report = diagnose(Twice(), torch.randn(7, 4))
    assert [(layer.name, layer.activation) for layer in report.layers] == [
        ("a", "relu"), ("a#2", "relu"), ("b", "linear"),
    ]  # fmt: skip
    assert len({layer.weight_gradient_rms for layer in report.layers}) == 1
    assert len({layer.gradient_rms for layer in report.layers}) == 3


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (lambda: nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), (4, 5, 16)),
        (lambda: nn.LSTM(6, 5, num_layers=2, bidirectional=True), (7, 3, 6)),
        (
            lambda: nn.Sequential(
                nn.Conv1d(3, 4, 3), nn.GroupNorm(2, 4), nn.PReLU(), nn.ConvTranspose1d(4, 2, 3)
            ),
            (3, 3, 9),
        ),
        (
            lambda: nn.Sequential(
                nn.utils.parametrizations.weight_norm(nn.Linear(6, 5)), nn.LayerNorm(5)
            ),
            (7, 6),
        ),
    ],
)
def test_other_modules(module, shape):
    torch.manual_seed(0)
    result, x = module(), torch.randn(*shape)
    before = snapshot(result)
    report = diagnose(result, x)
    assert snapshot(result) == before
    assert all(layer.gradient_rms > 0 and layer.weight_gradient_rms > 0 for layer in report.layers)
    assert (
        json.dumps(report.to_dict(), allow_nan=False)
        and max(map(len, str(report).splitlines())) <= 100
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_dtypes(dtype):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2)).to(dtype)
    report = diagnose(module, torch.randn(5, 8).to(dtype))
    assert report.layers[0].activation == "relu" and report.layers[0].gradient_rms > 0


def test_several_inputs_and_outputs():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(3, 4), nn.Linear(2, 4)

        def forward(self, x, y):
            return {"tokens": torch.zeros(2, dtype=torch.int64), "sum": (self.a(x) + self.b(y),)}

    torch.manual_seed(0)
    x, y = torch.randn(5, 3), torch.randn(5, 2)
    by_place, by_name = diagnose(Two(), (x, y)), diagnose(Two(), {"y": y, "x": x})
    assert (
        [layer.name for layer in by_place.layers]
        == [layer.name for layer in by_name.layers]
        == ["a", "b"]
    )
    assert by_place.layers[0].gradient_rms == by_place.layers[1].gradient_rms > 0


def test_weights_outside_the_loss_have_no_gradient():
    class Aside(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.unused = nn.Linear(3, 4), nn.Linear(3, 4)

        def forward(self, x):
            self.unused(x)
            return self.used(x)

    report = diagnose(Aside(), torch.randn(5, 3, generator=torch.Generator().manual_seed(0)))
    used, unused = report.layers if report.layers[0].name == "used" else report.layers[::-1]
    assert (unused.gradient_rms, unused.weight_gradient_rms) == (0.0, 0.0) and used.gradient_rms > 0


@pytest.mark.parametrize("scale, passed", [(1.0, True), (20.0, False)])
def test_verdicts_on_a_model_drawn_by_initfast(scale, passed):
    module = nn.Sequential(
        *(part for _ in range(6) for part in (nn.Linear(256, 256), nn.ReLU())), nn.Linear(256, 10)
    )
    init = ift.VarianceScaling(2.0 * scale, "fan_in", "untruncated_normal")
    initialize(module, seed=1, rules=[("*.weight", init), ("*.bias", "zeros_")])
    report = diagnose(module, torch.randn(64, 256, generator=torch.Generator().manual_seed(0)))
    assert [report.verdicts[letter].passed for letter in "cdf"] == [passed] * 3


LINEAR = nn.Linear(3, 2)


@pytest.mark.parametrize(
    ("module", "batch", "loss", "error", "message"),
    [
        (
            nn.ReLU(),
            torch.ones(2, 3),
            None,
            ValueError,
            "module must have parameters; received ReLU",
        ),
        (lambda x: x, torch.ones(2, 3), None, TypeError, "module must be a torch.nn.Module"),
        (
            nn.LazyLinear(2),
            torch.ones(2, 3),
            None,
            ValueError,
            "parameters must have values; 'weight'",
        ),
        (
            nn.Linear(3, 2, device="meta"),
            torch.ones(2, 3),
            None,
            ValueError,
            "'weight' is lazy or on the meta device",
        ),
        (
            LINEAR,
            torch.tensor([[1.0, float("nan"), 2.0]]),
            None,
            ValueError,
            "batch must be finite; received 1 values",
        ),
        (
            LINEAR,
            torch.ones(0, 3),
            None,
            ValueError,
            "batch must be a tensor or hold tensors",
        ),
        (LINEAR, None, None, ValueError, "batch must be a tensor or hold tensors"),
        (
            LINEAR,
            torch.ones(2, 3),
            lambda o: o,
            ValueError,
            r"loss must give a scalar tensor; received one of shape \(2, 2\)",
        ),
        (
            LINEAR,
            torch.ones(2, 3),
            lambda o: 3.0,
            TypeError,
            "loss must give a scalar tensor; received 3.0",
        ),
        (
            LINEAR,
            torch.ones(2, 3),
            lambda o: torch.ones(()),
            ValueError,
            "loss must depend on the parameters",
        ),
        (LINEAR, torch.ones(2, 4), None, RuntimeError, "shapes cannot be multiplied"),
    ],
)
@pytest.mark.filterwarnings("ignore:Lazy modules are a new feature")
def test_refusals(module, batch, loss, error, message):
    with pytest.raises(error, match=message):
        diagnose(module, batch, loss)


def test_placeholders_of_deepspeed_are_refused():
    module = nn.Linear(3, 2)
    module.weight.ds_shape = torch.Size([2, 3])
    diagnose(module, torch.randn(4, 3))  # gathered
    module.weight.data = torch.empty(0)
    with pytest.raises(TypeError, match="parameter 'weight' is sharded; diagnose the module"):
        diagnose(module, torch.randn(4, 3))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_a_scripted_part_is_refused():
    traced = torch.jit.trace(nn.Linear(3, 2), torch.ones(1, 3))
    for part in (traced, torch.jit.trace(nn.Tanh(), torch.ones(1, 3))):
        with pytest.raises(TypeError, match=r"0 \(\w+\) is scripted or traced"):
            diagnose(nn.Sequential(part, nn.Linear(3, 2)), torch.ones(2, 3))


def test_a_module_of_which_no_layer_runs():
    class Bare(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(3, 3)

        def forward(self, x):
            return x @ self.inner.weight

    with pytest.raises(
        ValueError, match="a module with parameters must run to be measured; none did in Bare"
    ):
        diagnose(Bare(), torch.ones(2, 3))


def test_a_copy_differs_from_its_original():
    """The snapshot of these tests detects a change of one bit."""
    module, _ = prepared()
    other = copy.deepcopy(module)
    with torch.no_grad():
        other.norm.running_mean[0] = -0.0
    same, changed = snapshot(module)["tensors"], snapshot(other)["tensors"]
    assert same["norm.running_mean"][1] != changed["norm.running_mean"][1]
    assert same["norm.running_var"][1] == changed["norm.running_var"][1]
