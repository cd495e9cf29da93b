"""Recording a model's own initialisation: every draw is found, and nothing is changed."""

from __future__ import annotations

import functools
import json
import math
import warnings

import numpy as np
import pytest

import initfast as ift
from initfast import checkpoint

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

import initfast.torch as init  # noqa: E402

# The same model is initialised several times on purpose.
pytestmark = pytest.mark.filterwarnings("ignore::initfast.ReusedSeedWarning")
ORIGINALS = {name: getattr(nn.init, name).__code__ for name in nn.init.__all__ if name[-1] == "_"}


class GPT(nn.Module):
    """A model like nanoGPT, whose constructor changes weights after `apply`."""

    def __init__(self):
        super().__init__()
        self.wte = nn.Embedding(300, 32, padding_idx=2)
        self.h = nn.ModuleList(nn.ModuleDict({"c_proj": nn.Linear(32, 64)}) for _ in range(2))
        self.ln_f = nn.LayerNorm(32)
        self.gamma = nn.Parameter(0.1 * torch.ones(32))
        self.wpe = nn.Parameter(torch.randn(64, 32) * 0.01)
        self.register_buffer("mask", torch.tril(torch.ones(4, 4)))
        self.apply(self._init_weights)
        for name, parameter in self.named_parameters():
            if name.endswith("c_proj.weight"):
                nn.init.normal_(parameter, mean=0.0, std=0.02 / math.sqrt(4))

    def _init_weights(self, module):
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, mean=0.0, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            module.weight.data.normal_(mean=0.0, std=0.02)


def on_meta(make):
    with torch.device("meta"):
        return make()


def alike(actual, expected):
    """Check that constants are equal, and means and deviations of random values alike."""
    tensors = dict(expected.state_dict())
    assert actual.state_dict().keys() == tensors.keys()
    for name, ours in actual.state_dict().items():
        a, b = ours.double(), tensors[name].double()
        if len(b.unique()) == 1 or torch.equal(a, b):
            assert torch.equal(a, b), name
            continue
        error = b.std() / math.sqrt(b.numel())
        assert abs(a.mean() - b.mean()) < 7 * error, name
        assert abs(a.std() - b.std()) < 6 * error, name
        assert a.abs().max() < 2 * b.abs().max(), name


def test_a_function_that_builds_the_model():
    rules = dict(init.rules_from(GPT))
    assert rules["h.1.c_proj.weight"] == ("normal_", {"mean": 0.0, "std": 0.01})
    assert rules["h.1.c_proj.bias"] == ("zeros_", {}) and rules["ln_f.weight"] == ("ones_", {})
    assert rules["wpe"] == ("normal_", {"mean": 0.0, "std": 0.01})
    assert rules["wte.weight"] == ("normal_", {"mean": 0.0, "std": 0.02})
    assert rules["gamma"].function == "constant_"
    model = init.initialize(on_meta(GPT), seed=1, rules=init.rules_from(GPT))
    expected = GPT()
    with torch.no_grad():
        expected.wte.weight[2] = 0  # padding is 0 under any rule
    alike(model, expected)
    assert torch.equal(model.mask, expected.mask)


def test_all_unknown_parameters_in_one_error():
    with pytest.raises(ValueError) as error:
        init.initialize(GPT(), seed=1)
    text = str(error.value)
    assert "'gamma', of shape (32,), in a GPT; 'wpe', of shape (64, 32), in a GPT" in text
    assert "('gamma', 'ones_')" in text and "rules_from(a function that builds" in text
    rules = [("gamma", "ones_"), ("wpe", "zeros_"), ("*c_proj.weight", "normal_(std=0.01)")]
    model = init.initialize(GPT(), seed=1, rules=rules)
    assert 0.018 < model.wte.weight.std() < 0.022 and model.h[0].c_proj.bias.eq(0).all()


@pytest.mark.parametrize("name", ["norm.weight", "a_norm.bias", "scale"])
def test_hints_are_safe(name):
    model = nn.Module()
    model.add_module("a", nn.ParameterDict({name.replace(".", "_"): nn.Parameter(torch.ones(3))}))
    with pytest.raises(ValueError, match="zeros_" if name.endswith("bias") else "ones_") as error:
        init.initialize(model, seed=1)
    assert name.endswith("bias") or "zeros_" not in str(error.value)


class Titan(nn.Module):
    """Modules with partials that the model calls, as in torchtitan."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(TitanLayer(depth) for depth in (1, 4))
        self.register_buffer("angles", self.make_angles(), persistent=False)

    def make_angles(self):
        return torch.outer(torch.arange(8), 1.0 / 10.0 ** (torch.arange(0, 4, 2) / 4))

    def init_weights(self, buffer_device=None):
        with torch.device(buffer_device or self.angles.device):
            self.angles = self.make_angles()
        for layer in self.layers:
            layer.init_weights(0.5)


class TitanLayer(nn.Module):
    def __init__(self, depth):
        super().__init__()
        self.wo, self.depth = nn.Linear(48, 64), depth
        self.param_init = {
            "weight": functools.partial(nn.init.trunc_normal_, std=0.02 / depth),
            "bias": nn.init.zeros_,
        }

    def init_weights(self, factor):
        for name, function in self.param_init.items():
            function(getattr(self.wo, name))
        self.wo.weight.data.mul_(factor)


def test_partials_and_methods_with_arguments():
    for model in (Titan(), on_meta(Titan)):
        rules = dict(init.rules_from(model))
        assert rules["layers.0.wo.weight"].arguments["std"] == 0.01
        assert rules["layers.1.wo.weight"] == (
            "trunc_normal_",
            {"mean": 0.0, "std": 0.0025, "a": -1.0, "b": 1.0},
        )
        init.initialize(model, seed=1)
        assert torch.equal(model.angles, Titan().angles)
        assert 0.009 < model.layers[0].wo.weight.std() < 0.011


class Steps(nn.Module):
    """Values that are computed in several steps, as in Mamba."""

    def __init__(self, size=4000):
        super().__init__()
        self.dt = nn.Parameter(torch.empty(size))
        self.A_log = nn.Parameter(torch.empty(3, 5))
        self.qkv = nn.Parameter(torch.empty(30, 20))
        self.reset_parameters()

    def reset_parameters(self):
        low, high = math.log(0.001), math.log(0.1)
        dt = torch.exp(torch.rand(self.dt.shape, device=self.dt.device) * (high - low) + low)
        dt = dt.clamp(min=1e-4)
        with torch.no_grad():
            self.dt.copy_(dt + torch.log(-torch.expm1(-dt)))
            self.A_log.copy_(torch.log(torch.arange(1, 6, dtype=torch.float32)).expand(3, -1))
        for part in self.qkv.chunk(3):
            nn.init.xavier_uniform_(part)


def test_values_in_several_steps(tmp_path):
    model, rules = on_meta(Steps), init.rules_from(Steps)
    assert init.initialize(model, seed=3) is model
    alike(model, Steps())
    assert all(
        torch.equal(a, b)
        for a, b in zip(
            init.initialize(on_meta(Steps), seed=3, rules=rules).parameters(),
            model.parameters(),
            strict=True,
        )
    )
    other = init.initialize(nn.ModuleDict({"a": Steps(), "b": Steps()}), seed=3)
    assert not torch.equal(other.a.dt, other.b.dt)
    assert model.qkv.abs().max() <= math.sqrt(6 / 30)  # the fans of each third
    spec = init.spec_from(on_meta(Steps))
    checkpoint.save(spec, tmp_path / "m.safetensors", seed=3)
    actual = pytest.importorskip("safetensors.torch").load_file(tmp_path / "m.safetensors")
    assert all(torch.equal(actual[name], value) for name, value in model.state_dict().items())


def test_a_half_initialised_parameter_is_unknown():
    class Half(Steps):
        def reset_parameters(self):
            super().reset_parameters()
            self.qkv = nn.Parameter(torch.empty(6, 2))
            nn.init.ones_(self.qkv[:3])

    with pytest.raises(ValueError, match="received 'qkv', of shape"):
        init.initialize(Half(), seed=1)


def test_old_truncated_normals():
    def old(tensor, std):  # as in timm
        low, high = (math.erf(bound / std / math.sqrt(2)) for bound in (-2 * std, 2 * std))
        with torch.no_grad():
            tensor.uniform_(low, high).erfinv_().mul_(std * math.sqrt(2)).add_(0.0)
            tensor.clamp_(min=-2 * std, max=2 * std)

    class Model(nn.Linear):
        def reset_parameters(self):
            old(self.weight, 0.02)
            self.bias.data.fill_(0.5).neg_().div_(2)

    rules = dict(init.rules_from(Model(8, 9)))
    assert rules["weight"].function == "trunc_normal_"
    assert rules["weight"].arguments == pytest.approx(
        {"mean": 0.0, "std": 0.02, "a": -0.04, "b": 0.04}
    )
    assert rules["bias"] == ("constant_", {"val": -0.25})


class Sinusoids(nn.Embedding):
    def __init__(self, *args):
        super().__init__(*args)
        self.weight = nn.Parameter(torch.sin(torch.arange(12.0)).view(4, 3), requires_grad=False)


def test_frozen_parameters_keep_the_values_of_their_constructor():
    model = nn.Sequential(Sinusoids(4, 3), nn.Linear(3, 2))
    before = model[0].weight.clone()
    assert torch.equal(init.initialize(model, seed=1)[0].weight, before)
    assert ("0.weight", None) in init.rules_from(model)
    with pytest.raises(ValueError, match=r"received '0.weight'.*\(frozen as its constructor"):
        init.initialize(on_meta(lambda: nn.Sequential(Sinusoids(4, 3))), seed=1)
    built = init.initialize(
        on_meta(lambda: Sinusoids(4, 3)), seed=1, rules=init.rules_from(lambda: Sinusoids(4, 3))
    )
    assert torch.equal(built.weight, before)


class Enclosing(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(100, 16)
        self.stack = nn.Parameter(torch.empty(4, 6, 8))
        self.square = nn.Linear(16, 16)
        self.few = nn.Linear(16, 16, bias=False)
        self.norm = nn.BatchNorm1d(16)
        self.reset_parameters()

    def reset_parameters(self):
        bound = 1 / math.sqrt(self.table.num_embeddings)
        nn.init.uniform_(self.table.weight, -bound, bound)
        nn.init.xavier_normal_(self.stack)
        nn.init.orthogonal_(self.square.weight, gain=2.0)
        init.sparse_(self.few.weight, sparsity=0.5)


def test_the_enclosing_class_decides():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rules = dict(init.rules_from(Enclosing()))
        model = init.initialize(on_meta(Enclosing), seed=1, rules=list(rules.items()))
    assert rules["table.weight"] == ("uniform_", {"a": -0.1, "b": 0.1})
    assert rules["square.weight"] == ("orthogonal_", {"gain": 2.0})
    assert (
        rules["square.bias"] == init.rules_from(nn.Linear(16, 16))[1][1]
    )  # the default of the layer
    assert (
        rules["few.weight"].function == "sparse_" and rules["norm.running_var"].function == "ones_"
    )
    assert model.table.weight.abs().max() <= 0.1
    fan = nn.init.xavier_normal_(
        torch.empty(4, 6, 8)
    ).std()  # torch's fans, not those of each matrix
    assert float(model.stack.detach().std()) == pytest.approx(float(fan), rel=0.3)
    product = model.square.weight @ model.square.weight.T
    assert torch.allclose(product, 4 * torch.eye(16), atol=1e-5)
    assert (model.few.weight == 0).sum(0).eq(8).all()


def test_the_model_is_unchanged():
    model = Enclosing()
    model.note = "kept"
    before = {
        name: (value, value._version) for name, value in model.state_dict(keep_vars=True).items()
    }
    attributes = {name: dict(vars(part)) for name, part in model.named_modules()}
    state = torch.get_rng_state()
    init.rules_from(model)
    assert torch.equal(torch.get_rng_state(), state)
    after = model.state_dict(keep_vars=True)
    assert all(after[name] is value and value._version == n for name, (value, n) in before.items())
    assert attributes == {name: dict(vars(part)) for name, part in model.named_modules()}
    assert all(getattr(nn.init, name).__code__ is code for name, code in ORIGINALS.items())


def test_within_patch():
    with init.patch(seed=1):
        rules = init.rules_from(GPT)
        nn.Linear(2, 2)
    assert str(rules) == str(init.rules_from(GPT))


class Broken(nn.Linear):
    how = None

    def reset_parameters(self):
        if self.how:
            self.how(self.weight)
        nn.init.zeros_(self.bias)


BROKEN = {
    "reads": (
        lambda tensor: nn.init.normal_(tensor) if tensor.sum().item() else None,
        r"Broken.reset_parameters cannot be recorded: .*\. Pass a rule for every",
    ),
    "raises": (
        lambda tensor: tensor.no_such_method(),
        "Broken.reset_parameters cannot be recorded",
    ),
    "cauchy": (
        lambda tensor: tensor.data.cauchy_(),
        r"received 'weight'.*cannot replay .* aten.cauchy_",
    ),
    "nothing": (None, "received 'weight'"),
}


@pytest.mark.parametrize(("how", "message"), BROKEN.values(), ids=BROKEN)
def test_errors_name_the_method_or_parameter(monkeypatch, how, message):
    model = Broken(3, 3)
    monkeypatch.setattr(Broken, "how", staticmethod(how) if how else None)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ValueError, match=message):
        init.initialize(model, seed=1)
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())
    init.initialize(model, seed=1, rules=[("*", "ones_")])  # its method is not called
    assert model.weight.eq(1).all()


def test_writing_elsewhere_is_refused():
    class Stray(nn.Linear):
        def reset_parameters(self):
            for tensor in getattr(self, "held", (self.weight, self.bias)):
                nn.init.ones_(tensor)

    model = Stray(2, 2)
    model.held = (model.weight, model.bias)  # the same tensor objects
    nn.init.zeros_(model.weight)
    with pytest.raises(ValueError, match=r"Stray\.reset_parameters cannot be recorded: it writes"):
        init.initialize(model, seed=1)
    assert model.weight.eq(0).all()


def test_the_function_must_build_a_module():
    with pytest.raises(TypeError, match=r"must return a torch\.nn\.Module; received int"):
        init.rules_from(lambda: 3)


def test_report():
    actual = init.initialize(Enclosing(), seed=7, report=True)
    model = init.initialize(Enclosing(), seed=7)
    assert list(actual) == [name for name, _ in model.named_parameters()]
    assert actual["few.weight"].startswith("sparse_(sparsity=0.5")
    for name, initializer in actual.items():
        value = model.get_parameter(name)
        if isinstance(initializer, ift.Initializer) and name != "square.weight":
            assert np.array_equal(initializer(tuple(value.shape)), value.detach().numpy()), name
    table = init.initialize(nn.Embedding(9, 4, padding_idx=3), seed=7, report=True)["weight"]
    assert not table.block((9, 4), 3).any() and table.block((9, 4), 2).all()


def test_a_spec_of_a_config_is_refused(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]}))
    with pytest.raises(ValueError, match="with --config"):
        checkpoint.save(path, tmp_path / "out", seed=1)
