"""What rules reach and what they do not: wrappers, module classes, buffers, padding, stacked and packed weights."""

from __future__ import annotations

import math
import types

import numpy as np
import pytest

import initfast as ift

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

import initfast.torch as init  # noqa: E402

# Tensors of one seed are compared here.
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
    """As torch.compile names it."""
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
    found = list(wrapped.parameters())
    assert len(found) == 4 and all(map(same, found, expected.parameters()))
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
        nn.modules.conv._ConvNd: "zeros_",  # all that a module of the class itself holds
        Block: {"scale": "ones_", "inner.*": "zeros_"},
    }
    made = init.initialize(nn.Sequential(Block(), nn.Linear(4, 2)), seed=1, rules=rules)
    linear, conv = made[0].inner
    assert same(linear.weight, init.orthogonal_(torch.empty(4, 4), seed=1, name="0.inner.0.weight"))
    assert (linear.bias == 3).all() and (made[1].bias == 3).all() and (made[0].scale == 1).all()
    assert (conv.weight == 0).all() and (conv.bias == 0).all()
    made = init.initialize(Block(), seed=1, rules=[(Block, "ones_"), (nn.Linear, None)])
    assert (made.scale == 1).all() and not (made.inner[1].weight == 1).any()


def test_a_module_class_means_its_subclasses_and_no_others():
    class Mine(nn.Linear):
        pass

    made = nn.Sequential(Mine(3, 3), nn.Bilinear(3, 3, 3))
    init.initialize(made, seed=1, rules={nn.Linear: "ones_"})
    assert (made[0].bias == 1).all() and not (made[1].bias == 1).any()


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
def test_rules_for_parameters_leave_buffers_alone(pattern):
    rules = {pattern: {"*": "normal_"} if isinstance(pattern, type) else "normal_"}
    made = Table()
    kept = made.sine.clone()
    made.norm.running_mean.fill_(7.0)
    init.initialize(made, seed=1, buffers=True, rules=rules)
    assert same(made.sine, kept) and (made.norm.running_mean == 0).all()
    spec = init.spec_from(Table(), rules)["tensors"]
    assert spec["sine"]["init"]["class_name"] == "Constant"
    assert spec["norm.running_var"]["init"] == "ones"


@pytest.mark.parametrize("pattern", ["sine", "s*e", "*.sine", nn.Module])
def test_rules_that_match_buffers_alone_reach_them(pattern):
    made = nn.Sequential(Table()) if pattern == "*.sine" else Table()
    rules = {pattern: {"sine": "ones_"} if isinstance(pattern, type) else "ones_"}
    init.initialize(made, seed=1, buffers=True, rules=rules)
    assert all((table == 1).all() for name, table in made.named_buffers() if "sine" in name)


def test_a_rule_for_everything_never_reaches_buffers():
    made = nn.BatchNorm1d(3, affine=False)
    init.initialize(made, seed=1, buffers=True, rules={"*": "normal_"})
    assert (made.running_mean == 0).all() and (made.running_var == 1).all()


# padding


@pytest.mark.parametrize(
    "what", [("normal_", {"std": 0.02}), "he_normal", "xavier_uniform_", "ones_"]
)
@pytest.mark.parametrize("kind", [nn.Embedding, nn.EmbeddingBag])
def test_padding_rows_are_zero_under_any_rule(kind, what):
    made = init.initialize(kind(10, 4, padding_idx=3), seed=1, rules={"*": what})
    plain = init.initialize(kind(10, 4), seed=1, rules={"*": what})
    assert (made.weight[3] == 0).all()
    rest = torch.arange(10) != 3
    assert same(made.weight[rest], plain.weight[rest]) and (plain.weight[3] != 0).all()
    spec = init.spec_from(kind(10, 4, padding_idx=3), rules={"*": what})["tensors"]["weight"]
    assert spec["fixed_rows"] == [[3, 4, 0.0]]


def test_padding_rows_of_tied_embeddings_are_zero():
    made = nn.ModuleDict(
        {"head": nn.Linear(4, 10, bias=False), "table": nn.Embedding(10, 4, padding_idx=3)}
    )
    made.head.weight = made.table.weight
    init.initialize(made, seed=1)
    assert (made.table.weight[3] == 0).all() and (made.table.weight[2] != 0).all()


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


@pytest.mark.parametrize(("what", "variance"), STACKED)
def test_stacked_experts_have_fans_of_their_own(what, variance):
    made = init.initialize(Experts(), seed=1, rules={"w": what})
    assert made.w.var().item() == pytest.approx(variance, rel=0.05)
    turned = Experts((8, 64, 32))
    turned.is_transposed = True  # (expert, in, out)
    if not isinstance(what, ift.VarianceScaling) or what.input_axes is None:
        init.initialize(turned, seed=1, rules={"w": what})
        assert turned.w.var().item() == pytest.approx(variance, rel=0.05)


@pytest.mark.parametrize("shape", [(3, 5, 5), (3, 4, 6), (3, 6, 4)])
def test_stacked_experts_are_orthogonal_each(shape):
    w = init.initialize(Experts(shape), seed=1, rules={"w": "orthogonal_"}).w.detach()
    short = min(shape[1:])
    for each in w:
        product = each @ each.T if shape[1] == short else each.T @ each
        assert torch.allclose(product, torch.eye(short), atol=1e-5)
    assert not same(w[0], w[1])
    assert same(w, init.orthogonal_(torch.empty(shape), batch_dims=1, seed=1, name="w"))
    one = torch.empty(1, 1, *shape[1:])
    assert same(init.orthogonal_(one, batch_dims=2, seed=1, name="w")[0, 0], w[0])


def test_three_dims_that_may_be_either_are_pointed_out():
    with pytest.warns(UserWarning, match=r"'w' of shape \(8, 32, 64\), in a Unnamed.*batch_dims=1"):
        init.initialize(Unnamed(), seed=1, rules={"w": "he_normal"})
    for batch_dims, fan_in in ((0, 32 * 64), (1, 64)):  # said, and so without a word
        rules = {"w": ("xavier_uniform_", {"batch_dims": batch_dims})}
        init.initialize(Unnamed(), seed=1, rules=rules)
        rules = {"w": ("kaiming_normal_", {"batch_dims": batch_dims, "nonlinearity": "linear"})}
        made = init.initialize(Unnamed(), seed=1, rules=rules)
        assert made.w.var().item() == pytest.approx(1 / fan_in, rel=0.05)
    init.initialize(Unnamed(), seed=1, rules={"w": "normal_"})  # nothing depends on it


class Drawing(Unnamed):
    def reset_parameters(self):
        nn.init.xavier_uniform_(self.w)


def test_what_a_model_itself_draws_has_torch_s_fans():
    expected = init.xavier_uniform_(torch.empty(8, 32, 64), seed=1, name="w")
    assert same(init.initialize(Drawing(), seed=1).w, expected)
    assert same(init.initialize(Drawing(), seed=1, rules=init.rules_from(Drawing())).w, expected)


@pytest.mark.parametrize("make", [lambda: nn.Conv1d(32, 16, 7), lambda: nn.Bilinear(8, 9, 7)])
def test_convolutions_are_not_stacks(make):
    found = init.initialize(make(), seed=1, rules={"weight": "xavier_normal_"}).weight
    assert same(found, init.xavier_normal_(torch.empty(found.shape), seed=1, name="weight"))


# groups


def test_groups_divide_the_fan_out():
    arguments = {"mode": "fan_out", "nonlinearity": "relu", "seed": 1}
    shape = (256, 1, 3, 3)
    kept = init.kaiming_normal_(torch.empty(shape), **arguments)
    assert kept.std().item() == pytest.approx(math.sqrt(2 / (256 * 9)), rel=0.05)  # torch's
    found = init.kaiming_normal_(torch.empty(shape), **arguments, groups=256)
    assert found.std().item() == pytest.approx(math.sqrt(2 / 9), rel=0.05)
    rules = {
        "weight": ("kaiming_normal_", {"mode": "fan_out", "nonlinearity": "relu", "groups": 256})
    }
    made = init.initialize(nn.Conv2d(256, 256, 3, groups=256), seed=1, rules=rules)
    assert made.weight.std().item() == pytest.approx(math.sqrt(2 / 9), rel=0.05)
    rules = {
        nn.Conv2d: {
            "weight": "kaiming_normal_(mode='fan_out', nonlinearity='relu', groups='module')"
        }
    }
    made = init.initialize(
        nn.Sequential(nn.Conv2d(64, 64, 3, groups=64), nn.Conv2d(64, 64, 3)), seed=1, rules=rules
    )
    for conv, fan_out in zip(made, (9, 64 * 9), strict=True):
        assert conv.weight.std().item() == pytest.approx(math.sqrt(2 / fan_out), rel=0.1)
    found = init.xavier_normal_(torch.empty(shape), groups=256, seed=1)
    assert found.std().item() == pytest.approx(math.sqrt(2 / 18), rel=0.05)
    for groups in (0, 3, 1.0):
        with pytest.raises(
            ValueError, match="groups must be a positive integer that divides the 256"
        ):
            init.xavier_uniform_(torch.empty(shape), groups=groups, seed=1)
    with pytest.raises(ValueError, match=r"batch_dims must be an integer in \[0, 4\]"):
        init.orthogonal_(torch.empty(shape), batch_dims=5, seed=1)


# blocks


def test_blocks_of_a_parameter_are_drawn_as_if_alone():
    rules = {
        "weight_hh*": init.blocks("orthogonal_", count=4),
        "weight_ih*": init.blocks("xavier_normal_", "zeros_", sizes=[8, 24]),
        "bias_ih*": init.blocks("zeros_", "ones_", "zeros_", "zeros_"),
        "bias_hh*": "zeros_",
    }
    made = init.initialize(nn.LSTM(6, 8), seed=1, rules=rules)
    for k, gate in enumerate(made.weight_hh_l0.chunk(4)):
        expected = init.orthogonal_(torch.empty(8, 8), seed=1, name=f"weight_hh_l0/{k}")
        assert same(gate, expected)
        assert torch.allclose(gate @ gate.T, torch.eye(8), atol=1e-5)
    q, rest = made.weight_ih_l0.split([8, 24])
    assert same(q, init.xavier_normal_(torch.empty(8, 6), seed=1, name="weight_ih_l0/0"))
    assert (rest == 0).all() and made.bias_ih_l0.tolist() == [0.0] * 8 + [1.0] * 8 + [0.0] * 16


def test_blocks_along_another_dim_and_in_stacks():
    rules = {"w": init.blocks("xavier_uniform_", count=2, dim=-1)}
    found = init.initialize(Experts((3, 4, 10)), seed=1, rules=rules).w
    expected = [
        init.xavier_uniform_(torch.empty(3, 4, 5), batch_dims=1, seed=1, name=f"w/{k}")
        for k in (0, 1)
    ]
    assert same(found, torch.cat(expected, -1))


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
    ("what", "arguments", "kind", "message"),
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
def test_wrong_blocks(what, arguments, kind, message):
    with pytest.raises(kind, match=message):
        init.initialize(nn.Linear(4, 4), seed=1, rules={"weight": init.blocks(*what, **arguments)})


# classes of tensors


class Tagged(nn.Parameter):
    """As vLLM marks its parameters."""


def tagged(device="cpu"):
    made = nn.Linear(4, 4, device=device)
    made.extra = Tagged(torch.ones(3, device=device))
    made.extra.note = "kept"
    return made


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_subclass_that_adds_nothing_is_drawn(device):
    made = init.initialize(tagged(device), seed=1, rules={"extra": "normal_"})
    assert same(made.extra, init.normal_(torch.empty(3), seed=1, name="extra"))
    assert type(made.extra) is Tagged and made.extra.note == "kept"


class Odd(torch.Tensor):
    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        return super().__torch_function__(function, types, args, kwargs or {})


def test_a_rule_none_leaves_what_is_not_known():
    made = nn.Sequential(nn.Linear(3, 3), nn.LazyLinear(4))
    made.odd = nn.Parameter(torch.ones(3).as_subclass(Odd))
    rules = {"1.*": None, "odd": None}
    init.initialize(made, seed=1, rules=rules)
    assert same(made[0].weight, init.initialize(nn.Sequential(nn.Linear(3, 3)), seed=1)[0].weight)
    assert (made.odd == 1).all() and nn.parameter.is_lazy(made[1].weight)
    assert list(init.spec_from(made, rules)["tensors"]) == ["0.weight", "0.bias"]
    for missing, kind in (("1.*", ValueError), ("odd", TypeError)):
        with pytest.raises(kind, match="only that class" if missing == "odd" else "rule None"):
            init.initialize(made, seed=1, rules={**rules, missing: "zeros_"})


class Scaled(ift.VarianceScaling):
    """With a constructor of its own."""

    def __init__(self, scale=1.0, seed=None):
        super().__init__(scale, "fan_in", "untruncated_normal", seed=seed)

    def get_config(self):
        return {"scale": self.scale, "seed": self.seed}


def test_a_subclass_of_an_initializer_has_torch_s_fans_and_the_seed():
    made = nn.Sequential(nn.Linear(10, 1000), nn.Linear(10, 1000))
    init.initialize(made, seed=1, rules={"*.weight": Scaled(4.0)})
    assert made[0].weight.var().item() == pytest.approx(4 / 10, rel=0.05)
    assert not same(made[0].weight, made[1].weight)
    expected = ift.VarianceScaling(
        4.0,
        "fan_in",
        "untruncated_normal",
        seed=ift.Seed(1).named("0.weight"),
        input_axes=[1],
        output_axes=[0],
    )
    assert np.array_equal(made[0].weight.detach().numpy(), expected((1000, 10)))


class Drawn(ift.Initializer):
    """Draws by itself, and nobody can give it a seed."""

    def __init__(self, entropy=None):
        self.seed = entropy

    def __call__(self, shape, dtype=None):
        return np.random.default_rng(self.seed).normal(size=shape).astype(dtype)


class Reseeded(Drawn):
    def with_seed(self, seed):
        return Reseeded([seed.seed, seed.stream] if isinstance(seed, ift.Seed) else seed)


def test_a_subclass_with_a_seed_of_its_own_takes_that_of_the_parameter_or_is_refused():
    def make():
        return nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))

    with pytest.raises(
        ValueError, match=r"parameter '0\.weight': Drawn has a seed but no with_seed"
    ):
        init.initialize(make(), seed=1, rules={"*.weight": Drawn(5)})
    made = init.initialize(make(), seed=1, rules={"*.weight": Reseeded(5)})
    assert not same(made[0].weight, made[1].weight)
    assert same(
        made[0].weight, init.initialize(make(), seed=1, rules={"*.weight": Reseeded(6)})[0].weight
    )


# pieces that do not say what they are pieces of


def test_placeholders_of_zero_3_are_refused():
    made = nn.Linear(4, 4)
    made.weight.data = torch.empty(0)
    made.weight.ds_shape = torch.Size([4, 4])
    before = made.bias.detach().clone()
    with pytest.raises(
        ValueError, match=r"'weight': tensor is an empty placeholder of DeepSpeed ZeRO-3.*Gathered"
    ):
        init.initialize(made, seed=1)
    assert same(made.bias, before)
    for draw in (init.normal_, init.kaiming_uniform_, init.orthogonal_):
        with pytest.raises(ValueError, match=r"placeholder of DeepSpeed ZeRO-3 .* \(4, 4\)"):
            draw(made.weight)
    init.initialize(made, seed=1, rules={"weight": None, "bias": "zeros_"})
    made.weight.data = torch.empty(4, 4)  # as within GatheredParameters
    assert same(
        init.initialize(made, seed=1).weight, init.initialize(nn.Linear(4, 4), seed=1).weight
    )


def test_flat_parameters_of_fsdp_1_are_refused():
    made = nn.Linear(4, 4)
    made.weight._is_flat_param = True
    with pytest.raises(
        ValueError, match=r"'weight' is a piece of a flat parameter.*summon_full_params"
    ):
        init.initialize(made, seed=1)
    made = nn.Linear(4, 4)
    for parameter in made.parameters():
        parameter._fsdp_flattened = True
    infos = [("weight", made, ""), ("bias", made, "")]
    flat = types.SimpleNamespace(_param_infos=infos, _shapes=[torch.Size([4, 4]), torch.Size([4])])
    made._handle = types.SimpleNamespace(flat_param=flat)  # as within summon_full_params
    init.initialize(made, seed=1)
    made.bias.data = torch.empty(2)
    with pytest.raises(ValueError, match="'bias' is a piece of a flat parameter"):
        init.initialize(made, seed=1)
