"""Whole models: the table of torch's own modules, rules, ties, meta tensors, and `patch`."""

from __future__ import annotations

import copy
import functools
import math
import re
import warnings

import numpy as np
import pytest

import initfast as ift

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

import initfast.torch as init  # noqa: E402

# Every module of torch with parameters, as small as its statistics allow.
MODULES = {
    "Linear": lambda: nn.Linear(64, 80),
    "Linear without inputs": lambda: nn.Linear(0, 80),
    "Bilinear": lambda: nn.Bilinear(12, 14, 30),
    "Conv1d": lambda: nn.Conv1d(16, 24, 7),
    "Conv2d": lambda: nn.Conv2d(16, 24, (3, 5), groups=4),
    "Conv2d channels_last": lambda: nn.Conv2d(16, 24, 3).to(memory_format=torch.channels_last),
    "Conv3d": lambda: nn.Conv3d(8, 10, 3),
    "ConvTranspose1d": lambda: nn.ConvTranspose1d(16, 24, 7),
    "ConvTranspose2d": lambda: nn.ConvTranspose2d(16, 24, 3, groups=2),
    "ConvTranspose3d": lambda: nn.ConvTranspose3d(8, 10, 3),
    "Embedding": lambda: nn.Embedding(60, 50, padding_idx=-3),
    "EmbeddingBag": lambda: nn.EmbeddingBag(60, 50, padding_idx=0),
    "LSTM": lambda: nn.LSTM(20, 30, num_layers=2, bidirectional=True, proj_size=10),
    "GRU": lambda: nn.GRU(20, 30),
    "RNN": lambda: nn.RNN(20, 30, bias=False),
    "LSTMCell": lambda: nn.LSTMCell(20, 30),
    "GRUCell": lambda: nn.GRUCell(20, 30),
    "RNNCell": lambda: nn.RNNCell(20, 30),
    "MultiheadAttention": lambda: nn.MultiheadAttention(48, 4, add_bias_kv=True),
    "MultiheadAttention apart": lambda: nn.MultiheadAttention(48, 4, kdim=40, vdim=56),
    "LayerNorm": lambda: nn.LayerNorm((4, 8)),
    "RMSNorm": lambda: nn.RMSNorm(16),
    "GroupNorm": lambda: nn.GroupNorm(4, 16),
    "BatchNorm2d": lambda: nn.BatchNorm2d(16),
    "InstanceNorm1d": lambda: nn.InstanceNorm1d(16, affine=True, track_running_stats=True),
    "PReLU": lambda: nn.PReLU(5, init=0.5),
    "Transformer": lambda: nn.Transformer(32, 4, 1, 1, 64, batch_first=True),
    "TransformerEncoderLayer": lambda: nn.TransformerEncoderLayer(32, 4, 64),
    "AdaptiveLogSoftmaxWithLoss": lambda: nn.AdaptiveLogSoftmaxWithLoss(64, 500, [50, 200]),
}
# Names in torch.nn without parameters of a new kind, or that cannot be built without a batch.
OTHERS = re.compile(
    r"Lazy|Parameter(List|Dict)$|Container|RNNBase|RNNCellBase|Transformer(De|En)coder(Layer)?$"
)


def poison(module):
    with torch.no_grad():
        for tensor in (*module.parameters(), *module.buffers()):
            tensor.fill_(float("nan") if tensor.is_floating_point() else -1)
    return module


def quiet(make):
    """Build a module without torch's warning about tensors without elements."""
    import warnings

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Initializing zero-element", UserWarning)
        return make()


def same(a, b):
    return a.shape == b.shape and torch.equal(a.detach(), b.detach())


def values(module):
    return {name: tensor.detach().clone() for name, tensor in module.named_parameters()}


@pytest.mark.filterwarnings("ignore::initfast.ReusedSeedWarning")  # a layer made twice on purpose
@pytest.mark.parametrize("name", MODULES)
def test_defaults_are_torch_s(name):
    torch.manual_seed(1)
    expected = dict(quiet(MODULES[name]).named_parameters())
    module = poison(quiet(MODULES[name]))
    assert init.initialize(module, seed=3) is module
    assert expected
    for key, actual in module.named_parameters():
        theirs = expected[key].detach().double().flatten()
        ours = actual.detach().double().flatten()
        n = ours.numel()
        assert torch.equal(ours == 0, theirs == 0)  # zeros stay zeros, including the padding row
        if n == 0:
            continue
        if theirs.unique().numel() == 1:
            assert torch.equal(ours, theirs)
            continue
        # Of n values: mean and deviation within 6 standard errors of two samples (1e-8 false alarms
        # each).
        spread = theirs.std()
        assert abs(ours.mean() - theirs.mean()) < 6 * math.sqrt(2 / n) * spread, key
        assert abs(ours.std() / spread - 1) < 6 / math.sqrt(n), key
        # A uniform's bounds: less than a chance of 1e-6 that n values of either leave a gap of 14 /
        # n at an end.
        ours, theirs = ours.abs().max(), theirs.abs().max()
        if "mbedding" not in name and "bias_" not in key:
            assert abs(ours / theirs - 1) < 28 / n, key
    stream = ift.Seed(3)
    values = [
        (key, tensor) for key, tensor in module.named_parameters() if tensor.unique().numel() > 2
    ]
    for key, tensor in values:
        again = poison(quiet(MODULES[name]))
        init.initialize(again, seed=stream)
        assert same(again.get_parameter(key), tensor)


def test_the_table_has_all_of_torch_s_modules():
    names = {type(quiet(make)).__name__ for make in MODULES.values()}
    covered = set()
    for name in dir(nn):
        kind = getattr(nn, name)
        if not (isinstance(kind, type) and issubclass(kind, nn.Module)) or OTHERS.search(name):
            continue
        if any(hasattr(kind, reset) for reset in ("reset_parameters", "_reset_parameters")):
            covered.add(name)
    alike = {"BatchNorm1d", "BatchNorm3d", "SyncBatchNorm", "InstanceNorm2d", "InstanceNorm3d"}
    assert covered - alike == names - {"TransformerEncoderLayer"}


@pytest.mark.parametrize(
    "name", ["BatchNorm1d", "BatchNorm3d", "SyncBatchNorm", "InstanceNorm2d", "InstanceNorm3d"]
)
def test_norms_that_share_a_row(name):
    module = poison(getattr(nn, name)(4, affine=True))
    init.initialize(module, seed=1)
    assert (module.weight == 1).all() and (module.bias == 0).all()


def test_each_parameter_has_the_stream_of_its_name():
    model = nn.Sequential(nn.Linear(5, 5), nn.Linear(5, 5))
    init.initialize(model, seed=7)
    bound = 1 / math.sqrt(5)
    for name, tensor in model.named_parameters():
        expected = ift.RandomUniform(-bound, bound, seed=ift.Seed(7).named(name))(
            tuple(tensor.shape)
        )
        assert np.allclose(tensor.detach().numpy(), expected, rtol=3e-7, atol=0)
    assert not same(model[0].weight, model[1].weight)
    other = init.initialize(
        nn.Sequential(nn.Linear(5, 5), nn.Linear(5, 5)), seed=ift.Seed(7).named("student")
    )
    assert same(other[0].weight, nn_uniform((5, 5), bound, ift.Seed(7).named("student/0.weight")))
    wrapped = nn.ModuleDict(
        {"_orig_mod": nn.Sequential(nn.Linear(5, 5), nn.Linear(5, 5))}
    )  # like torch.compile
    init.initialize(wrapped, seed=7, rules=[("1.bias", "ones_")])
    assert same(wrapped["_orig_mod"][1].weight, model[1].weight)


def nn_uniform(shape, bound, seed):
    return init.kaiming_uniform_(torch.empty(shape), math.sqrt(5), seed=seed)


def test_without_a_seed_torch_s_generator_determines_the_values():
    module = []
    for _ in range(2):
        torch.manual_seed(5)
        module.append(init.initialize(nn.Linear(4, 4)).weight)
    assert same(*module)
    assert not same(module[0], init.initialize(nn.Linear(4, 4)).weight)


class Decoder(nn.Module):
    def __init__(self, bias=False):
        super().__init__()
        self.embedding = nn.Embedding(12, 8)
        self.block = nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8))
        self.head = nn.Linear(8, 12, bias=bias)
        self.head.weight = self.embedding.weight
        self.again = self.block[0]


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_ties_are_preserved_and_written_once(device):
    with torch.device(device):
        model = Decoder()
        model.block[0].weight.special = "kept"
    init.initialize(model, seed=1, rules={"embedding.weight": ("normal_", {"std": 0.5})})
    assert model.head.weight is model.embedding.weight and model.again is model.block[0]
    assert not any(tensor.is_meta for tensor in model.parameters())
    assert same(
        model.head.weight,
        init.normal_(torch.empty(12, 8), std=0.5, seed=1, name="embedding.weight"),
    )
    assert model.block[0].weight.special == "kept" and model.block[0].weight.requires_grad
    assert set(dict(model.named_parameters())) == {
        "embedding.weight", "block.0.weight", "block.0.bias", "block.1.weight", "block.1.bias"
    }  # fmt: skip


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_ties_of_memory_alone(device):
    with torch.device(device):
        model = nn.ModuleDict(
            {"a": nn.Linear(6, 4), "b": nn.Linear(4, 6, bias=False), "c": nn.Linear(6, 4)}
        )
        model.b.weight = nn.Parameter(model.a.weight.detach().t())
        model.c.weight = nn.Parameter(model.a.weight.detach(), requires_grad=False)
    init.initialize(model, seed=1)
    alone = init.initialize(nn.ModuleDict({"a": nn.Linear(6, 4)}), seed=1)
    assert same(model.a.weight, alone.a.weight)
    assert same(model.b.weight, model.a.weight.t()) and same(model.c.weight, model.a.weight)
    assert model.b.weight.data_ptr() == model.c.weight.data_ptr() == model.a.weight.data_ptr()
    assert model.a.weight.requires_grad and not model.c.weight.requires_grad


@pytest.mark.filterwarnings("ignore::initfast.ReusedSeedWarning")  # a layer made twice on purpose
def test_meta_models_equal_others():
    for make in (Decoder, MODULES["LSTM"], MODULES["Transformer"], MODULES["MultiheadAttention"]):
        with torch.device("meta"):
            model = make()
        module, expected = (
            values(init.initialize(model, seed=9)),
            values(init.initialize(make(), seed=9)),
        )
        assert module.keys() == expected.keys()
        assert all(same(module[name], expected[name]) for name in module)


@pytest.mark.filterwarnings("ignore::initfast.ReusedSeedWarning")  # a layer made twice on purpose
def test_a_materialised_lstm_runs():
    with torch.device("meta"):
        lstm = nn.LSTM(3, 4)
    init.initialize(lstm, seed=1)
    expected = init.initialize(nn.LSTM(3, 4), seed=1)
    batch = torch.ones(2, 1, 3)
    assert torch.allclose(lstm(batch)[0], expected(batch)[0])


def test_a_rule_finds_a_tied_parameter_under_any_of_its_names():
    model = init.initialize(Decoder(), seed=1, rules={"head.weight": ("normal_", {"std": 0.5})})
    assert same(
        model.head.weight,
        init.normal_(torch.empty(12, 8), std=0.5, seed=1, name="embedding.weight"),
    )


def test_only_meta_tensors_are_materialised():
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 3, device="meta"))
    model[0].running_mean.fill_(5.0)
    before = model[0].weight
    init.initialize(model, seed=1)
    assert model[0].weight is before
    assert (model[0].running_mean == 5.0).all()
    assert same(
        model[1].weight,
        init.initialize(nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 3)), seed=1)[1].weight,
    )


def test_buffers():
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 3))
    model.register_buffer("table", torch.full((4,), 9.0))
    poisoned = poison(copy.deepcopy(model))
    init.initialize(poisoned, seed=1)
    assert (
        poisoned[0].running_mean.isnan().all() and poisoned.table.isnan().all()
    )  # unchanged by default
    init.initialize(poisoned, seed=1, buffers=True)
    assert (poisoned[0].running_mean == 0).all() and (poisoned[0].running_var == 1).all()
    assert poisoned[0].num_batches_tracked == 0
    assert poisoned.table.isnan().all()
    rules = [("table", ift.Constant([1.0, 2.0, 3.0, 4.0]))]
    init.initialize(poisoned, seed=1, buffers=True, rules=rules)
    assert poisoned.table.tolist() == [1, 2, 3, 4]
    poison(poisoned)
    init.initialize(
        poisoned, seed=1, rules=rules
    )  # a rule with the full name of a buffer applies to it
    assert poisoned.table.tolist() == [1, 2, 3, 4] and poisoned[0].running_mean.isnan().all()


def test_buffers_on_meta_need_values():
    def make():
        with torch.device("meta"):
            model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
            model.register_buffer("positions", torch.arange(4), persistent=False)
        return model

    model = make()
    for buffers, name in ((False, "positions"), (True, "positions")):
        with pytest.raises(
            ValueError, match=f"buffers on the meta device have no values.*'({name})'"
        ):
            init.initialize(model, seed=1, buffers=buffers)
        assert all(tensor.is_meta for tensor in (*model.parameters(), *model.buffers()))
    init.initialize(model, seed=1, rules=[("positions", ift.Constant(np.arange(4)))])
    assert model.positions.tolist() == [0, 1, 2, 3] and model.positions.dtype == torch.int64
    assert (model[1].running_var == 1).all()
    model = make()
    model.positions = torch.arange(4)
    model[1] = nn.BatchNorm1d(3)
    init.initialize(model, seed=1)
    assert model.positions.tolist() == [0, 1, 2, 3] and not model[0].weight.is_meta


RULES = [
    ("trunc_normal_", "normal", {"mean": 0.0, "std": 1.0}),
    (("trunc_normal_", {"std": 0.02}), "normal", {"std": 0.02}),
    ("trunc_normal_(std=0.02)", "trunc_normal_", {"std": 0.02}),
    ("trunc_normal(std=0.02)", "trunc_normal_", {"std": 0.02}),
    ("kaiming_normal", "kaiming_normal_", {}),
    ("normal", "normal_", {"std": 0.05}),  # Keras' name
    ("normal(std=0.5)", "normal_", {"std": 0.5}),
    ("random_normal(stddev=0.5)", "normal_", {"std": 0.5}),
    (["xavier_uniform_", {"gain": 2.0}], "xavier_uniform_", {"gain": 2.0}),
    (init.kaiming_normal_, "kaiming_normal_", {}),
    (nn.init.kaiming_normal_, "kaiming_normal_", {}),
    (functools.partial(nn.init.normal_, std=3.0), "normal_", {"std": 3.0}),
    (functools.partial(init.constant_, val=3.0), "constant_", {"val": 3.0}),
    ("orthogonal", "orthogonal_", {}),
    (ift.Orthogonal(2.0), "orthogonal_", {"gain": 2.0}),
    (ift.Zeros(), "zeros_", {}),
    ("ones", "ones_", {}),
    ({"class_name": "RandomNormal", "config": {"stddev": 0.5}}, "normal_", {"std": 0.5}),
    (ift.RandomNormal(0.0, 0.5, seed=99), "normal_", {"std": 0.5}),
]


@pytest.mark.parametrize(("rule", "function", "arguments"), RULES)
def test_rules_accept_initializers_of_torch_and_initfast(rule, function, arguments):
    model = nn.Sequential(nn.Conv2d(4, 6, 3))
    init.initialize(model, seed=3, rules=[("*.weight", rule)])
    if function == "normal":
        function = "trunc_normal_"
    seeded = {} if function in ("constant_", "zeros_", "ones_") else {"seed": 3, "name": "0.weight"}
    assert same(
        model[0].weight, getattr(init, function)(torch.empty(6, 4, 3, 3), **arguments, **seeded)
    )


def test_fans_of_rules_are_torch_s():
    model = nn.Sequential(nn.Conv2d(4, 6, 3), nn.Linear(5, 7))
    init.initialize(
        model, seed=3, rules=[("*.weight", "he_normal"), ("*.bias", ift.LecunUniform())]
    )
    seed = ift.Seed(3).named("0.weight")
    expected = ift.HeNormal(seed=seed, input_axes=[1, 2, 3], output_axes=[0, 2, 3])((6, 4, 3, 3))
    assert np.array_equal(model[0].weight.detach().numpy(), expected)
    assert model[1].weight.std() < 1.2 * math.sqrt(2 / 5) and model[1].weight.abs().max() > 0.6
    initializer = ift.VarianceScaling(
        1.0, "fan_in", "uniform", input_axes=[0], output_axes=[1]
    )  # the axes of the initializer are used
    init.initialize(model, seed=3, rules=[("1.weight", initializer)])
    actual = model[1].weight.abs().max()
    assert 0.9 * math.sqrt(3 / 7) < actual <= math.sqrt(3 / 7)


def test_the_first_rule_that_matches_decides():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 3))
    before = model[2].weight.detach().clone()
    rules = [(re.compile(r"[01]\.bias"), "ones_"), ("2.*", None), ("*.bias", "zeros_")]
    init.initialize(model, seed=3, rules=rules)
    assert (
        (model[0].bias == 1).all() and (model[1].bias == 1).all() and same(model[2].weight, before)
    )
    init.initialize(model, seed=3, rules=rules[::-1])
    assert (model[0].bias == 0).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64, torch.float8_e5m2])
def test_other_dtypes(dtype):
    model = init.initialize(nn.TransformerEncoderLayer(16, 2, 32).to(dtype), seed=2)
    wide = model.linear1.weight.to(torch.float64)
    assert wide.abs().max() <= 1 / math.sqrt(16) and wide.std() > 0.1
    assert (model.norm1.weight.to(torch.float64) == 1).all()


class Bare(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(3, 3)
        self.scale = nn.Parameter(torch.full((3,), 7.0))


class Own(nn.Linear):
    def reset_parameters(self):
        pass


def linear(**kwargs):
    return lambda: nn.Linear(3, 3, **kwargs)


def rules(pattern, initializer):
    return {"rules": [(pattern, initializer)]}


REFUSALS = [
    (Bare, {}, ValueError, r"needs a rule.* received 'scale', of shape \(3,\), in a Bare"),
    (
        lambda: nn.Sequential(nn.Linear(3, 3), Own(3, 3)),
        {},
        ValueError,
        "received '1.weight'.* in a Own; '1.bias'.* in a Own: pass rules",
    ),
    (lambda: nn.LazyLinear(3), {}, ValueError, "'weight' has no shape yet"),
    (
        linear(),
        rules("*.weight", "zeros_"),
        ValueError,
        r"'\*.weight' matches none of 'weight', 'bias'",
    ),
    (linear(), rules("weight", "zero_"), ValueError, "the rule for 'weight'.*interpret.*zero_"),
    (linear(), rules("weight", ("normal_", {"seed": 1})), TypeError, "normal_: got an unexpected"),
    (linear(), rules("weight", ("sparse_", {})), TypeError, "sparse_: missing a required"),
    (linear(), rules("weight", ("normal", {})), ValueError, "must be one of uniform_, normal_"),
    (linear(), rules("weight", lambda t: t), ValueError, "must be one of uniform_, normal_"),
    (
        linear(),
        rules("weight", functools.partial(init.normal_, 1)),
        TypeError,
        "keyword arguments only",
    ),
    (linear(), {"rules": ["weight"]}, TypeError, "a rule must be a pair"),
    (linear(), rules("bias", "xavier_normal_"), ValueError, "parameter 'bias': Fan in and fan out"),
    (
        linear(),
        rules("bias", ("normal_", {"std": -1.0})),
        ValueError,
        "parameter 'bias': normal expects",
    ),
    (
        linear(dtype=torch.complex64),
        rules("weight", "trunc_normal_"),
        ValueError,
        "parameter 'weight': random values need a floating",
    ),
    (
        linear(device="meta"),
        rules("bias", None),
        ValueError,
        "cannot leave parameters on the meta device unset: 'bias'",
    ),
    (linear(), {"seed": ift.Seed(1, 5)}, ValueError, "must not have a stream number"),
    (linear(), {"seed": -1}, ValueError, "seed.*-1"),
    (
        lambda: holding(torch.ones(3, 3).as_subclass(Odd)),
        rules("*", "ones_"),
        TypeError,
        "'weight': .*only that class",
    ),
    (
        lambda: holding(torch.ones(1, 3).expand(3, 3)),
        rules("*", "ones_"),
        ValueError,
        "must not overlap in memory",
    ),
]


def holding(data):
    return nn.ParameterDict({"first": torch.ones(3), "weight": nn.Parameter(data)})


@pytest.mark.parametrize(("make", "arguments", "kind", "message"), REFUSALS)
def test_refusals_write_nothing(make, arguments, kind, message):
    module = make()
    before = [(tensor, tensor._version) for tensor in module.parameters()]
    with pytest.raises(kind, match=message):
        init.initialize(module, **{"seed": 1, **arguments})
    after = list(module.parameters())
    assert all(
        new is old and new._version == version
        for new, (old, version) in zip(after, before, strict=True)
    )


class Odd(torch.Tensor):
    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        return super().__torch_function__(function, types, args, kwargs or {})


@pytest.mark.parametrize(
    "name", [name for name in MODULES if not name.startswith("Linear without")]
)
def test_models_are_built_with_initfast(name):
    torch.manual_seed(1)
    plain = values(MODULES[name]())
    constant = {key for key, value in plain.items() if value.unique().numel() == 1}
    built = []
    for torch_seed in (1, 2):
        torch.manual_seed(torch_seed)
        state = torch.get_rng_state()
        with warnings.catch_warnings(record=True) as records, init.patch(seed=6):
            warnings.simplefilter("always")
            built.append(values(MODULES[name]()))
        assert torch.equal(state, torch.get_rng_state())  # torch drew nothing
        empty_blocks = [str(each.message).startswith("nothing was drawn") for each in records]
        assert empty_blocks == [True] * (constant == plain.keys())
    for key in plain:
        assert same(built[0][key], built[1][key])
        assert (key in constant) == same(built[0][key], plain[key])
