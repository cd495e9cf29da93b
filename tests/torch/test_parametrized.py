"""Parametrized weights are drawn under their own name, and assigned."""

from __future__ import annotations

import copy

import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.nn.utils import parametrizations, parametrize  # noqa: E402

import initfast.torch as init  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning")


class Symmetric(nn.Module):
    """A parametrization without an inverse."""

    def forward(self, weight):
        return weight.triu() + weight.triu(1).mT


def symmetric(module):
    parametrize.register_parametrization(module, "weight", Symmetric())
    return module


KINDS = {
    "weight_norm": parametrizations.weight_norm,
    "spectral_norm": parametrizations.spectral_norm,
    "orthogonal": parametrizations.orthogonal,
    "cayley": lambda module: parametrizations.orthogonal(module, orthogonal_map="cayley"),
    "householder": lambda module: parametrizations.orthogonal(
        module, orthogonal_map="householder", use_trivialization=False
    ),
    "both": lambda module: parametrizations.spectral_norm(parametrizations.weight_norm(module)),
    "without an inverse": symmetric,
    "old weight_norm": nn.utils.weight_norm,
    "old spectral_norm": nn.utils.spectral_norm,
}


def model(wrap=lambda module: module, size=(16, 16)):
    return nn.Sequential(wrap(nn.Linear(*size)), nn.Linear(3, 3))


def state(module):
    return {key: value.clone() for key, value in module.state_dict().items()}


def close(a, b, atol=1e-5):
    return torch.allclose(a.detach(), b.detach(), atol=atol)


def expected_weight(name, plain):
    if "spectral" in name:
        return plain / torch.linalg.matrix_norm(plain, 2)
    if name == "without an inverse":
        return plain.triu() + plain.triu(1).mT
    return plain  # orthogonal ones are handled below


@pytest.mark.parametrize("name", KINDS)
def test_the_weight_has_the_values_of_its_name(name):
    plain = init.initialize(model(), seed=1)
    module = model(KINDS[name])
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.fill_(float("nan"))
    init.initialize(module, seed=1)
    module.eval()
    weight = module[0].weight.detach()
    if name in ("orthogonal", "cayley", "householder"):
        assert close(weight @ weight.T, torch.eye(16))
        q, r = torch.linalg.qr(plain[0].weight.detach())
        assert close(weight, q * r.diagonal().sign())  # torch's projection
    elif name != "both":
        loose = 0.05 if "spectral" in name else 1e-5  # a power method is less exact
        assert close(weight, expected_weight(name, plain[0].weight.detach()), loose)
    for other in ("0.bias", "1.weight", "1.bias"):
        assert torch.equal(module.get_parameter(other), plain.get_parameter(other))


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("size", [(16, 16), (6, 9)])
def test_the_values_depend_on_the_seed_alone(name, size):
    if size != (16, 16) and name == "without an inverse":
        pytest.skip("needs a square")
    states = []
    for number in range(2):
        torch.manual_seed(number)
        module = model(KINDS[name], size=size)
        before = torch.get_rng_state()
        init.initialize(module, seed=1)
        assert torch.equal(torch.get_rng_state(), before)
        states.append(state(module))
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    init.initialize(module, seed=2)
    assert not torch.equal(module[0].weight, model(KINDS[name], size=size)[0].weight)
    assert any(not torch.equal(states[0][key], value) for key, value in state(module).items())


@pytest.mark.parametrize("name", KINDS)
def test_modules_on_meta_equal_others(name):
    module = init.initialize(model(KINDS[name]).to("meta"), seed=1)
    expected = state(init.initialize(model(KINDS[name]), seed=1))
    actual = state(module)
    assert actual.keys() == expected.keys()
    assert all(torch.equal(actual[key], expected[key]) for key in actual)


def test_rules_are_for_the_weight():
    module = init.initialize(
        model(parametrizations.weight_norm), seed=1, rules={"0.weight": "normal_"}
    )
    assert close(module[0].weight, init.normal_(torch.empty(16, 16), seed=1, name="0.weight"))
    before = state(module)
    init.initialize(module, seed=2, rules={"*.weight": None})
    assert all(
        torch.equal(value, before[key]) for key, value in state(module).items() if "bias" not in key
    )
    rules = {nn.Linear: {"weight": "eye_"}}
    assert close(init.initialize(module, seed=2, rules=rules)[0].weight, torch.eye(16))


class Low(nn.Module):
    """A parametrization with parameters, like LoRA."""

    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Parameter(torch.ones(16, 2)), nn.Parameter(torch.ones(2, 16))

    def forward(self, weight):
        return weight + self.left @ self.right


def test_parameters_of_a_parametrization_need_rules():
    module = nn.Linear(16, 16)
    parametrize.register_parametrization(module, "weight", Low())
    with pytest.raises(ValueError, match=r"'parametrizations\.weight\.0\.left'"):
        init.initialize(module, seed=1)
    init.initialize(module, seed=1, rules={"*.left": "zeros_", "*.right": "normal_"})
    assert torch.equal(module.weight, init.initialize(nn.Linear(16, 16), seed=1).weight)


def test_refusals_write_nothing_and_change_no_buffer():
    result = model(parametrizations.spectral_norm)
    result.odd = nn.Parameter(torch.ones(3))
    before = state(result)
    for call in (init.initialize, lambda module, seed: init.spec_from(module, {"odd": None})):
        with pytest.raises(ValueError, match=r"'odd'|'0.weight': a spec cannot describe"):
            call(result, seed=1)
        assert all(torch.equal(value, before[key]) for key, value in state(result).items())


def test_a_copy_of_an_initialized_module_runs():
    module = init.initialize(model(parametrizations.spectral_norm), seed=1)
    module[0](torch.ones(2, 16)).sum().backward()
    assert copy.deepcopy(module)[0].weight.shape == (16, 16)
    assert module[0].parametrizations.weight.original.grad is not None


@pytest.mark.parametrize(
    "wrap", [parametrizations.weight_norm, parametrizations.orthogonal, nn.utils.weight_norm]
)
def test_functions_refuse_the_result_of_a_computation(wrap):
    module = wrap(nn.Linear(6, 6))
    for tensor in (module.weight, module.weight[:2]):
        with pytest.raises(ValueError, match=r"result of a computation.*module.weight.*detach"):
            init.uniform_(tensor, seed=1)
    leaf = nn.Linear(6, 6).weight
    init.uniform_(
        leaf[:2], 5.0, 6.0, seed=1, name="leaf"
    )  # a view shares the memory of its parameter
    assert (leaf[:2] >= 5).all() and (leaf[2:] < 5).all()
    own = leaf * 2
    assert (init.ones_(own.detach()) == 1).all() and (own == 1).all()
    assert (init.normal_(own.detach(), seed=1, name="own") != 1).all()
