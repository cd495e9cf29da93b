"""Rules for wrappers, module classes, buffers, padding, stacked and packed weights."""

from __future__ import annotations

import math
import types

import numpy as np
import pytest

import initfast as ift

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

import initfast.torch as init  # noqa: E402

# These tests compare tensors with the same seed.
pytestmark = pytest.mark.filterwarnings("ignore::initfast.ReusedSeedWarning")


def same(a, b):
    return a.shape == b.shape and torch.equal(a.detach(), b.detach())


def model():
    return nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))


# names


class DeepSpeedEngine(nn.Module):
    def __init__(self, module):
        super().__init__()
        self.module = module


def compiled(module):
    """Wrap a module with the name that torch.compile uses."""
    return nn.ModuleDict({"_orig_mod": module})


WRAPPERS = {
    "compile": compiled,
    "DataParallel": nn.DataParallel,
    "AveragedModel": torch.optim.swa_utils.AveragedModel,
    "DeepSpeedEngine": DeepSpeedEngine,
    "two": lambda inner: nn.DataParallel(compiled(inner)),
    "within": lambda inner: nn.Sequential(*map(nn.DataParallel, inner)),
}


@pytest.mark.parametrize("name", WRAPPERS)
def test_wrappers_do_not_change_values(name):
    rules = {"0.weight": "normal_", "1.bias": "ones_"}
    expected = init.initialize(model(), seed=1, rules=rules)
    wrapped = init.initialize(WRAPPERS[name](model()), seed=1, rules=rules)
    actual = list(wrapped.parameters())
    assert len(actual) == 4 and all(map(same, actual, expected.parameters()))
    assert init.spec_from(WRAPPERS[name](model()), rules)["tensors"].items() >= (
        init.spec_from(model(), rules)["tensors"].items()
    )


def test_other_modules_called_module_keep_their_names():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.module = nn.Linear(4, 4)

    assert list(init.spec_from(Own())["tensors"]) == ["module.weight", "module.bias"]


# module classes


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(4))
        self.inner = nn.Sequential(nn.Linear(4, 4), nn.Conv1d(4, 4, 1))


def test_a_module_class_is_a_pattern():
    rules = {
        nn.Linear: {"weight": "orthogonal_", "b*": ("constant_", {"val": 3.0})},
        nn.modules.conv._ConvNd: "zeros_",  # all parameters that such a module directly holds
        Block: {"scale": "ones_", "inner.*": "zeros_"},
    }
    module = init.initialize(nn.Sequential(Block(), nn.Linear(4, 2)), seed=1, rules=rules)
    linear, conv = module[0].inner
    assert same(linear.weight, init.orthogonal_(torch.empty(4, 4), seed=1, name="0.inner.0.weight"))
    assert (linear.bias == 3).all() and (module[1].bias == 3).all() and (module[0].scale == 1).all()
    assert (conv.weight == 0).all() and (conv.bias == 0).all()
    module = init.initialize(Block(), seed=1, rules=[(Block, "ones_"), (nn.Linear, None)])
    assert (module.scale == 1).all() and not (module.inner[1].weight == 1).any()


def test_a_module_class_matches_only_its_subclasses():
    class Mine(nn.Linear):
        pass

    module = nn.Sequential(Mine(3, 3), nn.Bilinear(3, 3, 3))
    init.initialize(module, seed=1, rules={nn.Linear: "ones_"})
    assert (module[0].bias == 1).all() and not (module[1].bias == 1).any()


@pytest.mark.parametrize(
    ("rules", "kind", "message"),
    [
        ({nn.Conv2d: "zeros_"}, ValueError, "Conv2d matches none of '0.weight'"),
        ({nn.Linear: {"wieght": "zeros_"}}, ValueError, "'wieght' in Linear matches none of"),
        ({nn.Linear: "xavier_normal_"}, ValueError, "'0.bias': Fan in and fan out"),
        ({nn.Linear: {"weight": "nothing"}}, ValueError, "the rule for 'weight' in Linear"),
        ({nn.Linear: {nn.Linear: "zeros_"}}, TypeError, "at the top level, a module class"),
        ({int: "zeros_"}, TypeError, "at the top level, a module class"),
    ],
)
def test_wrong_rules_for_classes(rules, kind, message):
    with pytest.raises(kind, match=message):
        init.initialize(model(), seed=1, rules=rules)


# buffers


class Table(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("sine", torch.arange(8.0)[:, None].sin() * torch.ones(4))
        self.norm = nn.BatchNorm1d(4)
        self.proj = nn.Linear(4, 4)


@pytest.mark.parametrize("pattern", ["*", "*n*", Table, nn.Module])
def test_rules_for_parameters_do_not_change_buffers(pattern):
    rules = {pattern: {"*": "normal_"} if isinstance(pattern, type) else "normal_"}
    module = Table()
    before = module.sine.clone()
    module.norm.running_mean.fill_(7.0)
    init.initialize(module, seed=1, buffers=True, rules=rules)
    assert same(module.sine, before) and (module.norm.running_mean == 0).all()
    spec = init.spec_from(Table(), rules)["tensors"]
    assert spec["sine"]["init"]["class_name"] == "Constant"
    assert spec["norm.running_var"]["init"] == "ones"


@pytest.mark.parametrize("pattern", ["sine", "s*e", "*.sine", nn.Module])
def test_rules_that_match_only_buffers_apply_to_them(pattern):
    module = nn.Sequential(Table()) if pattern == "*.sine" else Table()
    rules = {pattern: {"sine": "ones_"} if isinstance(pattern, type) else "ones_"}
    init.initialize(module, seed=1, buffers=True, rules=rules)
    assert all((table == 1).all() for name, table in module.named_buffers() if "sine" in name)


def test_a_rule_for_everything_does_not_apply_to_buffers():
    module = nn.BatchNorm1d(3, affine=False)
    init.initialize(module, seed=1, buffers=True, rules={"*": "normal_"})
    assert (module.running_mean == 0).all() and (module.running_var == 1).all()


# padding


@pytest.mark.parametrize(
    "initializer", [("normal_", {"std": 0.02}), "he_normal", "xavier_uniform_", "ones_"]
)
@pytest.mark.parametrize("kind", [nn.Embedding, nn.EmbeddingBag])
def test_padding_rows_are_zero_under_any_rule(kind, initializer):
    module = init.initialize(kind(10, 4, padding_idx=3), seed=1, rules={"*": initializer})
    plain = init.initialize(kind(10, 4), seed=1, rules={"*": initializer})
    assert (module.weight[3] == 0).all()
    rest = torch.arange(10) != 3
    assert same(module.weight[rest], plain.weight[rest]) and (plain.weight[3] != 0).all()
    spec = init.spec_from(kind(10, 4, padding_idx=3), rules={"*": initializer})["tensors"]["weight"]
    assert spec["fixed_rows"] == [[3, 4, 0.0]]


def test_padding_rows_of_tied_embeddings_are_zero():
    module = nn.ModuleDict(
        {"head": nn.Linear(4, 10, bias=False), "table": nn.Embedding(10, 4, padding_idx=3)}
    )
    module.head.weight = module.table.weight
    init.initialize(module, seed=1)
    assert (module.table.weight[3] == 0).all() and (module.table.weight[2] != 0).all()


# stacked weights


class Experts(nn.Module):
    def __init__(self, shape=(8, 32, 64)):
        super().__init__()
        self.w = nn.Parameter(torch.empty(shape))


class Unnamed(Experts):
    pass


STACKED = [
    ("kaiming_normal_(nonlinearity='relu')", 2 / 64),
    ("kaiming_uniform_(mode='fan_out', nonlinearity='relu')", 2 / 32),
    ("xavier_normal_", 2 / 96),
    ("he_normal", 2 / 64),
    (ift.GlorotUniform(), 2 / 96),
    (ift.VarianceScaling(2, input_axes=[1], output_axes=[2]), 2 / 32),
]


@pytest.mark.parametrize(("initializer", "variance"), STACKED)
def test_stacked_experts_have_separate_fans(initializer, variance):
    module = init.initialize(Experts(), seed=1, rules={"w": initializer})
    assert module.w.var().item() == pytest.approx(variance, rel=0.05)
    turned = Experts((8, 64, 32))
    turned.is_transposed = True  # (expert, in, out)
    if not isinstance(initializer, ift.VarianceScaling) or initializer.input_axes is None:
        init.initialize(turned, seed=1, rules={"w": initializer})
        assert turned.w.var().item() == pytest.approx(variance, rel=0.05)


@pytest.mark.parametrize("shape", [(3, 5, 5), (3, 4, 6), (3, 6, 4)])
def test_each_stacked_expert_is_orthogonal(shape):
    w = init.initialize(Experts(shape), seed=1, rules={"w": "orthogonal_"}).w.detach()
    short = min(shape[1:])
    for each in w:
        product = each @ each.T if shape[1] == short else each.T @ each
        assert torch.allclose(product, torch.eye(short), atol=1e-5)
    assert not same(w[0], w[1])
    assert same(w, init.orthogonal_(torch.empty(shape), batch_dims=1, seed=1, name="w"))
    one = torch.empty(1, 1, *shape[1:])
    assert same(init.orthogonal_(one, batch_dims=2, seed=1, name="w")[0, 0], w[0])


def test_ambiguous_three_dims_warn():
    with pytest.warns(UserWarning, match=r"'w' of shape \(8, 32, 64\), in a Unnamed.*batch_dims=1"):
        init.initialize(Unnamed(), seed=1, rules={"w": "he_normal"})
    for batch_dims, fan_in in ((0, 32 * 64), (1, 64)):  # explicit, so no warning
        rules = {"w": ("xavier_uniform_", {"batch_dims": batch_dims})}
        init.initialize(Unnamed(), seed=1, rules=rules)
        rules = {"w": ("kaiming_normal_", {"batch_dims": batch_dims, "nonlinearity": "linear"})}
        module = init.initialize(Unnamed(), seed=1, rules=rules)
        assert module.w.var().item() == pytest.approx(1 / fan_in, rel=0.05)
    init.initialize(Unnamed(), seed=1, rules={"w": "normal_"})  # does not depend on fans


class Drawing(Unnamed):
    def reset_parameters(self):
        nn.init.xavier_uniform_(self.w)


def test_a_model_s_own_draws_have_torch_s_fans():
    expected = init.xavier_uniform_(torch.empty(8, 32, 64), seed=1, name="w")
    assert same(init.initialize(Drawing(), seed=1).w, expected)
    assert same(init.initialize(Drawing(), seed=1, rules=init.rules_from(Drawing())).w, expected)


@pytest.mark.parametrize("make", [lambda: nn.Conv1d(32, 16, 7), lambda: nn.Bilinear(8, 9, 7)])
def test_convolutions_are_not_stacks(make):
    actual = init.initialize(make(), seed=1, rules={"weight": "xavier_normal_"}).weight
    assert same(actual, init.xavier_normal_(torch.empty(actual.shape), seed=1, name="weight"))


# groups


def test_groups_divide_the_fan_out():
    arguments = {"mode": "fan_out", "nonlinearity": "relu", "seed": 1}
    shape = (256, 1, 3, 3)
    ungrouped = init.kaiming_normal_(torch.empty(shape), **arguments)
    assert ungrouped.std().item() == pytest.approx(
        math.sqrt(2 / (256 * 9)), rel=0.05
    )  # torch's fan_out
    actual = init.kaiming_normal_(torch.empty(shape), **arguments, groups=256)
    assert actual.std().item() == pytest.approx(math.sqrt(2 / 9), rel=0.05)
    rules = {
        "weight": ("kaiming_normal_", {"mode": "fan_out", "nonlinearity": "relu", "groups": 256})
    }
    module = init.initialize(nn.Conv2d(256, 256, 3, groups=256), seed=1, rules=rules)
    assert module.weight.std().item() == pytest.approx(math.sqrt(2 / 9), rel=0.05)
    rules = {
        nn.Conv2d: {
            "weight": "kaiming_normal_(mode='fan_out', nonlinearity='relu', groups='module')"
        }
    }
    module = init.initialize(
        nn.Sequential(nn.Conv2d(64, 64, 3, groups=64), nn.Conv2d(64, 64, 3)), seed=1, rules=rules
    )
    for conv, fan_out in zip(module, (9, 64 * 9), strict=True):
        assert conv.weight.std().item() == pytest.approx(math.sqrt(2 / fan_out), rel=0.1)
    actual = init.xavier_normal_(torch.empty(shape), groups=256, seed=1)
    assert actual.std().item() == pytest.approx(math.sqrt(2 / 18), rel=0.05)
    for groups in (0, 3, 1.0):
        with pytest.raises(
            ValueError, match="groups must be a positive integer that divides the 256"
        ):
            init.xavier_uniform_(torch.empty(shape), groups=groups, seed=1)
    with pytest.raises(ValueError, match=r"batch_dims must be an integer in \[0, 4\]"):
        init.orthogonal_(torch.empty(shape), batch_dims=5, seed=1)


# blocks


def test_blocks_equal_separate_parameters():
    rules = {
        "weight_hh*": init.blocks("orthogonal_", count=4),
        "weight_ih*": init.blocks("xavier_normal_", "zeros_", sizes=[8, 24]),
        "bias_ih*": init.blocks("zeros_", "ones_", "zeros_", "zeros_"),
        "bias_hh*": "zeros_",
    }
    module = init.initialize(nn.LSTM(6, 8), seed=1, rules=rules)
    for k, gate in enumerate(module.weight_hh_l0.chunk(4)):
        expected = init.orthogonal_(torch.empty(8, 8), seed=1, name=f"weight_hh_l0/{k}")
        assert same(gate, expected)
        assert torch.allclose(gate @ gate.T, torch.eye(8), atol=1e-5)
    q, rest = module.weight_ih_l0.split([8, 24])
    assert same(q, init.xavier_normal_(torch.empty(8, 6), seed=1, name="weight_ih_l0/0"))
    assert (rest == 0).all() and module.bias_ih_l0.tolist() == [0.0] * 8 + [1.0] * 8 + [0.0] * 16


def test_blocks_along_another_dim_and_in_stacks():
    rules = {"w": init.blocks("xavier_uniform_", count=2, dim=-1)}
    actual = init.initialize(Experts((3, 4, 10)), seed=1, rules=rules).w
    expected = [
        init.xavier_uniform_(torch.empty(3, 4, 5), batch_dims=1, seed=1, name=f"w/{k}")
        for k in (0, 1)
    ]
    assert same(actual, torch.cat(expected, -1))


def test_blocks_of_constants_are_fixed_rows_of_a_spec():
    bias = init.blocks("zeros_", ("constant_", {"val": 2.0}), "zeros_", "ones_")
    spec = init.spec_from(nn.LSTM(6, 8), {"bias_ih*": bias})["tensors"]["bias_ih_l0"]
    assert spec["init"] == "zeros"
    assert spec["fixed_rows"] == [[0, 8, 0.0], [8, 16, 2.0], [16, 24, 0.0], [24, 32, 1.0]]
    with pytest.raises(
        ValueError, match=r"'weight_hh_l0': no initializer of Keras writes the same as Blocks"
    ):
        init.spec_from(nn.LSTM(6, 8), {"weight_hh*": init.blocks("orthogonal_", count=4)})


@pytest.mark.parametrize(
    ("initializers", "arguments", "kind", "message"),
    [
        ((), {"count": 2}, ValueError, "blocks needs initializers"),
        (("zeros_",), {}, ValueError, "one for each block, or one and count= or sizes="),
        (("zeros_", "ones_"), {"count": 3}, ValueError, "must agree"),
        (("zeros_",), {"sizes": [3, 0]}, ValueError, "must agree"),
        ((None, "ones_"), {}, TypeError, "received None or blocks"),
        (
            ("zeros_",),
            {"sizes": [3, 4]},
            ValueError,
            r"'weight': the blocks must add up to 4, .*\[3, 4\]",
        ),
        (
            ("zeros_",),
            {"count": 3},
            ValueError,
            "must add up to 4, the size of dim 0; received 3 of equal length",
        ),
        (("zeros_",), {"count": 2, "dim": 2}, ValueError, "'weight': blocks: .* has no dim 2"),
        (("nothing_",), {"count": 2}, ValueError, "the rule for 'weight'.*nothing_"),
    ],
)
def test_wrong_blocks(initializers, arguments, kind, message):
    with pytest.raises(kind, match=message):
        init.initialize(
            nn.Linear(4, 4), seed=1, rules={"weight": init.blocks(*initializers, **arguments)}
        )


# classes of tensors


class Tagged(nn.Parameter):
    """A parameter class like vLLM's."""


def tagged(device="cpu"):
    module = nn.Linear(4, 4, device=device)
    module.extra = Tagged(torch.ones(3, device=device))
    module.extra.note = "kept"
    return module


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_subclass_without_overrides_is_drawn(device):
    module = init.initialize(tagged(device), seed=1, rules={"extra": "normal_"})
    assert same(module.extra, init.normal_(torch.empty(3), seed=1, name="extra"))
    assert type(module.extra) is Tagged and module.extra.note == "kept"


class Odd(torch.Tensor):
    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        return super().__torch_function__(function, types, args, kwargs or {})


def test_a_rule_none_accepts_unsupported_tensors():
    module = nn.Sequential(nn.Linear(3, 3), nn.LazyLinear(4))
    module.odd = nn.Parameter(torch.ones(3).as_subclass(Odd))
    rules = {"1.*": None, "odd": None}
    init.initialize(module, seed=1, rules=rules)
    assert same(module[0].weight, init.initialize(nn.Sequential(nn.Linear(3, 3)), seed=1)[0].weight)
    assert (module.odd == 1).all() and nn.parameter.is_lazy(module[1].weight)
    assert list(init.spec_from(module, rules)["tensors"]) == ["0.weight", "0.bias"]
    for missing, kind in (("1.*", ValueError), ("odd", TypeError)):
        with pytest.raises(kind, match="only that class" if missing == "odd" else "rule None"):
            init.initialize(module, seed=1, rules={**rules, missing: "zeros_"})


class Scaled(ift.VarianceScaling):
    """A subclass with another constructor."""

    def __init__(self, scale=1.0, seed=None):
        super().__init__(scale, "fan_in", "untruncated_normal", seed=seed)

    def get_config(self):
        return {"scale": self.scale, "seed": self.seed}


def test_a_subclass_of_an_initializer_has_torch_s_fans_and_the_seed():
    module = nn.Sequential(nn.Linear(10, 1000), nn.Linear(10, 1000))
    init.initialize(module, seed=1, rules={"*.weight": Scaled(4.0)})
    assert module[0].weight.var().item() == pytest.approx(4 / 10, rel=0.05)
    assert not same(module[0].weight, module[1].weight)
    expected = ift.VarianceScaling(
        4.0,
        "fan_in",
        "untruncated_normal",
        seed=ift.Seed(1).named("0.weight"),
        input_axes=[1],
        output_axes=[0],
    )
    assert np.array_equal(module[0].weight.detach().numpy(), expected((1000, 10)))


class Drawn(ift.Initializer):
    """An initializer with a seed but without `with_seed`."""

    def __init__(self, entropy=None):
        self.seed = entropy

    def __call__(self, shape, dtype=None):
        return np.random.default_rng(self.seed).normal(size=shape).astype(dtype)


class Reseeded(Drawn):
    def with_seed(self, seed):
        return Reseeded([seed.seed, seed.stream] if isinstance(seed, ift.Seed) else seed)


def test_a_subclass_with_a_seed_needs_with_seed():
    def make():
        return nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))

    with pytest.raises(
        ValueError, match=r"parameter '0\.weight': Drawn has a seed but no with_seed"
    ):
        init.initialize(make(), seed=1, rules={"*.weight": Drawn(5)})
    module = init.initialize(make(), seed=1, rules={"*.weight": Reseeded(5)})
    assert not same(module[0].weight, module[1].weight)
    assert same(
        module[0].weight, init.initialize(make(), seed=1, rules={"*.weight": Reseeded(6)})[0].weight
    )


# pieces of parameters that torch does not mark


def test_placeholders_of_zero_3_are_refused():
    module = nn.Linear(4, 4)
    module.weight.data = torch.empty(0)
    module.weight.ds_shape = torch.Size([4, 4])
    before = module.bias.detach().clone()
    with pytest.raises(
        ValueError, match=r"'weight': tensor is an empty placeholder of DeepSpeed ZeRO-3.*Gathered"
    ):
        init.initialize(module, seed=1)
    assert same(module.bias, before)
    for draw in (init.normal_, init.kaiming_uniform_, init.orthogonal_):
        with pytest.raises(ValueError, match=r"placeholder of DeepSpeed ZeRO-3 .* \(4, 4\)"):
            draw(module.weight)
    init.initialize(module, seed=1, rules={"weight": None, "bias": "zeros_"})
    module.weight.data = torch.empty(4, 4)  # as within GatheredParameters
    assert same(
        init.initialize(module, seed=1).weight, init.initialize(nn.Linear(4, 4), seed=1).weight
    )


def test_flat_parameters_of_fsdp_1_are_refused():
    module = nn.Linear(4, 4)
    module.weight._is_flat_param = True
    with pytest.raises(
        ValueError, match=r"'weight' is a piece of a flat parameter.*summon_full_params"
    ):
        init.initialize(module, seed=1)
    module = nn.Linear(4, 4)
    for parameter in module.parameters():
        parameter._fsdp_flattened = True
    infos = [("weight", module, ""), ("bias", module, "")]
    flat = types.SimpleNamespace(_param_infos=infos, _shapes=[torch.Size([4, 4]), torch.Size([4])])
    module._handle = types.SimpleNamespace(flat_param=flat)  # as within summon_full_params
    init.initialize(module, seed=1)
    module.bias.data = torch.empty(2)
    with pytest.raises(ValueError, match="'bias' is a piece of a flat parameter"):
        init.initialize(module, seed=1)
