"""`patch`: the draws that it replaces, their streams, the draws left to torch, and the warnings."""

from __future__ import annotations

import functools
import inspect
import math
import threading
import types
import warnings

import numpy as np
import pytest

import initfast as ift

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

import initfast.torch as init  # noqa: E402

# These tests compare tensors with the same seed.
pytestmark = pytest.mark.filterwarnings("ignore::initfast.ReusedSeedWarning")


def same(a, b):
    return a.dtype == b.dtype and torch.equal(a, b)


def built(make, seed=42):
    """Return what `make` draws in a patch. It must not depend on torch's generator."""
    actual = []
    for torch_seed in (1, 2):
        torch.manual_seed(torch_seed)
        with init.patch(seed):
            actual.append(make())
    assert torch.equal(*actual)
    return actual[0]


def normal(*shape, stream=0, mean=0.0, std=1.0, seed=42, dtype=torch.float32):
    return init.normal_(torch.empty(shape, dtype=dtype), mean, std, seed=ift.Seed(seed, stream))


def uniform(*shape, stream=0, low=0.0, high=1.0, seed=42, dtype=torch.float32):
    return init.uniform_(torch.empty(shape, dtype=dtype), low, high, seed=ift.Seed(seed, stream))


# References to functions of all kinds, made before any patch.
FUNCTIONS = {"trunc_normal_": nn.init.trunc_normal_, "normal_": nn.init.normal_}
PARTIAL = functools.partial(nn.init.uniform_, a=-0.1, b=0.1)


def by_default(tensor, draw=nn.init.xavier_normal_):
    return draw(tensor)


class Holder:
    draw = staticmethod(nn.init.orthogonal_)
    method = torch.Tensor.normal_


TRUNCATED = functools.partial(init.trunc_normal_, seed=42)
WAYS = {
    "Tensor.normal_": (lambda: torch.empty(64).normal_(), lambda: normal(64)),
    "of a parameter's data": (lambda: nn.Parameter(torch.empty(64)).data.normal_(2.0, 0.5), lambda: normal(64, mean=2.0, std=0.5)),
    "Tensor.uniform_": (lambda: torch.empty(64).uniform_(-2.0), lambda: uniform(64, low=-2.0)),
    "an unbound method": (lambda: Holder.method(torch.empty(64)), lambda: normal(64)),
    "torch.randn": (lambda: torch.randn(4, 3, dtype=torch.float64), lambda: normal(4, 3, dtype=torch.float64)),
    "torch.rand": (lambda: torch.rand((5, 2)), lambda: uniform(5, 2)),
    "torch.randn, out": (lambda: torch.randn(6, out=torch.empty(6)), lambda: normal(6)),
    "torch.rand, out": (lambda: torch.rand(2, 3, out=torch.empty(0)), lambda: uniform(2, 3)),
    "torch.rand_like": (lambda: torch.rand_like(torch.ones(3, 2), dtype=torch.bfloat16), lambda: uniform(3, 2, dtype=torch.bfloat16)),
    "torch.randn_like": (lambda: torch.randn_like(torch.ones(3, 2)), lambda: normal(3, 2)),
    "torch.normal, numbers": (lambda: torch.normal(1.0, 0.5, (7,)), lambda: normal(7, mean=1.0, std=0.5)),
    "torch.normal, tensors": (lambda: torch.normal(torch.tensor([1.0, 2.0]), torch.tensor([[0.0], [3.0]])), lambda: normal(2, 2) * torch.tensor([[0.0], [3.0]]) + torch.tensor([1.0, 2.0])),
    "torch.normal, means": (lambda: torch.normal(torch.arange(4.0)), lambda: normal(4) + torch.arange(4.0)),
    "torch.normal, deviations": (lambda: torch.normal(3.0, torch.arange(4.0)), lambda: normal(4) * torch.arange(4.0) + 3.0),
    "torch.distributions": (lambda: torch.distributions.Normal(0.0, 2.0).sample((9,)), lambda: normal(9) * 2.0),
    "a dict": (lambda: FUNCTIONS["normal_"](torch.empty(3, 3), 0.0, 0.1), lambda: normal(3, 3, std=0.1)),
    "a dict, truncated": (lambda: FUNCTIONS["trunc_normal_"](torch.empty(99), std=0.5), lambda: TRUNCATED(torch.empty(99), std=0.5)),
    "a partial": (lambda: PARTIAL(torch.empty(64)), lambda: uniform(64, low=-0.1, high=0.1)),
    "a default argument": (lambda: by_default(torch.empty(5, 3)), lambda: init.xavier_normal_(torch.empty(5, 3), seed=42)),
    "a class attribute": (lambda: Holder.draw(torch.empty(5, 3)), lambda: init.orthogonal_(torch.empty(5, 3), seed=42)),
    "a subclass of Tensor": (lambda: torch.zeros(3).as_subclass(Named).normal_().as_subclass(torch.Tensor), lambda: normal(3)),
    "sparse_": (lambda: nn.init.sparse_(torch.empty(8, 3), 0.5), lambda: init.sparse_(torch.empty(8, 3), 0.5, seed=42)),
    "in inference mode": (torch.inference_mode()(lambda: torch.empty(3).normal_()), lambda: normal(3)),
    "nine dims": (lambda: torch.empty((2,) * 9).normal_(), lambda: normal(512).view((2,) * 9)),
    "within jacrev": (lambda: torch.func.jacrev(lambda x: torch.empty(3).normal_() * x)(torch.ones(3)).diagonal(), lambda: normal(3)),
    "within vmap, the same": (lambda: vmapped("same"), lambda: normal(3).expand(2, 3)),
    "within vmap, different": (lambda: vmapped("different"), lambda: normal(2, 3)),
    "within torch.compile": (lambda: compiled()(torch.zeros(3)), lambda: normal(3)),
    "within functionalize": (lambda: torch.func.functionalize(lambda x: x + torch.empty(3).uniform_())(torch.zeros(3)), lambda: uniform(3)),
    "a function of ours without a seed": (lambda: init.normal_(torch.empty(3)), lambda: normal(3, seed=int(uniform(1, high=2.0**53, dtype=torch.float64)))),
}  # fmt: skip


class Named(torch.Tensor):
    pass


class Tagged(nn.Parameter):
    pass


def compiled():
    return torch.compile(lambda x: x + torch.randn(3), backend="eager", fullgraph=True)


def vmapped(randomness):
    function = torch.func.vmap(lambda x: x + torch.randn(3), randomness=randomness)
    return function(torch.zeros(2, 3))


def slow(names):
    """torch.compile and torch.func's derivatives import torch._dynamo, which takes seconds."""
    long = [name for name in names if "jacrev" in name or "compile" in name]
    return [pytest.param(name, marks=pytest.mark.long) if name in long else name for name in names]


@pytest.mark.parametrize("way", slow(WAYS))
def test_every_way_to_draw_is_intercepted(way):
    make, expected = WAYS[way]
    assert same(built(make), expected())


def test_an_import_during_and_after_the_block():
    with init.patch(seed=42):
        module = types.ModuleType("imported_meanwhile")
        exec("from torch.nn.init import normal_, trunc_normal_", vars(module))
        assert same(module.trunc_normal_(torch.empty(9)), TRUNCATED(torch.empty(9)))
    for name in ("normal_", "trunc_normal_"):
        torch.manual_seed(3)
        actual = getattr(module, name)(torch.empty(3))
        torch.manual_seed(3)
        assert same(actual, getattr(nn.init, name)(torch.empty(3)))
    assert not same(actual, TRUNCATED(torch.empty(3)))


def test_functions_keep_their_signatures_and_get_their_code_back():
    functions = [nn.init.normal_, nn.init.trunc_normal_, nn.init.sparse_]
    before = [(each.__code__, each.__kwdefaults__, dict(vars(each))) for each in functions]
    signatures = list(map(inspect.signature, functions))
    with pytest.raises(ZeroDivisionError), init.patch(seed=1):
        assert list(map(inspect.signature, functions)) == signatures
        with init.patch(seed=2):
            torch.randn(1)
        raise ZeroDivisionError
    assert [(each.__code__, each.__kwdefaults__, dict(vars(each))) for each in functions] == before


def test_a_function_replaced_by_others_is_respected():
    original, nn.init.normal_ = nn.init.normal_, lambda tensor: original(tensor, 5.0, 0.0)
    try:
        assert same(built(lambda: nn.init.normal_(torch.empty(3))), torch.full((3,), 5.0))
    finally:
        nn.init.normal_ = original


def test_deprecated_names():
    with pytest.warns(FutureWarning, match="`nn.init.sparse` is now deprecated") as records:
        actual = built(lambda: nn.init.sparse(torch.empty(6, 2), 0.5))
    assert records[0].filename == __file__
    assert same(actual, init.sparse_(torch.empty(6, 2), 0.5, seed=42))


# streams


def test_streams_count_the_draws():
    with init.patch(seed=6):
        layer = nn.Linear(8, 5)
        explicit = nn.init.normal_(torch.empty(4), generator=torch.Generator().manual_seed(2))
        nn.init.normal_(torch.empty(4, device="meta"))
        nn.init.normal_(torch.empty(0))
        ours = init.normal_(torch.empty(4), seed=3)
        last = nn.init.normal_(torch.empty(4))
    bound = 1 / math.sqrt(8)
    kaiming = init.kaiming_uniform_(torch.empty(5, 8), math.sqrt(5), seed=6)
    assert same(layer.weight, kaiming)
    assert same(layer.bias, uniform(5, low=-bound, high=bound, seed=6, stream=1))
    assert same(explicit, init.normal_(torch.empty(4), generator=torch.Generator().manual_seed(2)))
    assert same(ours, normal(4, seed=3))
    assert same(last, normal(4, seed=6, stream=2))


def test_seeds():
    by_name = ift.Seed(42).named("model")
    generator = ift.SeedGenerator(42)
    generator.next()
    for seed, start in (
        (42, ift.Seed(42)),
        (np.uint64(42), ift.Seed(42)),
        (ift.Seed(42, 7), ift.Seed(42, 7)),
        (by_name, ift.Seed(42, by_name.stream)),
        (generator, ift.Seed(42, 1)),
    ):
        with init.patch(seed):
            values = torch.randn(3), torch.randn(3)
        for step, actual in enumerate(values):
            assert same(actual, normal(3, stream=start.stream + step))
    assert generator.next() == ift.Seed(42, 3)
    for wrong in (-1, 2**64, 1.5, "42", True):
        with pytest.raises(ValueError, match="seed"), init.patch(wrong):
            pass
    torch.manual_seed(0)
    plain = torch.randn(3)
    torch.manual_seed(0)
    assert same(torch.randn(3), plain)


def test_without_a_seed_manual_seed_determines_the_values():
    results = []
    for _ in range(2):
        torch.manual_seed(4)
        with init.patch():
            results.append(nn.Linear(8, 5).weight)
            init.normal_(torch.empty(3))  # draws a seed from torch's generator, as without a patch
    assert same(*results)
    torch.manual_seed(4)
    assert same(results[0], init.kaiming_uniform_(torch.empty(5, 8), math.sqrt(5)))


def test_contexts_nest():
    with init.patch(seed=1):
        first = torch.randn(3)
        with init.patch(seed=2):
            inner = torch.randn(3), nn.init.trunc_normal_(torch.empty(3))
        with pytest.raises(KeyError), init.patch(seed=2):
            raise KeyError
        last = nn.init.trunc_normal_(torch.empty(3))
    assert same(first, normal(3, seed=1)) and same(inner[0], normal(3, seed=2))
    assert same(inner[1], init.trunc_normal_(torch.empty(3), seed=ift.Seed(2, 1)))
    assert same(last, init.trunc_normal_(torch.empty(3), seed=ift.Seed(1, 1)))


def test_an_inner_context_without_a_seed_follows_the_outer_one():
    def make():
        with init.patch():
            return torch.randn(3)

    assert not same(built(make), normal(3))


def test_other_threads_draw_as_they_did():
    torch.manual_seed(5)
    plain = torch.empty(9).normal_(), nn.init.trunc_normal_(torch.empty(9))
    actual = []

    def work():
        actual.extend((torch.empty(9).normal_(), nn.init.trunc_normal_(torch.empty(9))))

    torch.manual_seed(5)
    with pytest.warns(UserWarning, match="by another thread"), init.patch(seed=1):
        torch.randn(1)
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert all(map(same, actual, plain))


def test_threads_have_separate_contexts():
    barrier = threading.Barrier(2)
    actual = {}

    def work(seed):
        with init.patch(seed):
            barrier.wait(10)
            first = torch.randn(5)
            barrier.wait(10)
            actual[seed] = first, nn.init.trunc_normal_(torch.empty(5))
            if seed == 1:
                barrier.wait(10)  # the other thread exits first
        if seed == 2:
            barrier.wait(10)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed in (1, 2):
        assert same(actual[seed][0], normal(5, seed=seed))
        expected = init.trunc_normal_(torch.empty(5), seed=ift.Seed(seed, 1))
        assert same(actual[seed][1], expected)


# truncated normals by erfinv


def cdf(x):
    return (1.0 + math.erf(x / math.sqrt(2.0))) / 2.0


def by_erfinv(tensor, mean=0.0, std=1.0, a=-2.0, b=2.0):
    """Draw with the operations of timm's `trunc_normal_`, and of torch's before 2.11."""
    with torch.no_grad():
        low, high = cdf((a - mean) / std), cdf((b - mean) / std)
        tensor.uniform_(2 * low - 1, 2 * high - 1)
        tensor.erfinv_()
        tensor.mul_(std * math.sqrt(2.0))
        tensor.add_(mean)
        tensor.clamp_(min=a, max=b)
        return tensor


# In float32, one of 2**24 uniform values is -1, the pole of erfinv. In 16 bits there are many.
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_erfinv_of_uniforms_has_no_values_at_infinity(dtype):
    actual = built(lambda: by_erfinv(torch.empty(100_000, dtype=dtype), std=0.02)).double()
    assert actual.abs().max() < 0.02 * 7
    assert abs(actual.std() / 0.02 - 1) < 0.01


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_erfinv_of_uniforms_is_a_truncated_normal(dtype):
    def make():
        return by_erfinv(torch.empty(100_000, dtype=dtype), 0.5, 2.0, -1.0, 3.0)

    actual = built(make).double()
    expected = init.trunc_normal_(
        torch.empty(100_000, dtype=torch.float64), 0.5, 2.0, -1.0, 3.0, seed=7
    )
    assert actual.min() >= -1.0 and actual.max() <= 3.0
    quantiles = torch.linspace(0.01, 0.99, 99, dtype=torch.float64)
    gap = torch.quantile(actual, quantiles) - torch.quantile(expected, quantiles)
    assert gap.abs().max() < 0.05


def test_erfinv_of_anything_else_is_torch_s():
    with init.patch(seed=42):
        out_of_place = torch.erfinv(torch.empty(50).uniform_(-1, 1))
        later = torch.empty(50).uniform_(-1, 1)
        half = later.mul_(0.5).erfinv_()
        other = torch.full((50,), 0.5)
        uniforms = torch.empty(50).uniform_(-1, 1)
        other.erfinv_()
        outside = torch.empty(50).uniform_(0, 2).erfinv_()
        last = torch.randn(2)
    expected = init.trunc_normal_(
        torch.empty(50), 0.0, math.sqrt(0.5), -math.inf, math.inf, seed=42
    )
    assert same(out_of_place, expected)
    assert same(half, (uniform(50, low=-1, stream=1) * 0.5).erfinv())
    assert same(other, torch.full((50,), 0.5).erfinv()) and same(
        uniforms, uniform(50, low=-1, stream=2)
    )
    assert torch.equal(outside.isnan(), uniform(50, high=2, stream=3) > 1)
    assert same(last, normal(2, stream=4))  # erfinv uses no stream


# complex numbers


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_complex_tensors(dtype):
    real = dtype.to_real()
    actual = built(lambda: torch.randn(40, 50, dtype=dtype))
    assert same(torch.view_as_real(actual), normal(40, 50, 2, std=math.sqrt(0.5), dtype=real))
    actual = built(lambda: torch.empty(40, 50, dtype=dtype).uniform_(-1, 3))
    assert same(torch.view_as_real(actual), uniform(40, 50, 2, low=-1, high=3, dtype=real))
    actual = init.normal_(torch.empty(40, 50, dtype=dtype), 2.0, 0.5, seed=42)
    plain = init.normal_(torch.empty(40, 50, dtype=dtype), 0.0, 0.5, seed=42)
    assert same(actual, plain + 2.0)
    assert same(actual, built(lambda: nn.init.normal_(torch.empty(40, 50, dtype=dtype), 2.0, 0.5)))


def test_complex_models():
    models = [nn.Linear(300, 200, dtype=torch.cfloat) for _ in range(2)]
    for layer in models:
        init.initialize(layer, seed=1)
    assert same(models[0].weight, models[1].weight)
    bound = 1 / math.sqrt(300)
    parts = torch.view_as_real(models[0].weight.detach())
    assert parts.abs().max() <= bound and abs(parts.std() / (bound / math.sqrt(3)) - 1) < 0.02
    assert not same(parts[..., 0], parts[..., 1])
    actual = built(lambda: nn.Linear(3, 2, dtype=torch.cfloat).weight.detach())
    assert same(
        actual, init.kaiming_uniform_(torch.empty(2, 3, dtype=torch.cfloat), math.sqrt(5), seed=42)
    )
    weight = init.xavier_normal_(torch.empty(300, 200, dtype=torch.cfloat), seed=3)
    assert abs(weight.std() / math.sqrt(2 / 500) - 1) < 0.02


# draws left to torch


class Wrapped(torch.Tensor):
    """A tensor whose memory is another tensor."""

    @staticmethod
    def __new__(cls, inner):
        return torch.Tensor._make_wrapper_subclass(cls, inner.shape, dtype=inner.dtype)

    def __init__(self, inner):
        self.held = inner

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        args = [each.held if isinstance(each, Wrapped) else each for each in args]
        return func(*args, **(kwargs or {}))


LEFT = {
    "bernoulli_": lambda: nn.Dropout(0.5)(torch.ones(8)),
    "randperm": lambda: torch.randperm(9),
    "exponential_": lambda: torch.empty(9).exponential_(),
    "multinomial": lambda: torch.multinomial(torch.ones(9), 2),
    "randint": lambda: torch.randint(0, 9, (9,)),
    r"normal_ \(.*Wrapped": lambda: Wrapped(torch.zeros(9)).normal_(),
    r"normal_ \(.*view": lambda: torch.empty((3,) * 9).mT.normal_(),
}


@pytest.mark.parametrize("name", LEFT)
def test_draws_of_torch_are_unchanged_and_reported_once(name):
    torch.manual_seed(3)
    expected = LEFT[name]()
    torch.manual_seed(3)
    with (
        pytest.warns(UserWarning, match=f"own generator.*{name}.*, 2x") as records,
        init.patch(seed=1),
    ):
        actual = LEFT[name]()
        LEFT[name]()
        torch.randn(3)
    assert torch.equal(*(getattr(each, "held", each) for each in (actual, expected)))
    assert len(records) == 1 and records[0].filename == __file__


def test_a_separate_generator_is_reported():
    with pytest.warns(UserWarning, match="randperm, 1x"), init.patch(seed=1):
        torch.randperm(5, generator=torch.Generator())


def test_operations_that_draw_nothing_are_not_reported():
    with init.patch(seed=1):
        torch.randn(1)
        nn.Dropout(0.5).eval()(torch.ones(3))
        nn.functional.scaled_dot_product_attention(*[torch.ones(1, 1, 2, 4)] * 3)
        torch.empty(3, device="meta").bernoulli_()
        torch.manual_seed(8)  # seeds the generator; draws nothing


def test_a_block_that_draws_nothing_warns():
    build = "nothing was drawn.*build the model inside"
    with pytest.warns(UserWarning, match=build) as records, init.patch(seed=1):
        nn.LayerNorm(3)
    assert records[0].filename == __file__
    meta = pytest.warns(UserWarning, match="nothing was drawn.*meta.*initialize")
    with meta, init.patch(seed=1), torch.device("meta"):
        nn.Linear(3, 3)
    with pytest.raises(KeyError), init.patch(seed=1):
        raise KeyError  # no warning in addition to an exception


# models that build without a patch


BUILDS = {
    "complex": lambda: nn.Conv1d(4, 4, 3, dtype=torch.cfloat),
    "complex, orthogonal": lambda: nn.init.orthogonal_(torch.empty(3, 3, dtype=torch.cfloat)),
    "subclass of Parameter": lambda: nn.init.normal_(Tagged(torch.zeros(3))),
    "subclass of Tensor": lambda: nn.init.trunc_normal_(torch.zeros(3).as_subclass(Named)),
    "nine dims": lambda: nn.init.xavier_uniform_(torch.empty((2,) * 9)),
    "jacrev": lambda: torch.func.jacrev(lambda x: nn.Linear(3, 3)(x))(torch.zeros(3)),
    "a nested tensor": lambda: nested().dim(),
    "torch.compile": lambda: compiled()(torch.zeros(3)),
    "torch.cond, which compiles": lambda: torch.cond(
        torch.tensor(True), torch.sin, torch.cos, (torch.ones(3),)
    ),
    "meta": lambda: torch.device("meta")(nn.Linear)(3, 3),
    "the device before": lambda: torch.device("cpu")(torch.randn)(3),
    "a leaf that needs a gradient": lambda: nn.Parameter(torch.empty(3)).normal_(),
    "integers": lambda: torch.empty(3, dtype=torch.int64).normal_(),
    "a deviation below 0": lambda: torch.normal(torch.zeros(2), torch.tensor([1.0, -1.0])),
    "a size below 0": lambda: torch.randn(-1),
    "no such argument": lambda: nn.init.trunc_normal_(torch.empty(3), sigma=2.0),
    "a bound that is no number": lambda: nn.init.trunc_normal_(torch.empty(3), a="x"),
    "expanded": lambda: torch.empty(1).expand(3).normal_(),
    "fake": lambda: fake(),
    "an optimizer's step": lambda: step(),
}


def nested():
    return torch.randn_like(torch.nested.nested_tensor([torch.ones(2)], layout=torch.jagged))


def fake():
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        return nn.Linear(3, 3).weight


def step():
    layer = nn.Linear(3, 3)
    layer(torch.ones(2, 3)).sum().backward()
    torch.optim.AdamW(layer.parameters()).step()
    return layer


def outcome(make):
    try:
        actual = make()
    except Exception as error:
        return type(error), str(error)
    return type(actual), getattr(actual, "shape", None), getattr(actual, "requires_grad", None)


@pytest.mark.filterwarnings("ignore:nothing was drawn", "ignore:torch drew")
@pytest.mark.parametrize("name", slow(BUILDS))
def test_a_patch_changes_no_success_or_failure(name):
    expected = outcome(BUILDS[name])
    with init.patch(seed=1):
        actual = outcome(BUILDS[name])
    assert actual == expected


def test_autograd_sees_the_writes():
    tensor = torch.ones(3, requires_grad=True)
    square = tensor.square()
    with init.patch(seed=1), torch.no_grad():
        tensor.normal_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        square.sum().backward()


def test_warnings_of_torch_s_functions_point_to_the_caller():
    with pytest.warns(UserWarning, match="zero-element") as records, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "nothing was drawn")
        with init.patch(seed=1):
            nn.init.kaiming_uniform_(torch.empty(0, 3))
    assert len(records) == 1
