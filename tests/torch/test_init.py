"""The functions of torch.nn.init by initfast: their values, memory, streams and errors."""

from __future__ import annotations

import inspect
import math
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest

import initfast as ift
from initfast.initializers.bounds import in_stddevs

torch = pytest.importorskip("torch")

import initfast.torch as init  # noqa: E402
from initfast.torch import recipes, targets  # noqa: E402

DRAWING = {
    "uniform_": (-1.0, 2.0),
    "normal_": (0.5, 2.0),
    "trunc_normal_": (0.1, 1.0, -1.5, 0.75),
    "xavier_uniform_": (2.0,),
    "xavier_normal_": (0.5,),
    "kaiming_uniform_": (0.2, "fan_out", "leaky_relu"),
    "kaiming_normal_": (0, "fan_in", "relu"),
    "orthogonal_": (3.0,),
    "sparse_": (0.3, 0.5),
}
PLAIN = {"constant_": (7.0,), "ones_": (), "zeros_": (), "eye_": (), "dirac_": (1,)}
DTYPES = [
    torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2
]  # fmt: skip


def empty(*shape, dtype=torch.float32):
    return torch.full(shape, float("nan"), dtype=dtype)


def draw(function, tensor, **kwargs):
    return getattr(init, function)(tensor, *DRAWING[function], **kwargs)


def same(a, b):
    return a.shape == b.shape and a.dtype == b.dtype and np.array_equal(raw(a), raw(b))


def raw(tensor):
    return tensor.detach().contiguous().view(torch.uint8).numpy()


FANS = ("xavier_uniform_", "xavier_normal_", "kaiming_uniform_", "kaiming_normal_")


def test_every_function_exists_with_torch_s_arguments():
    deprecated = {name for name in torch.nn.init.__all__ if f"{name}_" in torch.nn.init.__all__}
    assert set(torch.nn.init.__all__) - deprecated == {*DRAWING, *PLAIN, "calculate_gain"}
    for name in (*DRAWING, *PLAIN, "calculate_gain"):
        theirs = inspect.signature(getattr(torch.nn.init, name)).parameters.values()
        ours = list(inspect.signature(getattr(init, name)).parameters.values())
        extra = ours[len(theirs) :]
        assert [(p.name, p.default, p.kind) for p in ours[: len(theirs)]] == [
            (p.name, p.default, p.kind) for p in theirs
        ]
        additional = {"orthogonal_": ["batch_dims"]} | {
            each: ["groups", "batch_dims"] for each in FANS
        }
        seeded = [*additional.get(name, []), "seed", "name"]
        assert [p.name for p in extra] == (seeded if name in DRAWING else [])
        assert all(p.kind is p.KEYWORD_ONLY for p in extra)


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("dtype", [*DTYPES, torch.int64])
def test_constants_equal_torch_s(name, dtype):
    shape = (6, 3, 5) if name == "dirac_" else (6, 4)
    expected = getattr(torch.nn.init, name)(torch.empty(shape), *PLAIN[name]).to(dtype)
    actual = torch.full(shape, 3.0).to(dtype)
    assert getattr(init, name)(actual, *PLAIN[name]) is actual
    assert same(actual, expected)


@pytest.mark.parametrize("shape", [(6, 4, 3), (8, 2, 3, 5), (4, 6, 2, 3, 3)])
@pytest.mark.parametrize("groups", [1, 2])
def test_dirac_equals_torch_s(shape, groups):
    assert same(init.dirac_(empty(*shape), groups), torch.nn.init.dirac_(empty(*shape), groups))


TANH = math.sqrt(5 / 9)  # gain 5/3 times sqrt(3 / 15)

# Standard deviations and bounds are computed by torch's formulas in float64. The values must
# equal those of initfast's initializers.
CASES = [
    ("uniform_", (5, 7), {"a": -0.25, "b": 1.5}, ift.RandomUniform(-0.25, 1.5)),
    ("normal_", (5, 7), {"mean": 1.0, "std": 0.02}, ift.RandomNormal(1.0, 0.02)),
    ("trunc_normal_", (5, 7), {"std": 0.5, "a": -1.0, "b": 1.0}, ift.TruncatedNormal(0.0, 0.5)),
    ("trunc_normal_", (5, 7), {"mean": 1.0, "a": 0.5, "b": 4.0}, ift.TruncatedNormal(1.0, 1.0, lower=-0.5, upper=3.0)),
    ("trunc_normal_", (5, 7), {"std": 0.02}, ift.RandomNormal(0.0, 0.02)),
    ("xavier_uniform_", (5, 7), {}, ift.RandomUniform(-math.sqrt(6 / 12), math.sqrt(6 / 12))),
    ("xavier_normal_", (5, 7, 3), {"gain": 2.0}, ift.RandomNormal(0.0, 2 * math.sqrt(2 / 36))),
    ("kaiming_uniform_", (5, 7), {"a": math.sqrt(5)}, ift.RandomUniform(-math.sqrt(1 / 7), math.sqrt(1 / 7))),
    ("kaiming_uniform_", (5, 7, 3), {"mode": "fan_out", "nonlinearity": "tanh"}, ift.RandomUniform(-TANH, TANH)),
    ("kaiming_normal_", (5, 7, 3), {"nonlinearity": "relu"}, ift.RandomNormal(0.0, math.sqrt(2 / 21))),
    ("orthogonal_", (5, 7), {"gain": 2.0}, ift.Orthogonal(2.0)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "shape", "arguments", "initializer"), CASES)
def test_values_equal_the_initializers(name, shape, arguments, initializer):
    seed = ift.Seed(11).named("encoder.weight")
    expected = type(initializer).from_config({**initializer.get_config(), "seed": seed})(shape)
    actual = getattr(init, name)(empty(*shape), **arguments, seed=11, name="encoder.weight")
    # The last bit of a bound may differ, because torch multiplies in another order.
    assert np.allclose(actual.numpy(), expected, rtol=3e-7, atol=0)
    assert same(actual, getattr(init, name)(empty(*shape), **arguments, seed=seed))


@pytest.mark.parametrize("name", DRAWING)
def test_values_follow_torch_s_distribution(name):
    # Mean and deviation of 40,000 values, ours against torch's: 6 standard errors, less than 1e-8
    # false alarms each.
    torch.manual_seed(1)
    theirs = getattr(torch.nn.init, name)(empty(200, 200), *DRAWING[name])
    ours = draw(name, empty(200, 200), seed=1)
    error = 6 * math.sqrt(2) * theirs.std() / 200
    assert abs(ours.mean() - theirs.mean()) < error
    assert abs(ours.std() - theirs.std()) < error
    assert (ours == 0).sum() == (theirs == 0).sum()  # the zeros of sparse_


@pytest.mark.parametrize("name", DRAWING)
@pytest.mark.parametrize("dtype", DTYPES)
def test_neither_strides_nor_autograd_matter(name, dtype):
    expected = draw(name, empty(6, 10, dtype=dtype), seed=4, name="w")
    assert not expected.to(torch.float32).isnan().any()
    assert expected._version > 0
    transposed = empty(10, 6, dtype=dtype).t()
    stepped = empty(12, 30, dtype=dtype)
    cut = stepped[1::2, 2::3]
    parameter = torch.nn.Parameter(empty(6, 10, dtype=dtype))
    for tensor in (transposed, cut, parameter):
        before = tensor._version
        assert draw(name, tensor, seed=4, name="w") is tensor
        assert tensor._version > before
        assert same(tensor, expected)
    assert parameter.grad_fn is None and parameter.requires_grad
    untouched = torch.ones(12, 30, dtype=torch.bool)
    untouched[1::2, 2::3] = False
    assert stepped.to(torch.float32)[untouched].isnan().all()


def test_autograd_notices_a_write():
    weight = torch.nn.Parameter(torch.ones(3, 3))
    loss = weight.square().sum()
    init.normal_(weight, seed=1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.parametrize("name", DRAWING)
def test_torch_s_generators_determine_the_values(name):
    torch.manual_seed(7)
    first, second = draw(name, empty(6, 10)), draw(name, empty(6, 10))
    assert not same(first, second)
    torch.manual_seed(7)
    with torch.device("meta"):  # new tensors are on meta, except the seeds
        draw(name, torch.empty(6, 10))  # a meta tensor: nothing is drawn
        again = draw(name, torch.full((6, 10), float("nan"), device="cpu"))
    assert same(first, again)
    own = [draw(name, empty(6, 10), generator=torch.Generator().manual_seed(3)) for _ in range(2)]
    assert same(*own)
    assert not same(own[0], first)
    assert same(second, draw(name, empty(6, 10)))  # the default generator did not advance


def test_constants_advance_no_generator():
    state = torch.get_rng_state()
    init.eye_(empty(3, 3))
    init.dirac_(empty(3, 3, 3))
    init.normal_(empty(3, 3), seed=1)
    init.normal_(torch.empty(3, 3, device="meta"))
    init.normal_(empty(3, 0))
    assert torch.equal(state, torch.get_rng_state())


def test_names_and_seed_generators_choose_streams():
    values = [init.normal_(empty(9), seed=ift.Seed(3), name=name) for name in ("a", "b", None)]
    assert same(values[0], init.normal_(empty(9), seed=ift.Seed(3).named("a")))
    assert not same(values[0], values[1]) and not same(values[0], values[2])
    generator = ift.SeedGenerator(3)
    assert same(init.normal_(empty(9), seed=generator), values[2])
    assert same(init.normal_(empty(9), seed=generator), init.normal_(empty(9), seed=ift.Seed(3, 1)))
    torch.manual_seed(0)
    by_name = init.normal_(empty(9), name="a")
    torch.manual_seed(0)
    assert not same(by_name, init.normal_(empty(9)))


@pytest.mark.parametrize("name", [*DRAWING, "eye_", "ones_"])
def test_meta_tensors_stay_unchanged(name):
    tensor = torch.empty(4, 5, device="meta")
    assert getattr(init, name)(tensor, *{**DRAWING, **PLAIN}[name]) is tensor
    assert tensor.is_meta


def test_fake_tensors_stay_unchanged():
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        layer = torch.nn.Linear(3, 4)
        assert init.normal_(layer.weight) is layer.weight


@pytest.mark.parametrize("name", [*DRAWING, "eye_"])
def test_other_devices_get_the_same_values(name, monkeypatch):
    expected = getattr(init, name)(
        empty(6, 10),
        *{**DRAWING, **PLAIN}[name],
        **({"seed": 2, "name": "w"} if name in DRAWING else {}),
    )
    monkeypatch.setattr(
        targets, "_on_cpu", lambda tensor: False
    )  # the CPU in place of another device
    tensor = empty(10, 6).t()
    before = tensor._version
    getattr(init, name)(
        tensor, *{**DRAWING, **PLAIN}[name], **({"seed": 2, "name": "w"} if name in DRAWING else {})
    )
    assert same(tensor, expected) and tensor._version > before


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_tensors_get_the_same_values():
    for dtype in DTYPES:
        for name in DRAWING:
            actual = draw(name, empty(6, 10, dtype=dtype).cuda(), seed=2)
            assert same(actual.cpu(), draw(name, empty(6, 10, dtype=dtype), seed=2)), (name, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("mean", "std", "a", "b"),
    [
        (0.0, 1.0, -2.0, 2.0), (0.0, 0.3, -0.1, 0.1), (0.3, 0.7, 0.1, 0.9), (0.0, 1.0, 0.30000001, 0.7),
        (1.0, 0.5, 2.0, 9.0), (0.0, 1.0, -math.inf, -0.5), (-3.0, 1.0, 0.25, math.inf), (0.1, 0.02, -2.0, 0.1),
        (0.0, 0.125, 1.0, 3.0),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:.* of the values are:RuntimeWarning")
def test_truncated_normals_stay_within_their_bounds(dtype, mean, std, a, b):
    values = init.trunc_normal_(empty(20000, dtype=dtype), mean, std, a, b, seed=5).to(
        torch.float64
    )
    assert a <= values.min() and values.max() <= b
    assert values.unique().numel() > 1


def test_bounds_hold_if_they_are_finer_than_the_mean():
    # (a - mean) / std, rounded to the nearest, is often a bound slightly outside of [a, b].
    rng = np.random.default_rng(1)
    for _ in range(500):
        mean, std = float(rng.uniform(-1.0, 1.0)), float(rng.uniform(0.1, 1.0))
        a = float(rng.normal()) * 1e-12
        b = a + float(rng.exponential()) * 1e-12
        lower, upper = map(Fraction, in_stddevs(mean, std, a, b))
        assert a <= Fraction(mean) + lower * Fraction(std)
        assert Fraction(mean) + upper * Fraction(std) <= b
        for dtype in (torch.float32, torch.float64):
            values = init.trunc_normal_(
                empty(9, dtype=dtype), mean, std, a, b, seed=1, name="w"
            ).double()
            assert a <= values.min() and values.max() <= b


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bound", [2.0, 1e30, 1e308, math.inf])
@pytest.mark.filterwarnings("ignore:.* of the values are:RuntimeWarning")
def test_bounds_beyond_reach_leave_a_normal(dtype, bound):
    actual = init.trunc_normal_(
        empty(1000, dtype=dtype), std=0.02, a=-bound, b=bound, seed=5, name="w"
    )
    assert same(actual, init.normal_(empty(1000, dtype=dtype), std=0.02, seed=5, name="w"))
    init.trunc_normal_(empty(10, dtype=dtype), std=1e-30, a=-bound, b=bound, seed=5, name="w")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_truncated_normals_without_width(dtype):
    exactly = torch.tensor(0.1, dtype=dtype)
    assert (init.trunc_normal_(empty(5, dtype=dtype), 0.0, 1.0, 0.1, 0.1) == exactly).all()
    assert (init.trunc_normal_(empty(5, dtype=dtype), 0.5, 0.0) == 0.5).all()
    assert (init.trunc_normal_(empty(5, dtype=dtype), 9.0, 0.0, -2.0, 1.5) == 1.5).all()
    inside = init.trunc_normal_(empty(5, dtype=dtype), 0.0, 0.0, 0.1, 0.2).to(torch.float64)
    assert (inside >= 0.1).all() and (inside < 0.102).all()


def test_the_distribution_is_right_in_a_far_tail():
    # The mean beyond 5 is phi(5) / Q(5), and the deviation there is below 0.18: 6 standard errors.
    actual = init.trunc_normal_(empty(100000, dtype=torch.float64), 0.0, 1.0, 5.0, math.inf, seed=5)
    assert abs(actual.mean() - 5.18650) < 6 * 0.18 / math.sqrt(100000)


@pytest.mark.parametrize("shape", [(4, 9), (9, 4), (6, 2, 3), (5, 5, 2, 2)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_orthogonal_rows_or_columns(shape, dtype):
    matrix = (
        init.orthogonal_(empty(*shape, dtype=dtype), 2.0, seed=3)
        .reshape(shape[0], -1)
        .to(torch.float64)
    )
    product = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
    assert torch.allclose(
        product,
        4 * torch.eye(len(product), dtype=torch.float64),
        atol=0.1 if dtype == torch.bfloat16 else 1e-5,
    )


@pytest.mark.parametrize("sparsity", [0.0, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("shape", [(10, 7), (1, 5), (7, 300)])
def test_sparse_columns(sparsity, shape, monkeypatch):
    actual = init.sparse_(empty(*shape), sparsity, seed=3, name="w")
    zeros = actual == 0
    assert (zeros.sum(0) == math.ceil(sparsity * shape[0])).all()
    assert torch.equal(
        actual[~zeros], init.normal_(empty(*shape), std=0.01, seed=3, name="w")[~zeros]
    )
    monkeypatch.setattr(
        "initfast.torch.matrices._PIECE", 20
    )  # the number of columns per step does not matter
    assert same(actual, init.sparse_(empty(*shape), sparsity, seed=3, name="w"))


def test_the_zeros_of_sparse_are_spread_evenly():
    zeros = (init.sparse_(empty(8, 4000), 0.25, seed=3) == 0).sum(1)
    # Each row has 1000 in the mean, with deviation sqrt(4000 * 3 / 16) = 27: 6 of them, 2e-8 false
    # alarms.
    assert zeros.min() > 1000 - 165 and zeros.max() < 1000 + 165
    assert not torch.equal(*(init.sparse_(empty(50, 50), 0.5, seed=seed) == 0 for seed in (1, 2)))


ERRORS = [
    ("xavier_uniform_", (5,), ()),
    ("kaiming_normal_", (5,), ()),
    ("kaiming_normal_", (5, 4), (0, "fan_avg")),
    ("kaiming_uniform_", (5, 4), (0, "fan_in", "gelu")),
    ("kaiming_uniform_", (5, 4), (True,)),
    ("orthogonal_", (5,), ()),
    ("sparse_", (5,), (0.5,)),
    ("eye_", (5,), ()),
    ("dirac_", (5, 4), ()),
    ("dirac_", (5, 4, 3), (2,)),
    ("uniform_", (5,), (1.0, 0.0)),
    ("normal_", (5,), (0.0, -1.0)),
    ("constant_", (5,), ("x",)),
]


# On the meta device, torch's uniform_ and fill_ check no arguments.
ON_DEVICES = [(*row, device) for row in ERRORS for device in ("cpu", "meta") if (row[0], device) not in
              {("uniform_", "meta"), ("constant_", "meta")}]  # fmt: skip


@pytest.mark.parametrize(("name", "shape", "arguments", "device"), ON_DEVICES)
def test_errors_are_torch_s(name, shape, arguments, device):
    tensor = torch.full(shape, float("nan"), device=device)
    with pytest.raises(Exception) as theirs:
        getattr(torch.nn.init, name)(tensor, *arguments)
    with pytest.raises(type(theirs.value)) as ours:
        getattr(init, name)(tensor, *arguments)
    assert str(ours.value).split("=")[0] == str(theirs.value).split("=")[0]
    assert device == "meta" or tensor.isnan().all()


def test_empty_tensors():
    for name in DRAWING:
        if not name.startswith("kaiming"):
            assert draw(name, torch.empty(0, 4), seed=1).shape == (0, 4)
    for name in ("kaiming_uniform_", "kaiming_normal_"):
        with pytest.warns(
            UserWarning, match="Initializing zero-element tensors is a no-op"
        ) as records:
            draw(name, torch.empty(0, 4), seed=1)
        assert records[0].filename == __file__


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda t: init.normal_(t, seed=1, generator=torch.Generator()), ValueError, "seed cannot be combined with generator"),
        (lambda t: init.normal_(t, seed=ift.SeedGenerator(1), name="w"), ValueError, "cannot be combined with a SeedGenerator"),
        (lambda t: init.normal_(t, seed=-1), ValueError, "integer in"),
        (lambda t: init.normal_(t, seed=1, name=""), ValueError, "non-empty string"),
        (lambda t: init.normal_(t, std=math.nan), ValueError, "std must be a finite number"),
        (lambda t: init.normal_(t, std="1"), TypeError, "std must be a finite number"),
        (lambda t: init.trunc_normal_(t, a=1.0, b=0.5), RuntimeError, r"found a=1.0 > b=0.5"),
        (lambda t: init.trunc_normal_(t, std=-1.0), RuntimeError, r"std >= 0.0"),
        (lambda t: init.trunc_normal_(t, a=math.nan), ValueError, "a must be a finite number"),
        (lambda t: init.trunc_normal_(t, a=math.inf, b=math.inf), ValueError, "must contain a finite number"),
        (lambda t: init.trunc_normal_(t, std=1e-3, a=1.0, b=2.0), ValueError, "overlap .-38, 38.*a=1.0, b=2.0"),
        (lambda t: init.trunc_normal_(t, 1.0, 0.0, 1.00000001, 1.00000002), ValueError, "must contain a float32"),
        (lambda t: init.orthogonal_(t, gain=1e39), ValueError, "gain must be a number that torch.float32 can hold"),
        (lambda t: init.sparse_(t, 1.5), ValueError, r"sparsity must lie in \[0, 1\]"),
        (lambda t: init.normal_(t.to(torch.int32)), ValueError, "random values need a floating dtype"),
        (lambda t: init.trunc_normal_(t.to(torch.complex64)), ValueError, "random values need a floating dtype"),
        (lambda t: init.normal_(t[:1].expand(4, 4)), ValueError, "must not overlap in memory"),
        (lambda t: init.normal_(t.to_sparse()), ValueError, "strided memory"),
        (lambda t: init.normal_(t.numpy()), TypeError, "received ndarray"),
        (lambda t: init.normal_(torch.nn.Parameter(t).as_subclass(Odd)), TypeError, "only that class understands"),
        (lambda t: init.normal_(torch.nn.UninitializedParameter()), TypeError, "UninitializedParameter"),
    ],
)  # fmt: skip
def test_refusals_write_nothing(call, kind, message):
    tensor = torch.full((4, 4), 7.0)
    state = torch.get_rng_state()
    with pytest.raises(kind, match=message):
        call(tensor)
    assert (tensor == 7.0).all()
    assert torch.equal(state, torch.get_rng_state())


class Odd(torch.Tensor):
    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        return super().__torch_function__(function, types, args, kwargs or {})


def test_inference_tensors():
    with torch.inference_mode():
        tensor = init.normal_(torch.empty(3), seed=1, name="w")
        assert same(tensor, init.normal_(empty(3), seed=1, name="w"))
    with pytest.raises(RuntimeError, match="outside InferenceMode"):
        init.normal_(tensor, seed=1)


def test_a_logical_array_is_not_needed_for_a_part():
    # Shards depend on this: a target for a part gets the same values as in the whole.
    index = (slice(5, 8), slice(2, 6))
    part = targets.Target(empty(3, 4), (9, 10), index)
    recipes.RECIPES["normal_"]((9, 10), torch.float32).run(part, ift.Seed(1))
    assert same(part.local, init.normal_(empty(9, 10), seed=1)[index])


def test_without_torch_the_error_has_the_pip_command():
    code = "import sys; sys.modules['torch'] = None; import initfast; import initfast.torch"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 1
    assert "ImportError: initfast.torch needs PyTorch: pip install torch" in result.stderr
